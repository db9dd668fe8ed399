//! What AWS services are told about an instance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pitcrew::config::CloudWatch as Settings;
use pitcrew::doors::{HostTransport, SystemClock};
use pitcrew::effect::replace::Replace;
use pitcrew::effect::{AutoScaling, CloudWatch, aws};
use pitcrew_core::Core;
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_rehearsal::world::identity::REGION;

use crate::server::{Moto, each};

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn cloudwatch_takes_the_numbers_of_an_instance() {
    let moto = Moto::start().await;
    let now = Now { at: Instant(1_000), wall: WallTime(1_795_392_000_000) };
    let mut core = Core::new(pitcrew_core::settings::Settings::default(), Default::default(), now);
    let doors = aws::Doors { transport: Arc::new(HostTransport::default()), clock: Arc::new(SystemClock) };
    let settings = Settings { namespace: "Pitcrew".to_owned(), period: Duration::from_secs(60) };
    let cloudwatch = CloudWatch::new(settings, moto.config(), doors, "i-0abc".into(), "amazonaws.com");
    cloudwatch.tell(&core.view(now)).await.unwrap();
    let text = moto.call("monitoring", "ListMetrics", &[("Namespace", "Pitcrew")]).await;
    let mut names = each(&text, "MetricName");
    names.sort();
    assert_eq!(names, ["Blind", "Healthy", "InService", "Leaving", "Ready", "Troubles"], "{text}");
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn an_auto_scaling_group_is_told_that_its_instance_is_unhealthy() {
    let moto = Moto::start().await;
    let launch = [("LaunchConfigurationName", "web"), ("ImageId", "ami-12c6146b"), ("InstanceType", "t3.nano")];
    moto.call("autoscaling", "CreateLaunchConfiguration", &launch).await;
    let zone = format!("{REGION}a");
    let group = [
        ("AutoScalingGroupName", "fleet"),
        ("AvailabilityZones.member.1", zone.as_str()),
        ("MinSize", "1"),
        ("MaxSize", "1"),
        ("LaunchConfigurationName", "web"),
    ];
    moto.call("autoscaling", "CreateAutoScalingGroup", &group).await;
    let text = moto.call("autoscaling", "DescribeAutoScalingInstances", &[]).await;
    let me = each(&text, "InstanceId").pop().unwrap();
    let health = async || -> BTreeMap<String, String> {
        let text = moto.call("autoscaling", "DescribeAutoScalingInstances", &[]).await;
        each(&text, "InstanceId").into_iter().zip(each(&text, "HealthStatus")).collect()
    };
    assert_eq!(health().await[&me].to_uppercase(), "HEALTHY");
    let group = AutoScaling::new(moto.config(), moto.doors(), me.as_str().into(), "amazonaws.com");
    Replace::new(group).ask().await.unwrap();
    assert_eq!(health().await[&me].to_uppercase(), "UNHEALTHY");
}
