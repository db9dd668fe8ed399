//! Goes through the document and takes down what it says, and every flaw.

use std::path::Path;

use pitcrew_core::lifecycle::LifecycleEvent;

use super::{AppSpec, FileExistsBehavior, Flaw, FlawKind, Hook, LONGEST_EVENT_S, Mapping, Permission, Script};
use crate::yaml::{Kind, Node};

#[derive(Default)]
pub(super) struct Reader {
    pub(super) spec: AppSpec,
}

const TOP: &[&str] = &["version", "os", "files", "hooks", "permissions", "file_exists_behavior"];
const FILE: &[&str] = &["source", "destination"];
const SCRIPT: &[&str] = &["location", "timeout", "runas", "sudo"];
const PERMISSION: &[&str] = &["object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type"];
const UNSCRIPTABLE: &[&str] = &["Start", "BlockTraffic", "DownloadBundle", "Install", "AllowTraffic", "End"];

impl Reader {
    pub(super) fn flaw(&mut self, kind: FlawKind, line: usize, message: impl Into<String>, fix: impl Into<String>) {
        self.spec.flaws.push(Flaw { kind, line, message: message.into(), fix: fix.into() });
    }

    pub(super) fn document(&mut self, node: &Node) {
        if node.entries().is_none() {
            let fix = "Begin with `version: 0.0` and `os: linux`, then `files:` and `hooks:`.";
            return self.flaw(FlawKind::NotYaml, node.line.max(1), "This is no list of keys and values.", fix);
        }
        self.known_keys(node, TOP, "an appspec");
        let version = node.entry("version");
        match version.map(|(_, value)| (value, value.text().and_then(|text| text.parse::<f64>().ok()))) {
            Some((_, Some(0.0))) => {}
            Some((value, _)) => {
                let message = format!("version is `{}`.", value.text().unwrap_or_default());
                self.flaw(FlawKind::Version, value.line, message, "Write `version: 0.0`, the only one that there is.");
            }
            None => self.flaw(FlawKind::Version, node.line, "There is no version.", "Write `version: 0.0`."),
        }
        match node.entry("os").map(|(_, value)| (value, value.text())) {
            Some((_, Some("linux"))) => {}
            Some((value, text)) => {
                let message = format!("os is `{}`.", text.unwrap_or_default());
                self.flaw(FlawKind::Os, value.line, message, "Write `os: linux`: Pitcrew is for linux.");
            }
            None => self.flaw(FlawKind::Os, node.line, "There is no os.", "Write `os: linux`."),
        }
        if let Some(behavior) = node.get("file_exists_behavior") {
            self.file_exists(behavior);
        }
        if let Some(files) = node.get("files") {
            self.files(files);
        }
        if let Some(permissions) = node.get("permissions") {
            self.permissions(permissions);
        }
        if let Some(hooks) = node.get("hooks") {
            self.hooks(hooks);
        }
    }

    fn known_keys(&mut self, node: &Node, known: &[&str], of: &str) {
        for (key, _) in node.entries().unwrap_or_default() {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                let near = known.iter().find(|known| is_near(known, name));
                let fix = match near {
                    Some(near) => format!("Write `{near}`."),
                    None => format!("Take it out; the keys of {of} are {}.", known.join(", ")),
                };
                self.flaw(FlawKind::UnknownKey, key.line, format!("`{name}` is no key of {of}: it is ignored."), fix);
            }
        }
    }

    fn file_exists(&mut self, node: &Node) {
        self.spec.file_exists = match node.text().unwrap_or_default() {
            "DISALLOW" => FileExistsBehavior::Disallow,
            "OVERWRITE" => FileExistsBehavior::Overwrite,
            "RETAIN" => FileExistsBehavior::Retain,
            other => {
                let message = format!("file_exists_behavior is `{other}`.");
                self.flaw(FlawKind::FileExists, node.line, message, "Write DISALLOW, OVERWRITE or RETAIN.");
                FileExistsBehavior::Disallow
            }
        };
    }

    fn files(&mut self, node: &Node) {
        let Some(items) = node.items() else {
            return self.flaw(
                FlawKind::Files,
                node.line,
                "files is no list.",
                "Write each entry as `- source: …` with `destination: …` below it.",
            );
        };
        for item in items {
            if item.entries().is_some() {
                self.known_keys(item, FILE, "a file");
            }
            let text = |key| item.get(key).and_then(Node::text);
            let (Some(source), Some(destination)) = (text("source"), text("destination")) else {
                let fix = "Give `source:`, in the bundle, and `destination:`, a directory on the instance.";
                self.flaw(FlawKind::Files, item.line, "This file lacks its source or its destination.", fix);
                continue;
            };
            if !Path::new(destination).is_absolute() {
                let line = item.get("destination").map_or(item.line, |node| node.line);
                let message = format!("The destination `{destination}` is no absolute path.");
                self.flaw(FlawKind::Files, line, message, "Write the whole path of a directory, from / on.");
            }
            let (source, destination) = (source.to_owned(), destination.to_owned());
            self.spec.files.push(Mapping { line: item.line, source, destination });
        }
    }

    fn permissions(&mut self, node: &Node) {
        let Some(items) = node.items() else {
            let fix = "Write each entry as `- object: …`.";
            return self.flaw(FlawKind::Permission, node.line, "permissions is no list.", fix);
        };
        for item in items {
            if item.entries().is_some() {
                self.known_keys(item, PERMISSION, "a permission");
            }
            let Some(object) = item.get("object").and_then(Node::text) else {
                let fix = "Give `object:`, a file or a directory on the instance.";
                self.flaw(FlawKind::Permission, item.line, "This permission has no object.", fix);
                continue;
            };
            if let Some(mode) = item.get("mode") {
                self.mode(mode);
            }
            let types: Option<Vec<&str>> =
                item.get("type").map(|types| types.items().unwrap_or_default().iter().filter_map(Node::text).collect());
            if let (Some(node), Some(types)) = (item.get("type"), &types)
                && (types.is_empty() || types.iter().any(|word| !matches!(*word, "file" | "directory")))
            {
                let fix = "Write a list of `file` and `directory`, one `- ` a line.";
                self.flaw(FlawKind::Permission, node.line, "type is no list of files and directories.", fix);
            }
            let is_partial = item.get("pattern").and_then(Node::text).is_some_and(|pattern| pattern != "**")
                || item.get("except").is_some();
            let is_for_files = types.is_none_or(|types| types.contains(&"file"));
            self.spec.permissions.push(Permission {
                line: item.line,
                object: object.to_owned(),
                is_partial,
                is_for_files,
            });
        }
    }

    /// CodeDeploy's agent takes the number that YAML 1.1 makes of `0644`, which is 420, for the mode.
    fn mode(&mut self, node: &Node) {
        let text = node.text().unwrap_or_default();
        let is_octal = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let is_plain = matches!(node.kind, Kind::Scalar { plain: true, .. });
        if !is_octal || !(1..=4).contains(&text.len()) {
            let fix = "Write one to four digits from 0 to 7, such as 644.";
            self.flaw(FlawKind::Permission, node.line, format!("The mode is `{text}`."), fix);
        } else if is_plain && text.len() > 1 && text.starts_with('0') {
            let decimal = u32::from_str_radix(text, 8).unwrap_or_default();
            let digits = text.trim_start_matches('0');
            let message = format!("YAML reads the mode {text} as the number {decimal}, and CodeDeploy that as a mode.");
            self.flaw(FlawKind::OctalMode, node.line, message, format!("Write `mode: {digits}`, or put it in quotes."));
        }
    }

    fn hooks(&mut self, node: &Node) {
        let Some(entries) = node.entries() else {
            let fix = "Write the name of an event, and its scripts as a list below it.";
            return self.flaw(FlawKind::Hooks, node.line, "hooks does not name events.", fix);
        };
        for (key, value) in entries {
            let event = key.text().unwrap_or_default().to_owned();
            if UNSCRIPTABLE.contains(&event.as_str()) {
                let message = format!("CodeDeploy runs no script in {event}.");
                self.flaw(
                    FlawKind::UnscriptableEvent,
                    key.line,
                    message,
                    "Move the scripts to the event before it or after it.",
                );
            } else if event.parse::<LifecycleEvent>().is_err() {
                self.unknown_event(&event, key.line);
            }
            let scripts = self.scripts(&event, key, value);
            let declared: Option<u64> = scripts.iter().map(|script| script.timeout_s).sum();
            if let Some(sum) = declared.filter(|sum| *sum > LONGEST_EVENT_S) {
                let message = format!("The timeouts of {event} add up to {sum} s, and one event may take 3600 s.");
                self.flaw(FlawKind::LongEvent, key.line, message, "Give its scripts less.");
            }
            self.spec.hooks.push(Hook { line: key.line, event, scripts });
        }
    }

    fn unknown_event(&mut self, event: &str, line: usize) {
        let near = LifecycleEvent::ALL.into_iter().find(|known| is_near(known.name(), event));
        let fix = match near {
            Some(near) => format!("Write `{near}`."),
            None => format!("The events are {}.", LifecycleEvent::ALL.map(LifecycleEvent::name).join(", ")),
        };
        self.flaw(FlawKind::UnknownEvent, line, format!("`{event}` is no lifecycle event."), fix);
    }

    fn scripts(&mut self, event: &str, key: &Node, value: &Node) -> Vec<Script> {
        let Some(items) = value.items() else {
            let fix = format!("Write its scripts as a list, `- location: …` below it, or take {event} out.");
            self.flaw(FlawKind::Hooks, key.line, format!("{event} has no list of scripts."), fix);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.script(event, item)).collect()
    }

    fn script(&mut self, event: &str, item: &Node) -> Option<Script> {
        if item.entries().is_some() {
            self.known_keys(item, SCRIPT, "a script");
        }
        let Some(location) = item.get("location").filter(|location| location.text().is_some()) else {
            let message = format!("A script of {event} has no location.");
            self.flaw(FlawKind::Hooks, item.line, message, "Give `location:`, its path in the bundle.");
            return None;
        };
        let mut timeout_s = None;
        if let Some(node) = item.get("timeout") {
            timeout_s = node.text().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
            if timeout_s.is_none() {
                let message = format!("The timeout is `{}`.", node.text().unwrap_or_default());
                self.flaw(FlawKind::Timeout, node.line, message, "Write whole seconds from 1 to 3600, without a unit.");
            }
        }
        Some(Script {
            line: location.line,
            location: location.text().unwrap_or_default().trim().trim_start_matches('/').to_owned(),
            timeout_s,
            run_as: item.get("runas").and_then(Node::text).map(|user| user.trim().to_owned()),
            sudo: item.get("sudo").and_then(Node::text).is_some_and(|word| {
                // What YAML 1.1 takes for true.
                ["true", "yes", "on", "y"].iter().any(|yes| word.eq_ignore_ascii_case(yes))
            }),
        })
    }
}

/// Whether a word is another but for case, separators, or a plural.
fn is_near(known: &str, word: &str) -> bool {
    let letters = |word: &str| -> String {
        word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (known, word) = (letters(known), letters(word));
    known == word || format!("{known}s") == word || known == format!("{word}s")
}
