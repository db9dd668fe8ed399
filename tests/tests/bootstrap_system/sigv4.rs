//! Checks a request's signature by signing it again with the AWS SDK's own signer.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use hyper::http::request::Parts;

use super::world::Role;

/// What is wrong with the signature of a request, if anything.
pub(crate) fn flaw(parts: &Parts, body: &[u8], role: &Role, region: &str, service: &str) -> Option<String> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("x-amz-security-token") != role.token {
        return Some("the session token is not the role's".to_owned());
    }
    let Some(signed_at) = timestamp(header("x-amz-date")) else {
        return Some(format!("x-amz-date is `{}`", header("x-amz-date")));
    };
    let identity = aws_credential_types::Credentials::new(
        role.key_id.as_str(),
        role.secret.as_str(),
        Some(role.token.clone()),
        None,
        "test",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(signed_at))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let url = format!("https://{}{}", header("host"), parts.uri);
    let content_type = [("content-type", header("content-type"))];
    let request =
        SignableRequest::new(parts.method.as_str(), url, content_type.into_iter(), SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let expected = instructions
        .headers()
        .find_map(|(name, value)| (name == "authorization").then(|| value.to_owned()))
        .unwrap_or_default();
    let found = header("authorization");
    (found != expected).then(|| format!("authorization is\n{found}\nand should be\n{expected}"))
}

/// Seconds since 1970 of `YYYYMMDDTHHMMSSZ`.
fn timestamp(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = lengths.iter().take(usize::try_from(month).ok()?.checked_sub(1)?).sum();
    let days = years + months + day.checked_sub(1)?;
    Some(days * 86_400 + number(9..11)? * 3_600 + number(11..13)? * 60 + number(13..15)?)
}
