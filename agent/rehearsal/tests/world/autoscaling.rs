//! The Auto Scaling group that terminates an instance.

use std::time::Duration;

use bytes::Bytes;
use pitcrew_rehearsal::interruption::Action;
use pitcrew_rehearsal::world::{Origin, Proceeds, World};

use crate::support::{signed, text, world};

async fn call(world: &World, action: &str, fields: &str) -> (u16, String) {
    let body = format!("Action={action}&Version=2011-01-01&{fields}");
    text(&world.router(Origin::Aws, signed(world).body(Bytes::from(body)).unwrap()).await)
}

async fn state(world: &World) -> String {
    let fields = format!("InstanceIds.member.1={}", world.seats[0].instance_id);
    let (status, body) = call(world, "DescribeAutoScalingInstances", &fields).await;
    assert_eq!(status, 200, "{body}");
    let state = body.split("<LifecycleState>").nth(1).and_then(|rest| rest.split('<').next());
    state.unwrap_or_default().to_owned()
}

fn about_the_first(world: &World) -> String {
    let id = &world.seats[0].instance_id;
    format!("AutoScalingGroupName=sample-asg&LifecycleHookName=leave-in-time&InstanceId={id}")
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_in_the_group_only_when_the_group_wants_it_gone() {
    let world = world();
    assert_eq!(state(&world).await, "");
    world.give_notice(&world.seats[0], Action::AutoScaling, Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(state(&world).await, "Terminating:Wait");
    let (_, hooks) = call(&world, "DescribeLifecycleHooks", "AutoScalingGroupName=sample-asg").await;
    for part in ["<HeartbeatTimeout>60</HeartbeatTimeout>", "autoscaling:EC2_INSTANCE_TERMINATING", "leave-in-time"] {
        assert!(hooks.contains(part), "{hooks}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_waits_for_its_timeout_from_the_last_heartbeat() {
    let world = world();
    let seat = &world.seats[0];
    world.give_notice(seat, Action::AutoScaling, Duration::from_secs(60));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(call(&world, "RecordLifecycleActionHeartbeat", &about_the_first(&world)).await.0, 200);
    }
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(world.scaling_proceeds(seat), None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.scaling_proceeds(seat), Some(Proceeds::TimedOut));
    let (status, body) = call(&world, "RecordLifecycleActionHeartbeat", &about_the_first(&world)).await;
    assert!(status == 400 && body.contains("No active Lifecycle Action found"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_completed_action_lets_the_group_go_on_and_is_completed_once() {
    let world = world();
    world.give_notice(&world.seats[0], Action::AutoScaling, Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refused = call(&world, "CompleteLifecycleAction", &about_the_first(&world)).await;
    assert!(refused.0 == 400 && refused.1.contains("LifecycleActionResult"), "{}", refused.1);
    let fields = format!("{}&LifecycleActionResult=CONTINUE", about_the_first(&world));
    assert_eq!(call(&world, "CompleteLifecycleAction", &fields).await.0, 200);
    assert_eq!(world.scaling_proceeds(&world.seats[0]), Some(Proceeds::Completed));
    assert_eq!(state(&world).await, "Terminating:Proceed");
    let again = call(&world, "CompleteLifecycleAction", &fields).await;
    assert!(again.0 == 400 && again.1.contains("No active Lifecycle Action found"), "{}", again.1);
}
