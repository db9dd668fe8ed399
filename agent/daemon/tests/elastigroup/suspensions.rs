//! Suspensions are the whole group's: several instances take and end them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Response};
use pitcrew_core::elastigroup::{Order, Process};
use pitcrew_core::wire::FailureKind;

use crate::scripted::{Scripted, answer};
use crate::{Script, TAGS, calls, client, world};

/// A group with these suspensions and members, which remembers what is changed.
fn group(suspended: &'static str, status: &'static str, refuses_repeats: bool) -> Arc<Scripted> {
    let script: Box<Script> = Box::new(move |method, path, _| {
        let items = if path.ends_with("/status") { status } else { suspended };
        let body = format!(r#"{{"response":{{"status":{{"code":200}},"items":[{items}]}}}}"#);
        if refuses_repeats && *method == Method::POST {
            return answer(400, r#"{"response":{"status":{"code":400},"errors":[{"code":"GENERAL_ERROR"}]}}"#);
        }
        Ok(Response::builder().header("Date", "Mon, 25 Jun 2018 11:00:00 GMT").body(body.into()).unwrap())
    });
    world(TAGS, script)
}

fn changes(transport: &Scripted) -> Vec<String> {
    let all = calls(transport).into_iter().filter(|(method, ..)| method != "GET");
    all.map(|(method, _, body)| format!("{method} {body}")).collect()
}

const BOTH: [Process; 2] = [Process::AutoHealing, Process::AutoScale];

#[tokio::test(start_paused = true)]
async fn only_what_is_not_suspended_for_long_enough_is_suspended() {
    let suspended = r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:49:00.000Z"},{"name":"AUTO_SCALE","expiresAt":null}]}"#;
    let transport = group(suspended, "", false);
    let (client, _file) = client(&transport);
    client.carry_out(&Order::Suspend { processes: BOTH.to_vec(), minutes: 48 }).await.unwrap();
    assert!(changes(&transport).is_empty(), "{:?}", changes(&transport));
    client.carry_out(&Order::Suspend { processes: BOTH.to_vec(), minutes: 80 }).await.unwrap();
    assert_eq!(changes(&transport), [r#"POST {"suspensions":[{"name":"AUTO_HEALING","ttlInMinutes":80}]}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_suspension_that_cannot_be_prolonged_is_ended_and_begun_again() {
    let transport =
        group(r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:05:00.000Z"}]}"#, "", true);
    let (client, _file) = client(&transport);
    let order = Order::Suspend { processes: vec![Process::AutoHealing], minutes: 80 };
    assert_eq!(client.carry_out(&order).await.unwrap_err().kind, FailureKind::Invalid);
    let changes = changes(&transport);
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!(changes[1], r#"DELETE {"processes":["AUTO_HEALING"]}"#);
}

#[tokio::test(start_paused = true)]
async fn suspensions_end_with_the_last_instance_that_is_deployed_to() {
    let ours = r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:49:00.000Z"},{"name":"AUTO_SCALE","expiresAt":null}]}"#;
    let order = |minutes| Order::Resume { processes: BOTH.to_vec(), minutes };
    let alone = r#"{"instanceId":"i-0me","lockStatus":"locked"},{"instanceId":"i-2","lockStatus":"unlocked"}"#;
    let busy = r#"{"instanceId":"i-0me","lockStatus":"unlocked"},{"instanceId":"i-2","lockStatus":"Locked"}"#;
    let table: [(&str, u32, &[&str]); 3] =
        [(alone, 49, &[r#"DELETE {"processes":["AUTO_HEALING"]}"#]), (busy, 49, &[]), (alone, 20, &[])];
    for (status, minutes, expected) in table {
        let transport = group(ours, status, false);
        let (client, _file) = client(&transport);
        client.carry_out(&order(minutes)).await.unwrap();
        assert_eq!(changes(&transport), expected, "{status} {minutes}");
    }
}

/// Another instance locks itself, and finds the suspensions in place, while this one is about to end them.
#[tokio::test(start_paused = true)]
async fn suspensions_that_another_instance_has_come_to_rely_on_meanwhile_are_given_back() {
    let (suspended, other_locks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let script: Box<Script> = Box::new(move |method, path, _| {
        let items = match (method, path.ends_with("/status")) {
            (&Method::GET, true) => {
                let word = if other_locks.load(Ordering::Relaxed) { "locked" } else { "unlocked" };
                format!(
                    r#"{{"instanceId":"i-0me","lockStatus":"unlocked"}},{{"instanceId":"i-2","lockStatus":"{word}"}}"#
                )
            }
            (&Method::GET, false) => {
                other_locks.store(true, Ordering::Relaxed);
                let name = suspended
                    .load(Ordering::Relaxed)
                    .then_some(r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:49:00.000Z"}]}"#);
                name.unwrap_or_default().to_owned()
            }
            (method, _) => {
                suspended.store(*method == Method::POST, Ordering::Relaxed);
                String::new()
            }
        };
        let body = format!(r#"{{"response":{{"status":{{"code":200}},"items":[{items}]}}}}"#);
        Ok(Response::builder().header("Date", "Mon, 25 Jun 2018 11:00:00 GMT").body(body.into()).unwrap())
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    client.carry_out(&Order::Resume { processes: vec![Process::AutoHealing], minutes: 49 }).await.unwrap();
    let expected = [
        r#"DELETE {"processes":["AUTO_HEALING"]}"#,
        r#"POST {"suspensions":[{"name":"AUTO_HEALING","ttlInMinutes":49}]}"#,
    ];
    assert_eq!(changes(&transport), expected);
}
