//! The two AWS wire formats of the stand-in APIs: Query with XML replies, and JSON 1.1.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// An error reply, before it is written in one of the formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl ApiError {
    /// A 400: the caller's mistake.
    pub(super) fn sender(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

/// The fields of a Query request.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            ApiError::sender(
                "ValidationError",
                format!("1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"),
            )
        })
    }

    /// `name.member.1`, `name.member.2`, …
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|n| self.get(&format!("{name}.member.{n}"))).collect()
    }

    /// `name.1`, `name.2`, …, as EC2 numbers its lists.
    pub(super) fn numbered(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|n| self.get(&format!("{name}.{n}"))).collect()
    }

    /// `name.member.N.field` for every N, as one map of fields each.
    pub(super) fn structures(&self, name: &str) -> Vec<BTreeMap<&str, &str>> {
        (1..)
            .map_while(|n| {
                let prefix = format!("{name}.member.{n}.");
                let fields: BTreeMap<_, _> = self
                    .0
                    .iter()
                    .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value.as_str())))
                    .collect();
                (!fields.is_empty()).then_some(fields)
            })
            .collect()
    }
}

/// An XML document being written.
#[derive(Debug, Default)]
pub(super) struct Xml(pub(super) String);

impl Xml {
    /// `<name>` … `</name>` around what `inside` writes.
    pub(super) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.0.extend(["<", name, ">"]);
        inside(self);
        self.0.extend(["</", name, ">"]);
    }

    /// An element with text, escaped.
    pub(super) fn text(&mut self, name: &str, text: impl ToString) {
        self.element(name, |xml| {
            for character in text.to_string().chars() {
                match character {
                    '&' => xml.0.push_str("&amp;"),
                    '<' => xml.0.push_str("&lt;"),
                    '>' => xml.0.push_str("&gt;"),
                    '"' => xml.0.push_str("&quot;"),
                    character => xml.0.push(character),
                }
            }
        });
    }

    /// A list: `<name>` with one `<member>` an item.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| write(xml, item));
            }
        });
    }
}

/// A Query reply: `<ActionResponse xmlns=…><ActionResult>…</ActionResult><ResponseMetadata>…`.
pub(super) fn query_reply(namespace: &str, action: &str, request_id: &str, result: &str) -> Response<Bytes> {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    );
    ok_xml(request_id, body)
}

/// A 200 with an XML document.
pub(super) fn ok_xml(request_id: &str, body: String) -> Response<Bytes> {
    reply(StatusCode::OK, "text/xml", request_id, body)
}

/// An error with an XML document.
pub(super) fn error_xml(status: StatusCode, request_id: &str, body: String) -> Response<Bytes> {
    reply(status, "text/xml", request_id, body)
}

/// A Query error.
pub(super) fn query_error(namespace: &str, request_id: &str, error: &ApiError) -> Response<Bytes> {
    let kind = if error.status.is_server_error() { "Receiver" } else { "Sender" };
    let mut inner = Xml::default();
    inner.element("Error", |xml| {
        xml.text("Type", kind);
        xml.text("Code", error.code);
        xml.text("Message", &error.message);
    });
    inner.text("RequestId", request_id);
    let body = format!("<ErrorResponse xmlns=\"{namespace}\">{}</ErrorResponse>", inner.0);
    error_xml(error.status, request_id, body)
}

/// A JSON 1.1 reply.
pub(super) fn json_reply(request_id: &str, body: &Value) -> Response<Bytes> {
    reply(StatusCode::OK, JSON, request_id, body.to_string())
}

/// A JSON 1.1 error.
pub(super) fn json_error(request_id: &str, error: &ApiError) -> Response<Bytes> {
    let body = json!({ "__type": error.code, "message": error.message });
    reply(error.status, JSON, request_id, body.to_string())
}

const JSON: &str = "application/x-amz-json-1.1";

fn reply(status: StatusCode, content_type: &'static str, request_id: &str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
