//! `pitcrew doctor` and `pitcrew ensure` against the stand-in world: each prerequisite broken alone, and mended again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod bench;
mod elastigroup;
mod ensure;
mod fleet;
mod inventory;
mod permissions;

use std::time::Duration;

use bench::{AGENT_OF_SSM, Bench, IDENTITY_OF_SSM, PLENTY, VERSION_OF_CODEDEPLOY, group, settings};
use pitcrew::config;
use pitcrew::doctor::{self, Level, Line};
use pitcrew_rehearsal::world::TARGET_GROUP;
use pitcrew_rehearsal::world::codedeploy::DeploymentGroup;
use pitcrew_rehearsal::world::faults::MetadataFault;
use serde_json::json;

pub(crate) fn failing(lines: &[Line]) -> Vec<&'static str> {
    lines.iter().filter(|line| line.level == Level::Failed).map(|line| line.check).collect()
}

/// What is broken, how, which line must fail, and what its fix must say.
struct Case {
    check: &'static str,
    breaks: fn(&mut Bench),
    mends: fn(&mut Bench),
    fix: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |check, breaks, mends, fix| Case { check, breaks, mends, fix };
    vec![
        case(
            "metadata service",
            |bench| bench.world().trouble_metadata(bench.seat(), MetadataFault::Unavailable, Duration::from_secs(60)),
            |bench| bench.world().trouble_metadata(bench.seat(), MetadataFault::Unavailable, Duration::ZERO),
            "modify-instance-metadata-options",
        ),
        case(
            "role",
            |bench| bench.world().set_role(bench.seat(), false),
            |bench| bench.world().set_role(bench.seat(), true),
            "associate-iam-instance-profile",
        ),
        case("disk", |bench| bench.free = 1 << 20, |bench| bench.free = PLENTY, "free at least 512 MiB"),
        case(
            "SSM agent",
            |bench| bench.remove(AGENT_OF_SSM),
            |bench| bench.put(AGENT_OF_SSM, ""),
            "pitcrew ensure ssm",
        ),
        case(
            "SSM agent",
            |bench| bench.run_unit("amazon-ssm-agent", false),
            |bench| bench.run_unit("amazon-ssm-agent", true),
            "systemctl enable --now amazon-ssm-agent",
        ),
        case(
            "SSM agent",
            |bench| bench.remove(IDENTITY_OF_SSM),
            |bench| bench.register_ssm_as(&bench.seat().instance_id),
            "systemctl restart amazon-ssm-agent",
        ),
        case(
            "SSM agent",
            |bench| bench.register_ssm_as("i-0fromtheimage"),
            |bench| bench.register_ssm_as(&bench.seat().instance_id),
            "rm -r /var/lib/amazon/ssm",
        ),
        case(
            "SSM online",
            |bench| bench.world().set_online(bench.seat(), false),
            |bench| bench.world().set_online(bench.seat(), true),
            "AmazonSSMManagedInstanceCore",
        ),
        case(
            "CodeDeploy agent",
            |bench| bench.remove(VERSION_OF_CODEDEPLOY),
            |bench| bench.put(VERSION_OF_CODEDEPLOY, "2.0.1\n"),
            "pitcrew ensure codedeploy",
        ),
        case(
            "CodeDeploy agent",
            |bench| bench.run_unit("codedeploy-agent", false),
            |bench| bench.run_unit("codedeploy-agent", true),
            "systemctl enable --now codedeploy-agent",
        ),
        case(
            "pitcrew",
            |bench| bench.status = Err("nobody listens".to_owned()),
            |bench| bench.status = Ok(json!({ "sentence": "in traffic", "troubles": [] })),
            "systemctl enable --now pitcrew",
        ),
        case(
            "deployment group",
            |bench| bench.world().delete_deployment_group("sample-fleet"),
            |bench| bench.world().put_deployment_group(group()),
            "create-deployment-group --application-name sample --deployment-group-name sample-fleet",
        ),
        case(
            "in place",
            |bench| bench.world().put_deployment_group(DeploymentGroup { in_place: false, ..group() }),
            |bench| bench.world().put_deployment_group(group()),
            "update-deployment-group",
        ),
        case(
            "selected",
            |bench| bench.world().set_tag(bench.seat(), "pitcrew:ready", None),
            |bench| bench.world().set_tag(bench.seat(), "pitcrew:ready", Some("true")),
            "--tags Key=pitcrew:ready,Value=true",
        ),
        case(
            "traffic owner",
            |bench| {
                let controls_traffic = Some(TARGET_GROUP.to_owned());
                bench.world().put_deployment_group(DeploymentGroup { controls_traffic, ..group() });
                bench.settings = settings("[traffic]\nowner = \"pitcrew\"");
            },
            |bench| bench.settings = settings("[traffic]\nowner = \"auto\""),
            "owner = \"auto\"",
        ),
        case(
            "traffic owner",
            |bench| bench.settings = settings("[traffic]\nowner = \"codedeploy\""),
            |bench| bench.settings = settings("[traffic]\nowner = \"auto\""),
            "owner = \"auto\"",
        ),
        case(
            "load balancer",
            |bench| bench.world().set_registered(bench.seat(), TARGET_GROUP, false),
            |bench| bench.world().set_registered(bench.seat(), TARGET_GROUP, true),
            "aws elbv2 register-targets",
        ),
        case(
            "health check",
            |bench| bench.world().set_health_check(TARGET_GROUP, Duration::from_secs(300), 2),
            |bench| bench.world().set_health_check(TARGET_GROUP, Duration::from_secs(5), 2),
            "modify-target-group --target-group-arn ARN --health-check-interval-seconds",
        ),
        case(
            "health check",
            |bench| bench.settings = settings("[deployment]\nhook_timeout = \"5m\""),
            |bench| bench.settings = settings(""),
            "deregistration_delay.timeout_seconds",
        ),
        case(
            "last deployment",
            |bench| bench.status = Ok(json!({ "suspect": { "deployment": "d-1", "how": "dead" } })),
            |bench| bench.status = Ok(json!({ "suspect": null })),
            "deploy again",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_prerequisite_that_is_broken_fails_alone_and_is_green_when_mended() {
    let mut bench = Bench::new().await;
    let lines = bench.look().await;
    assert_eq!(doctor::worst(&lines), Level::Ok, "{}", doctor::lines(&lines, false).join("\n"));
    let mut silent: Vec<_> = lines.iter().map(|line| line.check).collect();
    for Case { check, breaks, mends, fix } in cases() {
        breaks(&mut bench);
        let lines = bench.look().await;
        let text = doctor::lines(&lines, false).join("\n");
        assert_eq!(failing(&lines), [check], "{text}");
        let line = lines.iter().find(|line| line.check == check).unwrap();
        assert!(line.fix.as_ref().unwrap().contains(fix), "{text}");
        mends(&mut bench);
        let lines = bench.look().await;
        assert_eq!(doctor::worst(&lines), Level::Ok, "{check} mended: {}", doctor::lines(&lines, false).join("\n"));
        println!("{check:<20}{}", line.why);
        bench.world().put_deployment_group(group());
        silent.retain(|line| *line != check);
    }
    assert_eq!(
        silent,
        ["clock", "Elastigroup", "Elastigroup settings", "permissions", "health probe"],
        "broken elsewhere: the first and the last only ever warn"
    );
}

/// No hook waits there: CodeDeploy itself does, for an hour.
#[tokio::test(start_paused = true)]
async fn where_codedeploy_moves_traffic_its_own_waits_are_reckoned() {
    let mut bench = Bench::new().await;
    bench.settings = settings("[deployment]\nhook_timeout = \"5m\"");
    let controls_traffic = Some(TARGET_GROUP.to_owned());
    bench.world().put_deployment_group(DeploymentGroup { controls_traffic, ..group() });
    let lines = bench.look().await;
    let line = lines.iter().find(|line| line.check == "health check").unwrap();
    assert_eq!((line.level, line.why.contains("CodeDeploy takes about")), (Level::Ok, true), "{line:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_hinder_a_deployment_is_a_warning() {
    let mut bench = Bench::new().await;
    bench.clock_in_step = Some(false);
    bench.settings = config::Merged::default().into_settings();
    bench.group_named = false;
    let lines = bench.look().await;
    let warned: Vec<_> = lines.iter().filter(|line| line.level == Level::Warning).map(|line| line.check).collect();
    assert_eq!(warned, ["clock", "deployment group", "health probe"]);
    assert!(failing(&lines).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_elastigroup_made_for_a_new_instance_and_deleted_is_known_for_what_it_is() {
    let mut bench = Bench::new().await;
    bench.group_named = false;
    let gone = json!({ "application": "sample", "name": "sample-fleet-temporary" });
    bench.status = Ok(json!({ "ended": [{ "group": gone }] }));
    let lines = bench.look().await;
    let line = lines.iter().find(|line| line.check == "deployment group").unwrap();
    assert_eq!(line.level, Level::Warning);
    assert!(line.why.contains("Elastigroup makes a group like it"), "{line:#?}");
}
