//! `pitcrew ami-clean`: takes what belongs to this one instance off the disk, before the disk becomes an image.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use pitcrew_plan::journal::STATE_DIRECTORY as BOOTSTRAP;

use super::{complain, exit, say};
use crate::ledger::DirStore;

/// Forget this instance, before an image is made of it
///
/// Deletes what the agent remembers and the bootstrap's journal, so that an instance of the image begins like a new one.
/// Configuration stays. The agent itself also notices when it wakes up on another instance; an image without its memory
/// is merely smaller and says less.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, last in the script that bakes the image:

  systemctl stop pitcrew && pitcrew ami-clean")]
pub(super) struct AmiCleanArgs {
    /// Where the agent remembers
    #[arg(long, value_name = "DIR", default_value = "/var/lib/pitcrew")]
    state_dir: PathBuf,
    /// Where the bootstrap keeps its journal
    #[arg(long, value_name = "DIR", default_value = BOOTSTRAP)]
    bootstrap_dir: PathBuf,
}

pub(super) fn run(arguments: AmiCleanArgs) -> u8 {
    let AmiCleanArgs { state_dir, bootstrap_dir } = arguments;
    match clean(&state_dir, &bootstrap_dir) {
        Ok(0) => say("nothing here belongs to this instance"),
        Ok(1) => say("1 file removed"),
        Ok(removed) => say(&format!("{removed} files removed")),
        Err(error) => {
            complain(&error);
            return exit::FAILED;
        }
    }
    exit::DONE
}

/// Empties both directories and says how many files there were; refuses while an agent runs, which would write again.
fn clean(state_dir: &Path, bootstrap_dir: &Path) -> anyhow::Result<u64> {
    // Held until all is gone. Where there is no directory, there is no agent, and none is made.
    let _lock = match state_dir.exists() {
        true => Some(lock(state_dir)?),
        false => None,
    };
    let mut removed = 0;
    for directory in [state_dir, bootstrap_dir] {
        removed += empty(directory).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => not_permitted(directory),
            _ => anyhow::Error::new(error).context(format!("emptying `{}`", directory.display())),
        })?;
    }
    Ok(removed)
}

fn lock(state_dir: &Path) -> anyhow::Result<DirStore> {
    DirStore::open(state_dir).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => not_permitted(state_dir),
        ErrorKind::WouldBlock => anyhow!("an agent runs with `{}`: systemctl stop pitcrew", state_dir.display()),
        _ => error.into(),
    })
}

fn not_permitted(directory: &Path) -> anyhow::Error {
    anyhow!("`{}` may not be emptied by this user: run this as root", directory.display())
}

fn empty(directory: &Path) -> std::io::Result<u64> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += empty(&entry.path())?;
            fs::remove_dir(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
            // The lock is no file of the instance's: this very command may have made it.
            removed += u64::from(entry.file_name() != "ledger.lock");
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_remembers_nothing_and_can_be_cleaned_twice() {
        let disk = tempfile::tempdir().unwrap();
        let (state, bootstrap) = (disk.path().join("state"), disk.path().join("bootstrap"));
        fs::create_dir_all(state.join("older")).unwrap();
        for file in ["ledger.json", "ledger.previous.json", "older/ledger.json"] {
            fs::write(state.join(file), "{}").unwrap();
        }
        assert_eq!(clean(&state, &bootstrap).unwrap(), 3);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        assert!(!bootstrap.exists());
        assert_eq!(clean(&state, &bootstrap).unwrap(), 0);
    }

    #[test]
    fn nothing_is_deleted_under_a_running_agent() {
        let disk = tempfile::tempdir().unwrap();
        let state = disk.path().join("state");
        let _agent = DirStore::open(&state).unwrap();
        fs::write(state.join("ledger.json"), "{}").unwrap();
        let error = clean(&state, disk.path()).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("an agent runs with `{}`: systemctl stop pitcrew", state.display()));
        assert!(state.join("ledger.json").exists());
    }

    #[test]
    fn who_may_not_is_told_who_may() {
        let error = not_permitted(Path::new("/var/lib/pitcrew"));
        assert_eq!(error.to_string(), "`/var/lib/pitcrew` may not be emptied by this user: run this as root");
    }
}
