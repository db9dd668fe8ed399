//! Real HTTP servers in front of the world's router.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};

use crate::net::{Net, nothing, serve, whole};
use crate::world::{Origin, World};

/// The most that a request may carry; AWS calls are far smaller.
const LARGEST_BODY: usize = 1 << 20;

/// Listens at `at` and answers through the world's router until dropped. Fails when the address is taken.
pub async fn open(
    net: &dyn Net,
    world: Arc<World>,
    at: SocketAddr,
    origin: Origin,
) -> io::Result<impl Future<Output = io::Error> + Send + 'static> {
    let listener = net.listen(at).await?;
    Ok(serve(listener, move |_client, request| {
        let world = Arc::clone(&world);
        async move {
            let (head, body) = request.into_parts();
            match Limited::new(body, LARGEST_BODY).collect().await {
                Ok(body) => {
                    let request = http::Request::from_parts(head, body.to_bytes());
                    world.router(origin, request).await.map(whole)
                }
                Err(_) => {
                    let mut response = Response::new(nothing());
                    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                    response
                }
            }
        }
    }))
}
