//! Finds the target groups to look after, and the facts about them that do not change while a deployment runs.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Failure, FailureKind, GroupFacts};

use super::{Answer, Api, Asked, OwnIds, health, named};

/// Enough to look through a hundred groups in a few seconds, too few to spend a fleet's share of the API's rate.
const AT_A_TIME: usize = 4;

/// Together these are patient for about three seconds, which outlasts a burst of a fleet's calls.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What a group has that says nothing of its own.
const DEFAULT_DELAY: Duration = Duration::from_secs(300);

const DESCRIBE_GROUPS: &str = "elasticloadbalancing:DescribeTargetGroups";

pub(super) async fn discover(api: &Api, own: &OwnIds, wanted: &[String]) -> Result<Vec<GroupFacts>, Failure> {
    let groups = if wanted.is_empty() {
        holding(api, own).await?
    } else {
        some_at_a_time(wanted.iter().map(|name| patiently(|| one(api, name))).collect()).await?
    };
    let questions = groups.iter().map(|arn| patiently(|| facts(api, arn.clone()))).collect();
    let mut facts = some_at_a_time(questions).await?;
    facts.sort_by(|a, b| a.arn.cmp(&b.arn));
    facts.dedup_by(|a, b| a.arn == b.arn);
    Ok(facts)
}

/// The group that an operator named, by name or ARN: asked for by itself, so that a wrong name is the one in the answer.
async fn one(api: &Api, name: &str) -> Result<TargetGroupArn, Failure> {
    let by = match name.starts_with("arn:") {
        true => "TargetGroupArns.member.1",
        false => "Names.member.1",
    };
    let object = format!("target group `{name}` (from `target_groups` in `[traffic]`)");
    let asked = Asked { permission: DESCRIBE_GROUPS, object: &object, resource: "*" };
    let group = listed(&api.call(&asked, &[(by, name)]).await?)?.into_iter().next();
    match group {
        Some(group) if group.can_hold_instances() => Ok(group.arn),
        Some(group) => Err(Failure {
            kind: FailureKind::Invalid,
            sentence: format!(
                "{object} has targets of type `{}`, which no instance can be: take it out of the list",
                group.of_type
            ),
        }),
        None => Err(Failure { kind: FailureKind::NotFound, sentence: format!("{object} does not exist") }),
    }
}

/// Every group of the region that holds this instance.
async fn holding(api: &Api, own: &OwnIds) -> Result<Vec<TargetGroupArn>, Failure> {
    let groups = all(api).await?;
    let questions = groups.iter().map(|arn| patiently(|| if_holding(api, own, arn.clone()))).collect();
    let found = some_at_a_time(questions).await?;
    Ok(found.into_iter().flatten().collect())
}

/// The group itself, where it holds this instance.
async fn if_holding(api: &Api, own: &OwnIds, group: TargetGroupArn) -> Result<Option<TargetGroupArn>, Failure> {
    match health::describe(api, &group).await {
        Ok(listed) => {
            let held = listed.iter().any(|listed| own.holds(&listed.id) && listed.state.is_some());
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

async fn all(api: &Api) -> Result<Vec<TargetGroupArn>, Failure> {
    let asked = Asked { permission: DESCRIBE_GROUPS, object: "the region's target groups", resource: "*" };
    let mut found = Vec::new();
    let mut marker = None;
    loop {
        let after = marker.as_deref().map(|marker| ("Marker", marker));
        let page = patiently(|| api.call(&asked, after.as_slice())).await?;
        let usable = listed(&page)?.into_iter().filter(Group::can_hold_instances);
        found.extend(usable.map(|group| group.arn));
        marker = page.fact("NextMarker")?;
        if marker.is_none() {
            return Ok(found);
        }
    }
}

/// A target group, as far as it matters whether it can hold an instance.
struct Group {
    arn: TargetGroupArn,
    of_type: String,
}

/// From `DescribeTargetGroups`.
fn listed(answer: &Answer<'_>) -> Result<Vec<Group>, Failure> {
    let groups = answer.members("TargetGroups", ["TargetGroupArn", "TargetType"])?;
    let groups = groups.into_iter().filter(|[arn, _]| !arn.is_empty());
    Ok(groups.map(|[arn, of_type]| Group { arn: TargetGroupArn::new(arn), of_type }).collect())
}

impl Group {
    /// Groups of functions and of other balancers cannot. Of a type that is newer than this program, or not said, the
    /// group's targets will tell.
    fn can_hold_instances(&self) -> bool {
        !matches!(self.of_type.as_str(), "lambda" | "alb")
    }
}

async fn facts(api: &Api, arn: TargetGroupArn) -> Result<GroupFacts, Failure> {
    let asked =
        Asked { permission: "elasticloadbalancing:DescribeTargetGroupAttributes", object: &named(&arn), resource: "*" };
    let answer = api.call(&asked, &[("TargetGroupArn", arn.as_str())]).await?;
    let attributes = answer.members("Attributes", ["Key", "Value"])?;
    let delay = attributes
        .into_iter()
        .find(|[key, _]| key == "deregistration_delay.timeout_seconds")
        .and_then(|[_, value]| value.parse().ok())
        .map_or(DEFAULT_DELAY, Duration::from_secs);
    Ok(GroupFacts { arn, deregistration_delay: delay })
}
