//! Values that are one of a few words.

use pitcrew_core::settings::{BeforeStop, OnAdvice, OnDead, OnNotice};
use pitcrew_core::wire::Owner;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{Value, expected};
use crate::config::settings::{LogFormat, LogLevel};

/// `traffic.owner`; `None` is `auto`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct TrafficOwner(pub(in crate::config) Option<Owner>);

impl Value for TrafficOwner {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let words = [
            ("auto", None),
            ("pitcrew", Some(Owner::Pitcrew)),
            ("codedeploy", Some(Owner::CodeDeploy)),
            ("elastigroup", Some(Owner::Elastigroup)),
        ];
        word(toml, &words).map(Self)
    }

    fn show(&self) -> Json {
        match self.0 {
            None => json!("auto"),
            Some(Owner::Pitcrew) => json!("pitcrew"),
            Some(Owner::CodeDeploy) => json!("codedeploy"),
            Some(Owner::Elastigroup) => json!("elastigroup"),
        }
    }
}

impl Value for OnNotice {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(toml, &[("finish", OnNotice::Finish), ("refuse", OnNotice::Refuse)])
    }

    fn show(&self) -> Json {
        match self {
            OnNotice::Finish => json!("finish"),
            OnNotice::Refuse => json!("refuse"),
        }
    }
}

impl Value for OnDead {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(toml, &[("stay-out", OnDead::StayOut), ("replace", OnDead::Replace)])
    }

    fn show(&self) -> Json {
        match self {
            OnDead::StayOut => json!("stay-out"),
            OnDead::Replace => json!("replace"),
        }
    }
}

impl Value for BeforeStop {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(toml, &[("drain", BeforeStop::Drain), ("answer", BeforeStop::Answer)])
    }

    fn show(&self) -> Json {
        match self {
            BeforeStop::Drain => json!("drain"),
            BeforeStop::Answer => json!("answer"),
        }
    }
}

impl Value for OnAdvice {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let words = [("ignore", OnAdvice::Ignore), ("mark", OnAdvice::Mark), ("drain", OnAdvice::Drain)];
        word(toml, &words)
    }

    fn show(&self) -> Json {
        match self {
            OnAdvice::Ignore => json!("ignore"),
            OnAdvice::Mark => json!("mark"),
            OnAdvice::Drain => json!("drain"),
        }
    }
}

/// `leave.on_withdrawn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum OnWithdrawn {
    Stay,
    Return,
}

impl OnWithdrawn {
    pub(in crate::config) fn of(returns: bool) -> Self {
        if returns { OnWithdrawn::Return } else { OnWithdrawn::Stay }
    }
}

impl Value for OnWithdrawn {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(toml, &[("stay", OnWithdrawn::Stay), ("return", OnWithdrawn::Return)])
    }

    fn show(&self) -> Json {
        match self {
            OnWithdrawn::Stay => json!("stay"),
            OnWithdrawn::Return => json!("return"),
        }
    }
}

impl Value for LogFormat {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(toml, &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)])
    }

    fn show(&self) -> Json {
        match self {
            LogFormat::Auto => json!("auto"),
            LogFormat::Text => json!("text"),
            LogFormat::Json => json!("json"),
        }
    }
}

impl Value for LogLevel {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(
            toml,
            &[
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
        )
    }

    fn show(&self) -> Json {
        match self {
            LogLevel::Error => json!("error"),
            LogLevel::Warn => json!("warn"),
            LogLevel::Info => json!("info"),
            LogLevel::Debug => json!("debug"),
            LogLevel::Trace => json!("trace"),
        }
    }
}

/// One of a few words.
pub(in crate::config) fn word<T: Copy>(toml: &DeValue<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| toml.as_str() == Some(word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        expected(&format!("one of {}", words.join(", ")), toml)
    })
}
