//! Where the shim, the script that calls `pitcrew hook`, must stand, and what it must be.

use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::lifecycle::LifecycleEvent::{
    AfterAllowTraffic, AfterBlockTraffic, AfterInstall, ApplicationStart, ApplicationStop, BeforeAllowTraffic,
    BeforeBlockTraffic, BeforeInstall, ValidateService,
};

use crate::bundle::appspec::{Hook, Script};
use crate::bundle::{Bundle, Owner};
use crate::rule::{Check, Found, Rule, Severity};
use crate::shell;

pub(super) const CHECKS: &[Check<Bundle>] = &[
    Check {
        rule: Rule {
            id: "AS040",
            name: "no-shim-before-install",
            severity: Severity::Error,
            when: "BeforeInstall has no shim",
            why: "It is the one event before the new files that always runs: on a first deployment nothing else takes the instance out.",
        },
        find: no_shim_before_install,
    },
    Check {
        rule: Rule {
            id: "AS041",
            name: "stopped-before-shim",
            severity: Severity::Error,
            when: "the application is stopped in ApplicationStop or BeforeInstall and no shim stands before that",
            why: "The balancer still sends requests to an application that is gone: they are lost.",
        },
        find: stopped_before_shim,
    },
    Check {
        rule: Rule {
            id: "AS042",
            name: "work-before-shim",
            severity: Severity::Warning,
            when: "another script stands before the shim of ApplicationStop or BeforeInstall",
            why: "Whatever it does to the application, it does under traffic.",
        },
        find: work_before_shim,
    },
    Check {
        rule: Rule {
            id: "AS043",
            name: "no-shim-at-the-end",
            severity: Severity::Error,
            when: "the last event (ValidateService; AfterAllowTraffic where CodeDeploy owns traffic) has no shim",
            why: "Nobody waits until the instance is healthy in the balancer: the next instance is taken out too early, and this one comes back only once its deployment is found dead.",
        },
        find: no_shim_at_the_end,
    },
    Check {
        rule: Rule {
            id: "AS044",
            name: "work-after-return",
            severity: Severity::Warning,
            when: "a script stands behind the shim of the last event",
            why: "The shim returns the instance to traffic, so that script works under traffic; if it fails, CodeDeploy fails the deployment of an instance that serves.",
        },
        find: work_after_return,
    },
    Check {
        rule: Rule {
            id: "AS045",
            name: "no-shim-in-between",
            severity: Severity::Note,
            when: "AfterInstall or ApplicationStart has no shim",
            why: "Each call says that the deployment lives; without them the agent has to ask CodeDeploy, or to guess.",
        },
        find: no_shim_in_between,
    },
    Check {
        rule: Rule {
            id: "AS046",
            name: "event-not-sent",
            severity: Severity::Warning,
            when: "there are scripts for BeforeBlockTraffic, AfterBlockTraffic, BeforeAllowTraffic or AfterAllowTraffic, and CodeDeploy does not own traffic",
            why: "CodeDeploy sends these events only where the deployment group names load balancers: the scripts never run.",
        },
        find: event_not_sent,
    },
    Check {
        rule: Rule {
            id: "AS047",
            name: "no-shim-before-block",
            severity: Severity::Warning,
            when: "CodeDeploy owns traffic, and BeforeBlockTraffic has no shim",
            why: "From CodeDeploy's deregistration to BeforeInstall nobody protects the instance, and its leaving traffic looks like a removal.",
        },
        find: no_shim_before_block,
    },
    Check {
        rule: Rule {
            id: "AS048",
            name: "shim-with-sudo",
            severity: Severity::Error,
            when: "a shim has `sudo: true`, or calls `sudo pitcrew hook`",
            why: "sudo drops the environment in which CodeDeploy says which event of which deployment it is: the shim fails.",
        },
        find: shim_with_sudo,
    },
    Check {
        rule: Rule {
            id: "AS049",
            name: "shim-as-other-user",
            severity: Severity::Warning,
            when: "a shim has a `runas` other than root",
            why: "Only root and the group pitcrew may move traffic: for any other user the shim fails.",
        },
        find: shim_as_other_user,
    },
    Check {
        rule: Rule {
            id: "AS050",
            name: "shim-hides-its-status",
            severity: Severity::Error,
            when: "the exit status of `pitcrew hook` is not the script's",
            why: "CodeDeploy goes on and stops the application although the instance is not out of traffic.",
        },
        find: shim_hides_its_status,
    },
    Check {
        rule: Rule {
            id: "AS051",
            name: "shim-does-more",
            severity: Severity::Warning,
            when: "a shim is more than one line",
            why: "Some events run the previous revision's scripts, so a mistake in a shim fails the very deployment that mends it; one line cannot be wrong.",
        },
        find: shim_does_more,
    },
];

impl Bundle {
    fn hook(&self, event: LifecycleEvent) -> Option<&Hook> {
        self.spec.hooks.iter().find(|hook| hook.event == event.name())
    }

    fn has_shim(&self, event: LifecycleEvent) -> bool {
        self.spec.scripts(event).iter().any(|script| self.is_shim(script))
    }

    /// The line of an event, of `hooks` where it is missing, else the first.
    fn line_of(&self, event: LifecycleEvent) -> usize {
        self.hook(event).or(self.spec.hooks.first()).map_or(1, |hook| hook.line)
    }

    fn shims(&self) -> impl Iterator<Item = &Script> {
        self.scripts().map(|(_, script)| script).filter(|script| self.is_shim(script))
    }

    /// Whether the shim itself takes the instance out of traffic.
    fn shim_moves_traffic(&self) -> bool {
        match self.options.owner {
            Owner::Pitcrew | Owner::Elastigroup => true,
            Owner::CodeDeploy => false,
        }
    }

    /// The event that closes a deployment's lease.
    fn last_event(&self) -> LifecycleEvent {
        if self.shim_moves_traffic() { ValidateService } else { AfterAllowTraffic }
    }
}

const ADD: &str = "Let `pitcrew appspec init` add it.";

fn no_shim_before_install(bundle: &Bundle) -> Vec<Found> {
    if !bundle.is_readable() || bundle.has_shim(BeforeInstall) {
        return Vec::new();
    }
    vec![Found::new(bundle.at(bundle.line_of(BeforeInstall)), "No script of BeforeInstall calls `pitcrew hook`.", ADD)]
}

fn stopped_before_shim(bundle: &Bundle) -> Vec<Found> {
    if !bundle.shim_moves_traffic() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for event in [ApplicationStop, BeforeInstall] {
        for script in bundle.spec.scripts(event).iter().take_while(|script| !bundle.is_shim(script)) {
            let Some((line, command)) = bundle.text(script).as_deref().and_then(shell::stop) else { continue };
            // Without ApplicationStop, or with its shim, the instance is out already when BeforeInstall comes; but a
            // first deployment has no ApplicationStop.
            let message = format!("`{}` calls `{command}` on its line {line}, in {event}.", script.location);
            let fix = format!("Make the shim the first script of {event}; `pitcrew appspec init` does.");
            found.push(Found::new(bundle.at(script.line), message, fix));
        }
    }
    found
}

fn work_before_shim(bundle: &Bundle) -> Vec<Found> {
    if !bundle.shim_moves_traffic() {
        return Vec::new();
    }
    let events = [ApplicationStop, BeforeInstall].into_iter().filter(|event| bundle.has_shim(*event));
    events
        .flat_map(|event| {
            let before = bundle.spec.scripts(event).iter().take_while(|script| !bundle.is_shim(script));
            let quiet = before.filter(|script| bundle.text(script).as_deref().and_then(shell::stop).is_none());
            quiet.map(move |script| {
                let message = format!("`{}` stands before the shim of {event}.", script.location);
                Found::new(bundle.at(script.line), message, format!("Make the shim the first script of {event}."))
            })
        })
        .collect()
}

fn no_shim_at_the_end(bundle: &Bundle) -> Vec<Found> {
    let last = bundle.last_event();
    if !bundle.is_readable() || bundle.has_shim(last) {
        return Vec::new();
    }
    vec![Found::new(bundle.at(bundle.line_of(last)), format!("No script of {last} calls `pitcrew hook`."), ADD)]
}

fn work_after_return(bundle: &Bundle) -> Vec<Found> {
    let last = bundle.last_event();
    let scripts = bundle.spec.scripts(last);
    let Some(shim) = scripts.iter().rposition(|script| bundle.is_shim(script)) else { return Vec::new() };
    let behind = scripts.iter().skip(shim + 1);
    behind
        .map(|script| {
            let message = format!("`{}` stands behind the shim of {last}.", script.location);
            Found::new(bundle.at(script.line), message, format!("Make the shim the last script of {last}."))
        })
        .collect()
}

fn no_shim_in_between(bundle: &Bundle) -> Vec<Found> {
    if !bundle.is_readable() || bundle.shims().next().is_none() {
        return Vec::new();
    }
    let without = [AfterInstall, ApplicationStart].into_iter().filter(|event| !bundle.has_shim(*event));
    without
        .map(|event| {
            Found::new(bundle.at(bundle.line_of(event)), format!("No script of {event} calls `pitcrew hook`."), ADD)
        })
        .collect()
}

fn event_not_sent(bundle: &Bundle) -> Vec<Found> {
    if !bundle.shim_moves_traffic() {
        return Vec::new();
    }
    let events = [BeforeBlockTraffic, AfterBlockTraffic, BeforeAllowTraffic, AfterAllowTraffic];
    events
        .into_iter()
        .filter_map(|event| {
            let hook = bundle.hook(event)?;
            let fix =
                "Check with --owner codedeploy where the deployment group names load balancers; else take it out.";
            Some(Found::new(bundle.at(hook.line), format!("{event} has scripts."), fix))
        })
        .collect()
}

fn no_shim_before_block(bundle: &Bundle) -> Vec<Found> {
    if bundle.shim_moves_traffic() || !bundle.is_readable() || bundle.has_shim(BeforeBlockTraffic) {
        return Vec::new();
    }
    let line = bundle.line_of(BeforeBlockTraffic);
    vec![Found::new(bundle.at(line), "No script of BeforeBlockTraffic calls `pitcrew hook`.", ADD)]
}

fn shim_with_sudo(bundle: &Bundle) -> Vec<Found> {
    bundle
        .shims()
        .filter_map(|script| {
            let fix = "Write `runas: root` instead, and no sudo.";
            if script.sudo {
                let message = format!("The shim `{}` has `sudo: true`.", script.location);
                return Some(Found::new(bundle.at(script.line), message, fix));
            }
            let text = bundle.text(script)?;
            let line = shell::lines(&text).into_iter().find(|line| {
                let by_sudo = line.text.split_whitespace().any(|word| word == "sudo");
                let keeps =
                    line.text.contains("-E") || line.text.contains("--preserve-env") || line.text.contains("--event");
                by_sudo && !keeps && line.commands().iter().any(|words| shell::is_hook_call(words))
            })?;
            let message = format!("The shim `{}` calls `{}`.", script.location, line.text);
            Some(Found::new(bundle.place(&script.location, line.number), message, fix))
        })
        .collect()
}

fn shim_as_other_user(bundle: &Bundle) -> Vec<Found> {
    let others =
        bundle.shims().filter_map(|script| Some((script, script.run_as.as_deref().filter(|user| *user != "root")?)));
    others
        .map(|(script, user)| {
            let message = format!("The shim `{}` runs as {user}.", script.location);
            let fix =
                format!("Write `runas: root`, or make {user} a member: usermod --append --groups pitcrew {user}.");
            Found::new(bundle.at(script.line), message, fix)
        })
        .collect()
}

fn shim_hides_its_status(bundle: &Bundle) -> Vec<Found> {
    each_shim_file(bundle, |path, text| {
        let lines = shell::lines(text);
        let stops_on_failure =
            lines.iter().any(|line| {
                let words: Vec<_> = line.text.split_whitespace().collect();
                let by_set =
                    words.first() == Some(&"set") && words.iter().any(|w| w.starts_with('-') && w.contains('e'));
                by_set || line.text.contains("errexit")
            }) || text.lines().next().is_some_and(|first| first.starts_with("#!") && first.contains("sh -e"));
        let call = lines.iter().position(|line| line.commands().iter().any(|words| shell::is_hook_call(words)))?;
        let line = lines.get(call)?;
        let after = line.text.split_once("hook").map(|(_, after)| after).unwrap_or_default();
        let in_line = after.contains("||") || after.contains('&') || after.contains('|') || after.contains(';');
        let is_exec = line.text.trim_start().starts_with("exec ");
        let is_last = call + 1 == lines.len();
        if !in_line && (is_exec || is_last || stops_on_failure) {
            return None;
        }
        let message = format!("`{path}` does not end with the status of `{}`.", line.text);
        Some(Found::new(
            bundle.place(path, line.number),
            message,
            "Write `exec pitcrew hook` as the script's only line.",
        ))
    })
}

fn shim_does_more(bundle: &Bundle) -> Vec<Found> {
    each_shim_file(bundle, |path, text| {
        let lines = shell::lines(text);
        let is_bare = |line: &shell::Line| line.text.starts_with("set -");
        let work: Vec<_> = lines.iter().filter(|line| !is_bare(line)).collect();
        let [_, second, ..] = work.as_slice() else { return None };
        let message = format!("The shim `{path}` also has `{}`.", second.text);
        let fix = "Give the shim a file of its own, `exec pitcrew hook` and nothing else.";
        Some(Found::new(bundle.place(path, second.number), message, fix))
    })
}

/// What a rule says of each file that is a shim.
fn each_shim_file(bundle: &Bundle, look: impl Fn(&str, &str) -> Option<Found>) -> Vec<Found> {
    let files = bundle.script_files().into_keys().filter_map(|path| {
        let text = bundle.files.get(path)?.script()?;
        if shell::calls_hook(&text) { look(path, &text) } else { None }
    });
    files.collect()
}
