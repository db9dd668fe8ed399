//! Values that are one of a few words.

use pitcrew_core::settings::{BeforeStop, OnAdvice, OnDead, OnNotice};
use pitcrew_core::wire::Owner;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{Value, expected};
use crate::config::settings::{LogFormat, LogLevel};

/// Reads and shows a type by the words for its values, all of them.
macro_rules! words {
    ($type:ident { $($value:ident = $word:literal),+ }) => {
        impl $crate::config::value::Value for $type {
            fn read(toml: &toml::de::DeValue<'_>) -> Result<Self, String> {
                $crate::config::value::word(toml, &[$(($word, Self::$value)),+])
            }

            fn show(&self) -> serde_json::Value {
                match self {
                    $(Self::$value => $word.into(),)+
                }
            }
        }
    };
}
pub(in crate::config) use words;

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

words!(OnNotice { Finish = "finish", Refuse = "refuse" });

words!(OnDead { StayOut = "stay-out", Replace = "replace" });

words!(BeforeStop { Drain = "drain", Answer = "answer" });

words!(OnAdvice { Ignore = "ignore", Mark = "mark", Drain = "drain" });

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

words!(OnWithdrawn { Stay = "stay", Return = "return" });

words!(LogFormat { Auto = "auto", Text = "text", Json = "json" });

words!(LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" });

/// One of a few words.
pub(in crate::config) fn word<T: Copy>(toml: &DeValue<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| toml.as_str() == Some(word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        expected(&format!("one of {}", words.join(", ")), toml)
    })
}
