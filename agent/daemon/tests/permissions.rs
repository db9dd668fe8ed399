//! The shipped policy of an instance: it allows all that the agent does, and without any one of its actions something
//! that has a name fails and says which action it lacks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod logged;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pitcrew::simulated::crew;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::death::{Cause, Death};
use pitcrew_rehearsal::interruption::{Action, Interruption, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Group, Options};
use pitcrew_rehearsal::timeline::{Happening, Timeline};
use pitcrew_rehearsal::verdict::Report;
use pitcrew_rehearsal::world::calls::{Call, Caller};
use pitcrew_rehearsal::world::policy::Policy;

use logged::logged;

/// Who can show what an action is for.
fn scenarios() -> BTreeMap<&'static str, Options> {
    let mut deployment = Options::of(Bundle::sample().unwrap());
    (deployment.rate, deployment.requests) = (5, 150);
    deployment.deregistration_delay = Duration::from_secs(10);
    deployment.settings = "[cloudwatch]\nnamespace = \"Pitcrew\"\n".to_owned();
    let death = |of| Some(Death { at: LifecycleEvent::AfterInstall, of });
    // With this seed CodeDeploy calls the instance in progress for ever, and must be asked about the whole deployment.
    let stopped = Options { seed: 4, death: death(Cause::Stopped), settings: String::new(), ..deployment.clone() };
    let broken = Options {
        death: Some(Death { at: LifecycleEvent::ApplicationStart, of: Cause::Timeout }),
        settings: format!("{}[deployment]\non_dead = \"replace\"\nreplace_after = \"30s\"\n", deployment.settings),
        ..deployment.clone()
    };
    let interruption = |action| Interruption {
        at: Moment::Idle(Duration::from_secs(3)),
        action,
        notice: Duration::from_secs(60),
        withdrawn_after: None,
    };
    let taken_away = Options { interruption: Some(interruption(Action::AutoScaling)), ..deployment.clone() };
    let in_a_group = Options { elastigroup: Some(Group::default()), ..deployment.clone() };
    BTreeMap::from([
        ("deployment", deployment),
        ("stopped", stopped),
        ("broken", broken),
        ("taken away", taken_away),
        ("in a group", in_a_group),
    ])
}

/// The scenario that an action is for.
fn scenario(action: &str) -> &'static str {
    match action {
        "codedeploy:GetDeployment" | "codedeploy:GetDeploymentTarget" => "stopped",
        "autoscaling:SetInstanceHealth" => "broken",
        "ssm:GetParameter" => "in a group",
        "ec2:DeleteTags"
        | "autoscaling:DescribeAutoScalingInstances"
        | "autoscaling:DescribeLifecycleHooks"
        | "autoscaling:RecordLifecycleActionHeartbeat"
        | "autoscaling:CompleteLifecycleAction" => "taken away",
        _ => "deployment",
    }
}

/// What is in the policy for `pitcrew doctor`, and for instances whose metadata service does not show their tags: both
/// have tests of their own.
const ELSEWHERE: [&str; 2] = ["ssm:DescribeInstanceInformation", "ec2:DescribeTags"];

/// Plays a scenario; returns the report, and all that agents and their hooks said.
fn rehearse(options: &Options) -> (Report, String) {
    let (report, mut said) = logged(|| play(options, Timeline::default(), &crew).unwrap());
    for entry in &report.timeline {
        if let Happening::ScriptEnded(end) = &entry.what {
            said.push_str(&end.said);
            said.push('\n');
        }
    }
    (report, said)
}

#[test]
fn the_shipped_policy_allows_all_that_the_agent_does_and_no_more() {
    let mut used = BTreeSet::new();
    for (name, options) in scenarios() {
        let (report, _) = rehearse(&options);
        let of_aws = |call: &&Call| matches!(call.caller, Caller::Instance(_)) && call.service != "elastigroup";
        for call in report.calls.iter().filter(of_aws) {
            let action = format!("{}:{}", call.service, call.action);
            assert_ne!(call.status, 403, "{name}: {action} at {:?}", call.at);
            used.insert(action);
        }
    }
    let policy = Policy::agent();
    let allowed: BTreeSet<_> = policy.actions().into_keys().filter(|action| !ELSEWHERE.contains(action)).collect();
    let used: BTreeSet<_> = used.iter().map(String::as_str).collect();
    assert_eq!(used, allowed, "allowed, and used by nobody; or the other way round");
}

#[test]
fn without_any_one_action_something_fails_and_names_the_action() {
    let scenarios = scenarios();
    let policy = Policy::agent();
    let mut table = String::new();
    let mut silent = Vec::new();
    for (action, sid) in policy.actions() {
        if ELSEWHERE.contains(&action) {
            continue;
        }
        let name = scenario(action);
        let (_, said) = rehearse(&Options { denied: Some(action.to_owned()), ..scenarios[name].clone() });
        let sentence = said.lines().find(|line| line.contains(&format!("allow {action} on")));
        match sentence {
            Some(sentence) => table.push_str(&format!("{action:<55}{sid:<36}{}\n", sentence.trim())),
            None => silent.push(format!("{action} ({sid}) in `{name}`: {}", last_lines(&said))),
        }
    }
    println!("{table}");
    assert!(silent.is_empty(), "nobody says what is missing:\n{}", silent.join("\n"));
}

fn last_lines(said: &str) -> String {
    let lines: Vec<_> = said.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
