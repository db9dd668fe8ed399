//! The balancer and deployment effects, called one by one.

use std::time::Duration;

use pitcrew::effect::{Balancer, Deployments, OwnIds};
use pitcrew_core::ids::{DeploymentGroup, InstanceId, TargetGroupArn};
use pitcrew_core::wire::{FailureKind, GroupFacts, Owner, Target, TargetState};

use crate::server::{Instances, Moto, between, each};

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn targets_come_and_go_as_we_say() {
    let moto = Moto::start().await;
    let Instances { me, peer, vpc } = moto.instances().await;
    let subnets = each(&moto.call("ec2", "DescribeSubnets", &[]).await, "subnetId");

    let web = moto.target_group("web", "instance", &vpc).await;
    let api = moto.target_group("api", "instance", &vpc).await;
    let by_address = moto.target_group("by-address", "ip", &vpc).await;
    moto.target_group("functions", "lambda", &vpc).await;
    let balancer = [("Name", "front"), ("Subnets.member.1", &*subnets[0]), ("Subnets.member.2", &*subnets[1])];
    let text = moto.call("elasticloadbalancing", "CreateLoadBalancer", &balancer).await;
    let front = between(&text, "<LoadBalancerArn>", "</LoadBalancerArn>");
    for (port, group) in [("80", &web), ("81", &api), ("82", &by_address)] {
        let listener = [
            ("LoadBalancerArn", &*front),
            ("Protocol", "HTTP"),
            ("Port", port),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", group.as_str()),
        ];
        moto.call("elasticloadbalancing", "CreateListener", &listener).await;
    }
    let delay = [
        ("TargetGroupArn", web.as_str()),
        ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
        ("Attributes.member.1.Value", "17"),
    ];
    moto.call("elasticloadbalancing", "ModifyTargetGroupAttributes", &delay).await;

    let mine = Balancer::new(
        moto.config(),
        moto.doors(),
        OwnIds { instance: InstanceId::new(&*me), address: Some("10.11.12.13".to_owned()) },
        "amazonaws.com",
    );
    assert_eq!(mine.discover(&[]).await, Ok(vec![]), "in no group yet");
    mine.register(&web, &[target(&me, 8080), target(&peer, 8081)]).await.unwrap();
    mine.register(&by_address, &[target("10.11.12.13", 9000)]).await.unwrap();

    assert_eq!(mine.discover(&[]).await, Ok(vec![facts(&by_address, 300), facts(&web, 17)]));
    let named = ["api".to_owned(), web.to_string()];
    assert_eq!(mine.discover(&named).await, Ok(vec![facts(&api, 300), facts(&web, 17)]));
    let unknown = mine.discover(&["nowhere".to_owned()]).await.unwrap_err();
    assert_eq!(unknown.kind, FailureKind::NotFound, "{unknown:?}");
    let functions = mine.discover(&["functions".to_owned()]).await.unwrap_err();
    assert_eq!(functions.kind, FailureKind::Invalid, "{functions:?}");

    let seen = mine.observe(&web).await.unwrap();
    assert_eq!(seen.own, [(target(&me, 8080), TargetState::Healthy)].into());
    assert_eq!((seen.peers, seen.healthy_peers), (1, 1));

    mine.deregister(&web, &[target(&me, 8080)]).await.unwrap();
    let seen = mine.observe(&web).await.unwrap();
    assert!(seen.own.values().all(|state| !state.is_registered()), "{seen:?}");
    assert_eq!((seen.peers, seen.healthy_peers), (1, 1));

    mine.register(&web, &[target(&me, 8080)]).await.unwrap();
    let seen = mine.observe(&web).await.unwrap();
    assert_eq!(seen.own, [(target(&me, 8080), TargetState::Healthy)].into());

    // AWS takes this for done; moto refuses it with the code that AWS has for targets that cannot be.
    let stranger = mine.deregister(&api, &[target(&me, 80)]).await.unwrap_err();
    assert_eq!(stranger.kind, FailureKind::Invalid, "{stranger:?}");
    let gone = TargetGroupArn::new(web.as_str().replace("/web/", "/gone/"));
    for failure in [
        mine.observe(&gone).await.unwrap_err(),
        mine.register(&gone, &[target(&me, 80)]).await.unwrap_err(),
        mine.deregister(&gone, &[target(&me, 80)]).await.unwrap_err(),
    ] {
        assert_eq!(failure.kind, FailureKind::NotFound, "{failure:?}");
        assert!(failure.sentence.starts_with("target group `gone` does not exist"), "{failure:?}");
    }
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn owners_are_told_apart() {
    let moto = Moto::start().await;
    moto.codedeploy("CreateApplication", r#"{"applicationName":"shop","computePlatform":"Server"}"#).await;
    let group = |name: &str, more: &str| {
        format!(
            r#"{{"applicationName":"shop","deploymentGroupName":"{name}","serviceRoleArn":"arn:aws:iam::123456789012:role/cd",{more}}}"#
        )
    };
    let controlled = r#""deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITH_TRAFFIC_CONTROL"},"loadBalancerInfo":{"targetGroupInfoList":[{"name":"web"}]}"#;
    let plain = r#""deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITHOUT_TRAFFIC_CONTROL"}"#;
    moto.codedeploy("CreateDeploymentGroup", &group("controlled", controlled)).await;
    moto.codedeploy("CreateDeploymentGroup", &group("plain", plain)).await;

    let deployments = Deployments::new(moto.config(), "i-1".into());
    let owner = async |name: &str| {
        let group = DeploymentGroup { application: "shop".to_owned(), name: name.to_owned() };
        deployments.owner(&group).await
    };
    assert_eq!(owner("controlled").await, Ok(Owner::CodeDeploy));
    assert_eq!(owner("plain").await, Ok(Owner::Pitcrew));
    let unknown = owner("nowhere").await.unwrap_err();
    assert_eq!(unknown.kind, FailureKind::NotFound, "{unknown:?}");
    assert!(unknown.sentence.contains("deployment group `shop/nowhere` does not exist"), "{unknown:?}");
}

fn target(id: &str, port: u16) -> Target {
    Target { id: id.to_owned(), port, zone: None }
}

fn facts(arn: &TargetGroupArn, seconds: u64) -> GroupFacts {
    GroupFacts { arn: arn.clone(), deregistration_delay: Duration::from_secs(seconds) }
}
