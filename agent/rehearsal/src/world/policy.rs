//! Access control: each call to AWS is checked against the policies that are shipped (`packaging/iam`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// An IAM policy, as far as the shipped ones go. What it does not understand, it does not allow.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    statement: Vec<Statement>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: String,
    action: OneOrMany,
    resource: OneOrMany,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What a policy is asked about.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// `ec2:CreateTags`
    pub action: &'a str,
    /// The instance whose role calls, where it is one.
    pub caller: Option<&'a str>,
    /// The ARNs of what the call is about; none where the action knows no resources, and only `*` allows it.
    pub resources: Vec<String>,
    /// `aws:TagKeys`
    pub tag_keys: Vec<&'a str>,
    /// `cloudwatch:namespace`
    pub namespace: Option<&'a str>,
}

impl Policy {
    /// What an instance's role needs.
    pub fn agent() -> Self {
        Self::read(include_str!("../../../../packaging/iam/agent.json"))
    }

    /// What a person needs who looks after a fleet.
    pub fn operator() -> Self {
        Self::read(include_str!("../../../../packaging/iam/operator.json"))
    }

    /// A text that is no policy allows nothing.
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Every action that it allows, and the statement that does.
    pub fn actions(&self) -> BTreeMap<&str, &str> {
        let statements = self.statement.iter();
        statements
            .flat_map(|statement| statement.action.iter().map(|action| (action, statement.sid.as_str())))
            .collect()
    }

    /// The same without one action.
    #[must_use]
    pub fn without(mut self, action: &str) -> Self {
        for statement in &mut self.statement {
            let left: Vec<_> =
                statement.action.iter().filter(|allowed| *allowed != action).map(str::to_owned).collect();
            statement.action = OneOrMany::Many(left);
        }
        self
    }

    /// Whether a statement allows it, on each of its resources.
    pub fn allows(&self, request: &Request<'_>) -> bool {
        let any = ["*".to_owned()];
        let resources = if request.resources.is_empty() { &any[..] } else { &request.resources };
        resources.iter().all(|resource| self.allows_on(resource, request))
    }

    fn allows_on(&self, resource: &str, request: &Request<'_>) -> bool {
        self.statement.iter().any(|statement| {
            statement.effect == "Allow"
                && statement.action.iter().any(|action| action == request.action)
                && statement.resource.iter().any(|pattern| matches(pattern, resource))
                && statement
                    .condition
                    .iter()
                    .all(|(operator, keys)| keys.iter().all(|(key, values)| holds(operator, key, values, request)))
        })
    }
}

fn holds(operator: &str, key: &str, values: &OneOrMany, request: &Request<'_>) -> bool {
    match (operator, key) {
        ("ForAllValues:StringEquals", "aws:TagKeys") => {
            let allowed: BTreeSet<_> = values.iter().collect();
            request.tag_keys.iter().all(|key| allowed.contains(key))
        }
        // The session of an instance's role is named after the instance: it may change itself alone.
        ("StringLike", "aws:userid") => {
            let own = values.iter().any(|value| value == "*:${ec2:InstanceID}");
            let is_own = |arn: &String| arn.rsplit('/').next() == request.caller;
            own && request.caller.is_some() && request.resources.iter().all(is_own)
        }
        ("StringEquals", "cloudwatch:namespace") => {
            request.namespace.is_some_and(|namespace| values.iter().any(|value| value == namespace))
        }
        (_, _) => false,
    }
}

/// Whether an ARN fits a pattern, in which `*` stands for anything.
fn matches(pattern: &str, arn: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == arn;
    };
    let Some(mut left) = arn.strip_prefix(before) else {
        return false;
    };
    loop {
        if matches(rest, left) {
            return true;
        }
        let mut letters = left.chars();
        if letters.next().is_none() {
            return false;
        }
        left = letters.as_str();
    }
}

impl OneOrMany {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        all.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag<'a>(key: &'a str, resource: &str) -> Request<'a> {
        Request {
            action: "ec2:CreateTags",
            caller: Some("i-1"),
            resources: vec![format!("arn:aws:ec2:us-west-2:123456789012:instance/{resource}")],
            tag_keys: vec![key],
            namespace: None,
        }
    }

    #[test]
    fn a_resource_must_fit_the_statement_and_an_action_without_one_needs_all() {
        let policy = Policy::agent();
        let on =
            |action, resource: &str| Request { action, resources: vec![resource.to_owned()], ..Request::default() };
        let group = "arn:aws:elasticloadbalancing:us-west-2:123456789012:targetgroup/web/73e2d6bc24d8a067";
        assert!(policy.allows(&on("elasticloadbalancing:RegisterTargets", group)));
        let balancer = "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/web/1";
        assert!(!policy.allows(&on("elasticloadbalancing:RegisterTargets", balancer)));
        assert!(!policy.allows(&Request { action: "elasticloadbalancing:RegisterTargets", ..Request::default() }));
        let parameter = |name: &str| format!("arn:aws:ssm:us-west-2:123456789012:parameter/{name}");
        assert!(policy.allows(&on("ssm:GetParameter", &parameter("pitcrew/token"))));
        assert!(!policy.allows(&on("ssm:GetParameter", &parameter("database/password"))));
        let metrics = |namespace| Request { action: "cloudwatch:PutMetricData", namespace, ..Request::default() };
        assert!(policy.allows(&metrics(Some("Pitcrew"))) && !policy.allows(&metrics(Some("AWS/EC2"))));
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("*", "arn:aws:s3:::a") && matches("arn:*:a", "arn:aws:s3:::a") && matches("a*", "a"));
        assert!(!matches("arn:*:b", "arn:aws:s3:::a") && !matches("a", "ab"));
    }

    #[test]
    fn the_shipped_policies_are_policies() {
        assert!(Policy::agent().actions().len() > 10 && Policy::operator().actions().len() > 5);
    }

    #[test]
    fn an_instance_may_set_few_tags_and_only_its_own() {
        let policy = Policy::agent();
        assert!(policy.allows(&tag("pitcrew:version", "i-1")));
        assert!(!policy.allows(&tag("pitcrew:version", "i-2")), "somebody else's");
        assert!(!policy.allows(&tag("deploy", "i-1")), "it would join any deployment group");
        assert!(!policy.allows(&Request { caller: None, ..tag("pitcrew:version", "i-1") }));
        assert!(!policy.clone().without("ec2:CreateTags").allows(&tag("pitcrew:version", "i-1")));
        assert!(!policy.allows(&Request { action: "ec2:TerminateInstances", ..Request::default() }));
    }
}
