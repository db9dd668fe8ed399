//! An Elastigroup in a file: read in every shape that it comes in, its user data decoded, and judged by the rules.

mod model;
mod read;
pub(crate) mod rules;
mod user_data;

use std::collections::BTreeMap;

use crate::report::{Place, Report};
use crate::rule;
use model::Group;
use user_data::UserData;

/// What a group does not say by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The target group's deregistration delay, in seconds; AWS's default is 300.
    pub deregistration_delay_s: u64,
    /// How long one instance's in-place deployment takes, in seconds.
    pub deployment_s: u64,
    /// How long from launch until the agents run, in seconds.
    pub bootstrap_s: u64,
    /// The tags that select instances for the deployment group: key and value; all of them must match.
    pub selecting_tags: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { deregistration_delay_s: 300, deployment_s: 600, bootstrap_s: 300, selecting_tags: Vec::new() }
    }
}

/// A text in which there is no Elastigroup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGroup {
    /// It is no JSON.
    #[error("`{file}` is no JSON: {message}")]
    NotJson {
        /// The file.
        file: String,
        /// What the reader said, with line and column.
        message: String,
    },
    /// It is JSON of another kind.
    #[error(
        "`{file}` holds no Elastigroup; give the console's export, the reply of GET /aws/ec2/group/ID, or what \
         `terraform show -json` prints for a plan with a spotinst_elastigroup_aws"
    )]
    OtherJson {
        /// The file.
        file: String,
    },
    /// Terraform's plan is a binary file.
    #[error("`{file}` is a binary plan of Terraform; write it as JSON first: terraform show -json {file} > plan.json")]
    BinaryPlan {
        /// The file.
        file: String,
    },
}

/// Reads every Elastigroup in a text and says what is wrong with them; `file` is what the report calls the text.
///
/// # Errors
/// [`NoGroup`] when there is none.
pub fn lint(text: &str, file: &str, options: &Options) -> Result<Report, NoGroup> {
    let groups = read::groups(text, file)?;
    let names: Vec<_> =
        groups.iter().map(|group| format!("group {}", group.name.as_deref().unwrap_or("(no name)"))).collect();
    let subject = format!("{} in {file}", names.join(", "));
    let mut findings = Vec::new();
    for group in groups {
        let user_data = group.user_data.as_ref().map(|text| user_data::decode(&text.value, group.shape));
        let subject = Subject { group, user_data, options: options.clone(), file: file.to_owned() };
        findings.extend(rule::findings(rules::CHECKS.iter().flat_map(|checks| checks.iter()), &subject));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let lines = read::lines(text, findings.iter().filter_map(|finding| finding.place.pointer.as_deref()));
    for finding in &mut findings {
        finding.place.line = finding.place.pointer.as_ref().and_then(|pointer| lines.get(pointer).copied());
    }
    Ok(Report { subject, findings })
}

/// Everything that the rules look at.
pub(crate) struct Subject {
    group: Group,
    user_data: Option<UserData>,
    options: Options,
    file: String,
}

impl Subject {
    /// The place of a value.
    fn at(&self, pointer: impl Into<String>) -> Place {
        Place { file: self.file.clone(), line: None, pointer: Some(pointer.into()), inside: None }
    }

    /// A place inside of the user data.
    fn in_user_data(&self, inside: impl Into<String>) -> Place {
        let pointer = self.group.user_data.as_ref().map_or(&self.group.at.launch, |text| &text.pointer);
        Place { inside: Some(inside.into()), ..self.at(pointer) }
    }

    /// The scripts that the instance runs as they are decoded: a name for the place, and the text.
    fn scripts(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts = self.user_data.iter().flat_map(|data| &data.parts);
        parts.map(|part| (part.name.as_str(), part.text.as_str()))
    }
}

type Lines = BTreeMap<String, usize>;
