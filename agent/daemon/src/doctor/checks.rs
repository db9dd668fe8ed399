//! The checks of one instance, one function each, in the order in which a person would put things right.

use std::time::Duration;

use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::time::Spoken;
use pitcrew_core::wire::{Failure, FailureKind, Owner};

use super::{Facts, Line, elastigroup, waits};
use crate::effect::groups::Group;

/// Less is too little for a bundle, its archive and its logs.
const ROOM: u64 = 512 * 1024 * 1024;
/// The check that an instance and a whole fleet have in common.
pub(super) const IN_PLACE: &str = "in place";
/// A host agent that writes nothing for so long does not poll: it reports each failed poll, and rotates daily.
const QUIET: Duration = Duration::from_secs(26 * 3600);

/// Every prerequisite of an instance.
pub fn diagnose(facts: &Facts) -> Vec<Line> {
    const CHECKS: [fn(&Facts) -> Line; 17] = [
        metadata,
        role,
        clock,
        disk,
        ssm_agent,
        ssm_online,
        codedeploy_agent,
        resident,
        group,
        in_place,
        selected,
        owner,
        traffic,
        health_check,
        elastigroup::spoken_to,
        elastigroup::suits,
        permissions,
    ];
    CHECKS.into_iter().map(|check| check(facts)).chain([probe(facts), last_deployment(facts)]).collect()
}

fn metadata(facts: &Facts) -> Line {
    const NAME: &str = "metadata service";
    match &facts.identity {
        Ok(identity) => Line::ok(NAME, format!("this is {} in {}", identity.instance, identity.availability_zone)),
        Err(why) => Line::failed(
            NAME,
            why,
            "aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-endpoint enabled --http-tokens required \
             --http-put-response-hop-limit 2",
        ),
    }
}

fn role(facts: &Facts) -> Line {
    const NAME: &str = "role";
    match &facts.credentials {
        Err(_) if facts.identity.is_err() => {
            Line::ok(NAME, "waits for the metadata service, which gives its credentials")
        }
        Ok(()) => Line::ok(NAME, "the instance has a role that gives credentials"),
        Err(why) => Line::failed(
            NAME,
            why,
            "give the Elastigroup's launch specification an iamRole with packaging/iam/agent.json and \
             AmazonSSMManagedInstanceCore; for this instance: aws ec2 associate-iam-instance-profile --instance-id INSTANCE \
             --iam-instance-profile Name=PROFILE",
        ),
    }
}

fn clock(facts: &Facts) -> Line {
    const NAME: &str = "clock";
    match facts.clock_in_step {
        Some(true) => Line::ok(NAME, "synchronised"),
        Some(false) => Line::warning(
            NAME,
            "not synchronised: requests are refused that are signed with a clock five minutes off",
            "systemctl enable --now chronyd (or systemd-timesyncd); the time server of EC2 is 169.254.169.123",
        ),
        None => Line::ok(NAME, "this host does not tell whether its clock is synchronised"),
    }
}

fn disk(facts: &Facts) -> Line {
    const NAME: &str = "disk";
    match facts.space.iter().find(|space| space.free < ROOM) {
        None => Line::ok(NAME, "room for deployments and for what must be remembered"),
        Some(space) => Line::failed(
            NAME,
            format!("{} has {} MiB left", space.path.display(), space.free / (1024 * 1024)),
            format!(
                "free at least {} MiB there; `:max_revisions:` in codedeployagent.yml bounds what is kept",
                ROOM >> 20
            ),
        ),
    }
}

fn ssm_agent(facts: &Facts) -> Line {
    const NAME: &str = "SSM agent";
    let seen = &facts.agents.ssm;
    let own = facts.identity.as_ref().ok().map(|identity| identity.instance.as_str());
    match (seen.installed, seen.running, seen.registered_as.as_deref()) {
        (false, _, _) => Line::failed(
            NAME,
            "not installed",
            "pitcrew ensure ssm --via package; or let pitcrew-bootstrap install it (packaging/bootstrap.example.toml)",
        ),
        (true, Some(false), _) => {
            Line::failed(NAME, "installed, but not running", "systemctl enable --now amazon-ssm-agent")
        }
        (true, _, None) => Line::failed(
            NAME,
            "running, but not registered: it had no credentials when it started, and asks again only after minutes",
            "systemctl restart amazon-ssm-agent, once the role gives credentials",
        ),
        (true, _, Some(other)) if own.is_some_and(|own| own != other) => Line::failed(
            NAME,
            format!("registered as {other}, the instance that the image was made on"),
            "rm -r /var/lib/amazon/ssm && systemctl restart amazon-ssm-agent; and clean that directory in the image",
        ),
        (true, _, Some(_)) => Line::ok(NAME, "running and registered"),
    }
}

fn ssm_online(facts: &Facts) -> Line {
    const NAME: &str = "SSM online";
    match &facts.ssm {
        Ok(Some(status)) if status == "Online" => Line::ok(NAME, "Systems Manager sees this instance"),
        Ok(Some(status)) => Line::failed(
            NAME,
            format!("Systems Manager says {status}"),
            "systemctl restart amazon-ssm-agent; its log is /var/log/amazon/ssm/amazon-ssm-agent.log",
        ),
        Ok(None) => Line::failed(
            NAME,
            "Systems Manager does not know this instance",
            "attach AmazonSSMManagedInstanceCore to the role, allow the endpoints ssm, ssmmessages and ec2messages from this \
             subnet, then systemctl restart amazon-ssm-agent",
        ),
        Err(failure) => unasked(NAME, failure),
    }
}

fn codedeploy_agent(facts: &Facts) -> Line {
    const NAME: &str = "CodeDeploy agent";
    let seen = &facts.agents.codedeploy;
    let version = seen.version.as_deref().unwrap_or("of unknown version");
    match (seen.installed, seen.running, seen.log_age) {
        (false, _, _) => Line::failed(
            NAME,
            "not installed: a deployment would wait for it for up to an hour",
            "pitcrew ensure codedeploy --via package; or let pitcrew-bootstrap install it before the instance is tagged",
        ),
        (true, Some(false), _) => {
            Line::failed(NAME, format!("{version}, not running"), "systemctl enable --now codedeploy-agent")
        }
        (true, _, Some(age)) if age > QUIET => Line::warning(
            NAME,
            format!("{version}, running, but silent for {}", Spoken(age)),
            "systemctl restart codedeploy-agent; its log is /var/log/aws/codedeploy-agent/codedeploy-agent.log",
        ),
        (true, _, _) => Line::ok(NAME, format!("{version}, running")),
    }
}

fn resident(facts: &Facts) -> Line {
    const NAME: &str = "pitcrew";
    match &facts.status {
        Err(why) => Line::failed(NAME, why, "systemctl enable --now pitcrew; journalctl -u pitcrew says why it ended"),
        Ok(status) => {
            let sentence = status["sentence"].as_str().unwrap_or_default();
            let troubles = status["troubles"].as_array().map(Vec::as_slice).unwrap_or_default();
            match troubles.first().and_then(serde_json::Value::as_str) {
                None => Line::ok(NAME, sentence),
                Some(trouble) => Line::warning(NAME, trouble, "pitcrew status says more"),
            }
        }
    }
}

fn group(facts: &Facts) -> Line {
    const NAME: &str = "deployment group";
    match &facts.group {
        None => Line::warning(
            NAME,
            "not known: no deployment has come here yet",
            "pitcrew doctor --application APP --group GROUP",
        ),
        Some((group, Ok(_))) => Line::ok(NAME, format!("{group} exists")),
        Some((group, Err(failure))) if failure.kind == FailureKind::NotFound && !facts.group_named => Line::warning(
            NAME,
            format!(
                "{group} deployed here last and is gone: Elastigroup makes a group like it for an instance that it adds, and \
                 deletes it afterwards"
            ),
            format!("name the lasting one: pitcrew doctor --application {} --group GROUP", group.application),
        ),
        Some((group, Err(failure))) if failure.kind == FailureKind::NotFound => Line::failed(
            NAME,
            format!("{group} does not exist"),
            format!(
                "aws deploy create-deployment-group --application-name {} --deployment-group-name {} --deployment-style \
                 deploymentType=IN_PLACE,deploymentOption=WITHOUT_TRAFFIC_CONTROL --ec2-tag-filters \
                 Key=pitcrew:ready,Value=true,Type=KEY_AND_VALUE --service-role-arn ROLE",
                group.application, group.name
            ),
        ),
        Some((_, Err(failure))) => unasked(NAME, failure),
    }
}

/// The group, where CodeDeploy described it; what hinders that has its own line.
fn known(facts: &Facts) -> Option<(&DeploymentGroup, &Group)> {
    let (name, group) = facts.group.as_ref()?;
    Some((name, group.as_ref().ok()?))
}

const UNKNOWN_GROUP: &str = "waits for the deployment group to be known";

fn in_place(facts: &Facts) -> Line {
    match known(facts) {
        None => Line::ok(IN_PLACE, UNKNOWN_GROUP),
        Some((name, group)) => goes_in_place(name, group),
    }
}

/// Of an instance and of a whole fleet alike.
pub(super) fn goes_in_place(name: &DeploymentGroup, group: &Group) -> Line {
    if group.in_place {
        return Line::ok(IN_PLACE, "deployments go onto the instances that are there");
    }
    Line::failed(
        IN_PLACE,
        format!("{name} is blue/green: its deployments want new instances, which Elastigroup does not give it"),
        format!(
            "aws deploy update-deployment-group --application-name {} --current-deployment-group-name {} \
             --deployment-style deploymentType=IN_PLACE,deploymentOption=WITHOUT_TRAFFIC_CONTROL",
            name.application, name.name
        ),
    )
}

fn selected(facts: &Facts) -> Line {
    const NAME: &str = "selected";
    match (known(facts), &facts.tags) {
        (None, _) => Line::ok(NAME, UNKNOWN_GROUP),
        (Some((_, group)), Some(tags)) if group.selects(tags) => {
            Line::ok(NAME, format!("by its tags: {}", group.selection()))
        }
        (Some((_, group)), _) if !group.scaling_groups.is_empty() => {
            Line::ok(NAME, format!("by Auto Scaling: {}", group.scaling_groups.join(", ")))
        }
        (Some((name, group)), Some(_)) if group.selects.is_empty() => Line::failed(
            NAME,
            format!("{name} selects no instance at all"),
            "give the deployment group tag filters (--ec2-tag-filters)",
        ),
        (Some((name, group)), Some(_)) => Line::failed(
            NAME,
            format!("{name} selects {}, and this instance's tags do not match", group.selection()),
            format!(
                "let Elastigroup tag its instances so (compute.launchSpecification.tags); for this one: aws ec2 create-tags \
                 --resources INSTANCE --tags {}",
                group
                    .selects
                    .iter()
                    .filter_map(|any| any.first())
                    .map(|filter| {
                        let (key, value) = (filter.key.as_deref(), filter.value.as_deref());
                        format!("Key={},Value={}", key.unwrap_or("KEY"), value.unwrap_or("VALUE"))
                    })
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        ),
        (Some((_, group)), None) => Line::warning(
            NAME,
            format!("must match {}, but the metadata service does not show the instance's tags", group.selection()),
            "aws ec2 modify-instance-metadata-options --instance-id INSTANCE --instance-metadata-tags enabled",
        ),
    }
}

fn owner(facts: &Facts) -> Line {
    const NAME: &str = "traffic owner";
    match (known(facts), facts.owner) {
        (None, _) => Line::ok(NAME, UNKNOWN_GROUP),
        (Some((_, Group { owner: Owner::CodeDeploy, balancers, .. })), None | Some(Owner::CodeDeploy)) => {
            Line::ok(NAME, format!("CodeDeploy moves traffic, in {}", balancers.join(", ")))
        }
        (Some((_, Group { owner: Owner::Pitcrew | Owner::Elastigroup, .. })), None | Some(Owner::Pitcrew)) => {
            Line::ok(NAME, "Pitcrew moves traffic")
        }
        (Some((_, Group { owner: Owner::Pitcrew | Owner::Elastigroup, .. })), Some(Owner::Elastigroup)) => {
            Line::ok(NAME, "Pitcrew moves traffic, by Elastigroup's standby")
        }
        (Some((name, Group { owner: Owner::CodeDeploy, .. })), Some(Owner::Pitcrew | Owner::Elastigroup)) => {
            Line::failed(
                NAME,
                format!(
                    "two owners: [traffic] owner says Pitcrew, and {name} names a load balancer: each undoes the other"
                ),
                "set [traffic] owner = \"auto\" in /etc/pitcrew/config.d; or take the load balancer out of the deployment group",
            )
        }
        (Some((name, Group { owner: Owner::Pitcrew | Owner::Elastigroup, .. })), Some(Owner::CodeDeploy)) => {
            Line::failed(
                NAME,
                format!(
                    "nobody: [traffic] owner says CodeDeploy, and {name} names no load balancer: requests would be lost"
                ),
                "set [traffic] owner = \"auto\" in /etc/pitcrew/config.d; or name the target group in the deployment group",
            )
        }
    }
}

fn traffic(facts: &Facts) -> Line {
    const NAME: &str = "load balancer";
    match &facts.registered {
        Ok(groups) if groups.is_empty() => Line::failed(
            NAME,
            "this instance is in no target group, so nothing is taken out of traffic and nothing brought back",
            "name the target groups in the Elastigroup (compute.launchSpecification.loadBalancersConfig); for this \
             instance: aws elbv2 register-targets --target-group-arn ARN --targets Id=INSTANCE",
        ),
        Ok(groups) => {
            let names: Vec<_> = groups.keys().map(String::as_str).collect();
            Line::ok(NAME, format!("registered in {}", names.join(", ")))
        }
        Err(failure) => unasked(NAME, failure),
    }
}

fn health_check(facts: &Facts) -> Line {
    let told = known(facts).map(|(_, group)| group.owner);
    let owner = facts.owner.or(told).unwrap_or(Owner::Pitcrew);
    waits::health_check(facts.registered.as_ref().ok(), facts.patience, owner)
}

fn permissions(facts: &Facts) -> Line {
    const NAME: &str = "permissions";
    let denied: Vec<_> = facts
        .permissions
        .iter()
        .filter(|permission| permission.outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::Denied))
        .collect();
    if denied.is_empty() {
        let asked = facts.permissions.len();
        let why = format!("{asked} harmless calls were allowed; what changes traffic is not tried");
        return Line::ok(NAME, why);
    }
    let lost: Vec<_> =
        denied.iter().map(|permission| format!("{} ({})", permission.action, permission.feature)).collect();
    let actions: Vec<_> = denied.iter().map(|permission| permission.action).collect();
    Line::failed(NAME, format!("the role lacks {}", lost.join(", ")), statement(&actions))
}

fn probe(facts: &Facts) -> Line {
    const NAME: &str = "health probe";
    match facts.probes {
        0 => Line::warning(
            NAME,
            "none: a broken application would be brought back into traffic after a failed deployment",
            "[[health.probe]] in /etc/pitcrew/config.d, see 30-health.toml",
        ),
        probes => Line::ok(NAME, format!("{probes} configured")),
    }
}

fn last_deployment(facts: &Facts) -> Line {
    const NAME: &str = "last deployment";
    let suspect = facts.status.as_ref().ok().map(|status| &status["suspect"]).filter(|suspect| suspect.is_object());
    match suspect.and_then(|suspect| Some((suspect["deployment"].as_str()?, suspect["how"].as_str()?))) {
        None => Line::ok(NAME, "left nothing broken behind"),
        Some((deployment, how)) => Line::failed(
            NAME,
            format!("{deployment} ended badly here ({how}), and the application has not proved well since"),
            "deploy again, or mend the application: traffic returns by itself when it is healthy",
        ),
    }
}

/// Nothing can be said, because the question failed.
pub(super) fn unasked(name: &'static str, failure: &Failure) -> Line {
    match failure.kind {
        FailureKind::Denied => {
            let action = failure.sentence.split("allow ").nth(1).and_then(|rest| rest.split(' ').next());
            Line::failed(name, &failure.sentence, action.map_or_else(|| ASK_AGAIN.to_owned(), |one| statement(&[one])))
        }
        FailureKind::Throttled | FailureKind::Unavailable | FailureKind::NotFound | FailureKind::Invalid => {
            Line::warning(name, &failure.sentence, ASK_AGAIN)
        }
    }
}

const ASK_AGAIN: &str = "ask again in a moment; if it stays so, look at the route from here to the service's endpoint";

/// The statement that a policy needs.
pub(super) fn statement(actions: &[&str]) -> String {
    let actions: Vec<_> = actions.iter().map(|action| format!("\"{action}\"")).collect();
    format!(
        "add to the role's policy (or attach packaging/iam/agent.json whole): {{\"Effect\": \"Allow\", \"Action\": [{}], \
         \"Resource\": \"*\"}}",
        actions.join(", ")
    )
}
