//! Which files the packages have: everything that the source tree ships, by the tree itself, so that nothing new is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::built::{self, source, target};
use pitcrew_tests::command::run;
use pitcrew_tests::needs::{self, Program};

const RPM: &[Program] = &[Program { name: "rpm", package: "rpm" }];

#[test]
#[ignore = "needs the packages: packaging/build"]
fn every_package_has_all_that_belongs_into_an_image() {
    let test = "looking into packages";
    for ending in ["amd64.deb", "arm64.deb"] {
        let list = run("dpkg-deb", &["--contents", built::package(ending).to_str().unwrap()]);
        let there = list.lines().filter_map(|line| line.rsplit(" .").next()).map(|path| path.trim_end_matches('/'));
        lacks_nothing(ending, "usr/share/zsh/vendor-completions", &there.collect());
    }
    if !needs::are_there(test, &[RPM]) {
        return;
    }
    for ending in ["x86_64.rpm", "aarch64.rpm"] {
        let list = run("rpm", &["--query", "--list", "--package", built::package(ending).to_str().unwrap()]);
        lacks_nothing(ending, "usr/share/zsh/site-functions", &list.lines().collect());
    }
}

fn lacks_nothing(package: &str, zsh: &str, there: &BTreeSet<&str>) {
    let all: BTreeSet<String> = FIXED.into_iter().map(str::to_owned).chain(of_the_tree()).collect();
    let lacking: Vec<_> = all.iter().filter(|path| !there.contains(format!("/{path}").as_str())).collect();
    assert!(lacking.is_empty(), "{package} lacks {lacking:#?}");
    assert!(there.contains(format!("/{zsh}/_pitcrew").as_str()), "{package} lacks the completion for zsh");
}

const FIXED: [&str; 16] = [
    "usr/bin/pitcrew",
    "usr/lib/pitcrew/payload/x86_64/pitcrew-bootstrap",
    "usr/lib/pitcrew/payload/aarch64/pitcrew-bootstrap",
    "usr/lib/systemd/system-preset/85-pitcrew.preset",
    "usr/lib/sysusers.d/pitcrew.conf",
    "usr/lib/tmpfiles.d/pitcrew.conf",
    "usr/share/bash-completion/completions/pitcrew",
    "usr/share/fish/vendor_completions.d/pitcrew.fish",
    "usr/share/doc/pitcrew/sbom.cdx.json",
    "usr/share/doc/pitcrew/THIRD-PARTY",
    "usr/share/doc/pitcrew/changelog.gz",
    "usr/share/doc/pitcrew/configuration.md",
    "usr/share/doc/pitcrew/operators-guide.md",
    "usr/share/doc/pitcrew/examples/bootstrap.toml",
    "etc/pitcrew/config.d",
    "etc/pitcrew/drain.d",
];

/// Where each file of the tree that is shipped as it is stands in a package.
fn of_the_tree() -> Vec<String> {
    let mut all = Vec::new();
    let mut ship = |folder: &Path, place: &str, ships: &dyn Fn(&str) -> bool, ending: &str| {
        let found = below(folder);
        assert!(!found.is_empty(), "{} is empty", folder.display());
        all.extend(found.iter().filter(|path| ships(path)).map(|path| format!("{place}/{path}{ending}")));
    };
    let packaging = source().join("packaging");
    ship(&packaging.join("config.d"), "usr/lib/pitcrew/config.d", &|_| true, "");
    ship(&packaging.join("scripts"), "usr/lib/pitcrew", &|path| path != "refuse-older", "");
    for folder in ["appspec", "cloudformation", "dashboards", "elastigroup", "iam", "packer", "terraform"] {
        ship(&packaging.join(folder), &format!("usr/share/doc/pitcrew/examples/{folder}"), &|_| true, "");
    }
    let systemd = source().join("systemd");
    let is_unit = |path: &str| path.ends_with(".service") || path.ends_with(".path");
    ship(&systemd, "usr/lib/systemd/system", &is_unit, "");
    ship(&systemd.join("examples"), "usr/share/doc/pitcrew/examples/systemd", &|_| true, "");
    let pages = target().join("packages/manual/man");
    for section in ["1", "5"] {
        let place = format!("usr/share/man/man{section}");
        ship(&pages, &place, &|path| path.rsplit('.').next() == Some(section), ".gz");
    }
    all
}

/// Every file below a folder, by its path from there.
fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()).into_iter().map(|path| format!("{name}/{path}")));
        } else {
            found.push(name);
        }
    }
    found
}

/// A guide on an instance leads to what is on that instance.
#[test]
#[ignore = "needs the packages: packaging/build"]
fn links_of_the_packaged_guides_lead_to_packaged_files() {
    let folder = tempfile::tempdir().unwrap();
    built::unpacked(&built::package("amd64.deb"), folder.path());
    let guides = folder.path().join("usr/share/doc/pitcrew");
    let mut links = 0;
    for guide in below(&guides).into_iter().filter(|path| path.ends_with(".md") && !path.contains('/')) {
        let text = fs::read_to_string(guides.join(&guide)).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.starts_with("http")) {
            assert!(guides.join(target).exists(), "{guide}: {target} is not in the package");
            links += 1;
        }
    }
    assert!(links > 5, "only {links} links");
}
