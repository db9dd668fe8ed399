//! Configurations are ones that the agent accepts, and settings are ones that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pitcrew::config;

use crate::pages::{pages, root};

fn refused(text: &str) -> Option<String> {
    config::read(&[(Path::new("example.toml"), text)]).err().map(|error| error.to_string())
}

#[test]
fn configurations_of_the_documentation_are_accepted() {
    let mut accepted = 0;
    for page in pages() {
        for block in page.configurations() {
            let why = refused(&block);
            assert!(why.is_none(), "{}: {}\n{block}", page.name, why.unwrap_or_default());
            accepted += 1;
        }
        // `[http] answer_hcs = true`, in a sentence.
        for span in page.spans() {
            let Some((table, setting)) = span.split_once("] ").filter(|_| span.starts_with('[')) else { continue };
            if setting.contains(" = ") {
                let why = refused(&format!("{table}]\n{setting}\n"));
                assert!(why.is_none(), "{}: `{span}`: {}", page.name, why.unwrap_or_default());
                accepted += 1;
            }
        }
    }
    assert!(accepted >= 10, "only {accepted} configurations");
    assert!(refused("[http]\nanswer_hsc = true\n").is_some());
}

/// `[deployment] hook_timeout`, `deployment.hook_timeout`: as the shipped fragments have them.
#[test]
fn settings_that_the_documentation_names_are_there() {
    let (mut keys, mut tables) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(root().join("packaging/config.d")).unwrap() {
        let mut table = String::new();
        for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let line = line.trim_start_matches("# ").trim_start_matches('#');
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.trim_start_matches('[').split(']').next()) {
                table = name.to_owned();
                tables.insert(table.clone());
            } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
                keys.insert(format!("{table}.{key}"));
            }
        }
    }
    let mut named = 0;
    for page in pages() {
        for span in page.spans() {
            let named_key = span.strip_prefix('[').and_then(|span| span.split_once("] "));
            let key = match named_key {
                Some((table, key)) => format!("{table}.{}", key.split(' ').next().unwrap_or_default()),
                None => match span.split_once('.') {
                    Some((table, _)) if tables.contains(table) && !span.contains([' ', '/']) => span.clone(),
                    Some(_) | None => continue,
                },
            };
            // A folder of scripts, a program's module.
            if ["drain.d", "config.d"].contains(&key.as_str()) || key.ends_with(".rs") || key.ends_with(".toml") {
                continue;
            }
            assert!(keys.contains(&key), "{}: `{span}`: there is no {key} among {keys:?}", page.name);
            named += 1;
        }
    }
    assert!(named >= 10, "only {named} settings");
}
