//! The reference of the configuration: the shipped fragments, read as the manual that they are.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap_mangen::roff::{Roff, bold, roman};

/// All fragments, in the order in which the agent reads them.
pub(crate) struct Reference {
    fragments: Vec<Fragment>,
}

struct Fragment {
    name: String,
    blocks: Vec<Block>,
}

/// What stands between two empty lines.
enum Block {
    /// Sentences.
    Prose(Vec<String>),
    /// `[section]`.
    Section(String),
    /// A key with its default, and what it is for; one that is not set is commented out.
    Key { line: String, about: Vec<String> },
    /// Lines to copy.
    Example(Vec<String>),
}

impl Reference {
    /// Reads every `*.toml` of a folder. Fails where the folder or one of them cannot be read.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut paths = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>())
            .with_context(|| format!("reading `{}`", folder.display()))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let fragments = paths
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok(Fragment { name, blocks: blocks(&text) })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { fragments })
    }

    /// For people who browse.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("# Configuration\n");
        for fragment in &self.fragments {
            let _ = writeln!(text, "\n## {}", fragment.name);
            for block in &fragment.blocks {
                let _ = match block {
                    Block::Prose(lines) => writeln!(text, "\n{}", lines.join("\n")),
                    Block::Section(name) => writeln!(text, "\n### {name}"),
                    Block::Key { line, about } => writeln!(text, "\n```toml\n{line}\n```\n{}", about.join("\n")),
                    Block::Example(lines) => writeln!(text, "\n```toml\n{}\n```", lines.join("\n")),
                };
            }
        }
        text
    }

    /// `pitcrew-config(5)`.
    pub(crate) fn to_roff(&self) -> String {
        let mut roff = Roff::new();
        roff.control("TH", ["pitcrew-config", "5"]);
        roff.control("SH", ["NAME"]);
        roff.text([roman("pitcrew-config - settings of the Pitcrew agent, and their defaults")]);
        for fragment in &self.fragments {
            roff.control("SH", [fragment.name.as_str()]);
            for block in &fragment.blocks {
                match block {
                    Block::Prose(lines) => {
                        roff.control("PP", []);
                        roff.text([roman(lines.join("\n"))]);
                    }
                    Block::Section(name) => {
                        roff.control("SS", [name.as_str()]);
                    }
                    Block::Key { line, about } => {
                        roff.control("TP", []);
                        roff.text([bold(line)]);
                        roff.text([roman(about.join("\n"))]);
                    }
                    Block::Example(lines) => {
                        roff.control("PP", []);
                        roff.control("nf", []);
                        roff.text([roman(lines.join("\n"))]);
                        roff.control("fi", []);
                    }
                }
            }
        }
        roff.to_roff()
    }
}

fn blocks(text: &str) -> Vec<Block> {
    text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()).flat_map(read).collect()
}

/// One block; a section's name may stand right above its first key.
fn read(block: &str) -> Vec<Block> {
    let mut read = Vec::new();
    let mut about = Vec::new();
    for line in block.lines() {
        match line.strip_prefix('#') {
            Some(comment) => about.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned()),
            None if line.starts_with('[') => read.push(Block::Section(line.to_owned())),
            None => read.push(Block::Key { line: line.to_owned(), about: std::mem::take(&mut about) }),
        }
    }
    if about.iter().any(|line| line.starts_with("[[")) {
        let end = about.iter().position(|line| line.starts_with("[[")).unwrap_or_default();
        let example = about.split_off(end);
        about.retain(|line| !line.is_empty());
        read.push(Block::Prose(about));
        read.push(Block::Example(example));
        return read;
    }
    match about.last().is_some_and(|line| is_key(line)) {
        true => {
            let line = about.pop().map(|line| format!("# {line}")).unwrap_or_default();
            read.push(Block::Key { line, about });
        }
        false if about.is_empty() => {}
        false => read.push(Block::Prose(about)),
    }
    read
}

/// Whether a comment is a key that is not set: `region = "eu-central-1"`.
fn is_key(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}
