//! What an operator's machine asks: the latest deployments, instances by their tags, and CodeDeploy's host agent installed.

use std::sync::Arc;

use aws_config::SdkConfig;
use pitcrew::doors::{HostTransport, SystemClock};
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{Deployments, Tags, aws};
use pitcrew::ensure;
use pitcrew_core::ids::DeploymentGroup;

use crate::server::{Instances, Moto, between};

const REVISION: &str =
    r#""revision":{"revisionType":"S3","s3Location":{"bucket":"b","key":"v2.tgz","bundleType":"tgz"}}"#;

fn shop(name: &str) -> DeploymentGroup {
    DeploymentGroup { application: "shop".to_owned(), name: name.to_owned() }
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn the_latest_deployments_of_a_group_are_listed() {
    let moto = Moto::start().await;
    moto.codedeploy("CreateApplication", r#"{"applicationName":"shop","computePlatform":"Server"}"#).await;
    let group = r#"{"applicationName":"shop","deploymentGroupName":"prod","serviceRoleArn":"arn:aws:iam::123456789012:role/cd"}"#;
    moto.codedeploy("CreateDeploymentGroup", group).await;
    let deployments = Deployments::new(moto.config(), "i-1".into());
    assert_eq!(deployments.latest(&shop("prod"), 3).await, Ok(vec![]));

    let deployment = format!(r#"{{"applicationName":"shop","deploymentGroupName":"prod",{REVISION}}}"#);
    let text = moto.codedeploy("CreateDeployment", &deployment).await.replace(' ', "");
    let id = between(&text, "\"deploymentId\":\"", "\"");
    let latest = deployments.latest(&shop("prod"), 3).await.unwrap();
    assert_eq!((latest.len(), latest[0].id.as_str(), latest[0].status.as_str()), (1, id.as_str(), "Created"));
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn a_command_of_systems_manager_is_sent_and_its_end_is_read() {
    let moto = Moto::start().await;
    let Instances { me, .. } = moto.instances().await;
    let mut said = Vec::new();
    let outcome = ensure::send(&moto.config(), std::slice::from_ref(&me), &mut |line| said.push(line.to_owned())).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(said[0].ends_with(&format!("installs AWSCodeDeployAgent on {me}")), "{said:?}");
    assert!(said.last().unwrap().starts_with(&format!("{me}: Success")), "{said:?}");
}

fn tags(config: SdkConfig, instance: &str) -> Tags {
    let doors = aws::Doors { transport: Arc::new(HostTransport::default()), clock: Arc::new(SystemClock) };
    let owner = Owner { partition: "aws", account: "123456789012", domain: "amazonaws.com" };
    Tags::new(config, doors, instance.into(), &owner)
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn instances_are_found_by_their_tags() {
    let moto = Moto::start().await;
    let Instances { me, peer, .. } = moto.instances().await;
    tags(moto.config(), &me).create(&[("deploy", "web"), ("pitcrew:version", "8.0")]).await.unwrap();
    tags(moto.config(), &peer).create(&[("deploy", "batch")]).await.unwrap();
    let mut both = [me.clone(), peer];
    both.sort();
    let asking = tags(moto.config(), &me);
    assert_eq!(asking.find("deploy", None).await, Ok(both.to_vec()));
    assert_eq!(asking.find("deploy", Some("web")).await, Ok(vec![me.clone()]));
    assert_eq!(asking.find("nobody", None).await, Ok(vec![]));
    assert_eq!(asking.describe().await.unwrap()["pitcrew:version"], "8.0");
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn a_policy_of_the_shipped_form_is_taken_by_iam() {
    let moto = Moto::start().await;
    for (name, text) in [
        ("agent", include_str!("../../../../packaging/iam/agent.json")),
        ("operator", include_str!("../../../../packaging/iam/operator.json")),
    ] {
        let policy = [("PolicyName", name), ("PolicyDocument", text)];
        let answer = moto.call("iam", "CreatePolicy", &policy).await;
        assert!(answer.contains(&format!("policy/{name}")), "{answer}");
    }
}
