//! Finds the target groups to look after, and the facts about them that do not change while a deployment runs.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{TargetGroup, TargetTypeEnum};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Failure, FailureKind, GroupFacts};

use super::{Asked, OwnIds, health, named};

/// Enough to look through a hundred groups in a few seconds, too few to spend a fleet's share of the API's rate.
const AT_A_TIME: usize = 4;

/// Together these are patient for about three seconds, which outlasts a burst of a fleet's calls.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What a group has that says nothing of its own.
const DEFAULT_DELAY: Duration = Duration::from_secs(300);

const DESCRIBE_GROUPS: &str = "elasticloadbalancing:DescribeTargetGroups";

pub(super) async fn discover(client: &Client, own: &OwnIds, wanted: &[String]) -> Result<Vec<GroupFacts>, Failure> {
    let groups = if wanted.is_empty() {
        holding(client, own).await?
    } else {
        some_at_a_time(wanted.iter().map(|name| patiently(|| one(client, name))).collect()).await?
    };
    let questions = groups.iter().map(|arn| patiently(|| facts(client, arn.clone()))).collect();
    let mut facts = some_at_a_time(questions).await?;
    facts.sort_by(|a, b| a.arn.cmp(&b.arn));
    facts.dedup_by(|a, b| a.arn == b.arn);
    Ok(facts)
}

/// The group that an operator named, by name or ARN: asked for by itself, so that a wrong name is the one in the answer.
async fn one(client: &Client, name: &str) -> Result<TargetGroupArn, Failure> {
    let request = client.describe_target_groups();
    let request = match name.starts_with("arn:") {
        true => request.target_group_arns(name),
        false => request.names(name),
    };
    let object = format!("target group `{name}` (from `target_groups` in `[traffic]`)");
    let asked = Asked { permission: DESCRIBE_GROUPS, object: &object, resource: "*" };
    let answer = request.send().await.map_err(|error| asked.explain(&error))?;
    let Some(group) = answer.target_groups().first() else {
        return Err(Failure { kind: FailureKind::NotFound, sentence: format!("{object} does not exist") });
    };
    match group.target_group_arn() {
        Some(arn) if can_hold_instances(group) => Ok(TargetGroupArn::new(arn)),
        Some(_) | None => Err(Failure {
            kind: FailureKind::Invalid,
            sentence: format!(
                "{object} has targets of type `{}`, which no instance can be: take it out of the list",
                group.target_type().map_or("unknown", TargetTypeEnum::as_str)
            ),
        }),
    }
}

/// Every group of the region that holds this instance.
async fn holding(client: &Client, own: &OwnIds) -> Result<Vec<TargetGroupArn>, Failure> {
    let groups = all(client).await?;
    let questions = groups.iter().map(|arn| patiently(|| if_holding(client, own, arn.clone()))).collect();
    let found = some_at_a_time(questions).await?;
    Ok(found.into_iter().flatten().collect())
}

/// The group itself, where it holds this instance.
async fn if_holding(client: &Client, own: &OwnIds, group: TargetGroupArn) -> Result<Option<TargetGroupArn>, Failure> {
    match health::describe(client, &group).await {
        Ok(listed) => {
            let held = listed.iter().any(|listed| {
                let id = listed.target().and_then(|target| target.id());
                let state = listed.target_health().and_then(health::state);
                id.is_some_and(|id| own.holds(id)) && state.is_some()
            });
            Ok(held.then_some(group))
        }
        // Deleted since it was listed.
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Answers in the order of the questions; the first failure ends them all.
async fn some_at_a_time<T>(questions: Vec<impl Future<Output = Result<T, Failure>>>) -> Result<Vec<T>, Failure> {
    stream::iter(questions).buffered(AT_A_TIME).try_collect().await
}

/// One question of many: asked again where the answer may be another one in a moment, so that a whole discovery is not
/// lost to one of its calls. What still fails then is the core's to repeat.
async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match ask().await {
            Err(failure) if failure.kind.is_transient() => {}
            answer => return answer,
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause *= 2;
    }
    ask().await
}

async fn all(client: &Client) -> Result<Vec<TargetGroupArn>, Failure> {
    let asked = Asked { permission: DESCRIBE_GROUPS, object: "the region's target groups", resource: "*" };
    let mut found = Vec::new();
    let mut marker = None;
    loop {
        let page = patiently(|| async {
            let request = client.describe_target_groups().set_marker(marker.clone());
            request.send().await.map_err(|error| asked.explain(&error))
        });
        let page = page.await?;
        let usable = page.target_groups().iter().filter(|group| can_hold_instances(group));
        found.extend(usable.filter_map(TargetGroup::target_group_arn).map(TargetGroupArn::new));
        marker = page.next_marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(found);
        }
    }
}

/// Groups of functions and of other balancers cannot hold an instance.
fn can_hold_instances(group: &TargetGroup) -> bool {
    match group.target_type() {
        Some(TargetTypeEnum::Instance | TargetTypeEnum::Ip) => true,
        Some(TargetTypeEnum::Lambda | TargetTypeEnum::Alb) => false,
        // A type that is newer than this program, or not said: the group's targets will tell.
        Some(_) | None => true,
    }
}

async fn facts(client: &Client, arn: TargetGroupArn) -> Result<GroupFacts, Failure> {
    let asked =
        Asked { permission: "elasticloadbalancing:DescribeTargetGroupAttributes", object: &named(&arn), resource: "*" };
    let request = client.describe_target_group_attributes();
    let answer = request.target_group_arn(arn.as_str()).send().await;
    let answer = answer.map_err(|error| asked.explain(&error))?;
    let delay = answer
        .attributes()
        .iter()
        .find(|attribute| attribute.key() == Some("deregistration_delay.timeout_seconds"))
        .and_then(|attribute| attribute.value()?.parse().ok())
        .map_or(DEFAULT_DELAY, Duration::from_secs);
    Ok(GroupFacts { arn, deregistration_delay: delay })
}
