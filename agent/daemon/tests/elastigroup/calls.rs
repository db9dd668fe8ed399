//! What is sent for each order, and what is read of its answer.

use http::Response;
use pitcrew::doors::Operation;
use pitcrew_core::elastigroup::{Declared, Life, Load, Order, Receipt, Reply, Signal};
use pitcrew_core::time::WallTime;
use pitcrew_core::wire::FailureKind;
use serde_json::json;

use crate::{GOOD, SECOND, Script, TAGS, always, calls, client, world};

#[tokio::test(start_paused = true)]
async fn each_order_is_the_documented_call_with_account_and_token() {
    let transport = world(TAGS, always(200, GOOD));
    let (client, _file) = client(&transport);
    let table = [
        (Order::Lock { minutes: 80 }, "POST", "/aws/ec2/instance/i-0me/lock?accountId=act-1&ttlInMinutes=80", ""),
        (Order::Unlock, "POST", "/aws/ec2/instance/i-0me/unlock?accountId=act-1", ""),
        (Order::EnterStandby, "POST", "/aws/ec2/instance/i-0me/standby/enter?accountId=act-1", ""),
        (Order::ExitStandby, "POST", "/aws/ec2/instance/i-0me/standby/exit?accountId=act-1", ""),
        (
            Order::Signal(Signal::ReadyToShutdown),
            "POST",
            "/aws/ec2/instance/signal?accountId=act-1",
            r#"{"instanceId":"i-0me","signal":"INSTANCE_READY_TO_SHUTDOWN"}"#,
        ),
    ];
    for (n, (order, method, uri, body)) in table.into_iter().enumerate() {
        client.carry_out(&order).await.unwrap();
        assert_eq!(calls(&transport)[n], (method.to_owned(), uri.to_owned(), body.to_owned()));
    }
    let seen = transport.seen();
    let call = seen.iter().find(|seen| seen.uri.starts_with("http://spot")).unwrap();
    assert_eq!(call.headers["authorization"], "Bearer s3cr3t");
    assert!(call.headers["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_a_detach_with_the_hold_that_the_group_declares() {
    let group = r#"{"response":{"status":{"code":200},"items":[{"strategy":{"drainingTimeout":240}}]}}"#;
    let transport = world(TAGS, always(200, group));
    let (client, _file) = client(&transport);
    assert_eq!(client.replace().await.unwrap(), "its Elastigroup replaces this instance");
    let (method, uri, body) = calls(&transport).pop().unwrap();
    assert_eq!((method.as_str(), uri.as_str()), ("PUT", "/aws/ec2/group/sig-1/detachInstances?accountId=act-1"));
    let expected = json!({
        "instancesToDetach": ["i-0me"],
        "shouldTerminateInstances": true,
        "shouldDecrementTargetCapacity": false,
        "drainingTimeout": 240,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn own_state_group_signal_and_health_are_read() {
    let script: Box<Script> = Box::new(|_, path, _| {
        let items = match path.rsplit('/').next().unwrap() {
            "i-0me" => r#"[{"instanceId":"i-0me","lifeCycleState":"Terminating"}]"#,
            "signal" => {
                r#"[{"type":"INSTANCE_READY","signalExpiresAt":"2018-06-25T11:49:00.000Z","message":"crossed"}]"#
            }
            "instanceHealthiness" => r#"[{"instanceId":"i-0me","healthStatus":"HEALTHY","lifeCycle":"SPOT"}]"#,
            _ => {
                r#"[{"group":{"strategy":{"drainingTimeout":240,"signals":[{"name":"INSTANCE_READY","timeout":900}]}}}]"#
            }
        };
        let body = format!(r#"{{"response":{{"status":{{"code":200}},"items":{items}}}}}"#);
        let answer = Response::builder().header("X-RateLimit-Limit", "100").header("X-RateLimit-Remaining", "60");
        Ok(answer.body(body.into()).unwrap())
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    let seen = client.carry_out(&Order::Look).await.unwrap();
    assert_eq!(seen, Reply::Seen { life: Life::Terminating, load: Some(Load { limit: 100, used: 40 }) });
    let declared =
        Declared { draining_timeout: Some(240 * SECOND), ready_timeout: Some(900 * SECOND), shutdown_timeout: None };
    assert_eq!(client.carry_out(&Order::ReadGroup).await.unwrap(), Reply::Group(declared));
    let receipt = Receipt { expires: Some(WallTime(1_529_927_340_000)), message: Some("crossed".into()) };
    assert_eq!(client.carry_out(&Order::Signal(Signal::Ready)).await.unwrap(), Reply::Signalled(receipt));
    assert_eq!(client.healthiness().await.unwrap()[0].health, "HEALTHY");
}

#[tokio::test(start_paused = true)]
async fn without_tags_in_the_metadata_the_ec2_api_tells_the_group() {
    let transport = world(&[], always(200, GOOD));
    let (client, _file) = client(&transport);
    client.carry_out(&Order::Unlock).await.unwrap();
    assert!(calls(&transport)[0].1.ends_with("unlock?accountId=act-ec2"));
    client.carry_out(&Order::Unlock).await.unwrap();
    let asked = transport.seen().iter().filter(|seen| seen.body.contains("DescribeTags")).count();
    assert_eq!(asked, 1, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn each_call_says_what_it_is_for_whoever_counts() {
    let transport = world(TAGS, always(200, GOOD));
    let (client, _file) = client(&transport);
    client.carry_out(&Order::Lock { minutes: 80 }).await.unwrap();
    let seen = transport.seen();
    let call = seen.iter().find(|seen| seen.uri.starts_with("http://spot")).unwrap();
    let expected = Operation { service: "elastigroup", name: "POST /aws/ec2/instance/{}/lock".to_owned() };
    assert_eq!(call.operation, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_instead_of_an_answer_has_a_kind_and_says_what_is_lost() {
    let table: [(u16, &'static str, FailureKind); 5] = [
        (500, "", FailureKind::Unavailable),
        (200, "<html>", FailureKind::Unavailable),
        (403, GOOD, FailureKind::Denied),
        (404, "{}", FailureKind::NotFound),
        (400, "{}", FailureKind::Invalid),
    ];
    for (status, body, kind) in table {
        let transport = world(TAGS, always(status, body));
        let (client, _file) = client(&transport);
        let failure = client.carry_out(&Order::Lock { minutes: 1 }).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{status} {body}");
        assert!(failure.sentence.contains("not locked"), "{}", failure.sentence);
    }
    let transport = world(TAGS, always(200, GOOD));
    let (client, _file) = client(&transport);
    let seen = client.carry_out(&Order::Look).await.unwrap();
    assert_eq!(seen, Reply::Seen { life: Life::Unknown("nothing".to_owned()), load: None }, "items may be missing");
    assert!(client.carry_out(&Order::ReadGroup).await.is_err());
}
