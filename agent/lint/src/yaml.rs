//! A YAML document as a tree in which every value knows its lines.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};

/// A value and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The line it begins on, counted from 1.
    pub(crate) line: usize,
    /// The line that its last character is on.
    pub(crate) last_line: usize,
    /// The column it begins in, counted from 0. A block sequence begins at its first dash.
    pub(crate) column: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, numbers and nothing: `plain` when it stands without quotes.
    Scalar { text: String, plain: bool },
    /// A list; `flow` when it is written with brackets.
    Sequence { items: Vec<Node>, flow: bool },
    /// Keys and values in order; `flow` when it is written with braces.
    Mapping { entries: Vec<(Node, Node)>, flow: bool },
}

/// Why a text is no YAML that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct YamlError {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// More values than any appspec has: what a bomb of aliases grows to.
const MOST_NODES: usize = 100_000;
const DEEPEST: usize = 64;

impl Node {
    /// Reads the first document of a text; an empty one is nothing.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, YamlError> {
        let mut builder =
            Builder { text, parser: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0, last_line: 1 };
        loop {
            match builder.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(None),
                (event, span) => return builder.node(event, span, 0).map(Some),
            }
        }
    }

    /// The text of a scalar that is something.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => Some(text),
            Kind::Scalar { .. } | Kind::Sequence { .. } | Kind::Mapping { .. } => None,
        }
    }

    /// Whether it is nothing: empty, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, plain } => *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            Kind::Sequence { .. } | Kind::Mapping { .. } => false,
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Sequence { items, .. } => Some(items),
            Kind::Scalar { .. } | Kind::Mapping { .. } => None,
        }
    }

    /// The keys and values of a mapping.
    pub(crate) fn entries(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Mapping { entries, .. } => Some(entries),
            Kind::Scalar { .. } | Kind::Sequence { .. } => None,
        }
    }

    /// The value of a key; nothing when there is none, or when the value is nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// A key with its value, which may be nothing.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        self.entries()?.iter().find(|(name, _)| name.text() == Some(key))
    }

    /// The same but for where it stands.
    pub(crate) fn bare(&self) -> Self {
        let kind = match &self.kind {
            Kind::Scalar { text, plain } => Kind::Scalar { text: text.clone(), plain: *plain },
            Kind::Sequence { items, .. } => {
                Kind::Sequence { items: items.iter().map(Node::bare).collect(), flow: false }
            }
            Kind::Mapping { entries, .. } => {
                let entries = entries.iter().map(|(key, value)| (key.bare(), value.bare())).collect();
                Kind::Mapping { entries, flow: false }
            }
        };
        Self { line: 0, last_line: 0, column: 0, kind }
    }

    /// A scalar without quotes that stands nowhere.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { line: 0, last_line: 0, column: 0, kind: Kind::Scalar { text: text.into(), plain: true } }
    }
}

struct Builder<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    /// The last line that has been read of any scalar or closing bracket.
    last_line: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(YamlError { line: error.marker().line(), message: error.info() }),
            None => Err(YamlError { line: self.last_line, message: "the document ends too early".to_owned() }),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let (line, column) = (span.start.line(), span.start.col());
        let refuse = |message: &str| YamlError { line, message: message.to_owned() };
        self.nodes += 1;
        if self.nodes > MOST_NODES || depth > DEEPEST {
            return Err(refuse("there are more values, or deeper ones, than any appspec has"));
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, _) => {
                self.last_line = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => self.last_line_of_block(&span),
                    _ => span.end.line().max(line),
                };
                (anchor, Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(style, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break self.close(style, &end),
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Kind::Sequence { items, flow: style == StructureStyle::Flow })
            }
            Event::MappingStart(style, anchor, _) => {
                let mut entries: Vec<(Node, Node)> = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, end) => break self.close(style, &end),
                        (event, span) => self.node(event, span, depth + 1)?,
                    };
                    let (event, span) = self.next()?;
                    let value = self.node(event, span, depth + 1)?;
                    if key.text() == Some("<<") {
                        entries.extend(merged(&value));
                    } else if key.text().is_some() && entries.iter().any(|(known, _)| known.text() == key.text()) {
                        let key_text = key.text().unwrap_or_default();
                        return Err(YamlError { line: key.line, message: format!("`{key_text}` is there twice") });
                    } else {
                        entries.push((key, value));
                    }
                }
                (anchor, Kind::Mapping { entries, flow: style == StructureStyle::Flow })
            }
            Event::Alias(anchor) => {
                self.last_line = line;
                let known = self.anchors.get(&anchor).ok_or_else(|| refuse("an alias stands inside of its anchor"))?;
                let known = known.clone();
                self.nodes += count(&known);
                return Ok(Node { line, last_line: line, column, ..known });
            }
            _ => return Err(refuse("a value is missing")),
        };
        let column = match &kind {
            Kind::Sequence { flow: false, .. } => self.dash_on(line).unwrap_or(column),
            Kind::Sequence { .. } | Kind::Scalar { .. } | Kind::Mapping { .. } => column,
        };
        let node = Node { line, last_line: self.last_line.max(line), column, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// The column of the dash that a line begins with: a list that is not indented does not tell it.
    fn dash_on(&self, line: usize) -> Option<usize> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?;
        let bare = text.trim_start_matches(' ');
        bare.starts_with('-').then(|| text.len() - bare.len())
    }

    /// A block scalar's span ends where the next value begins: comments and empty lines lie between.
    fn last_line_of_block(&self, span: &Span) -> usize {
        let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let (start, end) = (span.start.line(), span.end.line());
        let lines = (1..).zip(self.text.lines()).skip(start).take_while(|(number, _)| *number <= end);
        let filled: Vec<_> = lines.filter(|(_, line)| !line.trim().is_empty()).collect();
        let Some(deep) = filled.first().map(|(_, line)| indent(line)) else { return start };
        filled.iter().take_while(|(_, line)| indent(line) >= deep).last().map_or(start, |(number, _)| *number)
    }

    /// A flow collection ends at its bracket, a block collection with its last value.
    fn close(&mut self, style: StructureStyle, end: &Span) {
        if style == StructureStyle::Flow {
            self.last_line = end.start.line();
        }
    }
}

/// What `<<: *anchor` brings along.
fn merged(value: &Node) -> Vec<(Node, Node)> {
    match &value.kind {
        Kind::Mapping { entries, .. } => entries.clone(),
        Kind::Sequence { items, .. } => items.iter().flat_map(merged).collect(),
        Kind::Scalar { .. } => Vec::new(),
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 1,
        Kind::Sequence { items, .. } => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Mapping { entries, .. } => {
            1 + entries.iter().map(|(key, value)| count(key) + count(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines() {
        let text = "a: 1\nb:\n  - x: y\n    z: |\n      one\n      two\n\n  - {q: [1,\n     2]}\n# end\nc:\n";
        let node = Node::parse(text).unwrap().unwrap();
        let (key, list) = node.entry("b").unwrap();
        assert_eq!((key.line, list.line, list.column, list.last_line), (2, 3, 2, 9));
        let items = list.items().unwrap();
        assert_eq!((items[0].line, items[0].last_line), (3, 6));
        assert_eq!((items[1].line, items[1].last_line), (8, 9));
        assert!(node.entry("c").unwrap().1.is_null());
    }

    #[test]
    fn aliases_and_merges_are_resolved_where_they_stand() {
        let node = Node::parse("a: &s {x: 1}\nb: *s\nc:\n  <<: *s\n  y: 2\n").unwrap().unwrap();
        assert_eq!(node.get("b").unwrap().get("x").unwrap().text(), Some("1"));
        assert_eq!(node.get("b").unwrap().line, 2);
        assert_eq!(node.get("c").unwrap().get("x").unwrap().text(), Some("1"));
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line() {
        for (text, line) in [("a: 1\n  b: 2\n", 2), ("a: {\n", 1), ("a: 1\na: 2\n", 2), ("a: *b\n", 1)] {
            let error = Node::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
        assert_eq!(Node::parse("# nothing\n"), Ok(None));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let row = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{row}]\n"));
        }
        assert!(Node::parse(&text).unwrap_err().message.contains("more values"));
    }
}
