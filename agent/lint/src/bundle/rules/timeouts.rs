//! How long the shims may wait.

use pitcrew_core::lifecycle::LifecycleEvent;

use crate::bundle::appspec::{LONGEST_EVENT_S, Script};
use crate::bundle::{Bundle, Owner};
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Bundle>] = &[
    Check {
        rule: Rule {
            id: "AS060",
            name: "drain-cut-short",
            severity: Severity::Warning,
            when: "the timeout of the shim in ApplicationStop or BeforeInstall is shorter than the deregistration delay and the slowest request",
            why: "CodeDeploy ends the shim before the instance is drained, and the deployment fails.",
        },
        find: drain_cut_short,
    },
    Check {
        rule: Rule {
            id: "AS061",
            name: "return-cut-short",
            severity: Severity::Warning,
            when: "the timeout of the last event's shim is shorter than the return to traffic may take",
            why: "CodeDeploy ends the shim before the balancer has found the instance healthy, and the deployment fails.",
        },
        find: return_cut_short,
    },
];

fn drain_cut_short(bundle: &Bundle) -> Vec<Found> {
    match bundle.options.owner {
        Owner::CodeDeploy => return Vec::new(),
        Owner::Pitcrew | Owner::Elastigroup => {}
    }
    let needed = bundle.options.deregistration_delay_s + bundle.options.slow_requests_s;
    let events = [LifecycleEvent::ApplicationStop, LifecycleEvent::BeforeInstall];
    events.into_iter().flat_map(|event| too_short(bundle, event, needed, "the drain")).collect()
}

fn return_cut_short(bundle: &Bundle) -> Vec<Found> {
    let event = match bundle.options.owner {
        Owner::Pitcrew | Owner::Elastigroup => LifecycleEvent::ValidateService,
        Owner::CodeDeploy => LifecycleEvent::AfterAllowTraffic,
    };
    too_short(bundle, event, bundle.options.return_within_s, "the return to traffic")
}

fn too_short(bundle: &Bundle, event: LifecycleEvent, needed: u64, what: &str) -> Vec<Found> {
    let given = |script: &Script| script.timeout_s.unwrap_or(LONGEST_EVENT_S);
    let shims = bundle.spec.scripts(event).iter().filter(|script| bundle.is_shim(script));
    shims
        .filter(|script| given(script) < needed)
        .map(|script| {
            let message = format!("The shim of {event} has {} s; {what} may take {needed} s.", given(script));
            let fix =
                format!("Give it `timeout: {}` or more, up to 3600 for the whole event.", needed.min(LONGEST_EVENT_S));
            Found::new(bundle.at(script.line), message, fix)
        })
        .collect()
}
