//! An AWS call, told apart by its wire format.

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::calls::Caller;
use super::faults::Fate;
use super::wire::{self, ApiError, Form, Xml};
use super::{autoscaling, ec2, elbv2, metrics};

/// One call, read and not yet answered.
pub(super) enum Operation {
    LoadBalancing {
        action: String,
        form: Form,
    },
    Classic {
        action: String,
    },
    AutoScaling {
        action: String,
        form: Form,
    },
    Ec2 {
        action: String,
        form: Form,
    },
    CodeDeploy {
        action: String,
        input: serde_json::Value,
    },
    /// SSM's GetParameter.
    Parameter {
        name: String,
    },
    Systems {
        action: String,
        input: serde_json::Value,
    },
    /// CloudWatch's metrics.
    Metrics {
        action: String,
        form: Form,
    },
}

impl Operation {
    /// Reads a request; `None` where it is nothing that the world knows.
    pub(super) fn read(request: &Request<Bytes>) -> Option<Self> {
        if let Some(target) = request.headers().get("x-amz-target") {
            if target == "AmazonSSM.GetParameter" {
                let input: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
                return Some(Self::Parameter { name: input["Name"].as_str().unwrap_or_default().to_owned() });
            }
            let (service, action) = target.to_str().ok()?.split_once('.')?;
            let action = action.to_owned();
            let input = serde_json::from_slice(request.body()).unwrap_or_default();
            return match service {
                "CodeDeploy_20141006" => Some(Self::CodeDeploy { action, input }),
                "AmazonSSM" => Some(Self::Systems { action, input }),
                _ => None,
            };
        }
        let form = Form::parse(request.body());
        let action = form.get("Action")?.to_owned();
        match form.get("Version")? {
            elbv2::VERSION => Some(Self::LoadBalancing { action, form }),
            elbv2::CLASSIC_VERSION => Some(Self::Classic { action }),
            autoscaling::VERSION => Some(Self::AutoScaling { action, form }),
            ec2::VERSION => Some(Self::Ec2 { action, form }),
            metrics::VERSION => Some(Self::Metrics { action, form }),
            _ => None,
        }
    }

    /// The operation's name.
    pub(super) fn action(&self) -> &str {
        match self {
            Self::LoadBalancing { action, .. }
            | Self::Classic { action }
            | Self::AutoScaling { action, .. }
            | Self::Ec2 { action, .. }
            | Self::CodeDeploy { action, .. }
            | Self::Metrics { action, .. }
            | Self::Systems { action, .. } => action,
            Self::Parameter { .. } => "GetParameter",
        }
    }

    /// The service, as permissions name it.
    pub(super) fn service(&self) -> &'static str {
        match self {
            Self::LoadBalancing { .. } | Self::Classic { .. } => "elasticloadbalancing",
            Self::AutoScaling { .. } => "autoscaling",
            Self::Ec2 { .. } => "ec2",
            Self::CodeDeploy { .. } => "codedeploy",
            Self::Parameter { .. } | Self::Systems { .. } => "ssm",
            Self::Metrics { .. } => "cloudwatch",
        }
    }

    /// The caller's policy does not allow it.
    pub(super) fn access_denied(&self, caller: &str) -> ApiError {
        let (service, action) = (self.service(), self.action());
        let code = match self {
            Self::Ec2 { .. } => "UnauthorizedOperation",
            Self::CodeDeploy { .. } | Self::Parameter { .. } | Self::Systems { .. } => "AccessDeniedException",
            Self::LoadBalancing { .. } | Self::Classic { .. } | Self::AutoScaling { .. } | Self::Metrics { .. } => {
                "AccessDenied"
            }
        };
        ApiError::new(
            StatusCode::FORBIDDEN,
            code,
            format!(
                "{caller} is not authorized to perform this: no identity-based policy allows it ({service}, {action})"
            ),
        )
    }

    /// Writes a reply in the call's own format.
    pub(super) fn reply(&self, request_id: &str, result: &Result<Reply, ApiError>) -> Response<Bytes> {
        let namespace = match self {
            Self::LoadBalancing { .. } => elbv2::NAMESPACE,
            Self::Classic { .. } => elbv2::CLASSIC_NAMESPACE,
            Self::AutoScaling { .. } => autoscaling::NAMESPACE,
            Self::Metrics { .. } => metrics::NAMESPACE,
            Self::Ec2 { action, .. } => {
                return match result {
                    Ok(reply) => ec2::reply(action, request_id, reply.xml()),
                    Err(error) => ec2::error(request_id, error),
                };
            }
            Self::CodeDeploy { .. } | Self::Parameter { .. } | Self::Systems { .. } => {
                return match result {
                    Ok(Reply::Json(value)) => wire::json_reply(request_id, value),
                    Ok(Reply::Xml(_)) => wire::json_reply(request_id, &serde_json::Value::Null),
                    Err(error) => wire::json_error(request_id, error),
                };
            }
        };
        match result {
            Ok(reply) => wire::query_reply(namespace, self.action(), request_id, reply.xml()),
            Err(error) => wire::query_error(namespace, request_id, error),
        }
    }
}

/// What a call is answered with, before it is written in its format.
pub(super) enum Reply {
    Xml(Xml),
    Json(serde_json::Value),
}

impl Reply {
    fn xml(&self) -> &str {
        match self {
            Self::Xml(xml) => &xml.0,
            Self::Json(_) => "",
        }
    }
}

impl Fate {
    /// The error that this fate is for a caller; `None` where the call is answered.
    pub(super) fn error(self, caller: Caller, operation: &Operation) -> Option<ApiError> {
        match (self, operation) {
            (Self::Answered | Self::AnsweredAfter(_), _) => None,
            (Self::Throttled, Operation::Ec2 { .. }) => {
                Some(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded", "Request limit exceeded."))
            }
            (Self::Throttled, _) => Some(ApiError::sender("Throttling", "Rate exceeded")),
            (Self::InternalFailure, _) => Some(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalFailure",
                "The request processing has failed because of an unknown error.",
            )),
            (Self::ServiceUnavailable, _) => Some(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "The request has failed due to a temporary failure of the server.",
            )),
            (Self::Refused, _) => Some(elbv2::access_denied(&caller.to_string(), operation.action())),
        }
    }
}
