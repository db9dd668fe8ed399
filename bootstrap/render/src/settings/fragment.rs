//! `bootstrap.toml` as it is written: every key optional, every unknown key an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A value and the place where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fragment {
    pub(super) systems: Vec<Text>,
    pub(super) run: Run,
    #[serde(rename = "package")]
    pub(super) packages: Vec<Package>,
    pub(super) ssm: Option<Ssm>,
    pub(super) codedeploy: Option<CodeDeploy>,
    pub(super) tags: BTreeMap<Text, Text>,
    pub(super) endpoints: Endpoints,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Run {
    pub(super) deadline: Option<Text>,
    pub(super) pace: Option<Text>,
    pub(super) root: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Package {
    pub(super) arch: Text,
    pub(super) url: Text,
    pub(super) sha256: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ssm {
    pub(super) version: Text,
    pub(super) region: Option<Text>,
    pub(super) source: Option<Text>,
    #[serde(default)]
    pub(super) signing_keys: Vec<Text>,
    #[serde(default)]
    pub(super) sha256: BTreeMap<Text, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeDeploy {
    pub(super) version: Text,
    #[serde(default)]
    pub(super) config: BTreeMap<Text, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) sha256: BTreeMap<Text, Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Endpoints {
    pub(super) imds: Option<Text>,
    pub(super) s3: Option<Text>,
    pub(super) ec2: Option<Text>,
    pub(super) ca: Option<Text>,
}
