//! A CodeDeploy bundle: a directory with an `appspec.yml`, and what its scripts do around a deployment.

pub mod appspec;
pub mod init;
pub(crate) mod rules;
mod tree;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use pitcrew_core::lifecycle::LifecycleEvent;

use crate::report::{Place, Report};
use crate::rule;
use crate::shell;
use appspec::{AppSpec, Script};

/// Who moves the instance in and out of traffic around a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// Pitcrew: the deployment group names no load balancer.
    #[default]
    Pitcrew,
    /// CodeDeploy: the deployment group names its load balancers.
    CodeDeploy,
    /// Elastigroup, by standby; the deployment group names no load balancer.
    Elastigroup,
}

/// What a bundle does not say by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Who moves traffic.
    pub owner: Owner,
    /// The target group's deregistration delay, in seconds; AWS's default is 300.
    pub deregistration_delay_s: u64,
    /// How long the slowest request takes, in seconds.
    pub slow_requests_s: u64,
    /// How long the return to traffic may take, in seconds: the agent's `return.within`.
    pub return_within_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { owner: Owner::Pitcrew, deregistration_delay_s: 300, slow_requests_s: 60, return_within_s: 600 }
    }
}

/// A directory that cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("failed to read `{path}`{advice}", advice = advice(source))]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotADirectory => "; name the bundle's directory, the one that holds appspec.yml",
        _ => "",
    }
}

/// Reads the bundle in a directory and says what is wrong with it.
///
/// # Errors
/// [`ReadError`] when the directory or a file in it cannot be read. A directory without `appspec.yml` is a finding.
pub fn check(directory: &Path, options: Options) -> Result<Report, ReadError> {
    let files = tree::read(directory)?;
    let bundle = Bundle::new(directory.display().to_string(), files, options);
    let findings = rule::findings(rules::CHECKS.iter().flat_map(|checks| checks.iter()), &bundle);
    Ok(Report { subject: format!("bundle {}", directory.display()), findings })
}

/// Whether a script calls `pitcrew hook`.
#[must_use]
pub fn is_shim(script: &str) -> bool {
    shell::calls_hook(script)
}

/// Everything that the rules look at.
pub(crate) struct Bundle {
    directory: String,
    files: BTreeMap<String, File>,
    /// The name of the appspec, where there is one.
    appspec: Option<&'static str>,
    spec: AppSpec,
    options: Options,
}

/// One file of a bundle.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) is_executable: bool,
    path: PathBuf,
    start: OnceCell<Vec<u8>>,
}

impl File {
    /// Its start, which is the whole of any script.
    fn start(&self) -> &[u8] {
        self.start.get_or_init(|| tree::start(&self.path))
    }

    /// The text of a script; nothing for a binary.
    fn script(&self) -> Option<String> {
        let text = std::str::from_utf8(self.start()).ok()?;
        (!text.contains('\0')).then(|| text.to_owned())
    }
}

/// CodeDeploy's agent takes either.
const NAMES: [&str; 2] = ["appspec.yml", "appspec.yaml"];

impl Bundle {
    fn new(directory: String, files: BTreeMap<String, File>, options: Options) -> Self {
        let appspec = NAMES.into_iter().find(|name| files.contains_key(*name));
        let text = appspec.and_then(|name| files.get(name)).map(|file| String::from_utf8_lossy(file.start()));
        let spec = text.map(|text| AppSpec::read(&text)).unwrap_or_default();
        Self { directory, files, appspec, spec, options }
    }

    /// A line of the appspec.
    fn at(&self, line: usize) -> Place {
        self.place(self.appspec.unwrap_or(NAMES[0]), line)
    }

    /// A line of a file.
    fn place(&self, path: &str, line: usize) -> Place {
        let directory = self.directory.trim_end_matches('/');
        let file = if directory == "." { path.to_owned() } else { format!("{directory}/{path}") };
        Place { file, line: Some(line), pointer: None, inside: None }
    }

    /// Whether there is an appspec that could be read as one.
    fn is_readable(&self) -> bool {
        let is_yaml = self.spec.flaws.iter().all(|flaw| flaw.kind != appspec::FlawKind::NotYaml);
        self.appspec.is_some() && is_yaml
    }

    /// Every script with its event; events that do not exist come as nothing.
    fn scripts(&self) -> impl Iterator<Item = (Option<LifecycleEvent>, &Script)> {
        self.spec.hooks.iter().flat_map(|hook| {
            let event = hook.event.parse().ok();
            hook.scripts.iter().map(move |script| (event, script))
        })
    }

    /// The text of a script, where it is one.
    fn text(&self, script: &Script) -> Option<String> {
        self.files.get(&script.location)?.script()
    }

    fn is_shim(&self, script: &Script) -> bool {
        self.text(script).is_some_and(|text| is_shim(&text))
    }

    /// Each script file once, with the events that name it.
    fn script_files(&self) -> BTreeMap<&str, Vec<LifecycleEvent>> {
        let mut files: BTreeMap<&str, Vec<LifecycleEvent>> = BTreeMap::new();
        for (event, script) in self.scripts() {
            if self.files.contains_key(&script.location) {
                files.entry(script.location.as_str()).or_default().extend(event);
            }
        }
        files
    }
}
