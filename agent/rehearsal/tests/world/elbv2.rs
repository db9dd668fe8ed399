//! The load balancing API on its wire.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use pitcrew_rehearsal::clock::WorldClock;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::calls::{Caller, Effect};
use pitcrew_rehearsal::world::faults::Fault;
use pitcrew_rehearsal::world::{Origin, Plan, World};

use crate::support::{balancing, first, group_arn, signed, text, world};

#[tokio::test(start_paused = true)]
async fn a_target_group_is_described_as_aws_writes_it() {
    let world = world();
    let (status, body) = balancing(&world, "DescribeTargetGroups", "Names.member.1=sample-web").await;
    assert_eq!(status, 200);
    let opening = "<DescribeTargetGroupsResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
                   <DescribeTargetGroupsResult><TargetGroups><member><TargetGroupArn>arn:aws:elasticloadbalancing:us-west-2:";
    assert!(body.starts_with(opening), "{body}");
    for part in [
        "<TargetGroupName>sample-web</TargetGroupName>",
        "<Port>8080</Port>",
        "<HealthCheckIntervalSeconds>5</HealthCheckIntervalSeconds>",
        "<Matcher><HttpCode>200</HttpCode></Matcher>",
        "<LoadBalancerArns><member>arn:aws:elasticloadbalancing:us-west-2:",
        "<TargetType>instance</TargetType>",
        "</DescribeTargetGroupsResult><ResponseMetadata><RequestId>",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn groups_come_page_by_page() {
    let world = world();
    let (_, one) = balancing(&world, "DescribeTargetGroups", "PageSize=1").await;
    let marker = between(&one, "<NextMarker>", "</NextMarker>");
    let (_, two) = balancing(&world, "DescribeTargetGroups", &format!("PageSize=1&Marker={marker}")).await;
    let name = |body: &str| between(body, "<TargetGroupName>", "</TargetGroupName>");
    assert_eq!((name(&one).as_str(), name(&two).as_str()), ("sample-spare", "sample-web"));
    assert!(!two.contains("NextMarker"));
    let (status, _) = balancing(&world, "DescribeTargetGroups", "Marker=made-up").await;
    assert_eq!(status, 400);
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_an_attribute() {
    let world = world();
    let fields = format!("TargetGroupArn={}", group_arn(&world));
    let (_, body) = balancing(&world, "DescribeTargetGroupAttributes", &fields).await;
    let pair = "<member><Key>deregistration_delay.timeout_seconds</Key><Value>60</Value></member>";
    assert!(body.contains(pair), "{body}");
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_answered_with_aws_codes() {
    let world = world();
    let arn = group_arn(&world);
    let gone = "TargetGroupArn=arn:aws:elasticloadbalancing:us-west-2:1:targetgroup/gone/0";
    for (action, fields, status, code) in [
        ("DescribeTargetHealth", gone.to_owned(), 400, "TargetGroupNotFound"),
        ("DescribeTargetGroups", "Names.member.1=gone".to_owned(), 400, "TargetGroupNotFound"),
        ("DescribeTargetHealth", String::new(), 400, "ValidationError"),
        ("DescribeTargetHealth", "TargetGroupArn=sample-web".to_owned(), 400, "ValidationError"),
        ("RegisterTargets", format!("TargetGroupArn={arn}&Targets.member.1.Id=i-0gone"), 400, "InvalidTarget"),
        ("RegisterTargets", format!("TargetGroupArn={arn}&Targets.member.1.Id=10.0.0.1"), 400, "InvalidTarget"),
        ("DeleteTargetGroup", String::new(), 400, "InvalidAction"),
    ] {
        let (seen, body) = balancing(&world, action, &fields).await;
        assert_eq!(seen, status, "{action} {fields}");
        assert!(body.contains(&format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>")), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_leaves_for_the_whole_delay_and_then_is_not_registered() {
    let world = world();
    let fields = format!("TargetGroupArn={}&{}", group_arn(&world), first(&world));
    let health = async || balancing(&world, "DescribeTargetHealth", &fields).await.1;
    assert!(health().await.contains("<TargetHealth><State>healthy</State></TargetHealth>"));
    assert_eq!(balancing(&world, "DeregisterTargets", &fields).await.0, 200);
    tokio::time::advance(Duration::from_secs(59)).await;
    let draining = "<State>draining</State><Reason>Target.DeregistrationInProgress</Reason>";
    assert!(health().await.contains(draining));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(health().await.contains("<State>unused</State><Reason>Target.NotRegistered</Reason>"));
    assert_eq!(balancing(&world, "DeregisterTargets", &fields).await.0, 200, "leaving twice is no error");
}

#[tokio::test(start_paused = true)]
async fn asked_without_targets_it_lists_every_registration_with_its_port() {
    let world = world();
    let group = format!("TargetGroupArn={}", group_arn(&world));
    let id = &world.seats[0].instance_id;
    let more = format!("{group}&Targets.member.1.Id={id}&Targets.member.1.Port=9090");
    assert_eq!(balancing(&world, "RegisterTargets", &more).await.0, 200);
    let (_, body) = balancing(&world, "DescribeTargetHealth", &group).await;
    assert_eq!(body.matches("<member>").count(), 3, "{body}");
    for port in [world.seats[0].application.port(), 9090] {
        assert!(body.contains(&format!("<Target><Id>{id}</Id><Port>{port}</Port></Target>")), "{body}");
    }
    assert!(body.contains("<State>initial</State><Reason>Elb.RegistrationInProgress</Reason>"));
}

#[tokio::test(start_paused = true)]
async fn a_group_without_listener_is_not_in_use() {
    let world = world();
    let arn = world.target_group_arn("sample-spare").unwrap();
    let fields = format!("TargetGroupArn={arn}&{}", first(&world));
    balancing(&world, "RegisterTargets", &fields).await;
    let (_, body) = balancing(&world, "DescribeTargetHealth", &fields).await;
    assert!(body.contains("<State>unused</State><Reason>Target.NotInUse</Reason>"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_valid_keys_is_refused() {
    let world = world();
    let body = || Bytes::from("Action=DescribeTargetGroups&Version=2015-12-01");
    let unsigned = Request::post("/").body(body()).unwrap();
    let stranger = Request::post("/")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=SOMEBODYELSE/20260101/us-west-2/x/aws4_request")
        .body(body())
        .unwrap();
    let late = signed(&world).body(body()).unwrap();
    for (request, code) in [(unsigned, "MissingAuthenticationToken"), (stranger, "InvalidClientTokenId")] {
        let (status, body) = text(&world.router(Origin::Aws, request).await);
        assert_eq!(status, 403);
        assert!(body.contains(code), "{body}");
    }
    tokio::time::advance(Duration::from_secs(12 * 3600)).await;
    let (status, body) = text(&world.router(Origin::Aws, late).await);
    assert!(status == 403 && body.contains("ExpiredToken"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn the_log_keeps_who_changed_what() {
    let world = world();
    let fields = format!("TargetGroupArn={}&{}", group_arn(&world), first(&world));
    balancing(&world, "DeregisterTargets", &fields).await;
    let calls = world.calls();
    let call = calls.last().unwrap();
    assert_eq!((call.caller, call.action.as_str()), (Caller::Operator, "DeregisterTargets"));
    let [Effect::Deregistered { changed, registered_beside, healthy_beside, .. }] = call.effects.as_slice() else {
        panic!("one effect, not {:?}", call.effects);
    };
    assert_eq!((*changed, *registered_beside, *healthy_beside), (true, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn faults_meet_instances_but_not_the_operator() {
    let plan = Plan {
        elastigroup: None,
        seed: 3,
        district: 0,
        instances: 1,
        deregistration_delay: Duration::from_secs(60),
        fault: Some(Fault::Throttle),
        ask_after: None,
        denied: None,
    };
    let world = World::new(&plan, WorldClock::simulated(), None, Timeline::default());
    for _ in 0..20 {
        assert_eq!(balancing(&world, "DescribeTargetGroups", "").await.0, 200);
    }
    let mut throttled = 0;
    for _ in 0..100 {
        let request = Request::post("/")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=REHEARSALSEAT00001/x")
            .header("x-amz-security-token", "rehearsal-session-9999999999")
            .body(Bytes::from("Action=DescribeTargetGroups&Version=2015-12-01"))
            .unwrap();
        let (status, body) = text(&world.router(Origin::Aws, request).await);
        if status == 400 {
            assert!(body.contains("<Code>Throttling</Code><Message>Rate exceeded</Message>"), "{body}");
            throttled += 1;
        }
    }
    assert!((25..=55).contains(&throttled), "{throttled} of 100 were throttled");
}

fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).unwrap().1;
    rest.split_once(after).unwrap().0.to_owned()
}
