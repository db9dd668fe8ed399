//! This instance's own tags: two calls of the EC2 API, signed here, since its SDK costs more to build than all the rest.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use aws_types::service_config::ServiceConfigKey;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::Failure;
use tokio::time::timeout;

use super::aws::Doors;
use super::failure::Asked;
use crate::doors::with_causes;
use crate::intake::imds::Identity;

/// The API's version.
const VERSION: &str = "2016-11-15";

/// For a call, where the configuration does not say.
const PATIENCE: Duration = Duration::from_secs(5);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");

/// The tags of this instance.
pub struct Tags {
    config: SdkConfig,
    doors: Doors,
    instance: InstanceId,
    domain: String,
    arn: String,
}

impl Tags {
    /// The tags of `instance`, whose account, partition and `domain` (`amazonaws.com`) are its own.
    pub fn new(config: SdkConfig, doors: Doors, instance: InstanceId, owner: &Owner<'_>) -> Self {
        let region = config.region().map_or("*", |region| region.as_ref());
        let arn = format!("arn:{}:ec2:{region}:{}:instance/{instance}", owner.partition, owner.account);
        Self { domain: owner.domain.to_owned(), arn, config, doors, instance }
    }

    /// Removes the tags with these keys; one that is not there is as good. Fails with `Denied` where the role lacks
    /// `ec2:DeleteTags`.
    pub async fn delete(&self, keys: &[String]) -> Result<(), Failure> {
        let tags: Vec<_> = keys.iter().map(|key| (key.as_str(), None)).collect();
        self.call("DeleteTags", "ec2:DeleteTags", &tags).await
    }

    /// Sets tags; one that is there gets the new value. Fails with `Denied` where the role lacks `ec2:CreateTags`.
    pub async fn create(&self, tags: &[(&str, &str)]) -> Result<(), Failure> {
        let tags: Vec<_> = tags.iter().map(|(key, value)| (*key, Some(*value))).collect();
        self.call("CreateTags", "ec2:CreateTags", &tags).await
    }

    async fn call(&self, action: &str, permission: &'static str, tags: &[(&str, Option<&str>)]) -> Result<(), Failure> {
        let object = format!("instance `{}`", self.instance);
        let asked = Asked { permission, object: &object, resource: &self.arn };
        let patience = self.config.timeout_config().and_then(|timeouts| timeouts.operation_timeout());
        let patience = patience.unwrap_or(PATIENCE);

        let request = match timeout(patience, self.signed(self.form(action, tags))).await {
            Ok(Ok(request)) => request,
            Ok(Err(Unsigned::Credentials(cause))) => return Err(asked.unsigned(&cause)),
            Ok(Err(Unsigned::Other(why))) => return Err(asked.unanswered(&why)),
            Err(_) => return Err(asked.unanswered("no credentials in time")),
        };
        match self.doors.transport.send(request, patience).await {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) => {
                let (code, message) = refusal(&answer);
                Err(asked.refused(answer.status().as_u16(), &code, &message))
            }
            Err(error) => Err(asked.unanswered(&with_causes(&error))),
        }
    }

    fn form(&self, action: &str, tags: &[(&str, Option<&str>)]) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", action)
            .append_pair("Version", VERSION)
            .append_pair("ResourceId.1", self.instance.as_str());
        for (number, (key, value)) in (1..).zip(tags) {
            form.append_pair(&format!("Tag.{number}.Key"), key);
            if let Some(value) = value {
                form.append_pair(&format!("Tag.{number}.Value"), value);
            }
        }
        form.finish()
    }

    async fn signed(&self, body: String) -> Result<Request<Bytes>, Unsigned> {
        let other = |error: &dyn std::error::Error| Unsigned::Other(with_causes(error));
        let Some(region) = self.config.region() else {
            return Err(Unsigned::Other("there is no region".to_owned()));
        };
        let url = self.endpoint(region.as_ref());
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
            .name("ec2")
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

    /// As the SDK's clients choose theirs: the setting, `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, else AWS.
    fn endpoint(&self, region: &str) -> String {
        let config = &self.config;
        let of_service = || {
            let key = ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url");
            config.service_config()?.load_config(key.build().ok()?)
        };
        let general = config.endpoint_url().map(str::to_owned);
        let chosen = match config.get_origin("endpoint_url").is_client_config() {
            true => general,
            false => of_service().or(general),
        };
        let url = chosen.unwrap_or_else(|| format!("https://ec2.{region}.{}", self.domain));
        match url.ends_with('/') {
            true => url,
            false => url + "/",
        }
    }
}

/// Whose the instance is.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// `aws`, `aws-cn` …
    pub partition: &'a str,
    /// The account's twelve digits.
    pub account: &'a str,
    /// `amazonaws.com`, `amazonaws.com.cn` …
    pub domain: &'a str,
}

impl<'a> Owner<'a> {
    /// The instance's own.
    pub fn of(identity: &'a Identity) -> Self {
        Self { partition: &identity.partition, account: &identity.account, domain: &identity.domain }
    }
}

/// Why a request could not be signed.
enum Unsigned {
    Credentials(CredentialsError),
    Other(String),
}

/// Code and message of an error, as EC2 writes them; empty where there are none.
fn refusal(answer: &Response<Bytes>) -> (String, String) {
    let text = std::str::from_utf8(answer.body()).unwrap_or_default();
    read_refusal(text).unwrap_or_default()
}

/// `<Response><Errors><Error><Code>…</Code><Message>…</Message></Error></Errors>…</Response>`.
fn read_refusal(text: &str) -> Result<(String, String), XmlDecodeError> {
    let (mut code, mut message) = (String::new(), String::new());
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut errors) = root.next_tag() {
        while let Some(mut error) = errors.next_tag() {
            while let Some(mut fact) = error.next_tag() {
                match fact.start_el().local() {
                    "Code" if code.is_empty() => code = text_of(&mut fact)?,
                    "Message" if message.is_empty() => message = text_of(&mut fact)?,
                    _ => {}
                }
            }
        }
    }
    Ok((code, message))
}

fn text_of(tag: &mut ScopedDecoder<'_, '_>) -> Result<String, XmlDecodeError> {
    try_data(tag).map(|text| text.into_owned())
}

impl std::fmt::Debug for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tags({})", self.instance)
    }
}
