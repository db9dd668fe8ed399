//! Load balancing: which target groups hold this instance, how its targets stand, and moving them.

use super::*;

/// Answers load balancing's requests by their form.
fn balancing(script: impl Fn(&BTreeMap<String, String>) -> Outcome + Send + Sync + 'static) -> Arc<Scripted> {
    Scripted::new(move |request| {
        let form = form(std::str::from_utf8(request.body()).unwrap());
        let outcome = script(&form);
        async move { outcome }
    })
}

pub(super) fn always(outcome: impl Fn() -> Outcome + Send + Sync + 'static) -> Arc<Scripted> {
    balancing(move |_| outcome())
}

fn xml(action: &str, result: &str) -> Outcome {
    answer(
        200,
        format!(
            r#"<{action}Response xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"#
        ),
    )
}

fn refusal(status: u16, code: &str, message: &str) -> Outcome {
    answer(
        status,
        format!(
            r#"<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"#
        ),
    )
}

fn group(name: &str, target_type: &str) -> String {
    format!(
        "<member><TargetGroupArn>{}</TargetGroupArn><TargetGroupName>{name}</TargetGroupName><TargetType>{target_type}</TargetType></member>",
        arn(name)
    )
}

fn groups(members: &str, next: Option<&str>) -> Outcome {
    let next = next.map(|marker| format!("<NextMarker>{marker}</NextMarker>")).unwrap_or_default();
    xml("DescribeTargetGroups", &format!("<TargetGroups>{members}</TargetGroups>{next}"))
}

fn target(id: &str, port: u16, state: &str, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!("<Reason>{reason}</Reason>") };
    format!(
        "<member><Target><Id>{id}</Id><Port>{port}</Port><AvailabilityZone>eu-central-1a</AvailabilityZone></Target><HealthCheckPort>{port}</HealthCheckPort><TargetHealth><State>{state}</State>{reason}</TargetHealth></member>"
    )
}

pub(super) fn health(members: &str) -> Outcome {
    xml("DescribeTargetHealth", &format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"))
}

fn delay(seconds: u64) -> Outcome {
    xml(
        "DescribeTargetGroupAttributes",
        &format!(
            "<Attributes><member><Key>stickiness.enabled</Key><Value>false</Value></member><member><Key>deregistration_delay.timeout_seconds</Key><Value>{seconds}</Value></member></Attributes>"
        ),
    )
}

fn facts(name: &str, seconds: u64) -> GroupFacts {
    GroupFacts { arn: arn(name), deregistration_delay: Duration::from_secs(seconds) }
}

fn own(id: &str, port: u16) -> Target {
    Target { id: id.to_owned(), port, zone: None }
}

#[tokio::test(start_paused = true)]
async fn groups_that_an_operator_named_are_asked_for_one_by_one() {
    let by_arn = arn("web").to_string();
    let transport = balancing(move |form| match form["Action"].as_str() {
        "DescribeTargetGroups" if form.get("Names.member.1").is_some_and(|name| name == "api") => {
            groups(&group("api", "instance"), None)
        }
        "DescribeTargetGroups" if form.get("TargetGroupArns.member.1") == Some(&by_arn) => {
            groups(&group("web", "ip"), None)
        }
        "DescribeTargetGroupAttributes" if form["TargetGroupArn"].contains("/api/") => delay(20),
        "DescribeTargetGroupAttributes" => xml("DescribeTargetGroupAttributes", "<Attributes/>"),
        other => panic!("asked for {other}"),
    });
    let wanted = [arn("web").to_string(), "api".to_owned(), "api".to_owned()];
    let found = balancer(&transport).discover(&wanted).await.unwrap();
    assert_eq!(found, [facts("api", 20), facts("web", 300)], "sorted, once each, 300 s where nothing is said");
}

#[tokio::test(start_paused = true)]
async fn without_a_list_every_group_that_holds_the_instance_is_found_over_all_pages() {
    let transport = balancing(|form| match form["Action"].as_str() {
        "DescribeTargetGroups" => match form.get("Marker").map(String::as_str) {
            None => {
                groups(&(group("web", "instance") + &group("fn", "lambda") + &group("others", "instance")), Some("p2"))
            }
            Some("p2") => groups(&(group("front", "alb") + &group("by-address", "ip")), Some("p3")),
            Some("p3") => groups(&(group("deleted", "instance") + &group("drained", "instance")), None),
            Some(other) => panic!("no page {other}"),
        },
        "DescribeTargetHealth" => match form["TargetGroupArn"].split('/').nth(1).unwrap() {
            "web" => health(
                &(target("i-other", 80, "healthy", "")
                    + &target(ME, 80, "draining", "Target.DeregistrationInProgress")),
            ),
            "others" => health(&target("i-other", 80, "healthy", "")),
            "by-address" => health(&target(MY_ADDRESS, 8080, "healthy", "")),
            "deleted" => refusal(400, "TargetGroupNotFound", "One or more target groups not found"),
            "drained" => health(&target(ME, 80, "unused", "Target.NotRegistered")),
            other => panic!("asked for the health of {other}"),
        },
        "DescribeTargetGroupAttributes" => delay(60),
        other => panic!("asked for {other}"),
    });
    let found = balancer(&transport).discover(&[]).await.unwrap();
    assert_eq!(found, [facts("by-address", 60), facts("web", 60)]);
    let named_targets = transport.forms().iter().any(|form| form.contains_key("Targets.member.1.Id"));
    assert!(!named_targets, "only without naming targets are all ports listed");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_question_is_asked_again_without_losing_the_discovery() {
    let asked = std::sync::Mutex::new(std::collections::BTreeMap::<String, u32>::new());
    let transport = balancing(move |form| {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(form["Action"].clone()).or_default();
        *times += 1;
        match (form["Action"].as_str(), *times) {
            (_, 1 | 2) => refusal(400, "Throttling", "Rate exceeded"),
            ("DescribeTargetGroups", _) => groups(&group("web", "instance"), None),
            ("DescribeTargetHealth", _) => health(&target(ME, 80, "healthy", "")),
            ("DescribeTargetGroupAttributes", _) => delay(60),
            (other, _) => panic!("asked for {other}"),
        }
    });
    assert_eq!(balancer(&transport).discover(&[]).await, Ok(vec![facts("web", 60)]));
    assert_eq!(transport.forms().len(), 9, "three of each, and none twice as often");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_exist_is_named_with_the_setting_that_names_it() {
    let transport = always(|| refusal(400, "TargetGroupNotFound", "One or more target groups not found"));
    let failure = balancer(&transport).discover(&["wbe".to_owned()]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotFound);
    assert!(
        failure.sentence.starts_with("target group `wbe` (from `target_groups` in `[traffic]`) does not exist"),
        "{failure:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_named_group_that_cannot_hold_instances_is_refused() {
    let transport = always(|| groups(&group("fn", "lambda"), None));
    let failure = balancer(&transport).discover(&["fn".to_owned()]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.sentence.contains("type `lambda`"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn own_targets_are_observed_with_their_ports_and_peers_are_counted() {
    let transport = always(|| {
        health(
            &[
                target(ME, 80, "healthy", ""),
                target(ME, 81, "initial", "Elb.RegistrationInProgress"),
                target(ME, 82, "unused", "Target.NotRegistered"),
                target("i-a", 80, "healthy", ""),
                target("i-b", 80, "unhealthy", "Target.Timeout"),
                target("i-c", 80, "draining", "Target.DeregistrationInProgress"),
                target("i-d", 80, "unused", "Target.NotRegistered"),
                target("i-e", 80, "unused", "Target.NotInUse"),
            ]
            .concat(),
        )
    });
    let observation = balancer(&transport).observe(&arn("web")).await.unwrap();
    let expected = Observation {
        own: [(own(ME, 80), TargetState::Healthy), (own(ME, 81), TargetState::Initial)].into(),
        peers: 3,
        healthy_peers: 1,
    };
    assert_eq!(observation, expected);
}

#[tokio::test(start_paused = true)]
async fn every_word_for_a_target_has_its_meaning() {
    let table = [
        ("initial", "Elb.InitialHealthChecking", Some(TargetState::Initial)),
        ("healthy", "", Some(TargetState::Healthy)),
        (
            "unhealthy",
            "Target.FailedHealthChecks",
            Some(TargetState::Unhealthy("Target.FailedHealthChecks".to_owned())),
        ),
        ("unhealthy.draining", "", Some(TargetState::Unhealthy("unhealthy.draining".to_owned()))),
        ("draining", "Target.DeregistrationInProgress", Some(TargetState::Draining)),
        ("unused", "Target.NotInUse", Some(TargetState::NotInUse)),
        ("unused", "Target.NotRegistered", None),
        ("unused", "Target.InvalidState", Some(TargetState::Unknown("unused, Target.InvalidState".to_owned()))),
        (
            "unavailable",
            "Target.HealthCheckDisabled",
            Some(TargetState::Unavailable("Target.HealthCheckDisabled".to_owned())),
        ),
        ("sleepy", "", Some(TargetState::Unknown("sleepy".to_owned()))),
    ];
    for (state, reason, expected) in table {
        let transport = always(move || health(&target(ME, 80, state, reason)));
        let observation = balancer(&transport).observe(&arn("web")).await.unwrap();
        assert_eq!(observation.own.get(&own(ME, 80)), expected.as_ref(), "{state} {reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_observed_with_its_zone_and_registered_with_it() {
    let transport = balancing(|form| match form["Action"].as_str() {
        "DescribeTargetHealth" => {
            health(&(target(MY_ADDRESS, 8080, "healthy", "") + &target("10.0.0.8", 8080, "healthy", "")))
        }
        "RegisterTargets" => xml("RegisterTargets", ""),
        other => panic!("asked for {other}"),
    });
    let balancer = balancer(&transport);
    let observation = balancer.observe(&arn("web")).await.unwrap();
    let mine = Target { id: MY_ADDRESS.to_owned(), port: 8080, zone: Some("eu-central-1a".to_owned()) };
    assert_eq!(observation.own.keys().collect::<Vec<_>>(), [&mine]);
    balancer.register(&arn("web"), &[mine]).await.unwrap();
    let form = &transport.forms()[1];
    assert_eq!(form["Targets.member.1.AvailabilityZone"], "eu-central-1a");
}

#[tokio::test(start_paused = true)]
async fn every_port_is_given_when_targets_move() {
    let transport = balancing(|form| xml(&form["Action"], ""));
    let balancer = balancer(&transport);
    let targets = [own(ME, 80), own(ME, 8443)];
    balancer.deregister(&arn("web"), &targets).await.unwrap();
    balancer.register(&arn("web"), &targets).await.unwrap();
    balancer.register(&arn("web"), &[]).await.unwrap();
    let forms = transport.forms();
    assert_eq!(forms.len(), 2, "nothing is asked for no targets");
    for (form, action) in forms.iter().zip(["DeregisterTargets", "RegisterTargets"]) {
        assert_eq!(form["Action"], action);
        assert_eq!(form["TargetGroupArn"], arn("web").as_str());
        assert_eq!((form["Targets.member.1.Id"].as_str(), form["Targets.member.1.Port"].as_str()), (ME, "80"));
        assert_eq!((form["Targets.member.2.Id"].as_str(), form["Targets.member.2.Port"].as_str()), (ME, "8443"));
        assert!(!form.contains_key("Targets.member.1.AvailabilityZone"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_would_help_and_is_asked_once() {
    type Case<'a> = (fn() -> Outcome, FailureKind, &'a str);
    let web = arn("web");
    let denied = format!("allow elasticloadbalancing:DeregisterTargets on {web} to the instance's role");
    let table: [Case<'_>; 8] = [
        (|| refusal(403, "AccessDenied", "User: me is not authorized"), FailureKind::Denied, &denied),
        (
            || refusal(400, "Throttling", "Rate exceeded"),
            FailureKind::Throttled,
            "DeregisterTargets on target group `web` was throttled (Throttling: Rate exceeded)",
        ),
        (
            || refusal(400, "InvalidTarget", "no such instance"),
            FailureKind::Invalid,
            "was refused (InvalidTarget: no such instance)",
        ),
        (|| refusal(400, "TargetGroupNotFound", "gone"), FailureKind::NotFound, "target group `web` does not exist"),
        (
            || refusal(500, "InternalFailure", "oops"),
            FailureKind::Unavailable,
            "failed over there (InternalFailure: oops)",
        ),
        (|| answer(503, "<html>busy</html>"), FailureKind::Unavailable, "failed over there (HTTP 503)"),
        (|| answer(403, "<html>no</html>"), FailureKind::Denied, "was denied"),
        (refused, FailureKind::Unavailable, "got no answer: no connection to stand-in: connection refused"),
    ];
    for (outcome, kind, part) in table {
        let transport = always(outcome);
        let failure = balancer(&transport).deregister(&web, &[own(ME, 80)]).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.sentence.contains(part), "`{}` should say `{part}`", failure.sentence);
        assert_eq!(transport.seen().len(), 1, "the core retries, not the SDK");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_observation_is_not_an_empty_one() {
    let transport = always(|| refusal(403, "AccessDenied", "no"));
    let failure = balancer(&transport).observe(&arn("web")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.sentence.contains("allow elasticloadbalancing:DescribeTargetHealth on *"), "{failure:?}");
}
