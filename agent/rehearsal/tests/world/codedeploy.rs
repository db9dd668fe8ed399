//! The CodeDeploy service on its wire.

use pitcrew_rehearsal::crew::ScriptCode;
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::world::World;
use pitcrew_rehearsal::world::codedeploy::{Creator, DeploymentGroup, DeploymentStatus, Diagnostics};
use serde_json::json;

use crate::support::{codedeploy, world};

fn group(world: &World) -> DeploymentGroup {
    let group = DeploymentGroup {
        application: "sample".to_owned(),
        name: "fleet".to_owned(),
        id: "5e1f0c5a-0000-4000-8000-000000000001".to_owned(),
        controls_traffic: None,
        in_place: true,
    };
    world.add_deployment_group(group.clone());
    group
}

#[tokio::test(start_paused = true)]
async fn a_group_says_whether_it_controls_traffic() {
    let world = world();
    let plain = group(&world);
    let controlling =
        DeploymentGroup { name: "blocking".to_owned(), controls_traffic: Some("sample-web".to_owned()), ..plain };
    world.add_deployment_group(controlling);
    let ask = async |name: &str| {
        let input = json!({ "applicationName": "sample", "deploymentGroupName": name });
        codedeploy(&world, "GetDeploymentGroup", input).await.1["deploymentGroupInfo"].clone()
    };
    let plain = ask("fleet").await;
    assert_eq!(plain["deploymentStyle"]["deploymentOption"], "WITHOUT_TRAFFIC_CONTROL");
    assert_eq!(plain.get("loadBalancerInfo"), None);
    let controlling = ask("blocking").await;
    assert_eq!(controlling["deploymentStyle"]["deploymentOption"], "WITH_TRAFFIC_CONTROL");
    assert_eq!(controlling["loadBalancerInfo"]["targetGroupInfoList"][0]["name"], "sample-web");
}

#[tokio::test(start_paused = true)]
async fn a_failed_event_skips_what_is_left_and_keeps_its_diagnostics() {
    let world = world();
    let group = group(&world);
    let seat = world.seats[0].clone();
    let id = world.create_deployment(&group, "v2", Creator::User, std::slice::from_ref(&seat.instance_id));
    for event in [LifecycleEvent::Start, LifecycleEvent::ApplicationStop] {
        world.event_began(&seat, &id, event);
        world.command_began(&seat, &id);
        assert!(world.is_ongoing(&seat, &id));
        let failure = (event == LifecycleEvent::ApplicationStop).then(|| Diagnostics {
            code: ScriptCode::ScriptFailed,
            script: "stop.sh".to_owned(),
            message: "failed with exit code 1".to_owned(),
            log_tail: "no".to_owned(),
        });
        world.command_ended(&seat, &id);
        world.event_ended(&seat, &id, event, failure);
        assert!(!world.is_ongoing(&seat, &id));
    }
    world.finish_deployment(&id, Some("too many failed".to_owned()));
    assert_eq!(world.deployment_status(&id), Some(DeploymentStatus::Failed));

    let (_, deployment) = codedeploy(&world, "GetDeployment", json!({ "deploymentId": id })).await;
    assert_eq!(deployment["deploymentInfo"]["status"], "Failed");
    assert_eq!(deployment["deploymentInfo"]["errorInformation"]["code"], "HEALTH_CONSTRAINTS");
    let input = json!({ "deploymentId": id, "targetId": seat.instance_id });
    let (_, target) = codedeploy(&world, "GetDeploymentTarget", input).await;
    let target = &target["deploymentTarget"]["instanceTarget"];
    assert_eq!(target["status"], "Failed");
    let events = target["lifecycleEvents"].as_array().unwrap();
    let seen: Vec<_> = events.iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert_eq!(seen[..2], ["Succeeded", "Failed"]);
    assert!(seen[2..].iter().all(|status| *status == "Skipped") && seen.len() == 9, "{seen:?}");
    assert_eq!(events[1]["diagnostics"]["errorCode"], "ScriptFailed");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_said_by_name() {
    let world = world();
    let group = group(&world);
    let id = world.create_deployment(&group, "v2", Creator::User, &[]);
    for (operation, input, code) in [
        ("GetDeployment", json!({ "deploymentId": "d-GONE00000" }), "DeploymentDoesNotExistException"),
        ("GetDeployment", json!({}), "DeploymentIdRequiredException"),
        (
            "GetDeploymentTarget",
            json!({ "deploymentId": id, "targetId": "i-0" }),
            "DeploymentTargetDoesNotExistException",
        ),
        (
            "GetDeploymentGroup",
            json!({ "applicationName": "other", "deploymentGroupName": "fleet" }),
            "ApplicationDoesNotExistException",
        ),
        (
            "GetDeploymentGroup",
            json!({ "applicationName": "sample", "deploymentGroupName": "other" }),
            "DeploymentGroupDoesNotExistException",
        ),
    ] {
        let (status, body) = codedeploy(&world, operation, input).await;
        assert_eq!((status, &body["__type"]), (400, &json!(code)), "{operation}");
    }
}
