//! A revision: an `appspec.yml`, the files beside it, and the variations that a rehearsal plays of them.

mod appspec;
mod reading;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::lifecycle::LifecycleEvent;

pub use appspec::{AppSpec, AppSpecError, FileExistsBehavior, LONGEST_EVENT, Mapping, Script};
pub use reading::{Step, UnplayableLine, read_script};

/// The file that makes a directory a bundle.
const APPSPEC: &str = "appspec.yml";
/// The sample bundle's file that says which release it is.
pub const VERSION_FILE: &str = "version";
const FAILING_SCRIPT: &str = "scripts/rehearsed-failure.sh";
const HANGING_SCRIPT: &str = "scripts/rehearsed-hang.sh";

/// A revision, whole in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What the rehearsal calls this revision.
    pub revision: String,
    /// Its parsed `appspec.yml`.
    pub appspec: AppSpec,
    /// Whether it installs the application; a helper program's does not.
    pub is_application: bool,
    files: BTreeMap<String, BundleFile>,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: Bytes,
}

/// Why a directory is not a bundle that can be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is no `appspec.yml`.
    #[error("`{0}` has no appspec.yml: a bundle is a directory with appspec.yml at its top")]
    NoAppSpec(PathBuf),
    /// The `appspec.yml` is not one.
    #[error("CodeDeploy would not accept `{path}`")]
    AppSpec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: AppSpecError,
    },
    /// A file could not be read.
    #[error("failed to read `{path}` of the bundle")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Bundle {
    /// The sample bundle of this repository (`packaging/appspec/sample`), as revision `v2`.
    pub fn sample() -> Result<Self, BundleError> {
        macro_rules! sample {
            ($name:literal) => {
                include_str!(concat!("../../../../packaging/appspec/sample/", $name))
            };
        }
        let file = |name: &str, mode, text: &'static str| {
            (name.to_owned(), BundleFile { mode, bytes: Bytes::from_static(text.as_bytes()) })
        };
        let files = BTreeMap::from([
            file(APPSPEC, 0o644, sample!("appspec.yml")),
            file(VERSION_FILE, 0o644, sample!("version")),
            file("sample.service", 0o644, sample!("sample.service")),
            file("scripts/pitcrew-hook.sh", 0o755, sample!("scripts/pitcrew-hook.sh")),
            file("scripts/stop.sh", 0o755, sample!("scripts/stop.sh")),
            file("scripts/start.sh", 0o755, sample!("scripts/start.sh")),
            file("scripts/validate.sh", 0o755, sample!("scripts/validate.sh")),
        ]);
        Self::new("v2", Path::new("sample"), files)
    }

    /// Reads the bundle in a directory, as revision `new`.
    ///
    /// Fails when there is no `appspec.yml` at its top, or one that CodeDeploy would refuse.
    pub fn read(directory: &Path) -> Result<Self, BundleError> {
        if !directory.join(APPSPEC).is_file() {
            return Err(BundleError::NoAppSpec(directory.to_owned()));
        }
        let mut files = BTreeMap::new();
        read_below(directory, "", &mut files)?;
        Self::new("new", directory, files)
    }

    /// A second bundle for the same instances, as the deployment group of a helper program would have: it stops and
    /// starts nothing, and takes a few seconds.
    pub fn sidecar() -> Result<Self, BundleError> {
        let appspec = "version: 0.0\nos: linux\nhooks:\n  \
                       BeforeInstall:\n    - {location: hook.sh, timeout: 900}\n  \
                       AfterInstall:\n    - {location: work.sh, timeout: 60}\n  \
                       ValidateService:\n    - {location: hook.sh, timeout: 900}\n";
        let file = |name: &str, mode, text: &'static str| {
            (name.to_owned(), BundleFile { mode, bytes: Bytes::from_static(text.as_bytes()) })
        };
        let files = BTreeMap::from([
            file(APPSPEC, 0o644, appspec),
            file("hook.sh", 0o755, "#!/bin/sh\nexec pitcrew hook\n"),
            file("work.sh", 0o755, "#!/bin/sh\nsleep 8\n"),
        ]);
        Ok(Self { is_application: false, ..Self::new("sidecar", Path::new("sidecar"), files)? })
    }

    fn new(revision: &str, from: &Path, files: BTreeMap<String, BundleFile>) -> Result<Self, BundleError> {
        let text = match files.get(APPSPEC) {
            Some(file) => String::from_utf8_lossy(&file.bytes),
            None => return Err(BundleError::NoAppSpec(from.to_owned())),
        };
        let appspec =
            AppSpec::parse(&text).map_err(|source| BundleError::AppSpec { path: from.join(APPSPEC), source })?;
        Ok(Self { revision: revision.to_owned(), appspec, is_application: true, files })
    }

    /// The same under another name. A bundle with the sample's version file also installs that version.
    #[must_use]
    pub fn named(mut self, revision: &str) -> Self {
        revision.clone_into(&mut self.revision);
        if let Some(version) = self.files.get_mut(VERSION_FILE) {
            version.bytes = Bytes::from(format!("{revision}\n"));
        }
        self
    }

    /// The same with its shim at the four events that only come where CodeDeploy moves traffic, unless something stands
    /// there. A bundle without a shim stays without.
    #[must_use]
    pub(crate) fn with_traffic_shims(mut self) -> Self {
        let shim = self.appspec.hooks.values().flatten().find(|script| self.is_shim(&script.location)).cloned();
        for event in [
            LifecycleEvent::BeforeBlockTraffic,
            LifecycleEvent::AfterBlockTraffic,
            LifecycleEvent::BeforeAllowTraffic,
            LifecycleEvent::AfterAllowTraffic,
        ] {
            if let Some(shim) = &shim {
                self.appspec.hooks.entry(event).or_insert_with(|| vec![shim.clone()]);
            }
        }
        self
    }

    /// The same without the scripts that call `pitcrew hook`.
    #[must_use]
    pub(crate) fn without_shims(mut self) -> Self {
        let shims: Vec<String> = self.files.keys().filter(|location| self.is_shim(location)).cloned().collect();
        for scripts in self.appspec.hooks.values_mut() {
            scripts.retain(|script| !shims.contains(&script.location));
        }
        self
    }

    /// The same with a script that fails at `event`: after the shims that stand first, before the bundle's own work.
    #[must_use]
    pub(crate) fn failing_at(self, event: LifecycleEvent) -> Self {
        let text = "#!/bin/sh\necho 'this failure was asked for (--fail-at)' >&2\nexit 1\n";
        self.with_script_at(event, FAILING_SCRIPT, Duration::from_secs(60), text)
    }

    /// The same with a script that hangs at `event`, in the same place: it ignores SIGTERM and outlasts its timeout.
    #[must_use]
    pub(crate) fn hanging_at(self, event: LifecycleEvent) -> Self {
        let text = "#!/bin/sh\ntrap '' TERM\necho 'this hang was asked for (--die-at)'\nsleep 20\n";
        self.with_script_at(event, HANGING_SCRIPT, Duration::from_secs(5), text)
    }

    fn with_script_at(mut self, event: LifecycleEvent, location: &str, timeout: Duration, text: &'static str) -> Self {
        let shims_first =
            self.appspec.scripts(event).iter().take_while(|script| self.is_shim(&script.location)).count();
        let script = Script { location: location.to_owned(), timeout, run_as: None, sudo: false };
        self.appspec.hooks.entry(event).or_default().insert(shims_first, script);
        let file = BundleFile { mode: 0o755, bytes: Bytes::from_static(text.as_bytes()) };
        self.files.insert(location.to_owned(), file);
        self
    }

    /// Whether the script at `location` calls `pitcrew hook`.
    pub fn is_shim(&self, location: &str) -> bool {
        pitcrew_lint::bundle::is_shim(&self.text(location))
    }

    /// A file by its path in the bundle.
    pub fn file(&self, path: &str) -> Option<&BundleFile> {
        self.files.get(path)
    }

    /// Every file with its path in the bundle.
    pub fn files(&self) -> impl Iterator<Item = (&str, &BundleFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The text of a file; empty when there is none.
    pub fn text(&self, path: &str) -> String {
        let bytes = self.files.get(path).map(|file| file.bytes.as_ref()).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// What the application reports once this is installed: the sample's version file, else the revision's name.
    pub fn release(&self) -> String {
        let text = self.text(VERSION_FILE);
        match text.trim().parse::<crate::app::Release>() {
            Ok(release) => release.to_string(),
            Err(_) => self.revision.clone(),
        }
    }

    /// What Install copies: (path in the bundle, path on the instance) of each file.
    pub fn installs(&self) -> Vec<(String, PathBuf)> {
        let mut copies = Vec::new();
        for Mapping { source, destination } in &self.appspec.files {
            let source = source.trim_matches('/');
            let destination = Path::new(destination);
            if self.files.contains_key(source) {
                let name = source.rsplit('/').next().unwrap_or(source);
                copies.push((source.to_owned(), destination.join(name)));
            } else {
                let below = if source.is_empty() { String::new() } else { format!("{source}/") };
                for path in self.files.keys() {
                    if let Some(inside) = path.strip_prefix(&below) {
                        copies.push((path.clone(), destination.join(inside)));
                    }
                }
            }
        }
        copies
    }
}

fn read_below(directory: &Path, prefix: &str, files: &mut BTreeMap<String, BundleFile>) -> Result<(), BundleError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BundleError::Read { path, source }
    };
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // Links are followed, as they are when a bundle is packed from a working directory.
        let metadata = fs::metadata(&path).map_err(failed(&path))?;
        if metadata.is_dir() {
            read_below(&path, &format!("{name}/"), files)?;
        } else {
            let bytes = Bytes::from(fs::read(&path).map_err(failed(&path))?);
            let mode = metadata.permissions().mode() & 0o777;
            files.insert(name, BundleFile { mode, bytes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use LifecycleEvent::{ApplicationStart, ApplicationStop, BeforeInstall, ValidateService};

    fn locations(bundle: &Bundle, event: LifecycleEvent) -> Vec<&str> {
        bundle.appspec.scripts(event).iter().map(|script| script.location.as_str()).collect()
    }

    #[test]
    fn the_sample_stops_after_its_shim_and_validates_before_it() {
        let sample = Bundle::sample().unwrap();
        assert_eq!(locations(&sample, ApplicationStop), ["scripts/pitcrew-hook.sh", "scripts/stop.sh"]);
        assert_eq!(locations(&sample, ValidateService), ["scripts/validate.sh", "scripts/pitcrew-hook.sh"]);
        assert_eq!(sample.release(), "v2");
    }

    #[test]
    fn the_embedded_sample_is_the_directory_on_disk() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/appspec/sample");
        let on_disk = Bundle::read(Path::new(directory)).unwrap();
        // The other permission bits are those of whoever checked the repository out.
        let told = |bundle: &Bundle| -> Vec<_> {
            let files = bundle.files().map(|(path, file)| (path.to_owned(), file.mode & 0o100, file.bytes.clone()));
            files.collect()
        };
        assert_eq!(told(&on_disk), told(&Bundle::sample().unwrap()));
    }

    #[test]
    fn without_shims_only_the_bundles_own_scripts_are_left() {
        let bundle = Bundle::sample().unwrap().without_shims();
        assert_eq!(locations(&bundle, ApplicationStop), ["scripts/stop.sh"]);
        assert!(locations(&bundle, BeforeInstall).is_empty());
    }

    #[test]
    fn a_rehearsed_failure_stands_after_the_shim_and_before_the_work() {
        let bundle = Bundle::sample().unwrap();
        let start = bundle.clone().failing_at(ApplicationStart);
        assert_eq!(
            locations(&start, ApplicationStart),
            ["scripts/pitcrew-hook.sh", FAILING_SCRIPT, "scripts/start.sh"]
        );
        let validate = bundle.failing_at(ValidateService);
        assert_eq!(locations(&validate, ValidateService)[0], FAILING_SCRIPT);
    }

    #[test]
    fn a_directory_without_appspec_is_refused_by_name() {
        let empty = tempfile::tempdir().unwrap();
        let error = Bundle::read(empty.path()).unwrap_err().to_string();
        assert!(error.contains("has no appspec.yml"), "{error}");
    }

    #[test]
    fn a_directory_source_installs_its_contents_and_a_file_source_itself() {
        let mut bundle = Bundle::sample().unwrap();
        bundle.appspec.files = vec![
            Mapping { source: "scripts".into(), destination: "/opt/a".into() },
            Mapping { source: "/version".into(), destination: "/opt/b".into() },
        ];
        let installs = bundle.installs();
        assert!(installs.contains(&("scripts/stop.sh".into(), "/opt/a/stop.sh".into())));
        assert!(installs.contains(&("version".into(), "/opt/b/version".into())));
        assert_eq!(installs.len(), 5);
    }
}
