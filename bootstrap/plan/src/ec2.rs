//! The one call to EC2: the form of `CreateTags`, and its Signature Version 4.

use crate::{
    sha256::{hmac, sha256},
    text::{Text, after, cut},
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
        if field(b"\"Code\"")? != b"Success" {
            return None;
        }
        Some(Self {
            key_id: field(b"\"AccessKeyId\"")?,
            secret: field(b"\"SecretAccessKey\"")?,
            token: field(b"\"Token\"")?,
        })
    }
}

/// Begins the form of a `CreateTags` call on one instance; [`add_tag`] goes on.
pub fn create_tags(instance: &[u8], form: &mut Text<'_>) {
    form.put(b"Action=CreateTags&Version=2016-11-15&ResourceId.1=").put(instance);
}

/// Adds the tag number `index`, counted from 1, whose key and value are percent-encoded.
pub fn add_tag(index: u64, key: &[u8], value: &[u8], form: &mut Text<'_>) {
    let mut room = [0; 20];
    let mut number = Text::new(&mut room);
    form.fill(b"&Tag.$1.Key=$2&Tag.$1.Value=$3", &[number.number(index).bytes(), key, value]);
}

/// The code of the error in a reply, `UnauthorizedOperation`; empty without one.
pub fn error_code(body: &[u8]) -> &[u8] {
    cut(after(body, b"<Code>").unwrap_or_default(), b'<').0
}

/// The shell's line that prints `$0`, which is `now` or the `Date` of a reply, as Signature Version 4
/// wants it: `20261123T052025Z`. A calendar of our own would be a few hundred bytes of user data that
/// every machine has already.
pub const DATE_COMMAND: &[u8] = b"date -ud \"$0\" +%Y%m%dT%H%M%SZ";

/// A request to sign: a form that is posted to the root of `url`.
#[derive(Clone, Copy)]
pub struct Post<'a> {
    /// Where to, `https://ec2.eu-west-1.amazonaws.com/`.
    pub url: &'a [u8],
    /// Region of the signing scope.
    pub region: &'a [u8],
    /// The form.
    pub form: &'a [u8],
    /// When, as [`DATE_COMMAND`] prints it.
    pub date: &'a [u8],
}

/// Writes the value of the header `Authorization` for a call that has the headers `Host`,
/// `Content-Type: application/x-www-form-urlencoded`, `X-Amz-Date` and `X-Amz-Security-Token`.
/// `scratch` is overwritten; it needs room for the session's token and 512 bytes more.
///
/// Source: "Create a signed AWS API request", Signature Version 4.
#[inline(never)]
pub fn sign(post: &Post<'_>, credentials: &Credentials<'_>, authorization: &mut Text<'_>, scratch: &mut Text<'_>) {
    let day = cut(post.date, b'T').0;
    let host = cut(after(post.url, b"://").unwrap_or_default(), b'/').0;

    let hash = |message: &[u8], hex: &mut [u8; 64]| {
        Text::new(hex).hex(&sha256(message));
    };
    let (mut form, mut canonical) = ([0; 64], [0; 64]);
    hash(post.form, &mut form);
    let values = [post.date, credentials.token, credentials.key_id, day, post.region, host, credentials.secret, &form];

    authorization.clear();
    authorization.fill(
        b"AWS4-HMAC-SHA256 Credential=$3/$4/$5/ec2/aws4_request, \
          SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=",
        &values,
    );
    scratch.clear();
    scratch.fill(
        b"POST\n/\n\ncontent-type:application/x-www-form-urlencoded\nhost:$6\nx-amz-date:$1\n\
          x-amz-security-token:$2\n\ncontent-type;host;x-amz-date;x-amz-security-token\n$8",
        &values,
    );
    hash(scratch.bytes(), &mut canonical);

    scratch.clear();
    let mut key = hmac(scratch.fill(b"AWS4$7", &values).bytes(), day);
    for part in [post.region, b"ec2", b"aws4_request"] {
        key = hmac(&key, part);
    }
    scratch.clear();
    scratch.fill(b"AWS4-HMAC-SHA256\n$1\n$4/$5/ec2/aws4_request\n", &values).put(&canonical);
    authorization.hex(&hmac(&key, scratch.bytes()));
}

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
        let (mut room, mut scratch) = ([0; 8192], [0; 8192]);
        let mut out = Text::new(&mut room);
        sign(post, credentials, &mut out, &mut Text::new(&mut scratch));
        assert!(!out.is_overflowed());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut headers = std::vec![
            ("x-amz-date".to_string(), text(post.date)),
            ("x-amz-security-token".to_string(), text(credentials.token)),
            ("authorization".to_string(), text(out.bytes())),
        ];
        headers.sort();
        headers
    }

    fn by_aws(post: &Post<'_>, unix: u64, credentials: &Credentials<'_>) -> Vec<(String, String)> {
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
            .time(UNIX_EPOCH + Duration::from_secs(unix))
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
            let credentials = Credentials { key_id: key_id.as_bytes(), secret: secret.as_bytes(), token: token.as_bytes() };
            let mut post = Post { url: url.as_bytes(), region: region.as_bytes(), form: form.bytes(), date: b"" };
            let theirs = by_aws(&post, unix, &credentials);
            let date = theirs.iter().find(|(name, _)| name == "x-amz-date").unwrap().1.clone();
            post.date = date.as_bytes();
            proptest::prop_assert_eq!(ours(&post, &credentials), theirs);
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
