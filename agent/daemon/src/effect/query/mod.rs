//! Calls of AWS services that speak forms and XML, signed here: the SDK of such a service costs more to build than all the
//! rest.

mod answer;
mod endpoint;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use pitcrew_core::wire::Failure;
use tokio::time::timeout;

use super::aws::Doors;
use super::failure::Asked;
use crate::doors::with_causes;
pub(super) use answer::Answer;
use answer::refusal;

/// For a call, where the configuration does not say.
const PATIENCE: Duration = Duration::from_secs(5);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");

/// A service that is called so.
#[derive(Clone)]
pub(super) struct Service {
    /// How the SDK is set up.
    pub(super) config: SdkConfig,
    /// Carries and dates the calls.
    pub(super) doors: Doors,
    /// As requests are signed for it and as its host is named: `ec2`, `monitoring`.
    pub(super) name: &'static str,
    /// As the SDKs name it in their settings: `EC2`, `CloudWatch`.
    pub(super) id: &'static str,
    /// `amazonaws.com`, `amazonaws.com.cn` …
    pub(super) domain: String,
}

impl Service {
    /// Calls what was `asked` for, in this `version` of the API. Fails as [`Service::post`], and as [`Answer::of`].
    pub(super) async fn call<'a>(
        &self,
        version: &str,
        asked: &'a Asked<'a>,
        parameters: &[(&str, &str)],
    ) -> Result<Answer<'a>, Failure> {
        let form = Serializer::new(String::new())
            .append_pair("Action", asked.operation())
            .append_pair("Version", version)
            .extend_pairs(parameters)
            .finish();
        Answer::of(&self.post(form, asked).await?, asked)
    }

    /// Posts `form`, and gives the answer's body. Fails as `asked` words it: with `Denied` where the role lacks its permission.
    pub(super) async fn post(&self, form: String, asked: &Asked<'_>) -> Result<Bytes, Failure> {
        let patience = self.config.timeout_config().and_then(|timeouts| timeouts.operation_timeout());
        let patience = patience.unwrap_or(PATIENCE);
        let request = match timeout(patience, self.signed(form)).await {
            Ok(Ok(request)) => request,
            Ok(Err(Unsigned::Credentials(cause))) => return Err(asked.unsigned(&cause)),
            Ok(Err(Unsigned::Other(why))) => return Err(asked.unanswered(&why)),
            Err(_) => return Err(asked.unanswered("no credentials in time")),
        };
        match self.doors.transport.send(request, patience).await {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(answer.into_body()),
            Ok(answer) => {
                let (code, message) = refusal(&answer);
                // What was only to be asked would have been done.
                if code == "DryRunOperation" {
                    return Ok(answer.into_body());
                }
                Err(asked.refused(answer.status().as_u16(), &code, &message))
            }
            Err(error) => Err(asked.unanswered(&with_causes(&error))),
        }
    }

    async fn signed(&self, body: String) -> Result<Request<Bytes>, Unsigned> {
        let other = |error: &dyn std::error::Error| Unsigned::Other(with_causes(error));
        let Some(region) = self.config.region() else {
            return Err(Unsigned::Other("there is no region".to_owned()));
        };
        let url = endpoint::of(self, region.as_ref()).map_err(|error| Unsigned::Other(error.to_string()))?;
        let uri: Uri = url.parse().map_err(|_| Unsigned::Other(format!("`{url}` is no address")))?;
        let Some(host) = uri.authority().map(ToString::to_string) else {
            return Err(Unsigned::Other(format!("`{url}` names no host")));
        };
        let provider = self.config.credentials_provider();
        let provider =
            provider.ok_or_else(|| Unsigned::Credentials(CredentialsError::not_loaded("nobody gives any")))?;
        let identity = provider.provide_credentials().await.map_err(Unsigned::Credentials)?.into();

        let mut request = Request::post(uri)
            .header(CONTENT_TYPE, FORM)
            .header(HOST, host)
            .body(Bytes::from(body))
            .map_err(|error| other(&error))?;
        let time: SystemTime = UNIX_EPOCH + Duration::from_millis(self.doors.clock.now().wall.0);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name(self.name)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| other(&error))?;
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let uri = request.uri().to_string();
        let signable = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(request.body()));
        let signing = signable.and_then(|signable| sign(signable, &params.into()));
        let (instructions, _) = signing.map_err(|error| other(&error))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// Why a request could not be signed.
enum Unsigned {
    Credentials(CredentialsError),
    Other(String),
}
