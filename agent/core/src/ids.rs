//! Names that the outside world gave to things: one newtype each, so that they cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the name as the outside world wrote it.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as the outside world wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    )*};
}

names! {
    /// An EC2 instance id, `i-0123456789abcdef0`.
    InstanceId;
    /// The ARN of an ELBv2 target group.
    TargetGroupArn;
    /// A CodeDeploy deployment id, `d-XXXXXXXXX`.
    DeploymentId;
    /// A health probe's name, as the configuration gives it.
    ProbeName;
    /// The boot that an instant belongs to: `/proc/sys/kernel/random/boot_id`.
    BootId;
}

impl TargetGroupArn {
    /// The name inside `arn:…:targetgroup/NAME/ID`; the whole text where it has another shape.
    pub fn short(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or(&self.0)
    }
}

/// A CodeDeploy application and one of its deployment groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentGroup {
    /// The application's name.
    pub application: String,
    /// The deployment group's name.
    pub name: String,
}

impl fmt::Display for DeploymentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.application, self.name)
    }
}

/// One open request on the socket, numbered by the engine; never reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);
