//! The AWS effects, against wire messages as AWS documents them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod balancing;
mod deployments;
#[path = "../scripted/mod.rs"]
mod scripted;
mod signing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future};
use pitcrew::doors::TokioClock;
use pitcrew::effect::{Balancer, Deployments, OwnIds, aws};
use pitcrew_core::ids::{DeploymentGroup, TargetGroupArn};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::{DeploymentState, Failure, FailureKind, GroupFacts, Observation, Owner, Target, TargetState};
use scripted::{Outcome, Scripted, answer, form, refused};

/// 2026-11-23T00:00:00Z
const MIDNIGHT: u64 = 1_795_392_000_000;
const TIMEOUT: Duration = Duration::from_secs(5);
const ME: &str = "i-0me";
const MY_ADDRESS: &str = "10.0.0.7";

fn arn(name: &str) -> TargetGroupArn {
    TargetGroupArn::new(format!(
        "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/{name}/0123456789abcdef"
    ))
}

fn config(transport: &Arc<Scripted>) -> aws_config::SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    configured(transport, SharedCredentialsProvider::new(credentials))
}

fn configured(transport: &Arc<Scripted>, credentials: SharedCredentialsProvider) -> aws_config::SdkConfig {
    aws::fixed("eu-central-1", "http://stand-in", TIMEOUT, credentials, &doors(transport))
}

fn doors(transport: &Arc<Scripted>) -> aws::Doors {
    let start = Now { at: Instant(1_000), wall: WallTime(MIDNIGHT) };
    aws::Doors { transport: transport.clone(), clock: Arc::new(TokioClock::starting_at(start)) }
}

fn balancer(transport: &Arc<Scripted>) -> Balancer {
    balancer_with(transport, config(transport))
}

fn balancer_with(transport: &Arc<Scripted>, config: aws_config::SdkConfig) -> Balancer {
    let own = OwnIds { instance: ME.into(), address: Some(MY_ADDRESS.to_owned()) };
    Balancer::new(config, doors(transport), own, "amazonaws.com")
}
