//! Whose scripts may run: for root, only what nobody but root can have written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Uid;

/// Who must own a script and every directory above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever: the scripts run with the caller's own rights.
    Anybody,
    /// Root or this user; and nobody else may write there.
    OwnedBy(u32),
}

impl Trust {
    /// What this process must ask for: root runs nothing that others can write.
    pub fn of_this_process() -> Self {
        if Uid::effective().is_root() { Trust::OwnedBy(0) } else { Trust::Anybody }
    }

    /// Whether `path` may be run, or read for what is to be run; the error follows its name in a sentence.
    pub(super) fn check(self, path: &Path) -> Result<(), String> {
        let owner = match self {
            Trust::Anybody => return Ok(()),
            Trust::OwnedBy(owner) => owner,
        };
        // Behind links, and up to the root: whoever may write on the way there may put something else in its place.
        let real = path.canonicalize().map_err(|error| format!("cannot be looked at: {error}"))?;
        for place in real.ancestors() {
            let facts = fs::metadata(place).map_err(|error| format!("cannot be looked at: {error}"))?;
            let shown = place.display();
            if facts.uid() != 0 && facts.uid() != owner {
                return Err(format!("is not run: `{shown}` belongs to user {} (chown root)", facts.uid()));
            }
            // In a sticky directory only the owner of a file may replace it.
            let is_sticky = facts.is_dir() && facts.mode() & 0o1000 != 0;
            if facts.mode() & 0o022 != 0 && !is_sticky {
                return Err(format!("is not run: others may write `{shown}` (chmod go-w)"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let place = tempfile::tempdir().unwrap();
        let script = place.path().join("10-flush");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let trust = Trust::OwnedBy(Uid::effective().as_raw());
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

        allow(&script, 0o755);
        assert_eq!(trust.check(&script), Ok(()));
        for mode in [0o775, 0o757] {
            allow(&script, mode);
            assert!(trust.check(&script).unwrap_err().contains("chmod go-w"), "{mode:o}");
        }
        assert_eq!(Trust::Anybody.check(&script), Ok(()));

        allow(&script, 0o755);
        allow(place.path(), 0o777);
        assert!(trust.check(&script).unwrap_err().contains("others may write"), "its directory");
        let link = place.path().join("link");
        allow(place.path(), 0o755);
        fs::write(place.path().join("target"), "").unwrap();
        allow(&place.path().join("target"), 0o666);
        std::os::unix::fs::symlink("target", &link).unwrap();
        assert!(trust.check(&link).is_err(), "what a link leads to");
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_trusted() {
        // Of this process's own files, none belongs to another user: ask for another owner instead.
        let place = tempfile::tempdir().unwrap();
        let owner = Uid::effective().as_raw();
        let check = Trust::OwnedBy(owner + 1).check(place.path());
        assert_eq!(check.is_ok(), owner == 0, "root's files are trusted by everybody: {check:?}");
    }
}
