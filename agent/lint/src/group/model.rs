//! An Elastigroup, normalised: one name for each thing, whatever shape the file had, and where each value stood.

use std::collections::BTreeSet;

/// A value and the JSON pointer at which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) pointer: String,
}

/// In whose words the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The API's, as the console exports it.
    Api,
    /// Terraform's `spotinst_elastigroup_aws`.
    Terraform,
}

/// One Elastigroup.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) shape: Shape,
    pub(super) name: Option<String>,
    /// Where absent values would stand.
    pub(super) at: Sections,
    /// Terraform's names of what only the apply will know.
    pub(super) unknown: BTreeSet<String>,
    /// Values of another type than they must have: where, and what is expected.
    pub(super) misread: Vec<At<&'static str>>,

    pub(super) region: Option<At<String>>,
    pub(super) minimum: Option<At<u64>>,
    pub(super) maximum: Option<At<u64>>,
    pub(super) target: Option<At<u64>>,
    pub(super) spot_types: Option<At<Vec<String>>>,
    pub(super) ondemand_type: Option<At<String>>,
    /// Zones or subnets, whichever the file names.
    pub(super) zones: Option<At<usize>>,
    /// Percent of the instances that are Spot.
    pub(super) spot_percentage: Option<At<u64>>,
    pub(super) fallback_to_ondemand: Option<At<bool>>,
    /// Seconds.
    pub(super) draining_timeout: Option<At<u64>>,
    pub(super) signals: Vec<Signal>,
    pub(super) persists_root: Option<At<bool>>,

    pub(super) health_check_type: Option<At<String>>,
    /// Seconds.
    pub(super) health_check_grace: Option<At<u64>>,
    /// Seconds.
    pub(super) unhealthy_duration: Option<At<u64>>,
    pub(super) auto_healing: Option<At<bool>>,
    pub(super) balancers: Vec<Balancer>,
    /// Elastigroup makes its own target groups.
    pub(super) makes_target_groups: bool,

    pub(super) iam_role: Option<At<String>>,
    pub(super) user_data: Option<At<String>>,
    pub(super) shutdown_script: Option<At<String>>,
    pub(super) tags: Vec<Tag>,
    pub(super) http_tokens: Option<At<String>>,
    pub(super) metadata_tags: Option<At<String>>,

    pub(super) codedeploy: Option<CodeDeploy>,
    pub(super) roll: Option<Roll>,
}

/// Where the parts of a group stand. In Terraform's shape all are the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) group: String,
    pub(super) strategy: String,
    pub(super) compute: String,
    pub(super) launch: String,
}

/// `signals[]`
#[derive(Debug, Clone)]
pub(super) struct Signal {
    pub(super) pointer: String,
    pub(super) name: String,
    /// Seconds.
    pub(super) timeout: Option<At<u64>>,
}

/// A load balancer that the group registers its instances in.
#[derive(Debug, Clone)]
pub(super) struct Balancer {
    pub(super) pointer: String,
    pub(super) kind: BalancerKind,
    /// A name of a classic one, the ARN of a target group.
    pub(super) id: Option<String>,
}

/// What kind of load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BalancerKind {
    Classic,
    TargetGroup,
    /// A kind that Elastigroup no longer has.
    Other(String),
}

/// A tag that each instance is launched with.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) pointer: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// The integration that deploys to new instances.
#[derive(Debug, Clone)]
pub(super) struct CodeDeploy {
    pub(super) pointer: String,
    pub(super) terminate_on_failure: Option<At<bool>>,
    pub(super) groups: Vec<DeploymentGroup>,
}

/// One deployment group of the integration.
#[derive(Debug, Clone)]
pub(super) struct DeploymentGroup {
    pub(super) pointer: String,
    pub(super) application: Option<String>,
    pub(super) group: Option<String>,
}

/// Terraform's `update_policy.roll_config`.
#[derive(Debug, Clone)]
pub(super) struct Roll {
    pub(super) pointer: String,
    pub(super) health_check_type: Option<At<String>>,
    /// Seconds.
    pub(super) grace: Option<At<u64>>,
}

pub(super) const READY: &str = "INSTANCE_READY";
pub(super) const READY_TO_SHUTDOWN: &str = "INSTANCE_READY_TO_SHUTDOWN";

impl Group {
    pub(super) fn signal(&self, name: &str) -> Option<&Signal> {
        self.signals.iter().find(|signal| signal.name == name)
    }

    /// Whether the instances get requests through a load balancer, or may: what only the apply knows counts as one.
    pub(super) fn has_balancer(&self) -> bool {
        !self.balancers.is_empty()
            || self.makes_target_groups
            || self.is_unknown("target_group_arns")
            || self.is_unknown("elastic_load_balancers")
    }

    /// Whether only Terraform's apply will know a value, by Terraform's name.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.unknown.contains(name)
    }

    /// What the file's own language calls a setting of the API.
    pub(super) fn word(&self, api: &'static str) -> &'static str {
        match self.shape {
            Shape::Api => api,
            Shape::Terraform => match api {
                "strategy.drainingTimeout" => "draining_timeout",
                "strategy.signals" => "signal",
                "strategy.fallbackToOd" => "fallback_to_ondemand",
                "capacity.target" => "desired_capacity",
                "healthCheckType" => "health_check_type",
                "healthCheckGracePeriod" => "health_check_grace_period",
                "healthCheckUnhealthyDurationBeforeReplacement" => "health_check_unhealthy_duration_before_replacement",
                "iamRole" => "iam_instance_profile",
                "userData" => "user_data",
                "shutdownScript" => "shutdown_script",
                "metadataOptions.httpTokens" => "metadata_options.http_tokens",
                "metadataOptions.instanceMetadataTags" => "metadata_options.instance_metadata_tags",
                "thirdPartiesIntegration.codeDeploy" => "integration_codedeploy",
                "terminateInstanceOnFailure" => "terminate_instance_on_failure",
                "compute.instanceTypes.spot" => "instance_types_spot",
                "strategy.persistence.shouldPersistRootDevice" => "persist_root_device",
                "loadBalancersConfig" => "target_group_arns",
                other => other,
            },
        }
    }
}
