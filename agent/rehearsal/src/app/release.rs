//! What a revision of the sample application consists of: one line of text.

use std::fmt;
use std::str::FromStr;

/// One release, written as its version and, where it is a bad one, the word `unhealthy`.
///
/// `v2` is a good release; `v3 unhealthy` starts and serves, but its health check answers 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The name that it reports: visible ASCII, no spaces.
    pub version: String,
    /// Whether its health check answers 200.
    pub healthy: bool,
}

/// Why a text is not a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a release: write a version such as `v2`, or `v2 unhealthy` for a bad one")]
pub struct NotARelease {
    text: String,
}

impl FromStr for Release {
    type Err = NotARelease;

    fn from_str(text: &str) -> Result<Self, NotARelease> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (version, healthy) = match words[..] {
            [version] => (version, true),
            [version, "unhealthy"] => (version, false),
            _ => {
                return Err(NotARelease { text: text.trim().to_owned() });
            }
        };
        if !version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotARelease { text: text.trim().to_owned() });
        }
        Ok(Self { version: version.to_owned(), healthy })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.healthy {
            true => write!(out, "{}", self.version),
            false => write!(out, "{} unhealthy", self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_reads_as_it_is_written() {
        for text in ["v2", "2.0.1-rc1 unhealthy"] {
            assert_eq!(text.parse::<Release>().unwrap().to_string(), text);
        }
        assert!("v2\n".parse::<Release>().unwrap().healthy);
        assert!(!"v2 unhealthy\n".parse::<Release>().unwrap().healthy);
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in ["", "v2 sick", "v2 unhealthy again", "vé"] {
            let refusal = text.parse::<Release>().unwrap_err().to_string();
            assert!(refusal.contains("write a version such as `v2`"), "{refusal}");
        }
    }
}
