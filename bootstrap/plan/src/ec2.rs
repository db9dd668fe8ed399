//! The one call to EC2: the form of `CreateTags`, and its Signature Version 4.

use crate::{
    sha256::{Hmac, Sha256},
    text::{Text, after, cut},
    time,
};

/// Credentials of the instance's role.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// `AccessKeyId`
    pub key_id: &'a [u8],
    /// `SecretAccessKey`
    pub secret: &'a [u8],
    /// `Token`
    pub token: &'a [u8],
}

impl<'a> Credentials<'a> {
    /// Reads the metadata service's document on a role; `None` unless it says `Success`.
    pub fn parse(document: &'a [u8]) -> Option<Self> {
        let field = |key| crate::json::string(document, key);
        if field(b"Code")? != b"Success" {
            return None;
        }
        Some(Self { key_id: field(b"AccessKeyId")?, secret: field(b"SecretAccessKey")?, token: field(b"Token")? })
    }
}

/// Begins the form of a `CreateTags` call on one instance; [`add_tag`] goes on.
pub fn create_tags(instance: &[u8], form: &mut Text<'_>) {
    form.put(b"Action=CreateTags&Version=2016-11-15&ResourceId.1=").put(instance);
}

/// Adds the tag number `index`, counted from 1, whose key and value are percent-encoded.
pub fn add_tag(index: u64, key: &[u8], value: &[u8], form: &mut Text<'_>) {
    for (part, content) in [(&b".Key="[..], key), (b".Value=", value)] {
        form.put(b"&Tag.").number(index).put(part).put(content);
    }
}

/// The code of the error in a reply, `UnauthorizedOperation`; empty without one.
pub fn error_code(body: &[u8]) -> &[u8] {
    cut(after(body, b"<Code>").unwrap_or_default(), b'<').0
}

/// A request to sign: a form that is posted to the root of `url`.
#[derive(Clone, Copy)]
pub struct Post<'a> {
    /// Where to, `https://ec2.eu-west-1.amazonaws.com/`.
    pub url: &'a [u8],
    /// Region of the signing scope.
    pub region: &'a [u8],
    /// The form.
    pub form: &'a [u8],
    /// Unix seconds by the server's clock, as far as it is known.
    pub unix: u64,
}

/// Writes the three headers that a signed call needs besides `Host` and `Content-Type`
/// (`application/x-www-form-urlencoded`), each as a line `Name: value`.
///
/// Source: "Create a signed AWS API request", Signature Version 4.
pub fn sign(post: &Post<'_>, credentials: &Credentials<'_>, headers: &mut Text<'_>) {
    let mut room = [0; 16];
    let mut date = Text::new(&mut room);
    time::amz_date(post.unix, &mut date);
    let date = date.bytes();
    let day = cut(date, b'T').0;
    let host = cut(after(post.url, b"://").unwrap_or_default(), b'/').0;

    headers.put(b"X-Amz-Date: ").put(date);
    headers.put(b"\nX-Amz-Security-Token: ").put(credentials.token);
    headers.put(b"\nAuthorization: ").put(ALGORITHM).put(b" Credential=").put(credentials.key_id);
    headers.put(b"/").put(day).put(b"/").put(post.region).put(SCOPE_END);
    headers.put(b", SignedHeaders=").put(SIGNED_HEADERS).put(b", Signature=");

    let mut room = [0; 64];
    let mut hex = Text::new(&mut room);
    hex.hex(&Sha256::new().update(post.form).finish());
    let mut canonical = Sha256::new();
    canonical.update(b"POST\n/\n\ncontent-type:application/x-www-form-urlencoded\nhost:").update(host);
    canonical.update(b"\nx-amz-date:").update(date);
    canonical.update(b"\nx-amz-security-token:").update(credentials.token);
    canonical.update(b"\n\n").update(SIGNED_HEADERS).update(b"\n").update(hex.bytes());
    hex.clear();
    hex.hex(&canonical.finish());

    let mut key = Hmac::new(&[b"AWS4", credentials.secret]).update(day).finish();
    for part in [post.region, b"ec2", b"aws4_request"] {
        key = Hmac::new(&[&key]).update(part).finish();
    }
    let mut signature = Hmac::new(&[&key]);
    signature.update(ALGORITHM).update(b"\n").update(date).update(b"\n");
    signature.update(day).update(b"/").update(post.region).update(SCOPE_END).update(b"\n").update(hex.bytes());
    headers.hex(&signature.finish());
}

const ALGORITHM: &[u8] = b"AWS4-HMAC-SHA256";
const SIGNED_HEADERS: &[u8] = b"content-type;host;x-amz-date;x-amz-security-token";
const SCOPE_END: &[u8] = b"/ec2/aws4_request";

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_by_aws},
        sign::v4,
    };
    use std::{
        string::{String, ToString as _},
        time::{Duration, UNIX_EPOCH},
        vec::Vec,
    };

    fn ours(post: &Post<'_>, credentials: &Credentials<'_>) -> Vec<(String, String)> {
        let mut room = [0; 8192];
        let mut out = Text::new(&mut room);
        sign(post, credentials, &mut out);
        assert!(!out.is_overflowed());
        let mut headers: Vec<_> = str::from_utf8(out.bytes())
            .unwrap()
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
            .collect();
        headers.sort();
        headers
    }

    fn by_aws(post: &Post<'_>, credentials: &Credentials<'_>) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let identity = aws_credential_types::Credentials::new(
            text(credentials.key_id),
            text(credentials.secret),
            Some(text(credentials.token)),
            None,
            "test",
        )
        .into();
        let region = text(post.region);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name("ec2")
            .time(UNIX_EPOCH + Duration::from_secs(post.unix))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let url = text(post.url);
        let content_type = [("content-type", "application/x-www-form-urlencoded")];
        let request =
            SignableRequest::new("POST", url, content_type.into_iter(), SignableBody::Bytes(post.form)).unwrap();
        let (instructions, _) = sign_by_aws(request, &params).unwrap().into_parts();
        let mut headers: Vec<_> =
            instructions.headers().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        headers.sort();
        headers
    }

    proptest::proptest! {
        #[test]
        fn any_call_is_signed_as_the_sdk_signs_it(
            (key_id, secret, token) in ("[A-Z0-9]{16,20}", "[!-~]{1,60}", "[A-Za-z0-9/+=]{1,1500}"),
            (host, region) in ("[a-z0-9.-]{1,30}(:[1-9][0-9]{3})?", "[a-z]{2}-[a-z]{4}-[0-9]"),
            values in proptest::collection::vec("[A-Za-z0-9%._~-]{0,30}", 1..6),
            unix in 0u64..4_000_000_000,
        ) {
            let mut room = [0; 1000];
            let mut form = Text::new(&mut room);
            create_tags(b"i-0123456789abcdef0", &mut form);
            for (index, value) in (1..).zip(&values) {
                add_tag(index, b"pitcrew%3Aready", value.as_bytes(), &mut form);
            }
            let url = ["https://x", &host, "/"].concat();
            let post = Post { url: url.as_bytes(), region: region.as_bytes(), form: form.bytes(), unix };
            let credentials = Credentials { key_id: key_id.as_bytes(), secret: secret.as_bytes(), token: token.as_bytes() };
            proptest::prop_assert_eq!(ours(&post, &credentials), by_aws(&post, &credentials));
        }
    }

    #[test]
    fn the_form_names_each_tag_once() {
        let mut room = [0; 400];
        let mut form = Text::new(&mut room);
        create_tags(b"i-1", &mut form);
        add_tag(1, b"pitcrew%3Aready", b"true", &mut form);
        add_tag(2, b"empty", b"", &mut form);
        assert_eq!(
            str::from_utf8(form.bytes()).unwrap(),
            "Action=CreateTags&Version=2016-11-15&ResourceId.1=i-1\
             &Tag.1.Key=pitcrew%3Aready&Tag.1.Value=true&Tag.2.Key=empty&Tag.2.Value="
        );
    }

    #[test]
    fn only_successful_credentials_are_credentials() {
        let document = |code| {
            std::format!(r#"{{"Code":"{code}","Type":"AWS-HMAC","AccessKeyId":"A","SecretAccessKey":"S","Token":"T"}}"#)
        };
        assert!(Credentials::parse(document("Success").as_bytes()).is_some_and(|read| read.token == b"T"));
        assert!(Credentials::parse(document("AssumeRoleUnauthorizedAccess").as_bytes()).is_none());
        assert!(Credentials::parse(br#"{"Code":"Success","AccessKeyId":"A"}"#).is_none());
    }
}
