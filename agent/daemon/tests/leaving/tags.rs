//! The tags by which CodeDeploy chooses this instance.

use super::*;

fn tags(transport: &Arc<Scripted>) -> Tags {
    let owner = Owner { partition: "aws", account: "123456789012", domain: "amazonaws.com" };
    Tags::new(sdk(transport), doors(transport), "i-0me".into(), &owner)
}

/// An error of the EC2 API.
fn ec2_refusal(status: u16, code: &str, message: &str) -> Outcome {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
    );
    answer(status, body)
}

#[tokio::test(start_paused = true)]
async fn tags_are_removed_by_key_in_one_signed_call() {
    let transport = by_form(|_| {
        answer(
            200,
            r#"<DeleteTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><return>true</return></DeleteTagsResponse>"#,
        )
    });
    tags(&transport).delete(&["deploy group".to_owned(), "pitcrew:ready".to_owned()]).await.unwrap();
    let seen = transport.seen();
    let [call] = seen.as_slice() else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.uri.as_str()), ("POST", "http://stand-in/"));
    assert_eq!(
        call.body,
        "Action=DeleteTags&Version=2016-11-15&ResourceId.1=i-0me&Tag.1.Key=deploy+group&Tag.2.Key=pitcrew%3Aready"
    );
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(header("x-amz-date"), "20261123T000000Z");
    assert_eq!(header("x-amz-security-token"), "session");
    let authorization = header("authorization");
    let signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(authorization.starts_with(signed), "{authorization}");
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_with_their_values() {
    let transport = by_form(|_| answer(200, "<CreateTagsResponse><return>true</return></CreateTagsResponse>"));
    tags(&transport).create(&[("pitcrew:state", "leaving"), ("empty", "")]).await.unwrap();
    assert_eq!(
        transport.seen()[0].body,
        "Action=CreateTags&Version=2016-11-15&ResourceId.1=i-0me&Tag.1.Key=pitcrew%3Astate&Tag.1.Value=leaving&Tag.2.Key=empty&Tag.2.Value="
    );
}

#[tokio::test(start_paused = true)]
async fn what_ec2_refuses_is_said_by_what_helps() {
    let table = [
        (ec2_refusal(503, "RequestLimitExceeded", "Request limit exceeded."), FailureKind::Throttled, "was throttled"),
        (
            ec2_refusal(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
            FailureKind::Denied,
            "allow ec2:DeleteTags on arn:aws:ec2:eu-central-1:123456789012:instance/i-0me",
        ),
        (
            ec2_refusal(400, "InvalidInstanceID.NotFound", "No such &lt;instance&gt;"),
            FailureKind::NotFound,
            "No such <instance>",
        ),
        (ec2_refusal(400, "TagLimitExceeded", "Too many"), FailureKind::Invalid, "TagLimitExceeded: Too many"),
        (ec2_refusal(500, "InternalError", "Oops"), FailureKind::Unavailable, "InternalError"),
        (answer(502, "<html><body>Bad gateway"), FailureKind::Unavailable, "HTTP 502"),
        (answer(302, ""), FailureKind::Unavailable, "HTTP 302"),
        (refused(), FailureKind::Unavailable, "no connection"),
    ];
    for (outcome, kind, part) in table {
        let outcome = std::sync::Mutex::new(Some(outcome));
        let transport = by_form(move |_| outcome.lock().unwrap().take().unwrap());
        let failure = tags(&transport).delete(&["deploy".to_owned()]).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.sentence);
        assert!(failure.sentence.contains(part), "{}", failure.sentence);
    }
}

#[tokio::test(start_paused = true)]
async fn ec2_is_asked_at_its_regional_address() {
    let transport = by_form(|_| answer(200, "<r/>"));
    for (domain, expected) in [
        ("amazonaws.com", "https://ec2.eu-central-1.amazonaws.com/"),
        ("amazonaws.com.cn", "https://ec2.eu-central-1.amazonaws.com.cn/"),
    ] {
        let owner = Owner { partition: "aws", account: "1", domain };
        let config = sdk(&transport).into_builder();
        let mut config = config;
        config.set_endpoint_url(None);
        Tags::new(config.build(), doors(&transport), "i-0me".into(), &owner).delete(&["a".to_owned()]).await.unwrap();
        assert_eq!(transport.seen().last().unwrap().uri, expected);
    }
}
