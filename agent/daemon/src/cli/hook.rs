//! `pitcrew hook`: the one line in a CodeDeploy hook script.

use std::time::Duration;

use clap::Args;
use pitcrew_core::ids::DeploymentId;
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::revision::Revision;
use pitcrew_core::time::millis;

use super::{AgentArgs, WaitForAgent, call, exit, say};
use crate::config::duration;
use crate::protocol::client::Waiting;
use crate::protocol::{Hook, Request};

/// Tell the agent where a deployment stands, and wait until traffic is where it belongs
///
/// For hook scripts of CodeDeploy, which say in their environment what happens. Before the application stops, this
/// takes the instance out of its load balancers and waits until it is drained; after the application has started, it
/// brings the instance back and waits until the balancers find it healthy. Calling it twice is safe.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, the whole script `scripts/pitcrew-hook.sh` of a bundle, named by every event of its appspec.yml:

  #!/bin/sh
  exec pitcrew hook

By hand:

  pitcrew hook --event BeforeInstall --deployment d-TEST --application shop --group web

Exit status: 0 done, 1 failed, 64 usage, 69 agent unreachable, 75 timed out, and as before, 77 refused because the instance \
is leaving, 78 configuration.")]
pub(super) struct HookArgs {
    /// The lifecycle event [default: $LIFECYCLE_EVENT]
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The deployment's id [default: $DEPLOYMENT_ID]
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
    /// The application's name [default: $APPLICATION_NAME]
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// The deployment group's name [default: $DEPLOYMENT_GROUP_NAME]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// How long to wait until traffic is where it belongs [default: the agent's `deployment.hook_timeout`]
    ///
    /// Keep it below the script's `timeout` in appspec.yml.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    wait: Option<Duration>,
    #[command(flatten)]
    for_agent: WaitForAgent,
    #[command(flatten)]
    agent: AgentArgs,
}

pub(super) fn run(arguments: HookArgs) -> u8 {
    let waiting = Waiting { for_agent: arguments.for_agent.wait_for_agent, ..Waiting::default() };
    let wait = arguments.wait.map(millis);
    match hook(&arguments, |name| std::env::var(name).ok()) {
        Ok(hook) => {
            let request = Request::Hook(Hook { patience_ms: wait, ..hook });
            call::to_the_end(&arguments.agent.path(), request, waiting)
        }
        Err(sentence) => {
            // To stdout like every reason: CodeDeploy shows what a script wrote last.
            say(&sentence);
            exit::USAGE
        }
    }
}

/// What happens, by the arguments or else by CodeDeploy's environment. The error is a sentence for people.
fn hook(arguments: &HookArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Hook, String> {
    told_by(|variable| {
        let argument = match variable {
            "LIFECYCLE_EVENT" => &arguments.event,
            "DEPLOYMENT_ID" => &arguments.deployment,
            "APPLICATION_NAME" => &arguments.application,
            "DEPLOYMENT_GROUP_NAME" => &arguments.group,
            _ => &None,
        };
        argument.clone().or_else(|| environment(variable))
    })
}

/// What happens, by the variables that CodeDeploy sets for a hook script. The error is a sentence for people.
pub(crate) fn told_by(find: impl Fn(&str) -> Option<String>) -> Result<Hook, String> {
    let told = |variable: &str| find(variable).filter(|value| !value.is_empty());
    let revision = Revision {
        bucket: told("BUNDLE_BUCKET"),
        key: told("BUNDLE_KEY"),
        version: told("BUNDLE_VERSION"),
        etag: told("BUNDLE_ETAG"),
        commit: told("BUNDLE_COMMIT"),
    };
    let mut missing = Vec::new();
    let mut find = |variable: &str, option: &str| {
        told(variable).unwrap_or_else(|| {
            missing.push(format!("{variable} ({option})"));
            String::new()
        })
    };
    let event = find("LIFECYCLE_EVENT", "--event");
    let deployment = find("DEPLOYMENT_ID", "--deployment");
    let application = find("APPLICATION_NAME", "--application");
    let group = find("DEPLOYMENT_GROUP_NAME", "--group");
    if !missing.is_empty() {
        return Err(format!(
            "not called as a hook of CodeDeploy: the environment lacks {}; if a hook script did call it, `sudo: true` in \
             appspec.yml or sudo in the script drops the environment: use `runas:` instead, or give the options",
            missing.join(", ")
        ));
    }
    let event = event.parse::<LifecycleEvent>().map_err(|error| error.to_string())?;
    let deployment = DeploymentId::new(deployment);
    Ok(Hook { event, deployment, application, group, revision, patience_ms: None })
}
