//! `appspec init` adds what is missing, keeps what is there, and refuses what it cannot add to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod bundles;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bundles::{Bundle, SHIM, good, read, told};
use expect_test::expect;
use pitcrew_lint::bundle::init::plan;
use pitcrew_lint::bundle::{Options, Owner, check};

/// As people have it: comments, an order and a style of their own.
const OWN: &str = "\
# Deployed by the platform team.
version: 0.0
os: linux

files:
  - source: /            # everything
    destination: /opt/shop
hooks:
# the order below is history
  ValidateService:
  - location: scripts/validate.sh   # asks /health
    timeout: 120
  ApplicationStop:
  # gently
  - location: scripts/stop.sh
    timeout: 60

  ApplicationStart:
  - location: \"scripts/start.sh\"
    timeout: 60
# end
";

fn own() -> Bundle {
    Bundle::empty()
        .with("appspec.yml", OWN)
        .with("scripts/stop.sh", "#!/bin/sh\nsystemctl stop shop\n")
        .with("scripts/start.sh", "#!/bin/sh\nsystemctl start shop\n")
        .with("scripts/validate.sh", "#!/bin/sh\ncurl -f http://127.0.0.1:8080/health\n")
}

#[test]
fn an_appspec_of_its_own_style_keeps_every_line_and_gets_the_shims() {
    let directory = own().write();
    let plan = plan(directory.path(), Options::default()).unwrap();
    plan.carry_out().unwrap();
    let text = read(directory.path(), "appspec.yml");
    expect![[r##"
        # Deployed by the platform team.
        version: 0.0
        os: linux

        files:
          - source: /            # everything
            destination: /opt/shop
        hooks:
        # the order below is history
          ValidateService:
          - location: scripts/validate.sh   # asks /health
            timeout: 120
          - location: scripts/pitcrew-hook.sh
            timeout: 900
            runas: root
          ApplicationStop:
          - location: scripts/pitcrew-hook.sh
            timeout: 900
            runas: root
          # gently
          - location: scripts/stop.sh
            timeout: 60
          BeforeInstall:
          - location: scripts/pitcrew-hook.sh
            timeout: 900
            runas: root
          AfterInstall:
          - location: scripts/pitcrew-hook.sh
            timeout: 60
            runas: root

          ApplicationStart:
          - location: scripts/pitcrew-hook.sh
            timeout: 60
            runas: root
          - location: "scripts/start.sh"
            timeout: 60
        # end
    "##]]
    .assert_eq(&text);
    let kept: Vec<_> = OWN.lines().collect();
    let mut rest = kept.iter();
    let mut next = rest.next();
    for line in text.lines() {
        if next == Some(&line) {
            next = rest.next();
        }
    }
    assert_eq!(next, None, "every line is there, in order");
    assert_eq!(told(&check(directory.path(), Options::default()).unwrap()), Default::default());
    let shim = fs::metadata(directory.path().join("scripts/pitcrew-hook.sh")).unwrap();
    assert_eq!(shim.permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_second_time_changes_nothing() {
    for owner in [Owner::Pitcrew, Owner::CodeDeploy, Owner::Elastigroup] {
        let options = Options { owner, ..Options::default() };
        let directory = own().write();
        plan(directory.path(), options).unwrap().carry_out().unwrap();
        assert_eq!(told(&check(directory.path(), options).unwrap()), Default::default(), "{owner:?}");
        assert_eq!(plan(directory.path(), options).unwrap().changes, [], "{owner:?}");
    }
    let directory = good().write();
    assert_eq!(plan(directory.path(), Options::default()).unwrap().changes, []);
}

#[test]
fn planning_alone_writes_nothing() {
    let directory = own().write();
    let plan = plan(directory.path(), Options::default()).unwrap();
    let told: Vec<_> = plan.changes.iter().map(|change| change.sentence.as_str()).collect();
    assert_eq!(
        told,
        [
            "create scripts/pitcrew-hook.sh",
            "change appspec.yml: scripts/pitcrew-hook.sh in ApplicationStop, BeforeInstall, AfterInstall, ApplicationStart, ValidateService",
        ]
    );
    assert_eq!(read(directory.path(), "appspec.yml"), OWN);
    assert!(!directory.path().join("scripts/pitcrew-hook.sh").exists());
}

#[test]
fn an_empty_directory_gets_a_bundle_that_checks() {
    let directory = tempfile::tempdir().unwrap();
    plan(directory.path(), Options::default()).unwrap().carry_out().unwrap();
    assert_eq!(read(directory.path(), "scripts/pitcrew-hook.sh"), SHIM);
    assert_eq!(told(&check(directory.path(), Options::default()).unwrap()), Default::default());
}

#[test]
fn windows_line_ends_of_the_appspec_stay() {
    let directory = own().with("appspec.yml", &OWN.replace('\n', "\r\n")).write();
    plan(directory.path(), Options::default()).unwrap().carry_out().unwrap();
    let text = read(directory.path(), "appspec.yml");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert_eq!(told(&check(directory.path(), Options::default()).unwrap()), Default::default());
}

#[test]
fn every_way_to_write_hooks_is_added_to_or_refused_with_the_line() {
    let head = "version: 0.0\nos: linux\n";
    let added = [
        "",
        "hooks:\n",
        "hooks:\n  BeforeInstall:\n  ApplicationStop: # none yet\n",
        "hooks:\n    BeforeInstall:\n        - location: scripts/start.sh\n          timeout: 60",
        "hooks:\n  ApplicationStart:\n    - {location: scripts/start.sh, timeout: 60}\nfile_exists_behavior: OVERWRITE\n",
        "x-start: &start\n  - location: scripts/start.sh\n    timeout: 60\nhooks:\n  ApplicationStart:\n    - location: &l scripts/start.sh\n  AfterInstall:\n    - location: *l\n",
        "hooks:\n  ApplicationStart:\n    - location: >-\n        scripts/start.sh\n\n  # last\n",
    ];
    for hooks in added {
        let directory = own().with("appspec.yml", &format!("{head}{hooks}")).write();
        plan(directory.path(), Options::default()).unwrap().carry_out().unwrap();
        let text = read(directory.path(), "appspec.yml");
        let report = check(directory.path(), Options::default()).unwrap();
        let errors: Vec<_> = told(&report).into_iter().filter(|id| *id != "AS005").collect();
        assert_eq!(errors, [""; 0], "{text}");
    }
    let refused = [
        (
            "hooks: {}\n",
            ":3: ",
            "add by hand {location: scripts/pitcrew-hook.sh, timeout: 900, runas: root} first in ApplicationStop",
        ),
        ("hooks:\n  BeforeInstall: [{location: scripts/start.sh}]\n", ":4: ", "BeforeInstall stands in brackets"),
        ("hooks:\n  BeforeInstall: ~\n", ":3: ", "cannot be added to"),
        ("hooks:\n  - BeforeInstall\n", ":3: ", "cannot be added to"),
        (
            "hooks:\n  BeforeInstall: &s\n    - location: scripts/start.sh\n  AfterInstall: *s\n",
            "",
            "cannot be added to",
        ),
        ("hooks: {\n", ":3: ", "no YAML"),
        (
            "hooks:\n  BeforeInstall:\n    - location: scripts/start.sh\n      timeout: 3500\n",
            ":4: ",
            "the scripts of BeforeInstall may take 3500 of an event's 3600 s, and the shim needs 360",
        ),
    ];
    for (hooks, line, sentence) in refused {
        let text = format!("{head}{hooks}");
        let directory = own().with("appspec.yml", &text).write();
        let refusal = plan(directory.path(), Options::default()).unwrap_err().to_string();
        assert!(refusal.contains(line) && refusal.contains(sentence), "{refusal}");
        assert!(refusal.ends_with("nothing was written"), "{refusal}");
        assert_eq!(read(directory.path(), "appspec.yml"), text);
    }
}

#[test]
fn a_file_of_the_shims_name_that_is_none_is_not_overwritten() {
    let directory = own().with("scripts/pitcrew-hook.sh", "#!/bin/sh\necho mine\n").write();
    let refusal = plan(directory.path(), Options::default()).unwrap_err().to_string();
    assert!(refusal.contains("pitcrew-hook.sh:1: it is there and does not call `pitcrew hook`"), "{refusal}");
}

#[test]
fn a_shim_under_another_name_is_used_again() {
    let text = OWN.replace("scripts/validate.sh ", "hooks/crew ");
    let directory = own().with("appspec.yml", &text).with("hooks/crew", SHIM).write();
    plan(directory.path(), Options::default()).unwrap().carry_out().unwrap();
    assert_eq!(read(directory.path(), "appspec.yml").matches("location: hooks/crew").count(), 5);
    assert!(!directory.path().join("scripts/pitcrew-hook.sh").exists());
}

#[test]
fn a_shim_gets_what_the_event_has_left() {
    let text = OWN.replace("timeout: 120", "timeout: 2800");
    let directory = own().with("appspec.yml", &text).write();
    plan(directory.path(), Options::default()).unwrap().carry_out().unwrap();
    assert!(read(directory.path(), "appspec.yml").contains("timeout: 800\n"));
    assert_eq!(told(&check(directory.path(), Options::default()).unwrap()), Default::default());
}
