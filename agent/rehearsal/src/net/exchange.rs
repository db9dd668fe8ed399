//! One HTTP/1.1 request on a connection of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{Net, whole};

/// Sends `request` from `from` to `to` and reads the whole answer. Dropping the future cuts the connection.
///
/// Fails when nobody listens there, and when the connection ends before the answer does.
pub async fn exchange(
    net: &dyn Net,
    from: IpAddr,
    to: SocketAddr,
    request: Request<Bytes>,
) -> io::Result<Response<Bytes>> {
    let stream = net.connect(from, to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request.map(whole)).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    tokio::pin!(connection, answer);
    let mut carries = true;
    loop {
        tokio::select! {
            biased;
            answer = answer.as_mut() => return answer.map_err(|error: hyper::Error| io::Error::other(error)),
            // Whatever ended it, the answer says so itself.
            _ = connection.as_mut(), if carries => carries = false,
        }
    }
}
