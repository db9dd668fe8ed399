//! Whether Elastigroup can be spoken to from here, and whether its group suits deployments in place.

use std::sync::Arc;

use aws_config::SdkConfig;
use pitcrew_core::elastigroup::{Life, Order, Reply};
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::{Failure, FailureKind, Owner};
use pitcrew_lint::Severity;
use pitcrew_lint::group::{Options, lint};
use serde_json::Value;

use super::{Facts, Line, waits};
use crate::config::Settings;
use crate::doors::Credentials;
use crate::effect::tags::{self, Tags};
use crate::effect::{Elastigroup, aws, elastigroup};
use crate::intake::imds::{Identity, Imds};

/// What Elastigroup says, where a token is configured.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its word for the state of this instance.
    pub life: Result<Life, Failure>,
    /// Its word for the health of this instance; `None`: it says nothing of it.
    pub health: Option<String>,
    /// The group, in its own JSON.
    pub document: Result<Value, Failure>,
}

/// The tag by which Elastigroup marks its instances.
const TAG: &str = "spotinst:aws:ec2:group:id";
/// More findings than that are told by `pitcrew lint`.
const TOLD: usize = 3;

/// Asks Elastigroup; `None`: no token is configured, or nobody knows who this instance is.
pub(super) async fn ask(
    settings: &Settings,
    identity: Option<&Identity>,
    sdk: &SdkConfig,
    doors: &aws::Doors,
    imds: &Arc<Imds>,
    credentials: Credentials,
) -> Option<Group> {
    let identity = identity?;
    let owner = tags::Owner::of(identity);
    let instance: InstanceId = identity.instance.clone();
    let doors = elastigroup::Doors {
        transport: doors.transport.clone(),
        credentials,
        sdk: sdk.clone(),
        imds: Arc::clone(imds),
        tags: Arc::new(Tags::new(sdk.clone(), doors.clone(), instance.clone(), &owner)),
        seed: 0,
    };
    let elastigroup = Elastigroup::new(&settings.elastigroup, instance, doors)?;
    let life = match elastigroup.carry_out(&Order::Look).await {
        Ok(Reply::Seen { life, .. }) => Ok(life),
        Ok(Reply::Done | Reply::Group(_) | Reply::Signalled(_)) => Ok(Life::Unknown("nothing".to_owned())),
        Err(failure) => Err(failure),
    };
    // Beside the state it is a detail: where it cannot be read, nothing is said.
    let all = elastigroup.healthiness().await.unwrap_or_default();
    let own = all.into_iter().find(|one| one.instance == identity.instance.as_str());
    Some(Group { life, health: own.map(|own| own.health), document: elastigroup.document().await })
}

/// The group knows this instance, and can be spoken to.
pub(super) fn spoken_to(facts: &Facts) -> Line {
    const NAME: &str = "Elastigroup";
    let tagged = facts.tags.as_ref().and_then(|tags| tags.get(TAG));
    match (&facts.elastigroup, tagged) {
        (None, None) => Line::ok(NAME, "none that this instance's tags name, and no token for one is configured"),
        (None, Some(group)) => Line::warning(
            NAME,
            format!(
                "{group}, to which Pitcrew has no token: nothing keeps it from replacing this instance in the middle of a \
                 deployment, it is not told when the instance is ready or may go, and its detach is not heard"
            ),
            "write a token with the permission to read, lock and signal to /etc/pitcrew/elastigroup-token (chmod 600, \
             owner root); [elastigroup] token = \"elastigroup-token\"; and LoadCredential=elastigroup-token:\
             /etc/pitcrew/elastigroup-token in a drop-in of pitcrew.service",
        ),
        (Some(Group { life: Ok(Life::Active), health: Some(word), .. }), _) if word == "UNHEALTHY" => Line::warning(
            NAME,
            "it finds this instance unhealthy, and will replace it",
            "mend what its health check asks; while a deployment runs, [elastigroup] suspend = [\"AUTO_HEALING\"] keeps it \
             from that",
        ),
        (Some(Group { life: Ok(Life::Active), .. }), _) => {
            Line::ok(NAME, "it answers, and counts this instance among its own")
        }
        (Some(Group { life: Ok(Life::Terminating), .. }), _) => Line::failed(
            NAME,
            "it has detached this instance, and will terminate it",
            "nothing: another instance takes its place; pitcrew status says how far this one has left",
        ),
        (Some(Group { life: Ok(Life::Unknown(word)), .. }), _) => Line::warning(
            NAME,
            format!("it answers, but says `{word}` of this instance"),
            "look for this instance in the group's console; [elastigroup] account and group must be those that it is in",
        ),
        (Some(Group { life: Err(failure), .. }), _) => refused(NAME, facts, failure),
    }
}

/// Without Elastigroup's answers deployments go on, except that standby moves no traffic.
fn refused(name: &'static str, facts: &Facts, failure: &Failure) -> Line {
    let fix = match failure.kind {
        FailureKind::Denied => {
            "give [elastigroup] token one that is valid for this account; a parameter needs ssm:GetParameter (statement \
             ReadElastigroupToken of packaging/iam/agent.json)"
        }
        FailureKind::NotFound | FailureKind::Invalid => {
            "[elastigroup] account and group must be those of this instance; without them its tags spotinst:accountId and \
             spotinst:aws:ec2:group:id tell"
        }
        FailureKind::Throttled => "wait a minute: the whole organization shares one allowance",
        FailureKind::Unavailable => {
            "allow HTTPS to api.spotinst.io from this subnet, or set [elastigroup] base_url, or HTTPS_PROXY in a drop-in of \
             pitcrew.service"
        }
    };
    match (facts.owner, failure.kind) {
        (Some(Owner::Elastigroup), FailureKind::Denied | FailureKind::NotFound | FailureKind::Invalid) => {
            Line::failed(name, &failure.sentence, fix)
        }
        (Some(Owner::Elastigroup | Owner::Pitcrew | Owner::CodeDeploy) | None, _) => {
            Line::warning(name, &failure.sentence, fix)
        }
    }
}

/// What the group must leave room for: what the balancers of this instance take, where they are known.
fn room(facts: &Facts) -> Options {
    let usual = Options::default();
    let Ok(groups) = &facts.registered else { return usual };
    let drains_for = waits::longest_drain(groups).map_or(usual.deregistration_delay_s, |drains| drains.as_secs());
    let returns_after = waits::longest_return(groups).unwrap_or_default().as_secs();
    Options {
        deregistration_delay_s: drains_for,
        deployment_s: usual.deployment_s.max(drains_for + returns_after),
        ..usual
    }
}

/// The group's timeouts, signals and health checks leave room for a deployment.
pub(super) fn suits(facts: &Facts) -> Line {
    const NAME: &str = "Elastigroup settings";
    let document = match &facts.elastigroup {
        None | Some(Group { life: Err(_), .. }) => {
            return Line::ok(NAME, "not looked at: Elastigroup is not spoken to");
        }
        Some(Group { document: Ok(document), .. }) => document,
        Some(Group { document: Err(failure), .. }) => return refused(NAME, facts, failure),
    };
    let findings = match lint(&document.to_string(), "group", &room(facts)) {
        Ok(report) => report.findings,
        Err(_) => return Line::ok(NAME, "the group's answer tells nothing of its settings"),
    };
    let (notes, wrong): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.severity == Severity::Note);
    if wrong.is_empty() {
        let notes = if notes.is_empty() { String::new() } else { format!("; {} notes by pitcrew lint", notes.len()) };
        return Line::ok(NAME, format!("they leave room for a deployment{notes}"));
    }
    let told: Vec<_> = wrong.iter().take(TOLD).map(|finding| format!("{} {}", finding.rule, finding.message)).collect();
    let more = wrong.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    Line::warning(
        NAME,
        format!("{}{more}", told.join("; ")),
        "export the group, and mend what `pitcrew lint GROUP.json` says",
    )
}
