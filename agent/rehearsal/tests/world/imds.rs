//! The metadata service's rules.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use pitcrew_rehearsal::interruption::Action;
use pitcrew_rehearsal::world::faults::MetadataFault;
use pitcrew_rehearsal::world::{Origin, World};
use serde_json::{Value, json};

use crate::support::{text, world};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";

async fn ask(world: &World, request: http::request::Builder) -> Response<Bytes> {
    world.router(Origin::Imds(1), request.body(Bytes::new()).unwrap()).await
}

async fn token(world: &World, seconds: u32) -> String {
    let response = ask(world, Request::put("/latest/api/token").header(TTL, seconds)).await;
    assert_eq!(response.headers()[TTL], seconds.to_string());
    text(&response).1
}

async fn get(world: &World, path: &str) -> (u16, String) {
    let token = token(world, 60).await;
    text(&ask(world, Request::get(format!("/latest/{path}")).header(TOKEN, token)).await)
}

#[tokio::test(start_paused = true)]
async fn a_token_is_given_only_by_the_rules() {
    let world = world();
    let put = || Request::put("/latest/api/token");
    for (request, expected) in [
        (put().header(TTL, "21600"), 200),
        (put().header(TTL, "1"), 200),
        (put().header(TTL, "0"), 400),
        (put().header(TTL, "21601"), 400),
        (put().header(TTL, "soon"), 400),
        (put(), 400),
        (put().header(TTL, "60").header("x-forwarded-for", "10.0.0.1"), 403),
        (Request::put("/2021-07-15/api/token").header(TTL, "60"), 403),
        (Request::get("/latest/api/token"), 405),
        (Request::post("/latest/api/token").header(TTL, "60"), 405),
    ] {
        let seen = format!("{request:?}");
        assert_eq!(ask(&world, request).await.status().as_u16(), expected, "{seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_without_a_token_with_a_wrong_one_or_with_an_expired_one() {
    let world = world();
    let path = || Request::get("/latest/meta-data/instance-id");
    assert_eq!(ask(&world, path()).await.status(), 401);
    assert_eq!(ask(&world, path().header(TOKEN, "AQAEmade-up==")).await.status(), 401);
    let token = token(&world, 10).await;
    let known = ask(&world, path().header(TOKEN, &token)).await;
    assert_eq!(text(&known), (200, world.seats[0].instance_id.clone()));
    assert_eq!(known.headers()["connection"], "close");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(ask(&world, path().header(TOKEN, &token)).await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn the_identity_is_the_seats() {
    let world = world();
    let (_, document) = get(&world, "dynamic/instance-identity/document").await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["instanceId"], world.seats[0].instance_id);
    assert_eq!(document["region"], "us-west-2");
    assert_eq!(document["version"], "2017-09-30");
    assert_eq!(get(&world, "meta-data/services/partition").await.1, "aws");
    assert_eq!(get(&world, "meta-data/placement/region").await.1, "us-west-2");
    assert_eq!(get(&world, "meta-data/tags/instance").await.1, "Name\npitcrew:ready");
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_absent_until_it_is_given_and_after_it_is_withdrawn() {
    let world = world();
    let path = "meta-data/spot/instance-action";
    let (status, body) = get(&world, path).await;
    assert_eq!(status, 404);
    assert!(body.contains("404 - Not Found"), "a page, as EC2 sends one");
    let notice = json!({ "action": "terminate", "time": "2026-01-01T00:02:00Z" });
    let seat = world.seats[0].clone();
    world.give_notice(&seat, Action::Terminate, Duration::from_secs(120));
    assert_eq!(world.notices()[0].read, None);
    let (status, body) = get(&world, path).await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, notice));
    assert_eq!(get(&world, "meta-data/spot/termination-time").await.1, "2026-01-01T00:02:00Z");
    assert!(world.notices()[0].read.is_some());
    world.withdraw_notices(&seat);
    assert_eq!(get(&world, path).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_planned_is_absent_in_each_paths_own_way() {
    let world = world();
    for (path, expected) in [
        ("meta-data/events/recommendations/rebalance", 404),
        ("meta-data/autoscaling/target-lifecycle-state", 404),
        ("meta-data/tags/instance/absent", 404),
        ("meta-data/iam/security-credentials/another-role", 404),
        ("meta-data/made-up", 404),
        ("meta-data/events/maintenance/scheduled", 200),
    ] {
        assert_eq!(get(&world, path).await.0, expected, "{path}");
    }
    assert_eq!(get(&world, "meta-data/events/maintenance/scheduled").await.1, "[]");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_before_they_expire() {
    let world = world();
    let (_, role) = get(&world, "meta-data/iam/security-credentials/").await;
    let path = format!("meta-data/iam/security-credentials/{role}");
    let first = get(&world, &path).await.1;
    let document: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&document["Code"], &document["Expiration"]), (&json!("Success"), &json!("2026-01-01T06:00:00Z")));
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(get(&world, &path).await.1, first);
    tokio::time::advance(Duration::from_secs(5 * 3600 - 200)).await;
    let renewed: Value = serde_json::from_str(&get(&world, &path).await.1).unwrap();
    assert_eq!(renewed["Expiration"], "2026-01-01T11:56:40Z");
}

#[tokio::test(start_paused = true)]
async fn every_notice_is_told_in_its_own_form() {
    let world = world();
    let seat = world.seats[0].clone();
    for (action, path, expected) in [
        (Action::Stop, "spot/instance-action", r#"{"action":"stop","time":"2026-01-01T00:02:00Z"}"#),
        (Action::Hibernate, "spot/instance-action", r#"{"action":"hibernate","time":"2026-01-01T00:02:00Z"}"#),
        (Action::Rebalance, "events/recommendations/rebalance", r#"{"noticeTime":"2026-01-01T00:00:00Z"}"#),
        (Action::AutoScaling, "autoscaling/target-lifecycle-state", "Terminated"),
    ] {
        world.give_notice(&seat, action, Duration::from_secs(120));
        assert_eq!(get(&world, &format!("meta-data/{path}")).await, (200, expected.to_owned()), "{action}");
    }
    world.give_notice(&seat, Action::Scheduled, Duration::from_secs(120));
    let events = get(&world, "meta-data/events/maintenance/scheduled").await.1;
    let events: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(events[0]["NotBefore"], "1 Jan 2026 00:02:00 GMT");
    assert_eq!((&events[0]["Code"], &events[0]["State"]), (&json!("instance-stop"), &json!("active")));
    assert!(world.notices().iter().all(|notice| notice.read.is_some()), "each was read on its path");
}

#[tokio::test(start_paused = true)]
async fn a_service_in_trouble_is_well_again_afterwards() {
    for (fault, put, got) in [
        (MetadataFault::Unavailable, 503, 503),
        (MetadataFault::Unauthorized, 200, 401),
        (MetadataFault::Empty, 200, 200),
        (MetadataFault::Hang, 408, 408),
    ] {
        let world = world();
        let seat = world.seats[0].clone();
        let known = token(&world, 300).await;
        world.give_notice(&seat, Action::Terminate, Duration::from_secs(120));
        world.trouble_metadata(&seat, fault, Duration::from_secs(30));
        let began = tokio::time::Instant::now();
        let path = || Request::get("/latest/meta-data/spot/instance-action").header(TOKEN, &known);
        let (answer, fresh) =
            tokio::join!(ask(&world, path()), ask(&world, Request::put("/latest/api/token").header(TTL, "60")));
        assert_eq!((fresh.status().as_u16(), answer.status().as_u16()), (put, got), "{fault:?}");
        assert!(fault == MetadataFault::Unauthorized || !text(&answer).1.contains("terminate"), "{fault:?}");
        let expected = if fault == MetadataFault::Hang { 30 } else { 0 };
        assert_eq!(began.elapsed().as_secs(), expected, "{fault:?}");
        assert_eq!(world.notices()[0].read, None, "{fault:?} tells nothing");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(ask(&world, path()).await.status(), 200, "{fault:?}");
        assert!(world.notices()[0].read.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flapping_service_answers_in_turns() {
    let world = world();
    let seat = world.seats[0].clone();
    let known = token(&world, 300).await;
    world.trouble_metadata(&seat, MetadataFault::Flap, Duration::from_secs(30));
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let path = Request::get("/latest/meta-data/instance-id").header(TOKEN, &known);
        statuses.push(ask(&world, path).await.status().as_u16());
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert_eq!(statuses, [200, 503, 200, 401, 200, 200, 200, 408]);
}
