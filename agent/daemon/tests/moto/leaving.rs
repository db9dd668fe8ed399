//! The effects of leaving, called one by one.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use pitcrew::doors::{HostTransport, SystemClock};
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{AutoScaling, Release, Tags, aws};
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::wire::FailureKind;
use pitcrew_rehearsal::world::identity::REGION;

use crate::server::{Instances, Keys, Moto, each};

/// The tags of an instance, asked for with these keys.
fn tags(moto: &Moto, instance: &str, keys: &Keys) -> Tags {
    let doors = aws::Doors { transport: Arc::new(HostTransport::default()), clock: Arc::new(SystemClock) };
    let credentials = Credentials::new(&keys.id, &keys.secret, None, None, "test");
    let credentials = SharedCredentialsProvider::new(credentials);
    let config = aws::fixed(REGION, &moto.url, Duration::from_secs(60), credentials, &doors);
    let owner = Owner { partition: "aws", account: "123456789012", domain: "amazonaws.com" };
    Tags::new(config, doors, instance.into(), &owner)
}

async fn keys_of(moto: &Moto, instance: &str) -> Vec<String> {
    let filter = [("Filter.1.Name", "resource-id"), ("Filter.1.Value.1", instance)];
    let mut keys = each(&moto.call("ec2", "DescribeTags", &filter).await, "key");
    keys.sort();
    keys
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn tags_are_set_and_removed_by_calls_whose_signature_is_checked() {
    let moto = Moto::start().await;
    let Instances { me, peer, .. } = moto.instances().await;
    let allowed = moto.user("agent", &["ec2:CreateTags", "ec2:DeleteTags"]).await;
    let denied = moto.user("nobody", &["ec2:DescribeTags"]).await;

    moto.check_access_after(0).await;
    tags(&moto, &me, &allowed).create(&[("deploy", "a b&c=d/é"), ("pitcrew:ready", "true")]).await.unwrap();
    tags(&moto, &peer, &allowed).create(&[("deploy", "web")]).await.unwrap();
    let failure = tags(&moto, &me, &denied).delete(&["deploy".to_owned()]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{}", failure.sentence);
    assert!(failure.sentence.contains("allow ec2:DeleteTags"), "{}", failure.sentence);
    let forged = Keys { secret: "guessed".to_owned(), ..allowed.clone() };
    tags(&moto, &me, &forged).delete(&["deploy".to_owned()]).await.unwrap_err();

    moto.check_access_after(1000).await;
    assert_eq!(keys_of(&moto, &me).await, ["deploy", "pitcrew:ready"]);
    let text = moto.call("ec2", "DescribeTags", &[("Filter.1.Name", "resource-id"), ("Filter.1.Value.1", &me)]).await;
    assert!(each(&text, "value").contains(&"a b&amp;c=d/é".to_owned()), "{text}");
    tags(&moto, &me, &allowed).delete(&["deploy".to_owned(), "absent".to_owned()]).await.unwrap();
    assert_eq!(keys_of(&moto, &me).await, ["pitcrew:ready"]);
    assert_eq!(keys_of(&moto, &peer).await, ["deploy"], "another's tags stay");
}

/// moto's instances never terminate slowly, and it has no `CompleteLifecycleAction`: this is how far it goes.
#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn the_lifecycle_hook_of_the_instances_group_is_found() {
    let moto = Moto::start().await;
    let launch = [("LaunchConfigurationName", "web"), ("ImageId", "ami-12c6146b"), ("InstanceType", "t3.nano")];
    moto.call("autoscaling", "CreateLaunchConfiguration", &launch).await;
    let fleet = ("AutoScalingGroupName", "fleet");
    let zone = format!("{REGION}a");
    let size = [("MinSize", "1"), ("MaxSize", "1"), ("LaunchConfigurationName", "web")];
    let group = [&[fleet, ("AvailabilityZones.member.1", zone.as_str())], &size[..]].concat();
    moto.call("autoscaling", "CreateAutoScalingGroup", &group).await;
    let text = moto.call("autoscaling", "DescribeAutoScalingInstances", &[]).await;
    let me = each(&text, "InstanceId").pop().unwrap();
    let release = |instance: &str, hook: Option<&str>| {
        let group = AutoScaling::new(moto.config(), moto.doors(), instance.into(), "amazonaws.com");
        Release::new(group, hook.map(str::to_owned))
    };

    release(&me, None).release(NoticeKind::AutoScaling).await.expect("no hook waits");
    release("i-0123456789abcdef0", None).release(NoticeKind::AutoScaling).await.expect("in no group");
    for (name, transition) in [("born", "LAUNCHING"), ("drain", "TERMINATING")] {
        let transition = format!("autoscaling:EC2_INSTANCE_{transition}");
        let hook = [fleet, ("LifecycleHookName", name), ("LifecycleTransition", transition.as_str())];
        moto.call("autoscaling", "PutLifecycleHook", &hook).await;
    }
    let failure = release(&me, None).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.sentence.contains("`drain` of Auto Scaling group `fleet` does not wait"), "{}", failure.sentence);
    let failure = release(&me, Some("born")).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert!(failure.sentence.contains("no lifecycle hook `born`"), "{}", failure.sentence);
}
