//! Takes the ASCII armour off OpenPGP data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The binary data within `input`; `input` itself where it is not armoured, `None` where the armour is broken.
pub(super) fn decode(input: &[u8], what: &str) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN PGP ";
    let Some(text) = std::str::from_utf8(input).ok().filter(|text| text.contains(BEGIN)) else {
        return Some(input.to_vec());
    };
    let mut lines = text.lines().map(str::trim_end);
    let opening = format!("{BEGIN}{what}-----");
    lines.by_ref().find(|line| *line == opening)?;
    // Armour headers end at the first empty line; the checksum line starts with `=`.
    let body: String = lines
        .skip_while(|line| !line.is_empty())
        .take_while(|line| !line.starts_with('=') && !line.starts_with('-'))
        .collect();
    STANDARD.decode(body).ok()
}
