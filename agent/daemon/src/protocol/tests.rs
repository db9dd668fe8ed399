use pitcrew_core::wire::Verdict;
use proptest::prelude::*;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::*;

fn requests() -> impl Strategy<Value = Request> {
    let ms = || proptest::option::of(any::<u64>());
    let event = proptest::sample::select(LifecycleEvent::ALL.to_vec());
    let commit = proptest::option::of(".*");
    let hook = (event, ".*", ".*", ".*", commit, ms());
    let hook = hook.prop_map(|(event, deployment, application, group, commit, patience_ms)| {
        let deployment = DeploymentId::new(deployment);
        let revision = Revision { commit, ..Revision::default() };
        Request::Hook(Hook { event, deployment, application, group, revision, patience_ms })
    });
    prop_oneof![
        hook,
        (ms(), ms()).prop_map(|(ttl_ms, patience_ms)| Request::Out { ttl_ms, patience_ms }),
        ms().prop_map(|patience_ms| Request::In { patience_ms }),
        (ms(), any::<bool>(), ms()).prop_map(|(within_ms, waits, patience_ms)| Request::Leave {
            within_ms,
            waits,
            patience_ms
        }),
        ms().prop_map(|within_ms| Request::LeavePlan { within_ms }),
        Just(Request::Status {}),
        Just(Request::History {}),
        Just(Request::Cancel {}),
    ]
}

fn replies() -> impl Strategy<Value = Reply> {
    let verdicts = [Verdict::Done, Verdict::Failed, Verdict::TimedOut, Verdict::Refused, Verdict::Misconfigured];
    let reasons = [Reason::Version, Reason::Malformed, Reason::Permission, Reason::Busy, Reason::Stopping];
    let verdict = proptest::sample::select(verdicts.to_vec());
    let reason = proptest::sample::select(reasons.to_vec());
    prop_oneof![
        any::<u64>().prop_map(|patience_ms| Reply::Accepted { patience_ms }),
        ".*".prop_map(Reply::Progress),
        (verdict.clone(), ".*").prop_map(|(verdict, sentence)| Reply::Answer(Answer { verdict, sentence })),
        (verdict, ".*", any::<u64>()).prop_map(|(verdict, sentence, within_ms)| {
            Reply::Promised(Promised { answer: Answer { verdict, sentence }, within_ms })
        }),
        Just(Reply::Retracted {}),
        ".*".prop_map(|text| Reply::Status(json!({ "v": text, "nested": { "v": 2 } }))),
        (reason, ".*").prop_map(|(reason, sentence)| Reply::Refused(Refusal { reason, sentence })),
    ]
}

fn one_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap();
    assert!(!line.contains(&b'\n'), "a line holds no newline");
    line
}

proptest! {
    #[test]
    fn a_request_is_understood_as_it_was_meant(request in requests()) {
        prop_assert_eq!(decode::<Request>(one_line(&encode(&request))).unwrap(), request);
    }

    #[test]
    fn a_reply_is_understood_as_it_was_meant(reply in replies()) {
        prop_assert_eq!(decode::<Reply>(one_line(&encode(&reply))).unwrap(), reply);
    }

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode::<Request>(&bytes).is_err());
        prop_assert!(decode::<Reply>(&bytes).is_err());
    }

    #[test]
    fn a_request_with_one_wrong_byte_never_panics(
        request in requests(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut line = encode(&request);
        let place = place.index(line.len());
        line[place] = byte;
        let _ = decode::<Request>(&line);
    }
}

#[test]
fn the_examples_of_the_documentation_are_understood() {
    let documentation = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! {"));
    let mut understood = (0, 0);
    for line in documentation.map(|rest| format!("{{{rest}")) {
        match (decode::<Request>(line.as_bytes()), decode::<Reply>(line.as_bytes())) {
            (Ok(_), Err(_)) => understood.0 += 1,
            (Err(_), Ok(_)) => understood.1 += 1,
            // `status` with an empty document is both; the rest must be one of them.
            (Ok(Request::Status {}), Ok(Reply::Status(_))) => understood.0 += 1,
            (request, reply) => panic!("{line}: {request:?} {reply:?}"),
        }
    }
    assert_eq!(understood, (7, 5));
}

#[test]
fn another_version_is_told_apart_from_nonsense() {
    let decode = |line: &str| decode::<Request>(line.as_bytes());
    assert!(matches!(decode(r#"{"v":2,"leave":{"in":3}}"#), Err(DecodeError::Version(2))));
    for nonsense in [
        r#"{"status":{}}"#,
        r#"{"v":"1","status":{}}"#,
        r#"{"v":1}"#,
        r#"{"v":1,"status":{},"cancel":{}}"#,
        r#"{"v":1,"status":{"verbose":true}}"#,
        r#"{"v":1,"leave":{}}"#,
        r#"{"v":1,"in":{"patience_ms":-1}}"#,
        r#"[1]"#,
    ] {
        assert!(matches!(decode(nonsense), Err(DecodeError::Malformed(_))), "{nonsense}");
    }
}

#[tokio::test]
async fn lines_are_found_however_the_bytes_arrive() {
    for chunk in 1..12 {
        let (mut near, far) = tokio::io::duplex(chunk);
        let writer = tokio::spawn(async move { near.write_all(b"one\n\ntwo three\n").await });
        let mut lines = Lines::new(far, 9);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(found, ["one", "", "two three"]);
        writer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_with_or_without_its_end() {
    for text in ["0123456789\n", "0123456789"] {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(text.as_bytes()).await.unwrap();
        let mut lines = Lines::new(far, 9);
        assert!(matches!(lines.next().await, Err(LineError::TooLong(9))));
    }
}

#[tokio::test]
async fn a_line_that_is_cut_off_is_no_line() {
    let (mut near, far) = tokio::io::duplex(64);
    near.write_all(b"whole\nhal").await.unwrap();
    drop(near);
    let mut lines = Lines::new(far, 9);
    assert_eq!(lines.next().await.unwrap(), Some(b"whole".to_vec()));
    assert!(matches!(lines.next().await, Err(LineError::Broken(_))));
}
