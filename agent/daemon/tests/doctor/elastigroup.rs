//! What the doctor says of the Elastigroup that an instance belongs to.

use std::time::Duration;

use pitcrew::doctor::{self, Level, Line};
use pitcrew_rehearsal::world::TARGET_GROUP;
use pitcrew_rehearsal::world::elastigroup::{GroupPlan, TOKEN_PARAMETER};

use crate::bench::{Bench, settings};
use crate::failing;

/// Signals and hold that leave room for a deployment.
fn roomy() -> GroupPlan {
    let seconds = Duration::from_secs;
    GroupPlan {
        ready: Some(seconds(900)),
        shutdown: Some(seconds(360)),
        draining_timeout: seconds(360),
        ..GroupPlan::default()
    }
}

fn line(lines: &[Line], check: &str) -> Line {
    lines.iter().find(|line| line.check == check).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn an_elastigroup_that_answers_and_leaves_room_is_well() {
    let bench = Bench::in_group(roomy()).await;
    let lines = bench.look().await;
    assert_eq!(doctor::worst(&lines), Level::Ok, "{}", doctor::lines(&lines, false).join("\n"));
    assert!(line(&lines, "Elastigroup").why.contains("among its own"));
    assert!(line(&lines, "Elastigroup settings").why.contains("leave room"));
}

#[tokio::test(start_paused = true)]
async fn an_elastigroup_without_a_token_is_named_with_what_is_lost() {
    let mut bench = Bench::in_group(roomy()).await;
    bench.settings = settings("");
    let lines = bench.look().await;
    let told = line(&lines, "Elastigroup");
    assert_eq!(told.level, Level::Warning);
    assert!(told.why.starts_with("sig-0a1b2c3d") && told.fix.unwrap().contains("LoadCredential=elastigroup-token"));
    assert!(failing(&lines).is_empty(), "deployments work all the same");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_or_absent_is_said_and_fails_only_where_standby_moves_traffic() {
    let mut bench = Bench::in_group(roomy()).await;
    let wrong_account = bench.token(TOKEN_PARAMETER).replace("token =", "account = \"act-other\", token =");
    let absent = bench.token("/pitcrew/nobody-wrote-this");
    for (elastigroup, words) in [(wrong_account, "accountId"), (absent, "/pitcrew/nobody-wrote-this")] {
        for (owner, level) in [("auto", Level::Warning), ("elastigroup", Level::Failed)] {
            bench.settings = settings(&format!("traffic.owner = \"{owner}\"\n{elastigroup}"));
            let told = line(&bench.look().await, "Elastigroup");
            assert_eq!(told.level, level, "{told:#?}");
            assert!(told.why.contains(words) && told.fix.is_some(), "{told:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_leaves_no_room_is_named_with_the_rules_that_it_breaks() {
    let plan = GroupPlan { ready: Some(Duration::from_secs(120)), ..roomy() };
    let told = line(&Bench::in_group(plan).await.look().await, "Elastigroup settings");
    assert_eq!(told.level, Level::Warning);
    assert!(told.why.contains("EG003") && told.fix.unwrap().contains("pitcrew lint"), "{}", told.why);
}

#[tokio::test(start_paused = true)]
async fn what_the_balancer_really_takes_decides_whether_a_group_leaves_room() {
    let bench = Bench::in_group(roomy()).await;
    bench.world().set_deregistration_delay(TARGET_GROUP, Duration::from_secs(600));
    let told = line(&bench.look().await, "Elastigroup settings");
    assert_eq!(told.level, Level::Warning);
    assert!(told.why.contains("EG008") && told.why.contains("the deregistration delay is 600 s"), "{}", told.why);
}
