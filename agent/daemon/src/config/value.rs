//! How each type of value is read from TOML and shown again.

mod words;

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::duration;
use super::settings::Statuses;
pub(super) use words::{OnWithdrawn, TrafficOwner, word, words};

/// A type that a key can have.
pub(super) trait Value: Sized {
    /// Reads it; the error says what may be written.
    fn read(toml: &DeValue<'_>) -> Result<Self, String>;
    /// The value as TOML writes it too (JSON strings, numbers and lists are TOML); null for none.
    fn show(&self) -> Json;
}

impl Value for bool {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        toml.as_bool().ok_or_else(|| expected("true or false", toml))
    }

    fn show(&self) -> Json {
        json!(self)
    }
}

impl Value for String {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        match toml.as_str() {
            Some("") => Err("must not be empty; leave the key out instead".to_owned()),
            Some(text) => Ok(text.to_owned()),
            None => Err(expected("a text in quotes", toml)),
        }
    }

    fn show(&self) -> Json {
        json!(self)
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let list = toml.as_array().ok_or_else(|| expected("a list", toml))?;
        list.iter().map(|item| T::read(item.get_ref())).collect()
    }

    fn show(&self) -> Json {
        self.iter().map(T::show).collect()
    }
}

impl<T: Value> Value for Option<T> {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        T::read(toml).map(Some)
    }

    fn show(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::show)
    }
}

impl Value for Duration {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = toml.as_str();
        duration::parse(text.ok_or_else(|| expected("a duration such as \"5s\"", toml))?)
    }

    fn show(&self) -> Json {
        json!(duration::written(*self))
    }
}

/// A duration that would spin or fail at once if it were nearly nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period(pub(super) Duration);

impl Value for Period {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let period = Duration::read(toml)?;
        match period < Duration::from_millis(100) {
            true => Err(format!("{} is too short; the least is 100ms", duration::written(period))),
            false => Ok(Self(period)),
        }
    }

    fn show(&self) -> Json {
        self.0.show()
    }
}

/// `deployment.hook_timeout`: CodeDeploy ends a script after an hour, whatever appspec.yml says.
#[derive(Clone, Copy, Debug)]
pub(super) struct HookTimeout(pub(super) Duration);

impl Value for HookTimeout {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let Period(timeout) = Period::read(toml)?;
        match timeout > Duration::from_secs(3600) {
            true => Err(format!("{} is too long; CodeDeploy ends a script after 1h", duration::written(timeout))),
            false => Ok(Self(timeout)),
        }
    }

    fn show(&self) -> Json {
        self.0.show()
    }
}

impl Value for SocketAddr {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        text.parse().map_err(|_| format!("`{text}` is no address to listen on; write it as \"127.0.0.1:8790\""))
    }

    fn show(&self) -> Json {
        json!(self.to_string())
    }
}

/// `http.listen`: loopback, since everything is shown there; `None` is `off`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen(pub(super) Option<SocketAddr>);

impl Value for Listen {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        match toml.as_str() {
            Some("off") => Ok(Self(None)),
            Some(_) | None => match SocketAddr::read(toml)? {
                address if address.ip().is_loopback() => Ok(Self(Some(address))),
                address => Err(format!(
                    "`{address}` can be reached from other hosts, and everything is shown here; \
                     set http.ready_listen for balancers, which shows only /ready and /live"
                )),
            },
        }
    }

    fn show(&self) -> Json {
        self.0.map_or_else(|| json!("off"), |address| address.show())
    }
}

/// How many records are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept(pub(super) usize);

impl Value for Kept {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let number = toml.as_integer().and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
        let kept = number.filter(|kept| (10..=10_000).contains(kept)).map(Self);
        kept.ok_or_else(|| expected("a whole number from 10 to 10000", toml))
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

/// A share of a whole, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(pub(super) u8);

impl Value for Percent {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let number = toml.as_integer().and_then(|number| u8::from_str_radix(number.as_str(), number.radix()).ok());
        let percent = number.filter(|percent| (1..=99).contains(percent)).map(Self);
        percent.ok_or_else(|| expected("a whole number of percent from 1 to 99", toml))
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

/// How many answers in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) u32);

impl Value for Count {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        toml.as_integer()
            .and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|count| (1..=100).contains(count))
            .map(Self)
            .ok_or_else(|| expected("a whole number from 1 to 100", toml))
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

impl Value for Uri {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        let uri = text
            .parse::<Uri>()
            .ok()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        uri.ok_or_else(|| format!("`{text}` is no address; write it as http://HOST[:PORT][/PATH]"))
    }

    fn show(&self) -> Json {
        json!(self.to_string())
    }
}

impl Value for Statuses {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        let allowed = "write statuses from 100 to 599: \"200\", \"200,202\" or \"200-399\"";
        text.parse().map_err(|()| format!("`{text}` names no HTTP statuses; {allowed}"))
    }

    fn show(&self) -> Json {
        json!(self.to_string())
    }
}

/// A target group's ARN or name.
#[derive(Clone, Debug)]
pub(super) struct TargetGroup(pub(super) String);

impl Value for TargetGroup {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        let is_arn = text.starts_with("arn:") && text.contains(":targetgroup/");
        let is_name = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match is_arn || is_name {
            true => Ok(Self(text)),
            false => Err(format!("`{text}` is neither a target group's ARN (arn:…:targetgroup/…) nor its name")),
        }
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

/// `must be A, not B`.
pub(super) fn expected(what: &str, toml: &DeValue<'_>) -> String {
    match toml {
        DeValue::String(text) => format!("must be {what}, not \"{text}\""),
        DeValue::Integer(number) => format!("must be {what}, not {number}"),
        DeValue::Float(number) => format!("must be {what}, not {number}"),
        DeValue::Boolean(truth) => format!("must be {what}, not {truth}"),
        DeValue::Datetime(time) => format!("must be {what}, not {time}"),
        DeValue::Array(_) => format!("must be {what}, not a list"),
        DeValue::Table(_) => format!("must be {what}, not a section"),
    }
}
