//! Each rule over a bundle breaks on one bundle and holds on its nearest neighbour; the shipped sample has nothing to mend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod bundles;

use std::collections::BTreeSet;
use std::path::Path;

use bundles::{Bundle, SHIM, good, told};
use pitcrew_lint::bundle::{Options, Owner, check};
use pitcrew_lint::rules;

/// A rule, a bundle that breaks it and nothing else, and a like bundle that breaks nothing.
struct Case(&'static str, Bundle, Bundle);

const STOP: &str =
    "    - {location: scripts/pitcrew-hook.sh, timeout: 900}\n    - {location: scripts/stop.sh, timeout: 60}\n";

fn cases() -> Vec<Case> {
    let text = |from: &str, to: &str| good().replacing("appspec.yml", from, to);
    let script = |text: &str| good().with("scripts/start.sh", text);
    let by_codedeploy = || good().owned_by(Owner::CodeDeploy);
    vec![
        Case("AS001", good().without("appspec.yml"), good().renamed("appspec.yml", "appspec.yaml")),
        Case("AS002", text("os: linux", "os: linux\nos: linux"), text("os: linux", "os: \"linux\"")),
        Case("AS003", text("version: 0.0", "version: 1.0"), text("version: 0.0", "version: 0")),
        Case("AS004", text("os: linux", "os: Linux"), text("os: linux", "os: 'linux'")),
        Case("AS005", text("os: linux", "os: linux\nenvironment: test"), text("os: linux", "os: linux\nfile_exists_behavior: RETAIN")),
        Case(
            "AS006",
            text("hooks:\n", "hooks:\n  BeforeInstalls:\n    - location: scripts/start.sh\n"),
            text("hooks:\n", "hooks:\n"),
        ),
        Case("AS007", text("hooks:\n", "hooks:\n  Install:\n    - location: scripts/start.sh\n"), text("hooks:\n", "hooks: # five\n")),
        Case("AS008", text("- location: scripts/start.sh", "- run: scripts/start.sh").also("AS005"), good()),
        Case("AS009", text("timeout: 61", "timeout: 1m"), text("timeout: 61", "timeout: 1")),
        Case("AS010", text("timeout: 61", "timeout: 3541"), text("timeout: 61", "timeout: 3540")),
        Case("AS011", text("destination: /opt/app", "destination: opt/app"), text("destination: /opt/app", "destination: /opt/other")),
        Case("AS012", text("source: version", "source: versions"), text("source: version", "source: ./version")),
        Case(
            "AS013",
            text("files:\n", "files:\n  - source: /\n    destination: /opt/app\n"),
            text("files:\n", "files:\n  - source: /\n    destination: /opt/all\n"),
        ),
        Case("AS014", text("os: linux", "os: linux\nfile_exists_behavior: overwrite"), text("os: linux", "os: linux\nfile_exists_behavior: OVERWRITE")),
        Case("AS015", good().permission("mode: 888"), good().permission("mode: 755")),
        Case("AS016", good().permission("mode: 0755"), good().permission("mode: \"0755\"")),
        Case("AS017", good().permission("pattern: \"*.sh\""), good().permission("pattern: \"**\"")),
        Case("AS020", good().without("scripts/start.sh"), good()),
        Case("AS021", good().plain("scripts/start.sh"), good()),
        Case("AS022", script("systemctl start app\n"), script("#!/usr/bin/env bash\nsystemctl start app\n")),
        Case("AS023", script("#!/bin/sh\r\nsystemctl start app\r\n"), script("#!/bin/sh\nprintf '\\r\\n'\n")),
        Case(
            "AS024",
            text("scripts/start.sh", "scripts/start it.sh").with("scripts/start it.sh", "#!/bin/sh\ntrue\n"),
            text("scripts/start.sh", "scripts/start-it.sh").with("scripts/start-it.sh", "#!/bin/sh\ntrue\n"),
        ),
        Case("AS025", script("#!/bin/sh\n./bin/migrate\n"), script("#!/bin/sh\ncd \"$(dirname \"$0\")/..\"\n./bin/migrate\n")),
        Case("AS026", script("#!/bin/sh\nnohup /opt/app/run >/dev/null 2>&1 &\n"), script("#!/bin/sh\n/opt/app/warm & /opt/app/check && wait\n")),
        Case(
            "AS027",
            script("#!/bin/sh\nsystemctl restart codedeploy-agent\n"),
            script("#!/bin/sh\nsystemctl status codedeploy-agent\nsystemctl restart app\n"),
        ),
        Case(
            "AS028",
            script("#!/bin/sh\naws elbv2 register-targets --target-group-arn $A --targets Id=$I\n"),
            script("#!/bin/sh\naws elbv2 describe-target-health --target-group-arn $A\n"),
        ),
        Case(
            "AS029",
            good().with("scripts/validate.sh", "#!/bin/sh\necho $DEPLOYMENT_ID\n"),
            good().with("scripts/validate.sh", "#!/bin/sh\necho fine\n"),
        ),
        Case(
            "AS030",
            good().with("scripts/stop.sh", "#!/bin/sh\n/opt/codedeploy-agent/deployment-root/g/$DEPLOYMENT_ID/deployment-archive/bin/stop\n"),
            script("#!/bin/sh\n/opt/codedeploy-agent/deployment-root/g/$DEPLOYMENT_ID/deployment-archive/bin/start\n"),
        ),
        Case("AS040", text("  BeforeInstall:\n    - {location: scripts/pitcrew-hook.sh, timeout: 900}\n", ""), good()),
        Case(
            "AS041",
            text(STOP, "    - {location: scripts/stop.sh, timeout: 60}\n    - {location: scripts/pitcrew-hook.sh, timeout: 900}\n"),
            good(),
        ),
        Case(
            "AS042",
            text(STOP, &format!("    - {{location: scripts/validate.sh, timeout: 60}}\n{STOP}")),
            text(STOP, &format!("{STOP}    - {{location: scripts/validate.sh, timeout: 60}}\n")),
        ),
        Case("AS043", text("    - {location: scripts/pitcrew-hook.sh, timeout: 901}\n", ""), good()),
        Case(
            "AS044",
            text("timeout: 901}\n", "timeout: 901}\n    - {location: scripts/start.sh, timeout: 60}\n"),
            good(),
        ),
        Case("AS045", text("  AfterInstall:\n    - {location: scripts/pitcrew-hook.sh, timeout: 60}\n", ""), good()),
        Case(
            "AS046",
            text("hooks:\n", "hooks:\n  BeforeBlockTraffic:\n    - {location: scripts/pitcrew-hook.sh, timeout: 900}\n"),
            good(),
        ),
        Case(
            "AS047",
            by_codedeploy().replacing("appspec.yml", "hooks:\n", "hooks:\n  AfterAllowTraffic:\n    - {location: scripts/pitcrew-hook.sh}\n"),
            by_codedeploy().replacing(
                "appspec.yml",
                "hooks:\n",
                "hooks:\n  BeforeBlockTraffic:\n    - {location: scripts/pitcrew-hook.sh}\n  AfterAllowTraffic:\n    - {location: scripts/pitcrew-hook.sh}\n",
            ),
        ),
        Case("AS048", text("timeout: 901}", "timeout: 901, sudo: true}"), text("timeout: 901}", "timeout: 901, sudo: false}")),
        Case("AS049", text("timeout: 901}", "timeout: 901, runas: deploy}"), text("timeout: 901}", "timeout: 901, runas: root}")),
        Case(
            "AS050",
            good().with("scripts/pitcrew-hook.sh", "#!/bin/sh\npitcrew hook || true\n"),
            good().with("scripts/pitcrew-hook.sh", "#!/bin/sh\nset -e\n/usr/bin/pitcrew hook --wait 10m\n"),
        ),
        Case(
            "AS051",
            good().with("scripts/pitcrew-hook.sh", "#!/bin/sh\nlogger deploying\nexec pitcrew hook\n"),
            good().with("scripts/pitcrew-hook.sh", "#!/bin/sh\n# Says where the deployment is.\nexec pitcrew hook\n"),
        ),
        Case(
            "AS060",
            text("ApplicationStop:\n    - {location: scripts/pitcrew-hook.sh, timeout: 900}", "ApplicationStop:\n    - {location: scripts/pitcrew-hook.sh, timeout: 359}"),
            text("ApplicationStop:\n    - {location: scripts/pitcrew-hook.sh, timeout: 900}", "ApplicationStop:\n    - {location: scripts/pitcrew-hook.sh, timeout: 360}"),
        ),
        Case("AS061", text("timeout: 901}", "timeout: 599}"), text("timeout: 901}", "timeout: 600}")),
    ]
}

#[test]
fn each_rule_breaks_on_its_bundle_and_holds_on_the_nearest_good_one() {
    for Case(rule, breaks, holds) in cases() {
        let expected: BTreeSet<_> = breaks.companions().iter().copied().chain([rule]).collect();
        assert_eq!(told(&breaks.check()), expected, "{rule}: {}", breaks.check().to_text(Default::default()));
        assert_eq!(told(&holds.check()), BTreeSet::new(), "{rule}: {}", holds.check().to_text(Default::default()));
    }
}

#[test]
fn every_rule_over_bundles_has_a_bundle() {
    let sampled: BTreeSet<_> = cases().iter().map(|case| case.0).collect();
    let known: BTreeSet<_> = rules().map(|rule| rule.id).filter(|id| id.starts_with("AS")).collect();
    assert_eq!(sampled, known);
}

#[test]
fn the_shipped_sample_has_nothing_to_mend() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/appspec/sample");
    for owner in [Owner::Pitcrew, Owner::Elastigroup] {
        let report = check(&sample, Options { owner, ..Options::default() }).unwrap();
        assert_eq!(report.findings, [], "{owner:?}");
    }
}

#[test]
fn a_stop_without_any_shim_loses_requests_and_says_so_at_its_line() {
    let bundle = good().replacing("appspec.yml", STOP, "    - {location: scripts/stop.sh, timeout: 60}\n");
    let report = bundle.check();
    let finding = report.findings.iter().find(|finding| finding.rule == "AS041").unwrap();
    assert!(finding.message.contains("`scripts/stop.sh` calls `systemctl stop app`"), "{}", finding.message);
    let line = bundle.file("appspec.yml").lines().nth(finding.place.line.unwrap() - 1).unwrap().to_owned();
    assert!(line.contains("scripts/stop.sh"), "{line}");
}

#[test]
fn where_codedeploy_moves_traffic_the_order_in_application_stop_is_free() {
    let stop_first =
        "    - {location: scripts/stop.sh, timeout: 60}\n    - {location: scripts/pitcrew-hook.sh, timeout: 900}\n";
    let report = good().owned_by(Owner::CodeDeploy).replacing("appspec.yml", STOP, stop_first).check();
    assert_eq!(told(&report), BTreeSet::from(["AS043", "AS047"]));
}

#[test]
fn a_directory_that_is_not_there_is_an_error_with_its_name() {
    let error = check(Path::new("/no/such/bundle"), Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "failed to read `/no/such/bundle`");
    let directory = good().write();
    let appspec = directory.path().join("appspec.yml");
    let error = check(&appspec, Options::default()).unwrap_err().to_string();
    assert!(error.ends_with("; name the bundle's directory, the one that holds appspec.yml"), "{error}");
}

#[test]
fn a_bundle_one_level_too_deep_is_told_so() {
    let bundle = Bundle::empty().with("web/appspec.yml", "version: 0.0\n").with("web/hook.sh", SHIM);
    let report = bundle.check();
    assert_eq!(told(&report), BTreeSet::from(["AS001"]));
    assert!(report.findings[0].fix.contains("`web`"), "{}", report.findings[0].fix);
}
