//! Adds scripts to the `hooks` of an appspec as text, and proves that nothing else changed.

use pitcrew_core::lifecycle::LifecycleEvent;

use super::{Position, Wanted};
use crate::yaml::{Kind, Node, YamlError};

/// Why a text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) line: usize,
    pub(super) sentence: String,
}

/// The text with the scripts in it.
pub(super) fn add(text: &str, wanted: &[Wanted]) -> Result<String, Refusal> {
    if wanted.is_empty() {
        return Ok(text.to_owned());
    }
    let root = parse(text)?;
    let inserts = inserts(text, &root, wanted)?;
    let edited = insert(text, inserts);
    let is_so = parse(&edited).is_ok_and(|new| new.bare() == expected(&root, wanted).bare());
    if is_so {
        return Ok(edited);
    }
    let line = root.entry("hooks").map_or(1, |(key, _)| key.line);
    let sentence =
        "its hooks are written in a way that cannot be added to; write them as the sample does, one event a \
                    line and its scripts below it, and try again"
            .to_owned();
    Err(Refusal { line, sentence })
}

fn parse(text: &str) -> Result<Node, Refusal> {
    match Node::parse(text) {
        Ok(Some(node)) => Ok(node),
        Ok(None) => Err(Refusal { line: 1, sentence: "it is empty; delete it, and a new one is written".to_owned() }),
        Err(YamlError { line, message }) => Err(Refusal { line, sentence: message }),
    }
}

/// Whole lines that go behind a line of the text.
struct Insert {
    /// Counted from 1; 0 is the start of the text.
    after: usize,
    lines: Vec<String>,
}

fn inserts(text: &str, root: &Node, wanted: &[Wanted]) -> Result<Vec<Insert>, Refusal> {
    let Some((hooks_key, hooks)) = root.entry("hooks") else {
        let mut lines = vec!["hooks:".to_owned()];
        lines.extend(wanted.iter().flat_map(|shim| event(shim, 2, 2)));
        return Ok(vec![Insert { after: text.lines().count(), lines }]);
    };
    if let Kind::Mapping { flow: true, .. } = hooks.kind {
        return Err(in_brackets(hooks_key.line, "hooks", wanted));
    }
    let entries = hooks.entries().unwrap_or_default();
    let key_column = entries.first().map_or(hooks_key.column + 2, |(key, _)| key.column);
    let dash = entries.iter().find(|(_, scripts)| scripts.items().is_some_and(|items| !items.is_empty()));
    let dash_offset = dash.map_or(2, |(key, scripts)| scripts.column.saturating_sub(key.column));
    let mut inserts = Vec::new();
    for shim in wanted {
        let name = shim.event.name();
        inserts.push(match hooks.entry(name) {
            Some((key, scripts)) => match &scripts.kind {
                Kind::Sequence { flow: false, .. } => {
                    let after = match shim.position {
                        Position::First => key.line,
                        Position::Last => scripts.last_line,
                    };
                    Insert { after, lines: script(shim, scripts.column) }
                }
                Kind::Scalar { .. } if scripts.is_null() => {
                    Insert { after: key.line, lines: script(shim, key.column + dash_offset) }
                }
                Kind::Sequence { flow: true, .. } | Kind::Scalar { .. } | Kind::Mapping { .. } => {
                    return Err(in_brackets(key.line, name, std::slice::from_ref(shim)));
                }
            },
            None => {
                let place = |(key, _): &&(Node, Node)| key.text().and_then(|text| text.parse::<LifecycleEvent>().ok());
                let before = entries.iter().filter(|entry| place(entry).is_some_and(|event| event < shim.event));
                let after = before.max_by_key(place).map_or(hooks_key.line, |(_, scripts)| scripts.last_line);
                Insert { after, lines: event(shim, key_column, dash_offset) }
            }
        });
    }
    Ok(inserts)
}

fn in_brackets(line: usize, what: &str, wanted: &[Wanted]) -> Refusal {
    let by_hand: Vec<_> = wanted
        .iter()
        .map(|shim| {
            let place = match shim.position {
                Position::First => "first",
                Position::Last => "last",
            };
            format!(
                "{{location: {}, timeout: {}, runas: root}} {place} in {}",
                shim.location, shim.timeout_s, shim.event
            )
        })
        .collect();
    let sentence = format!("{what} stands in brackets or in a form of its own; add by hand {}", by_hand.join(", "));
    Refusal { line, sentence }
}

fn event(shim: &Wanted, column: usize, dash_offset: usize) -> Vec<String> {
    let mut lines = vec![format!("{:column$}{}:", "", shim.event)];
    lines.extend(script(shim, column + dash_offset));
    lines
}

fn script(shim: &Wanted, dash: usize) -> Vec<String> {
    let Wanted { location, timeout_s, .. } = shim;
    vec![
        format!("{:dash$}- location: {location}", ""),
        format!("{:dash$}  timeout: {timeout_s}", ""),
        format!("{:dash$}  runas: root", ""),
    ]
}

/// Puts the lines in, with the text's own line ends.
fn insert(text: &str, inserts: Vec<Insert>) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut edited = String::with_capacity(text.len() + 1024);
    let put = |edited: &mut String, after: usize| {
        for line in inserts.iter().filter(|insert| insert.after == after).flat_map(|insert| &insert.lines) {
            edited.push_str(line);
            edited.push_str(end);
        }
    };
    put(&mut edited, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        edited.push_str(line);
        if !line.ends_with('\n') && inserts.iter().any(|insert| insert.after == number) {
            edited.push_str(end);
        }
        put(&mut edited, number);
    }
    edited
}

/// What the document must be afterwards.
fn expected(root: &Node, wanted: &[Wanted]) -> Node {
    let mut root = root.clone();
    let Kind::Mapping { entries, .. } = &mut root.kind else { return root };
    let empty = || Kind::Mapping { entries: Vec::new(), flow: false };
    let at = entries.iter().position(|(key, _)| key.text() == Some("hooks")).unwrap_or_else(|| {
        entries.push((Node::plain("hooks"), Node { kind: empty(), ..Node::plain("") }));
        entries.len() - 1
    });
    let hooks = &mut entries[at].1;
    if hooks.is_null() {
        hooks.kind = empty();
    }
    if let Kind::Mapping { entries, .. } = &mut hooks.kind {
        for shim in wanted {
            let at = entries.iter().position(|(key, _)| key.text() == Some(shim.event.name()));
            let at = at.unwrap_or_else(|| {
                let event = |key: &Node| key.text().and_then(|text| text.parse::<LifecycleEvent>().ok());
                // Behind the greatest of the events before it, as the text has it.
                let before =
                    entries.iter().enumerate().filter(|(_, (key, _))| event(key).is_some_and(|e| e < shim.event));
                let at = before.max_by_key(|(_, (key, _))| event(key)).map_or(0, |(at, _)| at + 1);
                entries.insert(at, (Node::plain(shim.event.name()), Node::plain("")));
                at
            });
            put(&mut entries[at].1, shim);
        }
    }
    root
}

fn put(scripts: &mut Node, shim: &Wanted) {
    if scripts.is_null() {
        scripts.kind = Kind::Sequence { items: Vec::new(), flow: false };
    }
    let Kind::Sequence { items, .. } = &mut scripts.kind else { return };
    let pair = |key: &str, value: String| (Node::plain(key), Node::plain(value));
    let entries = vec![
        pair("location", shim.location.clone()),
        pair("timeout", shim.timeout_s.to_string()),
        pair("runas", "root".to_owned()),
    ];
    let script = Node { kind: Kind::Mapping { entries, flow: false }, ..Node::plain("") };
    match shim.position {
        Position::First => items.insert(0, script),
        Position::Last => items.push(script),
    }
}
