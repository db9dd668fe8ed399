//! Who the instances and callers of the stand-in world are.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde_json::{Value, json};

use super::calls::Caller;
use super::imds::rfc3339;
use crate::seat::Seat;

/// The world's account.
pub const ACCOUNT: &str = "123456789012";
/// The world's region.
pub const REGION: &str = "us-west-2";
const ROLE: &str = "sample-instance";

/// What an instance's metadata says about it.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) number: u8,
    pub(super) instance_id: String,
    pub(super) address: IpAddr,
    pub(super) region: &'static str,
    pub(super) zone: String,
    pub(super) instance_type: &'static str,
    pub(super) image_id: &'static str,
    pub(super) role: &'static str,
    pending: SystemTime,
}

impl Identity {
    pub(super) fn new(seat: &Seat, pending: SystemTime) -> Self {
        Self {
            number: seat.number,
            instance_id: seat.instance_id.clone(),
            address: seat.address,
            region: REGION,
            zone: format!("{REGION}a"),
            instance_type: "m7i.large",
            image_id: "ami-0abcdef1234567890",
            role: ROLE,
            pending,
        }
    }

    pub(super) fn mac(&self) -> String {
        format!("0a:77:00:00:00:{:02x}", self.number)
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "accountId": ACCOUNT,
            "architecture": "x86_64",
            "availabilityZone": self.zone,
            "billingProducts": null,
            "devpayProductCodes": null,
            "marketplaceProductCodes": null,
            "imageId": self.image_id,
            "instanceId": self.instance_id,
            "instanceType": self.instance_type,
            "kernelId": null,
            "pendingTime": rfc3339(self.pending),
            "privateIp": self.address.to_string(),
            "ramdiskId": null,
            "region": self.region,
            "version": "2017-09-30",
        })
    }

    pub(super) fn profile(&self, wall: SystemTime) -> Value {
        json!({
            "Code": "Success",
            "LastUpdated": rfc3339(wall),
            "InstanceProfileArn": format!("arn:aws:iam::{ACCOUNT}:instance-profile/{}", self.role),
            "InstanceProfileId": "AIPA0000000000000SEAT",
        })
    }
}

/// Keys that the world hands out. They open nothing but the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`
    pub session_token: String,
}

const INSTANCE_KEY: &str = "REHEARSALSEAT";
const OPERATOR_KEY: &str = "REHEARSALOPERATOR";
const LIMITED_OPERATOR_KEY: &str = "REHEARSALLIMITED";

impl SessionKeys {
    pub(super) const LIFETIME: Duration = Duration::from_secs(6 * 3600);

    /// The keys of an instance's role, valid until `expires`.
    pub(super) fn of_instance(number: u8, expires: SystemTime) -> Self {
        Self::new(format!("{INSTANCE_KEY}{number:05}"), expires)
    }

    /// The keys of whoever uses a world that is held open, valid until `expires`.
    pub fn of_operator(expires: SystemTime) -> Self {
        Self::new(OPERATOR_KEY.to_owned(), expires)
    }

    /// The keys of an operator with the shipped policy, valid until `expires`.
    pub fn of_limited_operator(expires: SystemTime) -> Self {
        Self::new(LIMITED_OPERATOR_KEY.to_owned(), expires)
    }

    fn new(access_key_id: String, expires: SystemTime) -> Self {
        let until = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            secret_access_key: format!("rehearsal-only-{}", access_key_id.to_lowercase()),
            session_token: format!("rehearsal-session-{until}"),
            access_key_id,
        }
    }
}

/// Why a caller is not let in: error code and sentence.
pub(super) type Refusal = (&'static str, &'static str);

/// Reads who signed a request. Signatures are not verified; keys and their expiry are.
pub(super) fn caller(headers: &HeaderMap, wall: SystemTime) -> Result<Caller, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let key = header("authorization")
        .and_then(|value| value.split_once("Credential="))
        .and_then(|(_, credential)| credential.split('/').next())
        .ok_or(("MissingAuthenticationToken", "Request is missing Authentication Token"))?;
    let caller = if key == OPERATOR_KEY {
        Caller::Operator
    } else if key == LIMITED_OPERATOR_KEY {
        Caller::LimitedOperator
    } else {
        key.strip_prefix(INSTANCE_KEY)
            .and_then(|number| number.parse().ok())
            .map(Caller::Instance)
            .ok_or(("InvalidClientTokenId", "The security token included in the request is invalid."))?
    };
    let until = header("x-amz-security-token")
        .and_then(|token| token.strip_prefix("rehearsal-session-"))
        .and_then(|until| until.parse().ok())
        .ok_or(("InvalidClientTokenId", "The security token included in the request is invalid."))?;
    if wall >= SystemTime::UNIX_EPOCH + Duration::from_secs(until) {
        return Err(("ExpiredToken", "The security token included in the request is expired"));
    }
    Ok(caller)
}
