//! What makes CodeDeploy refuse an `appspec.yml`, fail on it, or overlook a part of it.

use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::bundle::appspec::{Flaw, FlawKind};
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Bundle>] = &[
    Check {
        rule: Rule {
            id: "AS001",
            name: "no-appspec",
            severity: Severity::Error,
            when: "the directory has no `appspec.yml` at its top",
            why: "CodeDeploy fails the deployment in the first event of the new revision.",
        },
        find: no_appspec,
    },
    Check {
        rule: Rule {
            id: "AS002",
            name: "not-yaml",
            severity: Severity::Error,
            when: "`appspec.yml` is no YAML, has a key twice, or is no list of keys and values",
            why: "CodeDeploy fails the deployment, or reads something else than was meant.",
        },
        find: |bundle| flaws(bundle, FlawKind::NotYaml),
    },
    Check {
        rule: Rule {
            id: "AS003",
            name: "wrong-version",
            severity: Severity::Error,
            when: "`version` is missing or is not 0.0",
            why: "CodeDeploy knows no other version and fails the deployment.",
        },
        find: |bundle| flaws(bundle, FlawKind::Version),
    },
    Check {
        rule: Rule {
            id: "AS004",
            name: "wrong-os",
            severity: Severity::Error,
            when: "`os` is missing or is not linux",
            why: "CodeDeploy's agent on linux fails the deployment.",
        },
        find: |bundle| flaws(bundle, FlawKind::Os),
    },
    Check {
        rule: Rule {
            id: "AS005",
            name: "unknown-key",
            severity: Severity::Warning,
            when: "a key is none that CodeDeploy knows at its place",
            why: "CodeDeploy ignores it without a word, so what it was meant to do does not happen.",
        },
        find: |bundle| flaws(bundle, FlawKind::UnknownKey),
    },
    Check {
        rule: Rule {
            id: "AS006",
            name: "unknown-event",
            severity: Severity::Error,
            when: "`hooks` names an event that does not exist",
            why: "Its scripts never run, and nothing says so.",
        },
        find: |bundle| flaws(bundle, FlawKind::UnknownEvent),
    },
    Check {
        rule: Rule {
            id: "AS007",
            name: "event-without-scripts",
            severity: Severity::Error,
            when: "`hooks` names Start, DownloadBundle, Install, BlockTraffic, AllowTraffic or End",
            why: "These events are CodeDeploy's own: it never runs a script in them.",
        },
        find: |bundle| flaws(bundle, FlawKind::UnscriptableEvent),
    },
    Check {
        rule: Rule {
            id: "AS008",
            name: "malformed-hooks",
            severity: Severity::Error,
            when: "`hooks` is not made of events that each have a list of scripts with a location",
            why: "CodeDeploy's agent fails every event of the deployment.",
        },
        find: |bundle| flaws(bundle, FlawKind::Hooks),
    },
    Check {
        rule: Rule {
            id: "AS009",
            name: "bad-timeout",
            severity: Severity::Error,
            when: "a timeout is no positive whole number of seconds",
            why: "CodeDeploy fails the deployment, or takes only the digits in front.",
        },
        find: |bundle| flaws(bundle, FlawKind::Timeout),
    },
    Check {
        rule: Rule {
            id: "AS010",
            name: "event-too-long",
            severity: Severity::Error,
            when: "the timeouts of one event add up to more than 3600 s",
            why: "An event may take an hour; CodeDeploy refuses more.",
        },
        find: |bundle| flaws(bundle, FlawKind::LongEvent),
    },
    Check {
        rule: Rule {
            id: "AS011",
            name: "malformed-files",
            severity: Severity::Error,
            when: "an entry of `files` lacks its source or its destination, or the destination is no absolute path",
            why: "CodeDeploy fails the Install event, or copies to a place that nobody knows.",
        },
        find: |bundle| flaws(bundle, FlawKind::Files),
    },
    Check {
        rule: Rule {
            id: "AS012",
            name: "source-missing",
            severity: Severity::Error,
            when: "a source of `files` is not in the bundle",
            why: "CodeDeploy fails the Install event, after the application was stopped.",
        },
        find: source_missing,
    },
    Check {
        rule: Rule {
            id: "AS013",
            name: "copied-twice",
            severity: Severity::Error,
            when: "two entries of `files` copy to the same path",
            why: "CodeDeploy fails the Install event, after the application was stopped.",
        },
        find: copied_twice,
    },
    Check {
        rule: Rule {
            id: "AS014",
            name: "bad-file-exists-behavior",
            severity: Severity::Error,
            when: "`file_exists_behavior` is not DISALLOW, OVERWRITE or RETAIN",
            why: "CodeDeploy fails the Install event, after the application was stopped.",
        },
        find: |bundle| flaws(bundle, FlawKind::FileExists),
    },
    Check {
        rule: Rule {
            id: "AS015",
            name: "bad-permission",
            severity: Severity::Error,
            when: "a permission has no object, a type that is none, or a mode that is none",
            why: "CodeDeploy's agent fails every event of the deployment.",
        },
        find: |bundle| flaws(bundle, FlawKind::Permission),
    },
    Check {
        rule: Rule {
            id: "AS016",
            name: "octal-mode",
            severity: Severity::Error,
            when: "a mode begins with 0 and has no quotes",
            why: "CodeDeploy's agent takes the decimal number for the mode: 0644 becomes 420, and 0755 is refused.",
        },
        find: |bundle| flaws(bundle, FlawKind::OctalMode),
    },
    Check {
        rule: Rule {
            id: "AS017",
            name: "pattern-on-file",
            severity: Severity::Error,
            when: "a permission whose object is one copied file has a `pattern` or an `except`",
            why: "CodeDeploy fails the Install event, after the application was stopped: these choose among the files of a directory.",
        },
        find: pattern_on_file,
    },
];

fn flaws(bundle: &Bundle, kind: FlawKind) -> Vec<Found> {
    if bundle.appspec.is_none() {
        return Vec::new();
    }
    let of_kind = bundle.spec.flaws.iter().filter(|flaw| flaw.kind == kind);
    of_kind.map(|Flaw { line, message, fix, .. }| Found::new(bundle.at(*line), message, fix)).collect()
}

fn no_appspec(bundle: &Bundle) -> Vec<Found> {
    if bundle.appspec.is_some() {
        return Vec::new();
    }
    let below = bundle.files.keys().find(|path| path.ends_with("/appspec.yml"));
    let fix = match below {
        Some(path) => {
            let directory = path.trim_end_matches("/appspec.yml");
            format!("Check and pack `{directory}`: that one has it at its top.")
        }
        None => "Let `pitcrew appspec init` write one.".to_owned(),
    };
    vec![Found::new(bundle.at(1), "There is no appspec.yml.", fix)]
}

fn source_missing(bundle: &Bundle) -> Vec<Found> {
    let missing = bundle.spec.files.iter().filter(|file| copies(bundle, &file.source).is_empty());
    missing
        .map(|file| {
            let message = format!("`{}` is not in the bundle.", file.source);
            Found::new(
                bundle.at(file.line),
                message,
                "Pack it, or take the entry out; an empty directory is not packed.",
            )
        })
        .collect()
}

/// What a source copies: each file of the bundle, and its path below the destination.
fn copies<'a>(bundle: &'a Bundle, source: &str) -> Vec<(&'a str, String)> {
    let source = source.trim_start_matches("./").trim_matches('/');
    let source = if source == "." { "" } else { source };
    if let Some((path, _)) = bundle.files.get_key_value(source) {
        let name = source.rsplit('/').next().unwrap_or(source);
        return vec![(path.as_str(), name.to_owned())];
    }
    let below = if source.is_empty() { String::new() } else { format!("{source}/") };
    let inside = bundle.files.keys().filter_map(|path| Some((path.as_str(), path.strip_prefix(&below)?.to_owned())));
    inside.collect()
}

/// Each path on the instance that a file is copied to, with the line of its entry.
fn targets(bundle: &Bundle) -> Vec<(String, usize)> {
    let targets = bundle.spec.files.iter().flat_map(|file| {
        let destination = file.destination.trim_end_matches('/');
        let copies = copies(bundle, &file.source);
        copies.into_iter().map(move |(_, name)| (format!("{destination}/{name}"), file.line))
    });
    targets.collect()
}

fn copied_twice(bundle: &Bundle) -> Vec<Found> {
    let mut first = BTreeMap::new();
    let mut told = BTreeMap::new();
    for (target, line) in targets(bundle) {
        if let Some(before) = first.insert(target.clone(), line) {
            told.entry((line, before)).or_insert(target);
        }
    }
    told.into_iter()
        .map(|((line, before), target)| {
            let message = format!("Line {before} copies to `{target}`, too.");
            Found::new(bundle.at(line), message, "Copy each path once: narrow one of the two sources.")
        })
        .collect()
}

fn pattern_on_file(bundle: &Bundle) -> Vec<Found> {
    let targets = targets(bundle);
    let wrong = bundle.spec.permissions.iter().filter(|permission| {
        let object = permission.object.trim_end_matches('/');
        permission.is_partial && permission.is_for_files && targets.iter().any(|(target, _)| target == object)
    });
    wrong
        .map(|permission| {
            let message = format!("`{}` is a file.", permission.object);
            Found::new(
                bundle.at(permission.line),
                message,
                "Take `pattern` and `except` out, or name its directory as the object.",
            )
        })
        .collect()
}
