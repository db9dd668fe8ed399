//! The allowance that the whole organization shares is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use pitcrew_core::elastigroup::Order;
use pitcrew_core::wire::FailureKind;

use crate::scripted::answer;
use crate::{GOOD, SECOND, Script, TAGS, TOO_MANY, calls, client, world};

#[tokio::test(start_paused = true)]
async fn after_a_429_a_route_is_asked_again_when_it_is_reset_and_not_before() {
    let calls_made = Arc::new(AtomicUsize::new(0));
    let counted = calls_made.clone();
    let script: Box<Script> = Box::new(move |_, _, _| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Response::builder().status(429).header("X-RateLimit-Reset", "20").body(TOO_MANY.into()).unwrap()),
        _ => answer(200, GOOD),
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    let failure = client.carry_out(&Order::Lock { minutes: 5 }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Throttled);
    let began = tokio::time::Instant::now();
    client.carry_out(&Order::Lock { minutes: 5 }).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= 20 * SECOND && waited <= 31 * SECOND, "{waited:?}");
    assert_eq!(calls_made.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_does_not_wait_for_the_allowance() {
    let script: Box<Script> = Box::new(|_, _, _| {
        Ok(Response::builder().status(429).header("X-RateLimit-Reset", "600").body(TOO_MANY.into()).unwrap())
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    let first = client.carry_out(&Order::Look).await.unwrap_err();
    let began = tokio::time::Instant::now();
    let second = client.carry_out(&Order::Look).await.unwrap_err();
    assert_eq!(first, second, "the same trouble is said in the same words");
    assert_eq!((began.elapsed(), calls(&transport).len()), (Duration::ZERO, 1));
}
