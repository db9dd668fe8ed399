//! A token that is replaced counts at once, wherever it lies.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use pitcrew_core::elastigroup::Order;
use pitcrew_core::wire::FailureKind;

use crate::scripted::{Scripted, answer};
use crate::{GOOD, client_with, token_file};

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_counts_at_once_and_is_never_shown() {
    let accepted = Arc::new(Mutex::new("first".to_owned()));
    let valid = accepted.clone();
    let transport = Scripted::new(move |request| {
        let token = request.headers().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let outcome = match (request.uri().host(), request.method()) {
            (Some("imds"), &Method::PUT) => answer(200, "token"),
            (Some("imds"), _) if request.uri().path().ends_with("accountId") => answer(200, "act-1"),
            (Some("imds"), _) => answer(200, "sig-1"),
            _ if token == Some(format!("Bearer {}", valid.lock().unwrap())) => answer(200, GOOD),
            _ => answer(401, r#"{"response":{"status":{"code":401,"message":"Unauthorized"}}}"#),
        };
        async move { outcome }
    });
    let file = token_file("first");
    let client = client_with(&transport, file.path().to_str().unwrap());
    client.carry_out(&Order::Unlock).await.unwrap();
    *accepted.lock().unwrap() = "second".to_owned();
    let failure = client.carry_out(&Order::Unlock).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(
        failure.sentence.contains("[elastigroup] token") && !failure.sentence.contains("first"),
        "{}",
        failure.sentence
    );
    fs::write(file.path(), "second").unwrap();
    client.carry_out(&Order::Unlock).await.unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    let failure = client.carry_out(&Order::Unlock).await.unwrap_err();
    assert!(failure.sentence.contains("chmod 600"), "{}", failure.sentence);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_a_parameter_is_kept_and_read_again_when_it_is_refused() {
    let valid = Arc::new(Mutex::new("first".to_owned()));
    let (stored, reads) = (valid.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = reads.clone();
    let transport = Scripted::new(move |request| {
        let token = request.headers().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let ssm = request.headers().get("x-amz-target").is_some_and(|target| target == "AmazonSSM.GetParameter");
        let value = stored.lock().unwrap().clone();
        let outcome = match (request.uri().host(), request.method()) {
            (Some("imds"), &Method::PUT) => answer(200, "token"),
            (Some("imds"), _) if request.uri().path().ends_with("accountId") => answer(200, "act-1"),
            (Some("imds"), _) => answer(200, "sig-1"),
            _ if ssm => {
                counted.fetch_add(1, Ordering::Relaxed);
                assert!(String::from_utf8_lossy(request.body()).contains(r#""WithDecryption":true"#));
                answer(200, format!(r#"{{"Parameter":{{"Name":"/spot","Type":"SecureString","Value":"{value}"}}}}"#))
            }
            _ if token == Some(format!("Bearer {value}")) => answer(200, GOOD),
            _ => answer(401, "{}"),
        };
        async move { outcome }
    });
    let client = client_with(&transport, "ssm:/spot");
    client.carry_out(&Order::Unlock).await.unwrap();
    client.carry_out(&Order::Unlock).await.unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    *valid.lock().unwrap() = "second".to_owned();
    client.carry_out(&Order::Unlock).await.unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 2, "rotated: read again, and the call was made once more");
}
