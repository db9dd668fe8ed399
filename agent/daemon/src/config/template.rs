//! JSON with places to fill in: `{"text": "{{instance}}: {{sentence}}"}`.

use std::fmt;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::value::Value;

/// A JSON document with places to fill in, each inside a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Fill(Fill),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// `spot-terminate`.
    Reason,
    /// `noticed`, `left` or `left_badly`.
    Moment,
    /// What happened, for people.
    Sentence,
    /// `i-…`.
    Instance,
    /// `eu-central-1`.
    Region,
    /// The account's twelve digits.
    Account,
    /// When all must be done, as RFC 3339 writes it.
    Deadline,
}

impl Fill {
    const ALL: [Fill; 7] =
        [Fill::Reason, Fill::Moment, Fill::Sentence, Fill::Instance, Fill::Region, Fill::Account, Fill::Deadline];

    /// How it is written between the braces; upper-case after `PITCREW_`, in the environment of commands.
    pub fn word(self) -> &'static str {
        match self {
            Fill::Reason => "reason",
            Fill::Moment => "moment",
            Fill::Sentence => "sentence",
            Fill::Instance => "instance",
            Fill::Region => "region",
            Fill::Account => "account",
            Fill::Deadline => "deadline",
        }
    }

    /// Everything that can be filled in.
    pub fn all() -> impl Iterator<Item = Fill> {
        Self::ALL.into_iter()
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err("has `{{` without `}}`".to_owned());
            };
            let fill = Fill::all().find(|fill| fill.word() == name.trim()).ok_or_else(|| {
                let words: Vec<_> = Fill::all().map(|fill| format!("{{{{{}}}}}", fill.word())).collect();
                format!("does not know `{{{{{name}}}}}`; there are {}", words.join(", "))
            })?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Fill(fill));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self(parts);
        match serde_json::from_str::<Json>(&template.filled(|_| "x")) {
            Ok(_) => Ok(template),
            Err(error) => Err(format!("is no JSON: {error}")),
        }
    }

    /// The document with everything filled in.
    pub fn filled<'a>(&self, value: impl Fn(Fill) -> &'a str) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Fill(fill) => {
                    let quoted = Json::from(value(*fill)).to_string();
                    text.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
                }
            }
        }
        text
    }
}

impl Default for Template {
    /// An object with everything.
    fn default() -> Self {
        let mut parts = Vec::new();
        let mut lead = "{".to_owned();
        for fill in Fill::all() {
            parts.push(Part::Text(format!("{lead}\"{}\":\"", fill.word())));
            parts.push(Part::Fill(fill));
            lead = "\",".to_owned();
        }
        parts.push(Part::Text("\"}".to_owned()));
        Self(parts)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Fill(fill) => write!(f, "{{{{{}}}}}", fill.word()),
        })
    }
}

impl Value for Template {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        Self::parse(&String::read(toml)?)
    }

    fn show(&self) -> Json {
        json!(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_stays_inside_its_string() {
        let template = Template::parse(r#"{"text":"{{ instance }}: {{sentence}}","n":1}"#).unwrap();
        let filled = template.filled(|fill| match fill {
            Fill::Sentence => "a \"quoted\"\nline \\",
            Fill::Instance => "\"",
            _ => "",
        });
        let document: Json = serde_json::from_str(&filled).unwrap();
        assert_eq!(document["text"], "\": a \"quoted\"\nline \\");
        assert_eq!(Template::parse(&template.to_string()), Ok(template));
    }

    #[test]
    fn the_default_says_everything() {
        let document: Json = serde_json::from_str(&Template::default().filled(Fill::word)).unwrap();
        for fill in Fill::all() {
            assert_eq!(document[fill.word()], fill.word());
        }
        let written = Template::parse(&Template::default().to_string()).unwrap();
        assert_eq!(written.filled(Fill::word), Template::default().filled(Fill::word));
    }

    #[test]
    fn a_template_that_makes_no_json_is_refused() {
        for (text, why) in [
            (r#"{"text":"{{nobody}}"}"#, "does not know `{{nobody}}`"),
            (r#"{"text":"{{reason"}"#, "without `}}`"),
            (r#"{"text":{{reason}}}"#, "is no JSON"),
            ("hello", "is no JSON"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
