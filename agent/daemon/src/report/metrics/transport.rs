//! Counts every request that leaves this process, by whom it went to and what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{Metrics, families as of};
use crate::doors::{Operation, Transport, TransportError};

/// A transport that counts.
pub struct Metered {
    /// What carries the requests.
    pub inner: Arc<dyn Transport>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Transport for Metered {
    fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let call = Call::of(&request);
        Box::pin(async move {
            let began = Instant::now();
            let answer = self.inner.send(request, timeout).await;
            match call {
                Call::Imds => self.metrics.count(&of::IMDS_REQUESTS, &[outcome(&answer, "absent")]),
                Call::Api { service, operation } => {
                    let outcome = outcome(&answer, "refused");
                    self.metrics.count(&of::API_REQUESTS, &[&service, &operation, outcome]);
                    self.metrics.observe(&of::API_DURATION, &[&service], began.elapsed());
                }
                Call::Other => {}
            }
            answer
        })
    }
}

/// Whom a request goes to.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Imds,
    /// AWS's, or Elastigroup's.
    Api {
        service: String,
        operation: String,
    },
    /// A probe, a webhook: whoever asks there tells what came of it.
    Other,
}

impl Call {
    fn of(request: &Request<Bytes>) -> Self {
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        if request.headers().keys().any(|name| name.as_str().starts_with("x-aws-ec2-metadata-token")) {
            return Call::Imds;
        }
        if let Some(Operation { service, name }) = request.extensions().get::<Operation>() {
            return Call::Api { service: (*service).to_owned(), operation: name.clone() };
        }
        match header(AUTHORIZATION.as_str()).and_then(service) {
            Some(service) => {
                let target = header("x-amz-target").and_then(|target| target.rsplit('.').next()).map(str::to_owned);
                let operation = target.or_else(|| action(request.body()));
                Call::Api { service: service.to_owned(), operation: operation.unwrap_or_default() }
            }
            None => Call::Other,
        }
    }
}

/// Of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`: the service.
fn service(authorization: &str) -> Option<&str> {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split_once("Credential=")?.1;
    scope.split(',').next()?.rsplit('/').nth(1)
}

/// Of `Action=DescribeTargetHealth&Version=…`: the action.
fn action(body: &Bytes) -> Option<String> {
    form_urlencoded::parse(body).find(|(key, _)| key == "Action").map(|(_, action)| action.into_owned())
}

/// `absent`: what a 404 is called.
fn outcome(answer: &Result<Response<Bytes>, TransportError>, absent: &'static str) -> &'static str {
    match answer {
        Ok(answer) => match answer.status() {
            status if status.is_success() => "ok",
            StatusCode::NOT_FOUND => absent,
            StatusCode::TOO_MANY_REQUESTS => "throttled",
            StatusCode::BAD_REQUEST if is_throttling(answer.body()) => "throttled",
            status if status.is_server_error() => "failed",
            _ => "refused",
        },
        Err(TransportError::TimedOut { .. }) => "timeout",
        Err(TransportError::NotConnected { .. } | TransportError::Unsendable { .. }) => "unreachable",
        Err(TransportError::Broken { .. } | TransportError::TooLong { .. }) => "failed",
    }
}

/// AWS services refuse who asks too often with a code of their own and status 400.
fn is_throttling(body: &Bytes) -> bool {
    ["Throttl", "RequestLimitExceeded", "TooManyRequests"]
        .iter()
        .any(|word| body.windows(word.len()).any(|window| window == word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-1/codedeploy/aws4_request, \
                          SignedHeaders=host;x-amz-date, Signature=00";

    #[test]
    fn a_call_is_told_by_its_signature_and_its_operation() {
        let target = Request::builder()
            .header(AUTHORIZATION, SIGNED)
            .header("x-amz-target", "CodeDeploy_20141006.GetDeployment")
            .body(Bytes::from("{}"))
            .unwrap();
        let api = |service: &str, operation: &str| Call::Api { service: service.into(), operation: operation.into() };
        assert_eq!(Call::of(&target), api("codedeploy", "GetDeployment"));

        let signed = SIGNED.replace("codedeploy", "elasticloadbalancing");
        let query = Request::builder().header(AUTHORIZATION, signed);
        let query = query.body(Bytes::from("Action=DescribeTargetHealth&Version=2015-12-01")).unwrap();
        assert_eq!(Call::of(&query), api("elasticloadbalancing", "DescribeTargetHealth"));

        let token = Request::builder().header("X-aws-ec2-metadata-token", "t").body(Bytes::new()).unwrap();
        assert_eq!(Call::of(&token), Call::Imds);

        let mut named = Request::builder().header(AUTHORIZATION, "Bearer s3cr3t").body(Bytes::new()).unwrap();
        named.extensions_mut().insert(Operation { service: "elastigroup", name: "POST /lock".to_owned() });
        assert_eq!(Call::of(&named), api("elastigroup", "POST /lock"));
        assert_eq!(Call::of(&Request::new(Bytes::new())), Call::Other);
    }

    #[test]
    fn what_came_of_it_is_one_word() {
        let answer =
            |status: u16, body: &'static str| Ok(Response::builder().status(status).body(Bytes::from(body)).unwrap());
        let table = [
            (answer(200, ""), "ok"),
            (answer(400, "<Code>Throttling</Code>"), "throttled"),
            (answer(400, "<Code>ValidationError</Code>"), "refused"),
            (answer(403, ""), "refused"),
            (answer(404, ""), "absent"),
            (answer(429, ""), "throttled"),
            (answer(503, ""), "failed"),
            (Err(TransportError::TimedOut { to: "a".into(), after: Duration::from_secs(1) }), "timeout"),
            (Err(TransportError::NotConnected { to: "a".into(), source: "refused".into() }), "unreachable"),
        ];
        for (answer, expected) in table {
            assert_eq!(outcome(&answer, "absent"), expected, "{answer:?}");
        }
    }
}
