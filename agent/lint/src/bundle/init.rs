//! Writes Pitcrew's shim into a bundle and names it in `appspec.yml`, without touching a line that is there.
//!
//! The appspec is edited as text, so that comments, order and quotes stay. The result is read again and must be what
//! was there plus the shims, value by value; where that cannot be had, nothing is written and a sentence says why.

mod edit;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pitcrew_core::lifecycle::LifecycleEvent;

use super::appspec::{FlawKind, LONGEST_EVENT_S};
use super::{Bundle, File, NAMES, Options, Owner, ReadError, tree};

/// The shim that is written where a bundle has none.
pub const SHIM: &str = "#!/bin/sh\nexec pitcrew hook\n";
const SHIM_PATH: &str = "scripts/pitcrew-hook.sh";

/// What would be written into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    directory: PathBuf,
    /// In the order in which they are written.
    pub changes: Vec<Change>,
}

/// One file of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In the bundle.
    pub path: String,
    /// What becomes of it: `create scripts/pitcrew-hook.sh`, or the events to which a shim is added.
    pub sentence: String,
    /// Its new text.
    pub text: String,
    is_executable: bool,
}

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The bundle cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be written.
    #[error("failed to write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be done without changing what is there.
    #[error("{place}: {sentence}; nothing was written")]
    Refused {
        /// The file and the line.
        place: String,
        /// Why, and what a person can do.
        sentence: String,
    },
}

/// Where the shim goes among the scripts of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    First,
    Last,
}

/// One shim that a bundle is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) event: LifecycleEvent,
    pub(super) position: Position,
    pub(super) location: String,
    pub(super) timeout_s: u64,
}

/// Says what would be written so that every event of the owner's has its shim. A bundle that has them all needs nothing.
///
/// # Errors
/// [`InitError::Refused`] where the appspec cannot be edited as text, [`InitError::Read`] where it cannot be read.
pub fn plan(directory: &Path, options: Options) -> Result<Plan, InitError> {
    let bundle = Bundle::new(directory.display().to_string(), tree::read(directory)?, options);
    let (location, shim) = shim(&bundle)?;
    let mut changes = Vec::from_iter(shim);
    let text = match bundle.appspec.and_then(|name| bundle.files.get(name)) {
        Some(file) => match String::from_utf8(file.start().to_vec()) {
            Ok(text) => Some(text),
            Err(_) => return Err(refused(bundle.at(1).to_string(), "it is not UTF-8; convert it first")),
        },
        None => None,
    };
    let unreadable = bundle.spec.flaws.iter().find(|flaw| flaw.kind == FlawKind::NotYaml);
    if let (Some(flaw), true) = (unreadable, text.is_some()) {
        return Err(refused(bundle.at(flaw.line).to_string(), format!("{} {}", flaw.message, flaw.fix)));
    }
    let wanted = wanted(&bundle, &location)?;
    let path = bundle.appspec.unwrap_or(NAMES[0]).to_owned();
    let edited = match &text {
        Some(text) => edit::add(text, &wanted)
            .map_err(|refusal| refused(bundle.at(refusal.line).to_string(), refusal.sentence))?,
        None => new_appspec(&wanted),
    };
    if text.as_ref() != Some(&edited) {
        let events: Vec<_> = wanted.iter().map(|shim| shim.event.name()).collect();
        let verb = if text.is_some() { "change" } else { "create" };
        let sentence = format!("{verb} {path}: {location} in {}", events.join(", "));
        changes.push(Change { path, sentence, text: edited, is_executable: false });
    }
    Ok(Plan { directory: directory.to_owned(), changes })
}

impl Plan {
    /// Writes it.
    ///
    /// # Errors
    /// [`InitError::Write`] names the file; those before it are written.
    pub fn carry_out(&self) -> Result<(), InitError> {
        for change in &self.changes {
            let path = self.directory.join(&change.path);
            write(&path, change).map_err(|source| InitError::Write { path, source })?;
        }
        Ok(())
    }
}

/// Writes beside the file and moves it into place, with the permissions that were there.
fn write(path: &Path, change: &Change) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, &change.text)?;
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(_) if change.is_executable => 0o755,
        Err(_) => 0o644,
    };
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode))?;
    fs::rename(&beside, path)
}

fn refused(place: impl Into<String>, sentence: impl Into<String>) -> InitError {
    let sentence: String = sentence.into();
    InitError::Refused { place: place.into(), sentence: sentence.trim_end_matches('.').to_owned() }
}

/// The shim's location, and its file where the bundle has none.
fn shim(bundle: &Bundle) -> Result<(String, Option<Change>), InitError> {
    let is_shim = |file: &File| file.script().is_some_and(|text| super::is_shim(&text));
    let named = bundle.scripts().map(|(_, script)| script).find(|script| bundle.is_shim(script) && !script.sudo);
    if let Some(script) = named {
        return Ok((script.location.clone(), None));
    }
    match bundle.files.get(SHIM_PATH) {
        Some(file) if is_shim(file) => Ok((SHIM_PATH.to_owned(), None)),
        Some(_) => Err(refused(
            bundle.place(SHIM_PATH, 1).to_string(),
            "it is there and does not call `pitcrew hook`; rename it, or make `exec pitcrew hook` its line",
        )),
        None => {
            let sentence = format!("create {SHIM_PATH}");
            let change = Change { path: SHIM_PATH.to_owned(), sentence, text: SHIM.to_owned(), is_executable: true };
            Ok((SHIM_PATH.to_owned(), Some(change)))
        }
    }
}

/// The shims that the owner's events lack.
fn wanted(bundle: &Bundle, location: &str) -> Result<Vec<Wanted>, InitError> {
    let mut wanted = Vec::new();
    for &(event, position, most) in events(bundle.options.owner) {
        let scripts = bundle.spec.scripts(event);
        let mut shims = scripts.iter().map(|script| bundle.is_shim(script));
        let is_there = match position {
            // In events that only renew the lease any place will do.
            Position::First if most == RENEWING_S => shims.any(|is_shim| is_shim),
            Position::First => shims.next() == Some(true),
            // One that stands too early is for a person to move: a second one would return to traffic twice.
            Position::Last => shims.any(|is_shim| is_shim),
        };
        if is_there {
            continue;
        }
        let others: Option<u64> = scripts.iter().map(|script| script.timeout_s).sum();
        let left = LONGEST_EVENT_S.saturating_sub(others.unwrap_or_default());
        let needed = match position {
            Position::First if most == RENEWING_S => 1,
            Position::First => bundle.options.deregistration_delay_s + bundle.options.slow_requests_s,
            Position::Last => bundle.options.return_within_s,
        };
        let timeout_s = most.max(needed).min(left);
        if timeout_s < needed.min(LONGEST_EVENT_S) {
            let line = bundle.spec.hooks.iter().find(|hook| hook.event == event.name()).map_or(1, |hook| hook.line);
            let sentence = format!(
                "the scripts of {event} may take {} of an event's 3600 s, and the shim needs {needed}; give them less",
                others.unwrap_or_default()
            );
            return Err(refused(bundle.at(line).to_string(), sentence));
        }
        wanted.push(Wanted { event, position, location: location.to_owned(), timeout_s });
    }
    Ok(wanted)
}

/// For a shim that waits for traffic; a minute longer than the agent's own `deployment.hook_timeout`.
const WAITING_S: u64 = 900;
/// For a shim that only says that the deployment lives.
const RENEWING_S: u64 = 60;

/// The events in which an owner's shim stands, in CodeDeploy's order, where in them, and for how many seconds.
fn events(owner: Owner) -> &'static [(LifecycleEvent, Position, u64)] {
    use LifecycleEvent as E;
    use Position::{First, Last};
    match owner {
        Owner::Pitcrew | Owner::Elastigroup => &[
            (E::ApplicationStop, First, WAITING_S),
            (E::BeforeInstall, First, WAITING_S),
            (E::AfterInstall, First, RENEWING_S),
            (E::ApplicationStart, First, RENEWING_S),
            (E::ValidateService, Last, WAITING_S),
        ],
        Owner::CodeDeploy => &[
            (E::BeforeBlockTraffic, First, RENEWING_S),
            (E::AfterBlockTraffic, First, RENEWING_S),
            (E::ApplicationStop, First, RENEWING_S),
            (E::BeforeInstall, First, RENEWING_S),
            (E::AfterInstall, First, RENEWING_S),
            (E::ApplicationStart, First, RENEWING_S),
            (E::ValidateService, Last, WAITING_S),
            (E::BeforeAllowTraffic, First, RENEWING_S),
            (E::AfterAllowTraffic, Last, WAITING_S),
        ],
    }
}

fn new_appspec(wanted: &[Wanted]) -> String {
    let mut text = String::from(
        "version: 0.0\nos: linux\n# What to copy where, for instance the whole bundle:\n#\n# files:\n#   - source: /\n#     \
         destination: /opt/app\n# file_exists_behavior: OVERWRITE\nhooks:\n",
    );
    for Wanted { event, location, timeout_s, .. } in wanted {
        let _ = write!(text, "  {event}:\n    - location: {location}\n      timeout: {timeout_s}\n      runas: root\n");
    }
    text
}
