//! The shipped groups: one has nothing to mend, one has what is planted and nothing else.

use std::collections::BTreeSet;
use std::fs;

use expect_test::expect;
use pitcrew_lint::group::{Options, lint};

use crate::samples::script;
use crate::{options, patch, recommended, shipped_file, told};

#[test]
fn the_recommended_group_has_nothing_to_mend() {
    let text = fs::read_to_string(shipped_file("recommended.json")).unwrap();
    let report = lint(&text, "recommended.json", &options()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.subject, "group web-prod in recommended.json");
}

#[test]
fn the_shipped_sample_has_what_is_planted_and_nothing_else() {
    let text = fs::read_to_string(shipped_file("sample.json")).unwrap();
    let report = lint(&text, "sample.json", &options()).unwrap();
    let told: Vec<_> =
        report.findings.iter().map(|finding| format!("{} {} {}", finding.rule, finding.place, finding.name)).collect();
    expect![[r#"
        EG026 sample.json:88 /group/compute/launchSpecification/userData (user data, line 4) imds-without-token
        EG031 sample.json:88 /group/compute/launchSpecification/userData (user data) spot-token-in-user-data
        EG041 sample.json:99 /group/compute/launchSpecification/tags/2 tag-key-in-metadata
        EG003 sample.json:29 /group/strategy/signals/0/timeout ready-timeout-too-short
        EG007 sample.json:18 /group/strategy/drainingTimeout draining-timeout-too-short
        EG008 sample.json:33 /group/strategy/signals/1/timeout shutdown-timeout-too-short
        EG012 sample.json:85 /group/compute/launchSpecification/healthCheckGracePeriod grace-too-short
        EG013 sample.json:86 /group/compute/launchSpecification/healthCheckUnhealthyDurationBeforeReplacement unhealthy-duration-too-short
        EG027 sample.json:88 /group/compute/launchSpecification/userData (user data, line 6) other-regions-bucket
        EG027 sample.json:88 /group/compute/launchSpecification/userData (user data, line 9) other-regions-bucket
        EG029 sample.json:88 /group/compute/launchSpecification/userData (user data, line 5) tags-before-agent
        EG030 sample.json:88 /group/compute/launchSpecification/userData (user data, line 8) plain-http-download
        EG043 sample.json:95 /group/compute/launchSpecification/tags/1 selected-at-launch
        EG050 sample.json:122 /group/thirdPartiesIntegration/codeDeploy/terminateInstanceOnFailure terminates-after-failure
        EG006 sample.json:18 /group/strategy/drainingTimeout draining-timeout-ignored
    "#]].assert_eq(&(told.join("\n") + "\n"));
}

#[test]
fn options_replace_what_the_group_does_not_say() {
    let sample = recommended().to_string();
    let options = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        told(&lint(&sample, "group.json", &options).unwrap())
    };
    assert_eq!(options(|o| o.deregistration_delay_s = 600), BTreeSet::from(["EG008"]));
    assert_eq!(options(|o| o.deployment_s = 1000), BTreeSet::from(["EG003", "EG012", "EG013"]));
    assert_eq!(options(|o| o.selecting_tags = vec![("service".into(), String::new())]), BTreeSet::from(["EG043"]));
}

#[test]
fn a_secret_is_never_in_the_report() {
    let token = "c0ffee".repeat(11);
    let mut group = recommended();
    patch(&mut group["group"], &script(&format!("SPOTINST_TOKEN={token} sh setup.sh")));
    let report = lint(&group.to_string(), "group.json", &options()).unwrap();
    assert!(told(&report).contains("EG031"));
    for text in [report.to_json().to_string(), report.to_sarif().to_string(), report.to_text(Default::default())] {
        assert!(!text.contains(&token[..20]), "{text}");
    }
}
