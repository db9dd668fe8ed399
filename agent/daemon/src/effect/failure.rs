//! Turns what the SDK says went wrong into what the core needs to know: what would help, and a sentence for people.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use pitcrew_core::wire::{Failure, FailureKind};

use crate::doors::with_causes;

/// What was asked, so that a failure can name it.
pub(crate) struct Asked<'a> {
    /// As IAM names it: `elasticloadbalancing:DeregisterTargets`.
    pub(crate) permission: &'static str,
    /// For people: ``target group `web` ``.
    pub(crate) object: &'a str,
    /// As a policy names it: an ARN, or `*` where the operation knows no resources.
    pub(crate) resource: &'a str,
}

impl Asked<'_> {
    /// As the service names it: `DeregisterTargets`.
    pub(crate) fn operation(&self) -> &str {
        self.permission.split_once(':').map_or(self.permission, |(_, operation)| operation)
    }

    /// Says what went wrong. An answer that only the network or a fault over there explains is transient; a refusal is
    /// told apart by its code, never by its text.
    pub(crate) fn explain<E>(&self, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error.as_service_error().map(ProvideErrorMetadata::meta) {
            Some(refusal) => {
                let status = error.raw_response().map_or(0, |response| response.status().as_u16());
                self.refused(status, refusal.code().unwrap_or_default(), refusal.message().unwrap_or_default())
            }
            None => match credentials(error) {
                Some(cause) => self.unsigned(cause),
                None => self.unanswered(&root_first(error)),
            },
        }
    }

    /// There is nobody to sign for.
    pub(crate) fn unsigned(&self, cause: &CredentialsError) -> Failure {
        let sentence = format!(
            "{} on {} has no credentials to sign with: attach a role to the instance ({})",
            self.operation(),
            self.object,
            with_causes(cause)
        );
        Failure { kind: FailureKind::Unavailable, sentence }
    }

    /// No answer came.
    pub(crate) fn unanswered(&self, why: &str) -> Failure {
        let sentence = format!("{} on {} got no answer: {why}", self.operation(), self.object);
        Failure { kind: FailureKind::Unavailable, sentence }
    }

    /// The service said no.
    pub(crate) fn refused(&self, status: u16, code: &str, message: &str) -> Failure {
        let said = match (code, message) {
            ("", "") => format!("HTTP {status}"),
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        let (operation, Self { permission, object, resource }) = (self.operation(), self);
        let kind = kind(code, status);
        let sentence = match kind {
            FailureKind::Throttled => format!("{operation} on {object} was throttled ({said})"),
            FailureKind::Unavailable => format!("{operation} on {object} failed over there ({said})"),
            FailureKind::Denied => format!(
                "{operation} on {object} was denied: allow {permission} on {resource} to the instance's role ({said})"
            ),
            FailureKind::NotFound => format!("{object} does not exist ({said})"),
            FailureKind::Invalid => format!("{operation} on {object} was refused ({said})"),
        };
        Failure { kind, sentence }
    }
}

fn kind(code: &str, status: u16) -> FailureKind {
    match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "PriorRequestNotComplete"
        | "BandwidthLimitExceeded"
        | "SlowDown" => FailureKind::Throttled,

        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "AuthFailure"
        | "OptInRequired"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => FailureKind::Denied,

        // Fresh credentials or a clock put right mend these without an operator.
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "HealthUnavailable"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "RequestTimeout" => FailureKind::Unavailable,

        _ if code.ends_with("NotFound")
            || code.ends_with("NotFoundException")
            || code.ends_with("DoesNotExistException") =>
        {
            FailureKind::NotFound
        }
        _ => match status {
            429 => FailureKind::Throttled,
            401 | 403 => FailureKind::Denied,
            400..=499 => FailureKind::Invalid,
            _ => FailureKind::Unavailable,
        },
    }
}

/// The credential provider's complaint, where that is why nothing was sent.
fn credentials<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = error.downcast_ref() {
            return Some(cause);
        }
        next = error.source();
    }
    None
}

/// The SDK wraps the transport's sentence in words that say less: begin below them.
fn root_first(error: &(dyn Error + 'static)) -> String {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<crate::doors::TransportError>() {
            return with_causes(cause);
        }
        next = cause.source();
    }
    with_causes(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_apart_by_its_code_and_then_by_its_status() {
        use FailureKind::{Denied, Invalid, NotFound, Throttled, Unavailable};
        let table = [
            ("Throttling", 400, Throttled),
            ("ThrottlingException", 400, Throttled),
            ("", 429, Throttled),
            ("AccessDenied", 403, Denied),
            ("AccessDeniedException", 400, Denied),
            ("", 403, Denied),
            ("TargetGroupNotFound", 400, NotFound),
            ("DeploymentDoesNotExistException", 400, NotFound),
            ("InvalidTarget", 400, Invalid),
            ("ValidationError", 400, Invalid),
            ("HealthUnavailable", 500, Unavailable),
            ("ExpiredToken", 403, Unavailable),
            ("SomethingNew", 503, Unavailable),
            ("", 500, Unavailable),
        ];
        for (code, status, expected) in table {
            assert_eq!(kind(code, status), expected, "{code} {status}");
        }
    }
}
