//! `pitcrew ensure codedeploy --via ssm`: a command followed to its end, an association with a schedule.

use pitcrew::ensure::{self, Who};
use serde_json::json;

use crate::bench::Bench;

/// What was said while it was installed, and how that ended.
async fn install(bench: &Bench, instances: &[String]) -> (Vec<String>, Result<(), String>) {
    let (sdk, ..) = bench.operator();
    let mut said = Vec::new();
    let outcome = ensure::send(&sdk, instances, &mut |line| said.push(line.to_owned())).await;
    (said, outcome.map_err(|error| format!("{error:#}")))
}

fn everybody(bench: &Bench) -> Vec<String> {
    bench.world().seats.iter().map(|seat| seat.instance_id.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_command_is_followed_step_by_step_until_the_agent_is_installed() {
    let bench = Bench::new().await;
    let instances = everybody(&bench);
    let (said, outcome) = install(&bench, &instances).await;
    assert_eq!(outcome, Ok(()));
    assert!(said[0].contains("installs AWSCodeDeployAgent on") && said[0].contains(&instances[1]), "{said:?}");
    let steps = |id: &str| -> Vec<_> { said[1..].iter().filter_map(|line| line.strip_prefix(id)).collect() };
    for id in &instances {
        let expected = [": Pending", ": InProgress", ": Success: Successfully installed AWSCodeDeployAgent"];
        assert_eq!(steps(id), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn where_it_fails_the_instance_is_named_with_its_last_words() {
    let bench = Bench::new().await;
    bench.world().fail_commands(bench.seat(), Some("downloading\nno space left on device\n"));
    let instances = everybody(&bench);
    let (said, outcome) = install(&bench, &instances).await;
    let sentence = outcome.unwrap_err();
    assert!(sentence.starts_with(&format!("not installed on {}: aws ssm", instances[0])), "{sentence}");
    assert!(said.contains(&format!("{}: Failed: no space left on device", instances[0])), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with(&format!("{}: Success", instances[1]))), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_systems_manager_does_not_see_is_refused_with_what_to_do() {
    let bench = Bench::new().await;
    bench.world().set_online(bench.seat(), false);
    let (said, outcome) = install(&bench, &everybody(&bench)).await;
    assert!(outcome.unwrap_err().contains("pitcrew ensure ssm --via package"));
    assert!(said.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_association_carries_its_schedule_target_and_an_update_in_place() {
    let bench = Bench::new().await;
    let (sdk, ..) = bench.operator();
    let tagged = Who::Tagged { key: "deploy".to_owned(), value: "true".to_owned() };
    let id = ensure::associate(&sdk, &tagged, "rate(14 days)").await.unwrap();
    let known = bench.world().associations();
    assert_eq!(known.len(), 1);
    let association = &known[0];
    assert_eq!(association["AssociationId"], id.as_str());
    assert_eq!(
        (&association["Name"], &association["ScheduleExpression"]),
        (&json!("AWS-ConfigureAWSPackage"), &json!("rate(14 days)"))
    );
    assert_eq!(association["Targets"], json!([{ "Key": "tag:deploy", "Values": ["true"] }]));
    assert_eq!(association["Parameters"]["installationType"], json!(["In-place update"]));
    assert_eq!(association["Parameters"]["name"], json!(["AWSCodeDeployAgent"]));
}
