//! Bundles in temporary directories, made from a good one by small changes.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pitcrew_lint::Report;
use pitcrew_lint::bundle::{Options, Owner, check};
use tempfile::TempDir;

pub(crate) const SHIM: &str = "#!/bin/sh\nexec pitcrew hook\n";

const APPSPEC: &str = "\
version: 0.0
os: linux
files:
  - source: version
    destination: /opt/app
hooks:
  ApplicationStop:
    - {location: scripts/pitcrew-hook.sh, timeout: 900}
    - {location: scripts/stop.sh, timeout: 60}
  BeforeInstall:
    - {location: scripts/pitcrew-hook.sh, timeout: 900}
  AfterInstall:
    - {location: scripts/pitcrew-hook.sh, timeout: 60}
  ApplicationStart:
    - {location: scripts/pitcrew-hook.sh, timeout: 60}
    - location: scripts/start.sh
      timeout: 61
  ValidateService:
    - {location: scripts/validate.sh, timeout: 60, sudo: true}
    - {location: scripts/pitcrew-hook.sh, timeout: 901}
";

#[derive(Clone)]
pub(crate) struct Bundle {
    files: BTreeMap<String, (String, u32)>,
    companions: Vec<&'static str>,
    pub(crate) options: Options,
}

/// A bundle with nothing to mend.
pub(crate) fn good() -> Bundle {
    Bundle::empty()
        .with("appspec.yml", APPSPEC)
        .plain("appspec.yml")
        .with("version", "v1\n")
        .plain("version")
        .with("scripts/pitcrew-hook.sh", SHIM)
        .with("scripts/stop.sh", "#!/bin/sh\nset -eu\nsystemctl stop app\n")
        .with("scripts/start.sh", "#!/bin/sh\nset -eu\nsystemctl restart app\n")
        .with("scripts/validate.sh", "#!/bin/sh\nsystemctl is-active --quiet app\n")
}

pub(crate) fn told(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.rule).collect()
}

impl Bundle {
    pub(crate) fn empty() -> Self {
        Self { files: BTreeMap::new(), companions: Vec::new(), options: Options::default() }
    }

    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), (text.to_owned(), 0o755));
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        self.files.remove(path).unwrap();
        self
    }

    pub(crate) fn renamed(mut self, path: &str, to: &str) -> Self {
        let file = self.files.remove(path).unwrap();
        self.files.insert(to.to_owned(), file);
        self
    }

    pub(crate) fn plain(mut self, path: &str) -> Self {
        self.files.get_mut(path).unwrap().1 = 0o644;
        self
    }

    pub(crate) fn replacing(mut self, path: &str, from: &str, to: &str) -> Self {
        let text = &mut self.files.get_mut(path).unwrap().0;
        assert!(text.contains(from), "{path} has no {from:?}");
        *text = text.replacen(from, to, 1);
        self
    }

    /// With a permission of the copied file.
    pub(crate) fn permission(self, line: &str) -> Self {
        self.replacing(
            "appspec.yml",
            "hooks:\n",
            &format!("permissions:\n  - object: /opt/app/version\n    {line}\nhooks:\n"),
        )
    }

    pub(crate) fn owned_by(mut self, owner: Owner) -> Self {
        self.options.owner = owner;
        self
    }

    /// A rule that is broken along with the one that is meant.
    pub(crate) fn also(mut self, rule: &'static str) -> Self {
        self.companions.push(rule);
        self
    }

    pub(crate) fn companions(&self) -> &[&'static str] {
        &self.companions
    }

    pub(crate) fn file(&self, path: &str) -> &str {
        &self.files[path].0
    }

    pub(crate) fn write(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, (text, mode)) in &self.files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        directory
    }

    pub(crate) fn check(&self) -> Report {
        let directory = self.write();
        let mut report = check(directory.path(), self.options).unwrap();
        // The same words wherever the directory is.
        let here = format!("{}/", directory.path().display());
        for finding in &mut report.findings {
            finding.place.file = finding.place.file.replace(&here, "");
        }
        report
    }
}

/// The text of a file in a directory.
pub(crate) fn read(directory: &Path, path: &str) -> String {
    fs::read_to_string(directory.join(path)).unwrap()
}
