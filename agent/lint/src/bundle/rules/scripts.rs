//! How CodeDeploy runs a script, and the scripts that do not expect it.

use pitcrew_core::lifecycle::LifecycleEvent;

use crate::bundle::Bundle;
use crate::rule::{Check, Found, Rule, Severity};
use crate::shell::{self, Line, program};

pub(super) const CHECKS: &[Check<Bundle>] = &[
    Check {
        rule: Rule {
            id: "AS020",
            name: "script-missing",
            severity: Severity::Error,
            when: "a script's location is no file of the bundle",
            why: "CodeDeploy fails the event; a location takes no arguments.",
        },
        find: script_missing,
    },
    Check {
        rule: Rule {
            id: "AS021",
            name: "script-not-executable",
            severity: Severity::Warning,
            when: "a script lacks the execute permission",
            why: "CodeDeploy's agent tries to add it, with a warning, and fails where it cannot.",
        },
        find: not_executable,
    },
    Check {
        rule: Rule {
            id: "AS022",
            name: "no-interpreter",
            severity: Severity::Error,
            when: "a script does not begin with `#!`",
            why: "The kernel refuses to run it; only some agents then try a shell.",
        },
        find: no_interpreter,
    },
    Check {
        rule: Rule {
            id: "AS023",
            name: "windows-line-ends",
            severity: Severity::Error,
            when: "a script has carriage returns at the ends of its lines",
            why: "The kernel looks for an interpreter whose name ends in a carriage return, and says that there is no such file.",
        },
        find: windows_line_ends,
    },
    Check {
        rule: Rule {
            id: "AS024",
            name: "awkward-location",
            severity: Severity::Warning,
            when: "a script's location leads out of the bundle, or holds a blank or another character that a shell minds",
            why: "CodeDeploy 1.x hands the path to a shell as one line, and a path out of the bundle is another one in each revision.",
        },
        find: awkward_location,
    },
    Check {
        rule: Rule {
            id: "AS025",
            name: "relative-path",
            severity: Severity::Warning,
            when: "a script runs or reads a file by a relative path without going to a directory first",
            why: "Hooks do not run in the bundle: their working directory is the agent's own, and may even be gone.",
        },
        find: relative_path,
    },
    Check {
        rule: Rule {
            id: "AS026",
            name: "background-process",
            severity: Severity::Warning,
            when: "a script leaves a process in the background",
            why: "It ends with CodeDeploy's agent, whose control group it is in; and one that keeps the output open fails the event at its timeout.",
        },
        find: background_process,
    },
    Check {
        rule: Rule {
            id: "AS027",
            name: "stops-the-deployer",
            severity: Severity::Error,
            when: "a script stops or restarts the CodeDeploy agent or Pitcrew, or reboots the instance",
            why: "The deployment loses the agent that runs it, and stays open until CodeDeploy gives up.",
        },
        find: stops_the_deployer,
    },
    Check {
        rule: Rule {
            id: "AS028",
            name: "moves-traffic-too",
            severity: Severity::Warning,
            when: "a script registers or deregisters targets, or enters or leaves standby, by itself",
            why: "Two owners of one target undo each other's work: Pitcrew takes a target out again that somebody else puts back.",
        },
        find: moves_traffic_too,
    },
    Check {
        rule: Rule {
            id: "AS029",
            name: "sudo-drops-environment",
            severity: Severity::Warning,
            when: "a script with `sudo: true` uses a variable of CodeDeploy",
            why: "sudo drops the environment, so the variable is empty.",
        },
        find: sudo_drops_environment,
    },
    Check {
        rule: Rule {
            id: "AS030",
            name: "new-id-in-old-revision",
            severity: Severity::Error,
            when: "a script of ApplicationStop, BeforeBlockTraffic or AfterBlockTraffic finds its own files by DEPLOYMENT_ID",
            why: "These events run from the previous revision, but DEPLOYMENT_ID is the new one, whose files are not there yet.",
        },
        find: new_id_in_old_revision,
    },
];

/// What the rules say of a script file, once for each that the appspec names.
fn each_script(bundle: &Bundle, look: impl Fn(&str, &str, &[LifecycleEvent]) -> Option<Found>) -> Vec<Found> {
    let files = bundle.script_files().into_iter().filter_map(|(path, events)| {
        let text = bundle.files.get(path)?.script()?;
        look(path, &text, &events)
    });
    files.collect()
}

/// The first line of a script for which `is_so` holds.
fn first_line(text: &str, is_so: impl Fn(&Line) -> bool) -> Option<Line> {
    shell::lines(text).into_iter().find(|line| is_so(line))
}

fn script_missing(bundle: &Bundle) -> Vec<Found> {
    let missing = bundle.scripts().filter(|(_, script)| !bundle.files.contains_key(&script.location));
    missing
        .map(|(_, script)| {
            let location = &script.location;
            let first = location.split_whitespace().next().unwrap_or_default();
            let (message, fix) = if bundle.files.contains_key(first) {
                (
                    format!("`{location}` has arguments."),
                    format!("Write a script without arguments that calls `{first}`."),
                )
            } else {
                let name = program(location);
                let elsewhere = bundle.files.keys().find(|path| program(path).eq_ignore_ascii_case(name));
                let fix = match elsewhere {
                    Some(path) => format!("Write `{path}`: locations begin at the bundle's top, and case counts."),
                    None => "Pack the script, or take the entry out.".to_owned(),
                };
                (format!("`{location}` is not in the bundle."), fix)
            };
            Found::new(bundle.at(script.line), message, fix)
        })
        .collect()
}

fn not_executable(bundle: &Bundle) -> Vec<Found> {
    let files =
        bundle.script_files().into_keys().filter(|path| bundle.files.get(*path).is_some_and(|f| !f.is_executable));
    files
        .map(|path| {
            let fix = format!("chmod +x {path}; in git: git update-index --chmod=+x {path}.");
            Found::new(bundle.place(path, 1), format!("`{path}` is not executable."), fix)
        })
        .collect()
}

fn no_interpreter(bundle: &Bundle) -> Vec<Found> {
    each_script(bundle, |path, text, _| {
        let first = text.lines().next().unwrap_or_default();
        let message = match first.trim_start_matches('\u{feff}') {
            line if line.len() != first.len() => format!("`{path}` begins with a byte order mark: `{line}`."),
            line if line.starts_with("#!") => return None,
            line => format!("`{path}` begins with `{}`.", line.chars().take(40).collect::<String>()),
        };
        Some(Found::new(
            bundle.place(path, 1),
            message,
            "Make #!/bin/sh, or another interpreter, the very first characters.",
        ))
    })
}

fn windows_line_ends(bundle: &Bundle) -> Vec<Found> {
    each_script(bundle, |path, text, _| {
        let line = 1 + text.split('\n').position(|line| line.ends_with('\r'))?;
        let message = format!("`{path}` has Windows line ends.");
        Some(Found::new(
            bundle.place(path, line),
            message,
            format!("sed -i 's/\\r$//' {path}; in git: `* text=auto eol=lf` in .gitattributes."),
        ))
    })
}

fn awkward_location(bundle: &Bundle) -> Vec<Found> {
    let is_awkward = |location: &str| {
        location.split('/').any(|part| part == "..")
            || bundle.files.contains_key(location)
                && location.chars().any(|c| c.is_whitespace() || "$&;|<>()'\"`*?[]{}#!\\".contains(c))
    };
    let awkward = bundle.scripts().filter(|(_, script)| is_awkward(&script.location));
    awkward
        .map(|(_, script)| {
            let message = format!("The location is `{}`.", script.location);
            Found::new(
                bundle.at(script.line),
                message,
                "Name a file in the bundle with letters, digits, `-`, `_` and `.` only.",
            )
        })
        .collect()
}

fn relative_path(bundle: &Bundle) -> Vec<Found> {
    each_script(bundle, |path, text, _| {
        let lines = shell::lines(text);
        let is_cd = |line: &&Line| line.commands().iter().any(|words| matches!(words[0], "cd" | "pushd"));
        let before_cd = lines.iter().take_while(|line| !is_cd(line));
        let (line, word) = before_cd.filter_map(|line| Some((line, relative(line)?))).next()?;
        let message = format!("`{path}` uses `{word}`.");
        Some(Found::new(
            bundle.place(path, line.number),
            message,
            "Begin with cd \"$(dirname \"$0\")/..\", or write whole paths.",
        ))
    })
}

/// A command that is, or reads in, a file by a relative path.
fn relative(line: &Line) -> Option<String> {
    line.commands().iter().find_map(|words| match words.as_slice() {
        [first, ..] if first.starts_with("./") || first.starts_with("../") => Some((*first).to_owned()),
        ["." | "source" | "sh" | "bash", file, ..]
            if !file.starts_with(['/', '$', '-', '~', '<']) && (file.contains('/') || file.ends_with(".sh")) =>
        {
            Some((*file).to_owned())
        }
        _ => None,
    })
}

fn background_process(bundle: &Bundle) -> Vec<Found> {
    each_script(bundle, |path, text, _| {
        let waits = shell::lines(text).iter().any(|line| line.commands().iter().any(|words| words[0] == "wait"));
        let is_left = |line: &Line| {
            let text = line.text.trim_end();
            let ends = text.ends_with('&') && !text.ends_with("&&");
            (ends || text.contains(" & ") || text.contains("nohup ") || text.contains("setsid ")) && !waits
        };
        let line = first_line(text, is_left)?;
        let message = format!("`{path}` leaves `{}` behind.", line.text);
        let fix = "Make it a unit and call `systemctl start`, or `systemd-run`.";
        Some(Found::new(bundle.place(path, line.number), message, fix))
    })
}

fn stops_the_deployer(bundle: &Bundle) -> Vec<Found> {
    each_script(bundle, |path, text, _| {
        let is_so = |words: &[&str]| {
            let [first, rest @ ..] = words else { return false };
            let is_deployer = |word: &&str| {
                ["codedeploy-agent", "codedeploy-agent.service", "pitcrew", "pitcrew.service"].contains(word)
            };
            match program(first) {
                "systemctl" if rest.contains(&"reboot") || rest.contains(&"poweroff") => true,
                "systemctl" | "service" | "initctl" => {
                    rest.iter().any(is_deployer) && rest.iter().any(|word| matches!(*word, "stop" | "restart" | "kill"))
                }
                "reboot" | "poweroff" | "shutdown" | "halt" => true,
                other => {
                    matches!(other, "codedeploy-agent" | "pkill" | "killall")
                        && (other == "codedeploy-agent" || rest.iter().any(is_deployer))
                        && (other != "codedeploy-agent" || rest.iter().any(|word| matches!(*word, "stop" | "restart")))
                }
            }
        };
        let line = first_line(text, |line| line.commands().iter().any(|words| is_so(words)))?;
        let message = format!("`{path}` calls `{}`.", line.text);
        Some(Found::new(
            bundle.place(path, line.number),
            message,
            "Do it outside of a deployment, for instance by SSM.",
        ))
    })
}

fn moves_traffic_too(bundle: &Bundle) -> Vec<Found> {
    const CALLS: [&str; 8] = [
        "deregister-targets",
        "register-targets",
        "deregister-instances-from-load-balancer",
        "register-instances-with-load-balancer",
        "enter-standby",
        "exit-standby",
        "/standby/enter",
        "/standby/exit",
    ];
    each_script(bundle, |path, text, _| {
        let line = first_line(text, |line| CALLS.iter().any(|call| line.text.contains(call)))?;
        let message = format!("`{path}` calls `{}`.", line.text);
        let fix = "Take it out: the shim does this, waits for the drain, and undoes it when the deployment dies.";
        Some(Found::new(bundle.place(path, line.number), message, fix))
    })
}

/// What CodeDeploy sets in a script's environment.
const VARIABLES: [&str; 5] =
    ["LIFECYCLE_EVENT", "DEPLOYMENT_ID", "DEPLOYMENT_GROUP_NAME", "DEPLOYMENT_GROUP_ID", "APPLICATION_NAME"];

fn sudo_drops_environment(bundle: &Bundle) -> Vec<Found> {
    let with_sudo = bundle.scripts().filter(|(_, script)| script.sudo && !bundle.is_shim(script));
    with_sudo
        .filter_map(|(_, script)| {
            let text = bundle.text(script)?;
            let uses = |name: &str| text.contains(&format!("${name}")) || text.contains(&format!("${{{name}"));
            let bundle_variable = text.contains("$BUNDLE_") || text.contains("${BUNDLE_");
            let used = VARIABLES.into_iter().find(|name| uses(name)).or(bundle_variable.then_some("BUNDLE_…"))?;
            let message = format!("`{}` uses {used}.", script.location);
            Some(Found::new(bundle.at(script.line), message, "Write `runas: root` instead of `sudo: true`."))
        })
        .collect()
}

fn new_id_in_old_revision(bundle: &Bundle) -> Vec<Found> {
    each_script(bundle, |path, text, events| {
        let event = events.iter().find(|event| match event {
            LifecycleEvent::BeforeBlockTraffic
            | LifecycleEvent::AfterBlockTraffic
            | LifecycleEvent::ApplicationStop => true,
            LifecycleEvent::BeforeInstall
            | LifecycleEvent::AfterInstall
            | LifecycleEvent::ApplicationStart
            | LifecycleEvent::ValidateService
            | LifecycleEvent::BeforeAllowTraffic
            | LifecycleEvent::AfterAllowTraffic => false,
        })?;
        let is_so = |line: &Line| {
            let by_id = line.text.contains("$DEPLOYMENT_ID") || line.text.contains("${DEPLOYMENT_ID");
            by_id && (line.text.contains("deployment-root") || line.text.contains("deployment-archive"))
        };
        let line = first_line(text, is_so)?;
        let message = format!("`{path}` does so in {event}.");
        let fix = "Find the files from the script's own place: \"$(dirname \"$0\")\".";
        Some(Found::new(bundle.place(path, line.number), message, fix))
    })
}
