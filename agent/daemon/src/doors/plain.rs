//! Plain HTTP/1.1 over TCP: a connection for each request, without anything that a client of services would need.
//!
//! The metadata service closes the connection after each answer anyway, a probe must not reuse one, and both are asked
//! all day long: what is not done here is what the idle agent does not cost.

use std::error::Error;
use std::io;
use std::pin::pin;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::header::{AUTHORIZATION, CONNECTION, HOST};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::TransportError;

/// Of an `http` URI without a port.
const PORT: u16 = 80;

/// Sends `request` to `to`, its authority, and gives the answer with its whole body, which must not be longer than
/// `longest`.
pub(super) async fn exchange(
    mut request: Request<Bytes>,
    to: &str,
    longest: usize,
) -> Result<Response<Bytes>, TransportError> {
    let broken = |source: Box<dyn Error + Send + Sync>| TransportError::Broken { to: to.to_owned(), source };
    let stream = connect(request.uri()).await;
    let stream = stream.map_err(|error| TransportError::NotConnected { to: to.to_owned(), source: error.into() })?;
    address(&mut request, to)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
    let answering = async {
        let (head, mut body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if whole.len() + data.len() > longest {
                return Ok(None);
            }
            whole.extend_from_slice(&data);
        }
        Ok(Some(Response::from_parts(head, whole.freeze())))
    };
    // The connection moves only while it is polled; when it ends, the answer is whole or will never be.
    let answer = match select(pin!(answering), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answering)) => answering.await,
    };
    match answer.map_err(|error: hyper::Error| broken(error.into()))? {
        Some(answer) => Ok(answer),
        None => Err(TransportError::TooLong { to: to.to_owned(), limit: longest }),
    }
}

async fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    // An address of IPv6 stands in brackets in a URI.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(PORT))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Names the host in a header and the path alone in the first line, as a server expects it.
fn address(request: &mut Request<Bytes>, to: &str) -> Result<(), TransportError> {
    let unsendable = || TransportError::Unsendable { uri: to.to_owned() };
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(to).map_err(|_| unsendable())?;
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let user = request.uri().authority().and_then(|authority| authority.as_str().rsplit_once('@'));
    if let Some((user, _)) = user {
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user));
        let mut basic = HeaderValue::try_from(basic).map_err(|_| unsendable())?;
        basic.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, basic);
    }
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(())
}
