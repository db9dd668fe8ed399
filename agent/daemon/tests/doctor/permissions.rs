//! The shipped policies, one action less: what fails, and the sentence that names the action.

use std::collections::BTreeSet;

use pitcrew::doctor::{self, Level};
use pitcrew::ensure::{self, Who};
use pitcrew_rehearsal::world::TARGET_GROUP;
use pitcrew_rehearsal::world::codedeploy::DeploymentGroup;
use pitcrew_rehearsal::world::policy::Policy;

use crate::bench::{Bench, group};
use crate::failing;

/// Each permission that the doctor can see missing, and the line that says so.
const PERMISSIONS: [(&str, &str); 9] = [
    ("codedeploy:GetDeploymentGroup", "deployment group"),
    ("codedeploy:GetDeploymentTarget", "permissions"),
    ("codedeploy:GetDeployment", "permissions"),
    ("ec2:CreateTags", "permissions"),
    ("autoscaling:DescribeAutoScalingInstances", "permissions"),
    ("elasticloadbalancing:DescribeTargetGroups", "load balancer"),
    ("elasticloadbalancing:DescribeTargetGroupAttributes", "load balancer"),
    ("elasticloadbalancing:DescribeTargetHealth", "load balancer"),
    ("ssm:DescribeInstanceInformation", "SSM online"),
];

#[tokio::test(start_paused = true)]
async fn a_permission_that_lacks_is_named_with_the_statement_that_gives_it() {
    let bench = Bench::new().await;
    for (action, check) in PERMISSIONS {
        bench.world().deny(Some(action));
        let lines = bench.look().await;
        assert_eq!(failing(&lines), [check], "{action}: {}", doctor::lines(&lines, false).join("\n"));
        let line = lines.iter().find(|line| line.check == check).unwrap();
        let statement = format!("\"Action\": [\"{action}\"]");
        assert!(line.why.contains(action) && line.fix.as_ref().unwrap().contains(&statement), "{line:#?}");
        bench.world().deny(None);
        assert_eq!(doctor::worst(&bench.look().await), Level::Ok);
    }
}

/// What each action of the operator's policy is for: a line of the doctor, or a verb of `pitcrew ensure`.
const OPERATOR: [(&str, &str); 11] = [
    ("codedeploy:GetDeployment", "latest deployment"),
    ("codedeploy:GetDeploymentGroup", "deployment group"),
    ("codedeploy:ListDeployments", "latest deployment"),
    ("ec2:DescribeTags", "instances"),
    ("elasticloadbalancing:DescribeTargetGroups", "load balancer"),
    ("elasticloadbalancing:DescribeTargetGroupAttributes", "load balancer"),
    ("elasticloadbalancing:DescribeTargetHealth", "load balancer"),
    ("ssm:CreateAssociation", "ensure, on a schedule"),
    ("ssm:DescribeInstanceInformation", "SSM online"),
    ("ssm:GetCommandInvocation", "ensure"),
    ("ssm:SendCommand", "ensure"),
];

/// What an operator is told by everything that the policy is for: the feature, and the sentence.
async fn complaints(bench: &Bench) -> Vec<(&'static str, String)> {
    let lines = bench.look_at_fleet().await.into_iter().filter(|line| line.level == Level::Failed);
    let mut told: Vec<_> =
        lines.map(|line| (line.check, format!("{} {}", line.why, line.fix.unwrap_or_default()))).collect();
    let (sdk, ..) = bench.operator();
    let instances = vec![bench.seat().instance_id.clone()];
    if let Err(error) = ensure::send(&sdk, &instances, &mut |_| {}).await {
        told.push(("ensure", format!("{error:#}")));
    }
    if let Err(error) = ensure::associate(&sdk, &Who::Instances(instances), "rate(14 days)").await {
        told.push(("ensure, on a schedule", format!("{error:#}")));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn without_any_one_action_an_operators_feature_fails_and_names_it() {
    let bench = Bench::new().await;
    let controls_traffic = Some(TARGET_GROUP.to_owned());
    bench.world().put_deployment_group(DeploymentGroup { controls_traffic, ..group() });
    bench.deploy_once();
    assert_eq!(complaints(&bench).await, [], "the shipped policy allows all of it");
    for (action, feature) in OPERATOR {
        bench.world().deny_operator(Some(action));
        let told = complaints(&bench).await;
        let features: Vec<_> = told.iter().map(|(feature, _)| *feature).collect();
        assert_eq!(features, [feature], "{action}: {told:?}");
        assert!(told[0].1.contains(&format!("allow {action} on")), "{told:?}");
        println!("{action:<55}{feature:<24}{}", told[0].1);
    }
    let named: BTreeSet<_> = OPERATOR.iter().map(|(action, _)| *action).collect();
    let policy = Policy::operator();
    assert_eq!(named, policy.actions().into_keys().collect(), "allowed, and needed for nothing");
}
