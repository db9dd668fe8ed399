//! Checks a Signature Version 4 by signing the same call again with the AWS SDK's signer.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use super::world::{Call, KEY_ID, REGION, SECRET};

/// Whether the call was signed by the role with this session token.
pub(crate) fn is_valid(call: &Call, token: &str) -> bool {
    let Some(signed_at) = signed_at(call) else { return false };
    let identity = aws_credential_types::Credentials::new(KEY_ID, SECRET, Some(token.to_owned()), None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("ec2")
        .time(UNIX_EPOCH + Duration::from_secs(signed_at))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let url = format!("https://{}{}", call.header("host"), call.path);
    let content_type = [("content-type", call.header("content-type"))];
    let request =
        SignableRequest::new(&call.method, url, content_type.into_iter(), SignableBody::Bytes(&call.body)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    instructions.headers().any(|(name, value)| name == "authorization" && value == call.header("authorization"))
}

/// When the call says that it was signed, in Unix seconds.
pub(crate) fn signed_at(call: &Call) -> Option<u64> {
    let date = call.header("x-amz-date");
    let part = |from: usize, to: usize| date.get(from..to);
    let day = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let text = format!("{day}T{}:{}:{}Z", part(9, 11)?, part(11, 13)?, part(13, 15)?);
    let time = aws_smithy_types::DateTime::from_str(&text, aws_smithy_types::date_time::Format::DateTime).ok()?;
    u64::try_from(time.secs()).ok()
}
