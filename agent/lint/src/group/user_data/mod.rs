//! Decodes user data as cloud-init does: base64, gzip, MIME, and by the first line of each part what it is.

mod mime;
mod pitcrew;

use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::MultiGzDecoder;

use super::model::Shape;
use crate::yaml::Node;

pub(super) use pitcrew::Bootstrap;

/// User data, decoded as far as it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct UserData {
    /// Bytes before base64: what EC2 counts.
    pub(super) bytes: usize,
    /// What cloud-init would run or read.
    pub(super) parts: Vec<Part>,
    /// What cloud-init would trip over: where, and why.
    pub(super) flaws: Vec<Flaw>,
    /// What Pitcrew's own installer is asked to do, where it travels along.
    pub(super) bootstrap: Option<Bootstrap>,
}

/// One text in the user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it is, for people: `user data`, or `part 2 of the user data`.
    pub(super) name: String,
    pub(super) kind: PartKind,
    pub(super) text: String,
}

/// What cloud-init does with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    /// Runs it.
    Script,
    /// Configures by it.
    CloudConfig,
    /// Fetches more, fills in a template, or runs Python.
    Other,
}

/// One thing that cloud-init would trip over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) kind: FlawKind,
    /// Where: the name of a part, and perhaps a line.
    pub(super) inside: String,
    pub(super) message: String,
}

/// What can be wrong with user data by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlawKind {
    /// No base64, or broken gzip or MIME.
    Encoding,
    /// It begins with nothing that cloud-init knows.
    UnknownStart,
    /// Not UTF-8.
    NotText,
    /// Carriage returns.
    WindowsLines,
    /// A cloud-config that is no YAML.
    CloudConfig,
}

/// More than anybody means: what unpacks to more is a bomb.
const MOST_BYTES: u64 = 8 << 20;

pub(super) fn decode(text: &str, shape: Shape) -> UserData {
    let mut data = UserData::default();
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = match (base64(&compact), shape) {
        (Some(bytes), _) => bytes,
        // The provider encodes what is no base64 yet.
        (None, Shape::Terraform) => text.as_bytes().to_vec(),
        (None, Shape::Api) => {
            data.bytes = text.len();
            data.flaw(FlawKind::Encoding, NAME, "It is no base64.");
            return data;
        }
    };
    data.bytes = bytes.len();
    data.document(bytes);
    data.bootstrap = data.parts.iter().find_map(|part| pitcrew::find(&part.text));
    data
}

const NAME: &str = "user data";

impl UserData {
    fn flaw(&mut self, kind: FlawKind, inside: &str, message: impl Into<String>) {
        self.flaws.push(Flaw { kind, inside: inside.to_owned(), message: message.into() });
    }

    fn document(&mut self, bytes: Vec<u8>) {
        let bytes = match gunzip(&bytes) {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => return self.flaw(FlawKind::Encoding, NAME, format!("Its gzip is broken: {error}.")),
            None => bytes,
        };
        let start = bytes.get(..4096).unwrap_or(&bytes).to_ascii_lowercase();
        let is_mime = start.windows(13).any(|window| window == b"mime-version:");
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("Byte {} is no UTF-8.", error.utf8_error().valid_up_to() + 1);
                return self.flaw(FlawKind::NotText, NAME, message);
            }
        };
        if !is_mime {
            return self.part(NAME.to_owned(), None, text);
        }
        match mime::parts(&text) {
            Ok(parts) => {
                for (number, part) in (1..).zip(parts) {
                    let name = format!("part {number} of the user data");
                    match part.body.map(String::from_utf8) {
                        Some(Ok(body)) => self.part(name, Some(&part.content_type), body),
                        Some(Err(_)) => self.flaw(FlawKind::NotText, &name, "It is no UTF-8."),
                        None => self.flaw(FlawKind::Encoding, &name, "Its base64 is broken."),
                    }
                }
            }
            Err(message) => self.flaw(FlawKind::Encoding, NAME, message),
        }
    }

    fn part(&mut self, name: String, content_type: Option<&str>, text: String) {
        if text.trim().is_empty() {
            return;
        }
        let by_type = content_type.and_then(|content_type| match content_type {
            "text/x-shellscript"
            | "text/x-shellscript-per-boot"
            | "text/x-shellscript-per-instance"
            | "text/x-shellscript-per-once"
            | "text/cloud-boothook" => Some(PartKind::Script),
            "text/cloud-config" => Some(PartKind::CloudConfig),
            "text/x-include-url"
            | "text/x-include-once-url"
            | "text/jinja2"
            | "text/part-handler"
            | "text/cloud-config-archive"
            | "text/cloud-config-jsonp" => Some(PartKind::Other),
            _ => None,
        });
        let by_start = [
            ("#!", PartKind::Script),
            ("#cloud-boothook", PartKind::Script),
            ("#cloud-config-archive", PartKind::Other),
            ("#cloud-config", PartKind::CloudConfig),
            ("#include", PartKind::Other),
            ("## template: jinja", PartKind::Other),
            ("#part-handler", PartKind::Other),
        ]
        .into_iter()
        .find_map(|(start, kind)| text.starts_with(start).then_some(kind));
        let Some(kind) = by_type.or(by_start) else {
            let first: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
            return self.flaw(FlawKind::UnknownStart, &name, format!("It begins with `{first}`."));
        };
        match kind {
            PartKind::Script => {
                if let Some(line) = text.split('\n').position(|line| line.ends_with('\r')) {
                    self.flaw(
                        FlawKind::WindowsLines,
                        &format!("{name}, line {}", line + 1),
                        "It has Windows line ends.",
                    );
                }
            }
            PartKind::CloudConfig => {
                if let Err(error) = Node::parse(&text) {
                    let inside = format!("{name}, line {}", error.line);
                    self.flaw(FlawKind::CloudConfig, &inside, format!("It is no YAML: {}.", error.message));
                }
            }
            PartKind::Other => {}
        }
        self.parts.push(Part { name, kind, text });
    }
}

/// Decodes with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

/// What gzip holds; nothing where it is none.
fn gunzip(bytes: &[u8]) -> Option<std::io::Result<Vec<u8>>> {
    bytes.starts_with(&[0x1f, 0x8b]).then(|| {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes).take(MOST_BYTES).read_to_end(&mut unpacked)?;
        Ok(unpacked)
    })
}

#[cfg(test)]
mod tests;
