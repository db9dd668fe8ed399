//! What operators are told: the webhook, and programs of their own.

use super::*;

fn identity() -> Identity {
    Identity {
        instance: "i-0me".into(),
        region: "eu-central-1".to_owned(),
        availability_zone: "eu-central-1a".to_owned(),
        account: "123456789012".to_owned(),
        private_address: None,
        partition: "aws".to_owned(),
        domain: "amazonaws.com".to_owned(),
    }
}

fn announcer(transport: &Arc<Scripted>, text: &str, credentials: Credentials) -> Announcer {
    let Leave { webhook, commands, .. } =
        config::read(&[(std::path::Path::new("a.toml"), text)]).unwrap().into_settings().leave;
    Announcer {
        webhook,
        commands,
        credentials,
        identity: identity(),
        transport: transport.clone(),
        clock: Arc::new(TokioClock::starting_at(START)),
        seed: 7,
    }
}

fn noticed() -> Announcement {
    Announcement {
        moment: Moment::Noticed,
        why: NoticeKind::SpotTerminate,
        sentence: "leaving: \"spot\"".to_owned(),
        deadline: START.at.after(120 * SECOND),
    }
}

#[tokio::test(start_paused = true)]
async fn the_webhook_is_told_everything_and_its_secrets_come_from_credentials() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("token"), "Bearer abc\n").unwrap();
    std::fs::write(secrets.path().join("url"), "https://hooks.example/T1/B2\n").unwrap();
    let transport = by_form(|_| answer(204, ""));
    let text = r#"leave.webhook = { url_credential = "url", headers = { Authorization = "token" } }"#;
    let credentials = Credentials { directory: Some(secrets.path().to_owned()) };
    announcer(&transport, text, credentials).announce(noticed()).await;
    let seen = transport.seen();
    let [call] = seen.as_slice() else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.uri.as_str()), ("POST", "https://hooks.example/T1/B2"));
    assert_eq!(call.headers["authorization"], "Bearer abc");
    assert!(call.headers["authorization"].is_sensitive());
    assert_eq!(call.headers["content-type"], "application/json");
    let told: serde_json::Value = serde_json::from_str(&call.body).unwrap();
    let expected = serde_json::json!({
        "reason": "spot-terminate", "moment": "noticed", "sentence": "leaving: \"spot\"", "instance": "i-0me",
        "region": "eu-central-1", "account": "123456789012", "deadline": "2026-11-23T00:02:00Z",
    });
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_in_trouble_is_tried_until_it_works_or_the_time_is_over() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let transport = by_form(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => refused(),
        1 => answer(503, ""),
        2 => answer(429, ""),
        _ => answer(200, ""),
    });
    let text = r#"leave.webhook = { url = "http://hooks.example/" }"#;
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert_eq!(tries.load(Ordering::Relaxed), 4);

    let transport = by_form(|_| answer(500, ""));
    let began = tokio::time::Instant::now();
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert!(began.elapsed() <= 120 * SECOND && began.elapsed() > 100 * SECOND, "{:?}", began.elapsed());
    assert!((15..40).contains(&transport.seen().len()), "{} tries", transport.seen().len());

    let transport = by_form(|_| answer(404, ""));
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert_eq!(transport.seen().len(), 1, "what is refused stays refused");
}

#[tokio::test(start_paused = true)]
async fn without_its_secret_the_webhook_is_not_told_half() {
    let transport = by_form(|_| answer(200, ""));
    let text = r#"leave.webhook = { url = "http://hooks.example/", headers = { Authorization = "token" } }"#;
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert!(transport.seen().is_empty());
}

#[tokio::test]
async fn a_program_is_run_at_its_turn_with_everything_in_its_environment() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("page");
    std::fs::write(&program, "#!/bin/sh\necho \"$1 $PITCREW_REASON $PITCREW_MOMENT $PITCREW_INSTANCE $PITCREW_DEADLINE $PITCREW_SENTENCE\" >> \"$2\"\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let log = place.path().join("log");
    let text = format!("leave.commands = {{ left_badly = [{program:?}, \"late\", {log:?}] }}");
    let transport = by_form(|_| answer(200, ""));
    let announcer = announcer(&transport, &text, Credentials::default());
    announcer.announce(noticed()).await;
    assert!(!log.exists(), "not its turn");
    announcer.announce(Announcement { moment: Moment::LeftBadly, ..noticed() }).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said, "late spot-terminate left_badly i-0me 2026-11-23T00:02:00Z leaving: \"spot\"\n");
}
