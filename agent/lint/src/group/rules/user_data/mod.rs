//! User data and shutdown script: whether cloud-init runs them, and what they do then.

pub(super) mod bootstrap;
pub(super) mod encoding;
pub(super) mod scripts;
pub(super) mod secrets;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::Place;
use crate::group::Subject;

fn at_user_data(subject: &Subject) -> Place {
    subject.at(subject.group.user_data.as_ref().map_or(&subject.group.at.launch, |text| &text.pointer))
}

fn decoded(text: &str) -> Option<String> {
    let compact: String = text.split_whitespace().collect();
    String::from_utf8(BASE64_STANDARD.decode(compact).ok()?).ok()
}
