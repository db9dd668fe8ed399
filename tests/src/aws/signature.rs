//! Checks a Signature Version 4 by signing the same call again with the AWS SDK's signer.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use super::{REGION, Role};

/// A call to EC2 as it came, as far as a signature is about it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// `POST`
    pub method: &'a str,
    /// `Host`
    pub host: &'a str,
    /// The path.
    pub path: &'a str,
    /// `Content-Type`
    pub content_type: &'a str,
    /// `X-Amz-Date`
    pub date: &'a str,
    /// `X-Amz-Security-Token`
    pub token: &'a str,
    /// `Authorization`
    pub authorization: &'a str,
    /// The form.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// What is wrong with the signature, if anything, when `role` should have signed the call.
    #[must_use]
    pub fn flaw(&self, role: &Role) -> Option<String> {
        if self.token != role.token {
            return Some("the session token is not the role's".to_owned());
        }
        let Some(signed_at) = self.signed_at() else { return Some(format!("x-amz-date is `{}`", self.date)) };
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
            .region(REGION)
            .name("ec2")
            .time(UNIX_EPOCH + Duration::from_secs(signed_at))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let url = format!("https://{}{}", self.host, self.path);
        let content_type = [("content-type", self.content_type)];
        let body = SignableBody::Bytes(self.body);
        let request = SignableRequest::new(self.method, url, content_type.into_iter(), body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let expected = instructions.headers().find_map(|(name, value)| (name == "authorization").then_some(value));
        let expected = expected.unwrap_or_default();
        (self.authorization != expected)
            .then(|| format!("authorization is\n{}\nand should be\n{expected}", self.authorization))
    }

    /// When the call says that it was signed, in Unix seconds.
    #[must_use]
    pub fn signed_at(&self) -> Option<u64> {
        let part = |from: usize, to: usize| self.date.get(from..to);
        let day = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let text = format!("{day}T{}:{}:{}Z", part(9, 11)?, part(11, 13)?, part(13, 15)?);
        let time = aws_smithy_types::DateTime::from_str(&text, aws_smithy_types::date_time::Format::DateTime).ok()?;
        u64::try_from(time.secs()).ok()
    }
}
