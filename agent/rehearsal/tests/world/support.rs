//! A world without a network, and signed questions to it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use pitcrew_rehearsal::clock::WorldClock;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::{Origin, Plan, TARGET_GROUP, World};

pub(crate) fn world() -> World {
    let plan = Plan {
        seed: 1,
        district: 0,
        instances: 1,
        deregistration_delay: Duration::from_secs(60),
        fault: None,
        elastigroup: None,
        ask_after: None,
        denied: None,
    };
    World::new(&plan, WorldClock::simulated(), None, Timeline::default())
}

pub(crate) fn group_arn(world: &World) -> String {
    world.target_group_arn(TARGET_GROUP).unwrap()
}

/// `Targets.member.1` for the first instance.
pub(crate) fn first(world: &World) -> String {
    let seat = &world.seats[0];
    format!("Targets.member.1.Id={}&Targets.member.1.Port={}", seat.instance_id, seat.application.port())
}

pub(crate) fn signed(world: &World) -> http::request::Builder {
    let keys = world.operator_keys();
    let credential = format!("AWS4-HMAC-SHA256 Credential={}/20260101/us-west-2/x/aws4_request", keys.access_key_id);
    Request::post("/").header("authorization", credential).header("x-amz-security-token", keys.session_token)
}

/// Asks load balancing; returns status and body.
pub(crate) async fn balancing(world: &World, action: &str, fields: &str) -> (u16, String) {
    let body = format!("Action={action}&Version=2015-12-01&{fields}");
    let request = signed(world).body(Bytes::from(body)).unwrap();
    text(&world.router(Origin::Aws, request).await)
}

/// Asks CodeDeploy; returns status and body.
pub(crate) async fn codedeploy(world: &World, operation: &str, input: serde_json::Value) -> (u16, serde_json::Value) {
    let request = signed(world)
        .header("x-amz-target", format!("CodeDeploy_20141006.{operation}"))
        .body(Bytes::from(input.to_string()))
        .unwrap();
    let (status, body) = text(&world.router(Origin::Aws, request).await);
    (status, serde_json::from_str(&body).unwrap())
}

pub(crate) fn text(response: &Response<Bytes>) -> (u16, String) {
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}
