//! What a message carries, whoever made it: one type, so that HTTP is compiled once for all that speak it here.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// The body of a request or a response.
pub type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// No body.
pub fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is here already.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
