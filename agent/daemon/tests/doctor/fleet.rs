//! `pitcrew doctor --as-operator`: each prerequisite that can be seen from outside, broken alone and mended again.

use std::time::Duration;

use pitcrew::doctor::{self, Level};
use pitcrew_rehearsal::world::TARGET_GROUP;
use pitcrew_rehearsal::world::codedeploy::DeploymentGroup;

use crate::bench::{Bench, group};
use crate::failing;

/// Which line must fail, how it is broken, and what its fix must say.
struct Case(&'static str, fn(&Bench), &'static str);

/// The deployment group of the fleet, whose traffic CodeDeploy moves.
fn controlling() -> DeploymentGroup {
    DeploymentGroup { controls_traffic: Some(TARGET_GROUP.to_owned()), ..group() }
}

fn put(bench: &Bench, group: DeploymentGroup) {
    bench.world().put_deployment_group(group);
}

fn tag_everybody(bench: &Bench, value: Option<&str>) {
    for seat in &bench.world().seats {
        bench.world().set_tag(seat, "pitcrew:ready", value);
    }
}

/// The world as it must be.
fn mend(bench: &Bench) {
    put(bench, controlling());
    tag_everybody(bench, Some("true"));
    bench.world().set_online(bench.seat(), true);
    bench.world().set_registered(bench.seat(), TARGET_GROUP, true);
    bench.world().set_health_check(TARGET_GROUP, Duration::from_secs(5), 2);
}

const CASES: [Case; 5] = [
    Case("deployment group", |bench| bench.world().delete_deployment_group("sample-fleet"), "list-deployment-groups"),
    Case(
        "in place",
        |bench| put(bench, DeploymentGroup { in_place: false, ..controlling() }),
        "deploymentType=IN_PLACE",
    ),
    Case("instances", |bench| tag_everybody(bench, None), "let Elastigroup tag its instances"),
    Case("SSM online", |bench| bench.world().set_online(bench.seat(), false), "pitcrew doctor says why"),
    Case(
        "load balancer",
        |bench| put(bench, DeploymentGroup { controls_traffic: Some("nowhere".to_owned()), ..group() }),
        "update-deployment-group",
    ),
];

#[tokio::test(start_paused = true)]
async fn each_prerequisite_of_a_fleet_fails_alone_and_is_green_when_mended() {
    let bench = Bench::new().await;
    mend(&bench);
    for Case(check, breaks, fix) in CASES {
        let lines = bench.look_at_fleet().await;
        assert_eq!(doctor::worst(&lines), Level::Ok, "before {check}: {}", doctor::lines(&lines, false).join("\n"));
        breaks(&bench);
        let lines = bench.look_at_fleet().await;
        let text = doctor::lines(&lines, false).join("\n");
        assert_eq!(failing(&lines), [check], "{text}");
        let line = lines.iter().find(|line| line.check == check).unwrap();
        assert!(line.fix.as_ref().unwrap().contains(fix), "{text}");
        mend(&bench);
        assert_eq!(doctor::worst(&bench.look_at_fleet().await), Level::Ok, "{check} mended");
        println!("{check:<20}{}", line.why);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_traffic_and_a_deployment_that_failed_are_warnings() {
    let bench = Bench::new().await;
    mend(&bench);
    bench.world().set_registered(bench.seat(), TARGET_GROUP, false);
    let lines = bench.look_at_fleet().await;
    let warned = |lines: &[doctor::Line]| -> Vec<_> {
        lines.iter().filter(|line| line.level == Level::Warning).map(|line| line.check).collect()
    };
    assert_eq!((warned(&lines), failing(&lines)), (vec!["load balancer"], vec![]));
    mend(&bench);
    let id = bench.deploy_once();
    assert_eq!(warned(&bench.look_at_fleet().await), [""; 0]);
    bench.world().finish_deployment(&id, Some("too many instances failed".to_owned()));
    let lines = bench.look_at_fleet().await;
    assert_eq!(warned(&lines), ["latest deployment"]);
    let line = lines.iter().find(|line| line.check == "latest deployment").unwrap();
    assert!(line.why.contains("too many instances failed") && line.fix.as_ref().unwrap().contains(&id), "{line:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_codedeploy_itself_waits_for_a_slow_health_check_is_reckoned() {
    let bench = Bench::new().await;
    mend(&bench);
    let look = async || {
        let lines = bench.look_at_fleet().await;
        lines.into_iter().find(|line| line.check == "health check").unwrap()
    };
    let line = look().await;
    assert_eq!((line.level, line.why.contains("CodeDeploy takes about 15 s")), (Level::Ok, true), "{line:#?}");
    bench.world().set_health_check(TARGET_GROUP, Duration::from_secs(30), 5);
    let line = look().await;
    assert_eq!((line.level, line.why.contains("about 3 min")), (Level::Ok, true), "AWS's default: {line:#?}");
    bench.world().set_health_check(TARGET_GROUP, Duration::from_secs(300), 2);
    let line = look().await;
    assert_eq!((line.level, line.why.contains("about 15 min")), (Level::Warning, true), "{line:#?}");
    assert!(line.fix.unwrap().contains("--health-check-interval-seconds"));
}

#[tokio::test(start_paused = true)]
async fn one_who_watches_is_told_of_each_look_until_all_is_green() {
    let bench = Bench::new().await;
    mend(&bench);
    bench.world().set_online(bench.seat(), false);
    let began = tokio::time::Instant::now();
    let mut looks = 0;
    let mut told = Vec::new();
    let look = async || {
        looks += 1;
        if looks == 4 {
            bench.world().set_online(bench.seat(), true);
        }
        Ok::<_, ()>(bench.look_at_fleet().await)
    };
    let worst = doctor::until_green(look, |lines| told.push(failing(lines))).await;
    assert_eq!((worst, looks), (Ok(Level::Ok), 4));
    assert_eq!(told, [vec!["SSM online"], vec!["SSM online"], vec!["SSM online"], vec![]]);
    assert!((15..20).contains(&began.elapsed().as_secs()), "every five seconds");
}
