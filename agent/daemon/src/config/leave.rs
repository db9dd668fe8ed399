//! `[leave]`: what an operator decides about the instance's end, and how it is written.

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, Uri};
use serde_json::{Value as Json, json};
use toml::de::{DeTable, DeValue};

use super::template::Template;
use super::value::{Value, expected, words};

/// Where the operator's scripts lie when nobody says otherwise.
pub const DRAIN_D: &str = "/etc/pitcrew/drain.d";

/// The codes of scheduled events, as EC2 writes them.
const CODES: [&str; 5] =
    ["instance-reboot", "system-reboot", "system-maintenance", "instance-retirement", "instance-stop"];

/// Scheduled events are asked for so often; leaving later than that before one would be leaving too late.
const SHORTEST_LEAD: Duration = Duration::from_secs(30);

/// `[leave]`, beside what the core knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// What happens when the service manager stops the agent.
    pub on_stop: OnStop,
    /// Where the operator's scripts lie.
    pub scripts: PathBuf,
    /// Who runs them.
    pub run_scripts: RunScripts,
    /// The tags by which CodeDeploy chooses this instance; they are removed. Empty: none is.
    pub remove_tags: Vec<String>,
    /// The Auto Scaling lifecycle hook that waits for this agent; `None`: the only one there is.
    pub lifecycle_hook: Option<String>,
    /// How long before a scheduled event.
    pub scheduled: Scheduled,
    /// Who is told over HTTP.
    pub webhook: Option<Webhook>,
    /// What is run at each turn.
    pub commands: Commands,
}

/// What happens when the service manager stops the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// The instance leaves traffic first, within so long; the next run brings it back.
    Leave(Duration),
    /// Traffic stays as it is, and the next run takes up from the ledger.
    Stay,
}

/// Who runs `drain.d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunScripts {
    /// `pitcrew-drain.service`, as root.
    Unit,
    /// The agent, with its own rights.
    Direct,
}

/// How long before a scheduled event the instance leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Where the event's code has none of its own.
    lead: Lead,
    by_code: BTreeMap<String, Lead>,
}

/// When a scheduled event becomes a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// So long before its earliest beginning.
    Ahead(Duration),
    /// Never: the instance stays.
    Ignore,
}

impl Scheduled {
    /// What was decided for events of this code.
    pub fn lead(&self, code: &str) -> Lead {
        self.by_code.get(code).copied().unwrap_or(self.lead)
    }
}

impl Default for Scheduled {
    fn default() -> Self {
        Self { lead: Lead::Ahead(Duration::from_secs(300)), by_code: BTreeMap::new() }
    }
}

/// Who is told over HTTP, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub url: Address,
    /// Headers, and where the value of each is read.
    pub headers: BTreeMap<String, Credential>,
    /// The JSON that is sent.
    pub body: Template,
}

/// Where a webhook is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Written in the configuration.
    Plain(Uri),
    /// A secret in itself.
    Secret(Credential),
}

/// Names a secret: a credential of the unit (`LoadCredential=`), or a file that only its owner can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential(pub String);

/// A program and its arguments for each turn of leaving; empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// The first notice was seen.
    pub noticed: Vec<String>,
    /// All is done.
    pub left: Vec<String>,
    /// The time is over, and something was skipped or failed.
    pub left_badly: Vec<String>,
}

/// `leave.on_stop`, without the time that `leave.stop_budget` gives it.
#[derive(Clone, Copy, Debug)]
pub(super) enum StopWord {
    Leave,
    Stay,
}

impl StopWord {
    pub(super) fn within(self, budget: Duration) -> OnStop {
        match self {
            StopWord::Leave => OnStop::Leave(budget),
            StopWord::Stay => OnStop::Stay,
        }
    }
}

words!(StopWord { Leave = "leave", Stay = "stay" });

words!(RunScripts { Unit = "unit", Direct = "direct" });

impl Value for PathBuf {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        match Path::new(&text).is_absolute() {
            true => Ok(text.into()),
            false => Err(format!("`{text}` does not begin with /")),
        }
    }

    fn show(&self) -> Json {
        json!(self.display().to_string())
    }
}

/// A tag's key.
#[derive(Clone, Debug)]
pub(super) struct TagKey(pub(super) String);

impl Value for TagKey {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        match text.chars().count() <= 128 && !text.starts_with("aws:") {
            true => Ok(Self(text)),
            false => Err(format!("`{text}` is no tag key that could be removed")),
        }
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

impl Value for Lead {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        if toml.as_str() == Some("ignore") {
            return Ok(Lead::Ignore);
        }
        let lead = Duration::read(toml).map_err(|why| format!("{why}; or \"ignore\""))?;
        match lead < SHORTEST_LEAD {
            true => Err("is too short: scheduled events are asked for every 30 s".to_owned()),
            false => Ok(Lead::Ahead(lead)),
        }
    }

    fn show(&self) -> Json {
        match self {
            Lead::Ahead(lead) => lead.show(),
            Lead::Ignore => json!("ignore"),
        }
    }
}

impl Value for Scheduled {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let mut scheduled = Self::default();
        for (key, value) in entries(table(toml)?) {
            let lead = Lead::read(value).map_err(|why| format!("`{key}`: {why}"))?;
            match key {
                "lead" => scheduled.lead = lead,
                code if CODES.contains(&code) => {
                    scheduled.by_code.insert(code.to_owned(), lead);
                }
                other => return Err(unknown(other, &[&["lead"], &CODES[..]].concat())),
            }
        }
        Ok(scheduled)
    }

    fn show(&self) -> Json {
        let own = self.by_code.iter().map(|(code, lead)| (code.as_str(), lead.show()));
        shown(iter::once(("lead", self.lead.show())).chain(own).collect())
    }
}

impl Value for Webhook {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let (mut plain, mut secret, mut headers, mut body) = (None, None, BTreeMap::new(), Template::default());
        for (key, value) in entries(table(toml)?) {
            let wrong = |why: String| format!("`{key}`: {why}");
            match key {
                "url" => plain = Some(Uri::read(value).map_err(wrong)?),
                "url_credential" => secret = Some(Credential::read(value).map_err(wrong)?),
                "headers" => {
                    for (name, value) in entries(table(value).map_err(wrong)?) {
                        name.parse::<HeaderName>().map_err(|_| format!("`{name}` is no name of a header"))?;
                        let credential = Credential::read(value).map_err(|why| format!("`headers.{name}`: {why}"))?;
                        headers.insert(name.to_owned(), credential);
                    }
                }
                "body" => body = Template::read(value).map_err(wrong)?,
                other => return Err(unknown(other, &["url", "url_credential", "headers", "body"])),
            }
        }
        let url = match (plain, secret) {
            (Some(url), None) => Address::Plain(url),
            (None, Some(credential)) => Address::Secret(credential),
            (None, None) | (Some(_), Some(_)) => {
                return Err("needs exactly one of `url` and `url_credential`".to_owned());
            }
        };
        Ok(Self { url, headers, body })
    }

    fn show(&self) -> Json {
        let url = match &self.url {
            Address::Plain(url) => ("url", url.show()),
            Address::Secret(credential) => ("url_credential", credential.show()),
        };
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.show()));
        shown(vec![url, ("headers", shown(headers.collect())), ("body", self.body.show())])
    }
}

impl Value for Credential {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let name = String::read(toml)?;
        match name.starts_with('/') || !name.contains('/') {
            true => Ok(Self(name)),
            false => Err(format!("`{name}` is neither a credential's name nor the path of a file")),
        }
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

impl Value for Commands {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let mut commands = Self::default();
        for (key, value) in entries(table(toml)?) {
            let command = match key {
                "noticed" => &mut commands.noticed,
                "left" => &mut commands.left,
                "left_badly" => &mut commands.left_badly,
                other => return Err(unknown(other, &["noticed", "left", "left_badly"])),
            };
            *command = Vec::<String>::read(value).map_err(|why| format!("`{key}`: {why}"))?;
            if !command.first().is_some_and(|program| program.starts_with('/')) {
                return Err(format!("`{key}` begins with the whole path of a program"));
            }
        }
        Ok(commands)
    }

    fn show(&self) -> Json {
        let commands = [("noticed", &self.noticed), ("left", &self.left), ("left_badly", &self.left_badly)];
        let set = commands.into_iter().filter(|(_, command)| !command.is_empty());
        shown(set.map(|(name, command)| (name, command.show())).collect())
    }
}

fn table<'a>(toml: &'a DeValue<'a>) -> Result<&'a DeTable<'a>, String> {
    toml.as_table().ok_or_else(|| expected("a section", toml))
}

fn entries<'a>(table: &'a DeTable<'a>) -> impl Iterator<Item = (&'a str, &'a DeValue<'a>)> {
    table.iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref()))
}

/// A section, shown. One function for all of them, since every type of iterator brings a way to sort it.
fn shown(entries: Vec<(&str, Json)>) -> Json {
    entries.into_iter().collect()
}

fn unknown(key: &str, known: &[&str]) -> String {
    format!("unknown key `{key}`; there are {}", known.join(", "))
}
