//! Writes what people read about the program, from the program itself: man pages, completions of three shells, and the
//! reference of the configuration.
//!
//!     cargo run --example manual -- FOLDER
//!
//! `packaging/build` puts them into the packages. Nothing of it is kept in the source tree, so nothing of it is stale.

mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use pitcrew::cli::Cli;

use reference::Reference;

fn main() -> anyhow::Result<()> {
    let [folder] = &std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>()[..] else {
        bail!("usage: manual FOLDER");
    };
    let man = folder.join("man");
    let completions = folder.join("completions");
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    }

    clap_mangen::generate_to(Cli::command(), &man).context("writing man pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "pitcrew", &completions)
            .with_context(|| format!("writing completions for {shell}"))?;
    }

    let fragments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/config.d");
    let reference = Reference::read(&fragments)?;
    write(&man.join("pitcrew-config.5"), &reference.to_roff())?;
    write(&folder.join("configuration.md"), &reference.to_markdown())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))
}
