//! The pages that people read, and the code in them.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documentation.
pub(crate) struct Page {
    pub(crate) name: String,
    text: String,
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page for people; the changelog is one, too.
pub(crate) fn pages() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    let others = ["README.md", "README.ko.md", "SECURITY.md", "CHANGELOG.md", "agent/ARCHITECTURE.md"];
    paths.extend(others.into_iter().chain(["packaging/iam/README.md"]).map(|name| root().join(name)));
    paths.sort();
    let page = |path: PathBuf| Page {
        text: fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        name: path.strip_prefix(root()).unwrap().display().to_string(),
    };
    paths.into_iter().map(page).collect()
}

impl Page {
    /// What stands between backticks in running text, also over the end of a line.
    pub(crate) fn spans(&self) -> Vec<String> {
        let mut prose = String::new();
        let mut fenced = false;
        for line in self.text.lines() {
            let fence = line.starts_with("```");
            fenced ^= fence;
            let blank = if line.trim().is_empty() { "\n\n" } else { " " };
            if !fence && !fenced && !line.starts_with("    ") {
                prose.push_str(line.trim());
            }
            prose.push_str(blank);
        }
        let paragraphs = prose.split("\n\n");
        paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }

    /// The lines of blocks of code: indented, or fenced as `shell`; a line that ends in `\` goes on in the next.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut fenced = None;
        let mut lines: Vec<String> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            if let Some(kind) = line.strip_prefix("```") {
                fenced = fenced.is_none().then_some(kind);
                continue;
            }
            let code = match fenced {
                Some(kind) if ["sh", "shell", "console"].contains(&kind) => line,
                Some(_) => continue,
                None => match line.strip_prefix("    ") {
                    Some(code) => code,
                    None => continue,
                },
            };
            let (code, more) = code.strip_suffix('\\').map_or((code, false), |code| (code, true));
            match (goes_on, lines.last_mut()) {
                (true, Some(last)) => last.push_str(code.trim_start()),
                (_, _) => lines.push(code.trim().to_owned()),
            }
            goes_on = more;
        }
        lines
    }

    /// The blocks of configuration: fenced as `toml`, or indented and beginning with a table.
    pub(crate) fn configurations(&self) -> Vec<String> {
        let fenced = self.text.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        let mut blocks: Vec<String> = fenced.map(str::to_owned).collect();
        let mut open: Option<String> = None;
        for line in self.text.lines().chain([""]) {
            let code = line.strip_prefix("    ").map(str::trim).filter(|code| !code.is_empty());
            match (code, &mut open) {
                (Some(code), None) if code.starts_with('[') => open = Some(format!("{code}\n")),
                (Some(code), Some(block)) => *block += &format!("{code}\n"),
                (Some(_), None) => {}
                (None, _) => blocks.extend(open.take()),
            }
        }
        blocks
    }
}
