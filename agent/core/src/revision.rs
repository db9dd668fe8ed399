//! Which revision a deployment brings, as CodeDeploy tells its scripts.

use serde::{Deserialize, Serialize};

/// The bundle's identity; what CodeDeploy does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revision {
    /// `BUNDLE_BUCKET`, of a revision in S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// `BUNDLE_KEY`, of a revision in S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `BUNDLE_VERSION`: the object's version, where its bucket keeps versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `BUNDLE_ETAG`: the object's ETag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `BUNDLE_COMMIT`, of a revision on GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Revision {
    /// The word that tells it from others of its bundle: the commit, else the object's version, else its ETag.
    pub fn name(&self) -> Option<&str> {
        let etag = self.etag.as_deref().map(|etag| etag.trim_matches('"'));
        self.commit.as_deref().or(self.version.as_deref()).or(etag)
    }

    /// Whether CodeDeploy told nothing of it.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_named_by_what_changes_with_its_content() {
        let mut revision = Revision { etag: Some("\"9b2c\"".into()), ..Revision::default() };
        assert_eq!(revision.name(), Some("9b2c"));
        revision.version = Some("3sL4k".into());
        assert_eq!(revision.name(), Some("3sL4k"));
        revision.commit = Some("0d1f".into());
        assert_eq!(revision.name(), Some("0d1f"));
        assert!(!revision.is_unknown());
        assert!(Revision::default().is_unknown() && Revision::default().name().is_none());
    }
}
