//! The metadata service's rules.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
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
    world.notify(&seat, "terminate in two minutes", |notices| notices.instance_action = Some(notice.clone()));
    let (status, body) = get(&world, path).await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, notice));
    assert_eq!(get(&world, "meta-data/spot/termination-time").await.1, "2026-01-01T00:02:00Z");
    world.notify(&seat, "withdrawn", |notices| notices.instance_action = None);
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
