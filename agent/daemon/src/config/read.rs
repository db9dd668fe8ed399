//! Reads one file as tables from which keys are taken; what is wrong is collected, not thrown.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Fragment;
use super::origin::{Chosen, Complaint, Origin};
use super::value::Value;

/// Reads what `text`, the content of the file at `path`, says; or everything that is wrong with it.
pub(super) fn fragment(path: &Path, text: &str) -> Result<Fragment, Vec<Complaint>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let reader = Reader { path: path.into(), text, complaints: RefCell::default() };
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.complain(reader.line(at), format!("this is no TOML: {}", error.message()));
    }
    // What cannot be parsed would only be complained of twice.
    if !errors.is_empty() {
        return Err(reader.complaints.into_inner());
    }
    let fragment = Fragment::read(&reader, Table::new("", &document));
    let complaints = reader.complaints.into_inner();
    match complaints.is_empty() {
        true => Ok(fragment),
        false => Err(complaints),
    }
}

/// One file while it is read.
pub(super) struct Reader<'a> {
    path: Arc<Path>,
    text: &'a str,
    complaints: RefCell<Vec<Complaint>>,
}

impl Reader<'_> {
    /// Notes that something is wrong.
    pub(super) fn complain(&self, line: usize, sentence: String) {
        self.complaints.borrow_mut().push(Complaint { path: self.path.clone(), line, sentence });
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn at(&self, line: usize) -> Origin {
        Origin::File(self.path.clone(), line)
    }
}

/// A table from which keys are taken one by one; what is left at the end is unknown.
pub(super) struct Table<'a> {
    /// As the file writes it, `health.probe`; empty for the file itself.
    name: String,
    entries: BTreeMap<&'a str, (usize, &'a DeValue<'a>)>,
}

impl<'a> Table<'a> {
    pub(super) fn new(name: &str, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self::of(name, table.get_ref())
    }

    pub(super) fn of(name: &str, table: &'a DeTable<'a>) -> Self {
        let entries = table.iter().map(|(key, value)| (key.get_ref().as_ref(), (key.span().start, value.get_ref())));
        Self { name: name.to_owned(), entries: entries.collect() }
    }

    /// Takes the table `[key]`; an absent one is empty.
    pub(super) fn section(&mut self, reader: &Reader<'_>, key: &str) -> Table<'a> {
        let empty = Table { name: key.to_owned(), entries: BTreeMap::new() };
        match self.entries.remove(key) {
            None => empty,
            Some((_, DeValue::Table(table))) => Table::of(key, table),
            Some((at, _)) => {
                let sentence = format!("`{key}` is a section; write it as [{key}]");
                reader.complain(reader.line(at), sentence);
                empty
            }
        }
    }

    /// Whether `key` is there and was not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Takes the value of `key`, if it is there and makes sense.
    pub(super) fn take<T: Value>(&mut self, reader: &Reader<'_>, key: &str) -> Option<Chosen<T>> {
        let (at, value) = self.entries.remove(key)?;
        let line = reader.line(at);
        match T::read(value) {
            Ok(value) => Some(Chosen { value, origin: reader.at(line) }),
            Err(why) => {
                reader.complain(line, format!("`{}`: {why}", self.path_of(key)));
                None
            }
        }
    }

    /// Takes the tables `[[key]]`, each with the line that opens it.
    pub(super) fn tables(&mut self, reader: &Reader<'_>, key: &str) -> Vec<(usize, Table<'a>)> {
        let Some((at, value)) = self.entries.remove(key) else {
            return Vec::new();
        };
        let name = self.path_of(key);
        let tables = value.as_array().map(|array| {
            let table = |value: &'a Spanned<DeValue<'a>>| {
                let line = reader.line(value.span().start);
                Some((line, Table::of(&name, value.get_ref().as_table()?)))
            };
            array.iter().map(table).collect::<Option<Vec<_>>>()
        });
        tables.flatten().unwrap_or_else(|| {
            let sentence = format!("`{name}` is a list of sections; write each as [[{name}]]");
            reader.complain(reader.line(at), sentence);
            Vec::new()
        })
    }

    /// Complains of every key that nobody took.
    pub(super) fn refuse_the_rest(self, reader: &Reader<'_>, known: &[&str]) {
        for (key, (at, _)) in &self.entries {
            let known = known.join(", ");
            let sentence = match self.name.as_str() {
                "" => format!("unknown section `{key}`; there are {known}"),
                name => format!("unknown key `{}`; [{name}] has {known}", self.path_of(key)),
            };
            reader.complain(reader.line(*at), sentence);
        }
    }

    fn path_of(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }
}
