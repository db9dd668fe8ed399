//! The AWS SDK behind our doors: its HTTP through the transport, its time from the clock, its sleeps on tokio's timer.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::{self, credentials::ImdsCredentialsProvider};
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use super::credentials::Remembered;
use crate::config::Aws;
use crate::doors::{Clock, Transport, TransportError};

/// For requests of which the SDK does not say how long they may take: those of its own credential providers.
const PATIENCE: Duration = Duration::from_secs(5);

/// The doors that the SDK goes through.
#[derive(Clone)]
pub struct Doors {
    /// Carries its requests.
    pub transport: Arc<dyn Transport>,
    /// Dates its signatures and ages its credentials.
    pub clock: Arc<dyn Clock>,
}

/// Configures the SDK as this host asks for it.
///
/// Region: the setting, `AWS_REGION`, the profile, else `home`, where the instance lives. Endpoints: the setting,
/// `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, else AWS. Credentials: the SDK's chain, whose usual end on an
/// instance is its role. Nothing is asked over the network yet.
pub async fn from_host(settings: &Aws, home: Option<&str>, doors: &Doors) -> SdkConfig {
    let region = RegionProviderChain::first_try(settings.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(home.map(|region| Region::new(region.to_owned())));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .http_client(SdkTransport(doors.transport.clone()))
        .sleep_impl(TokioSleep::new())
        .time_source(SdkClock(doors.clock.clone()));
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url.to_string());
    }
    let config = loader.load().await;
    behind_doors(config, settings.timeout, doors)
}

/// Configures the SDK from these values alone: it reads neither environment nor files, and asks nobody for credentials.
pub fn fixed(
    region: &str,
    endpoint_url: &str,
    timeout: Duration,
    credentials: SharedCredentialsProvider,
    doors: &Doors,
) -> SdkConfig {
    let config = SdkConfig::builder()
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint_url)
        .credentials_provider(credentials)
        .build();
    behind_doors(config, timeout, doors)
}

/// The credentials of the instance's role, asked of the metadata service at `endpoint`; as [`from_host`] finds them on
/// an instance where nothing else gives any.
pub fn of_role(endpoint: &str, doors: &Doors) -> anyhow::Result<SharedCredentialsProvider> {
    let config = ProviderConfig::empty()
        .with_http_client(SdkTransport(doors.transport.clone()))
        .with_sleep_impl(TokioSleep::new())
        .with_time_source(SdkClock(doors.clock.clone()));
    let client = imds::Client::builder().configure(&config).endpoint(endpoint);
    let client =
        client.map_err(|error| anyhow::anyhow!("`{endpoint}` is no address of a metadata service: {error}"))?;
    let provider = ImdsCredentialsProvider::builder().configure(&config).imds_client(client.build()).build();
    Ok(SharedCredentialsProvider::new(provider))
}

/// The core retries, by kind of failure and with its own jitter, so the SDK must not; and one call is short enough to be
/// bounded as a whole, so a stalled stream needs no protection of its own. Credentials are remembered for all services at
/// once, also for those that are called without the SDK, which would remember them for each client of its own.
fn behind_doors(config: SdkConfig, timeout: Duration, doors: &Doors) -> SdkConfig {
    let credentials = config.credentials_provider();
    let credentials =
        credentials.map(|inner| SharedCredentialsProvider::new(Remembered::new(inner, doors.clock.clone())));
    let timeouts =
        TimeoutConfig::builder().connect_timeout(timeout).read_timeout(timeout).operation_timeout(timeout).build();
    let mut config = config.into_builder();
    config.set_credentials_provider(credentials);
    config
        .behavior_version(BehaviorVersion::latest())
        .http_client(SdkTransport(doors.transport.clone()))
        .sleep_impl(TokioSleep::new())
        .time_source(SdkClock(doors.clock.clone()))
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Our clock, as the SDK reads one.
#[derive(Clone)]
struct SdkClock(Arc<dyn Clock>);

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().wall.0)
    }
}

impl fmt::Debug for SdkClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkClock")
    }
}

/// Our transport, as the SDK sends over one.
#[derive(Clone)]
struct SdkTransport(Arc<dyn Transport>);

impl fmt::Debug for SdkTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkTransport")
    }
}

impl HttpClient for SdkTransport {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(SdkConnector {
            transport: self.0.clone(),
            timeout: settings.read_timeout().unwrap_or(PATIENCE),
        })
    }
}

struct SdkConnector {
    transport: Arc<dyn Transport>,
    timeout: Duration,
}

impl fmt::Debug for SdkConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SdkConnector({:?})", self.timeout)
    }
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { transport, timeout } = self;
        let (transport, timeout) = (transport.clone(), *timeout);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (head, body) = request.into_parts();
            let Some(body) = body.bytes().map(Bytes::copy_from_slice) else {
                return Err(ConnectorError::user("no request of ours streams".into()));
            };
            let answer = transport.send(http::Request::from_parts(head, body), timeout).await.map_err(translate)?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn translate(error: TransportError) -> ConnectorError {
    match error {
        TransportError::TimedOut { .. } => ConnectorError::timeout(error.into()),
        TransportError::NotConnected { .. } => ConnectorError::io(error.into()).never_connected(),
        TransportError::Broken { .. } | TransportError::TooLong { .. } => ConnectorError::io(error.into()),
        TransportError::Unsendable { .. } => ConnectorError::user(error.into()),
    }
}
