//! Takes a MIME document apart, as far as user data uses MIME: one level of parts, 7bit or base64.

/// One part, with what is left of it when its encoding is taken away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// In small letters, without parameters.
    pub(super) content_type: String,
    /// Nothing where its base64 is broken.
    pub(super) body: Option<Vec<u8>>,
}

/// The parts of a document; the error is a sentence.
pub(super) fn parts(document: &str) -> Result<Vec<Part>, &'static str> {
    let (headers, body) = split(document);
    let content_type = header(&headers, "content-type").unwrap_or_default();
    let Some(boundary) = boundary(&content_type) else {
        return Ok(vec![part(document)]);
    };
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in body.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == close {
            is_open = false;
        } else if bare == open {
            is_open = true;
            parts.push(String::new());
        } else if is_open && let Some(part) = parts.last_mut() {
            part.push_str(line);
        }
    }
    if parts.is_empty() {
        return Err("It is MIME without a part: its boundary never comes.");
    }
    Ok(parts.iter().map(|text| part(text)).collect())
}

fn part(text: &str) -> Part {
    let (headers, body) = split(text);
    let value = |name| header(&headers, name).unwrap_or_default();
    let content_type = value("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = match value("content-transfer-encoding").trim().to_ascii_lowercase().as_str() {
        "base64" => {
            let compact: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            super::base64(&compact)
        }
        _ => Some(body.as_bytes().to_vec()),
    };
    Part { content_type, body }
}

/// Headers, unfolded, and the body behind the first empty line.
fn split(text: &str) -> (Vec<String>, &str) {
    let mut headers: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(line) = rest.split_inclusive('\n').next() {
        rest = rest.get(line.len()..).unwrap_or_default();
        let bare = line.trim_end_matches(['\r', '\n']);
        match headers.last_mut() {
            _ if bare.is_empty() => break,
            Some(last) if bare.starts_with([' ', '\t']) => last.push_str(bare),
            _ => headers.push(bare.to_owned()),
        }
    }
    (headers, rest)
}

fn header(headers: &[String], name: &str) -> Option<String> {
    let values = headers.iter().filter_map(|header| header.split_once(':'));
    values.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn boundary(content_type: &str) -> Option<String> {
    if !content_type.to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut boundaries = parameters.filter(|(key, _)| key.trim().eq_ignore_ascii_case("boundary"));
    boundaries.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
}
