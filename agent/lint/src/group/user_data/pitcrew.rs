//! Finds Pitcrew's own installer in a script, and reads what it is asked to do.

use std::io::Read as _;

use lzma_rust2::{LzmaReader, XzReader};
use pitcrew_plan::request::{CodeDeployAgent, HEADER, Request};

use super::{MOST_BYTES, base64, gunzip};

/// What the installer is asked to do, as far as the group must fit to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::group) struct Bootstrap {
    /// When it gives up, in seconds after its start.
    pub(in crate::group) deadline_s: u64,
    /// Whether the CodeDeploy agent will run.
    pub(in crate::group) has_codedeploy: bool,
    /// The keys and values of the tags that it sets last.
    pub(in crate::group) tags: Vec<(String, String)>,
}

/// The shortest line that can be an installer; no line of a person's is as long.
const SHORTEST: usize = 256;
const MEMORY_KB: u32 = 64 << 10;

/// The request behind the first installer in a script: a line of base64 that unpacks to an executable file.
pub(super) fn find(script: &str) -> Option<Bootstrap> {
    let lines = script.lines().filter(|line| line.len() >= SHORTEST);
    let mut installers = lines.filter_map(|line| unpack(&base64(line.as_bytes())?));
    installers.find_map(|installer| read(&installer))
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    if let Some(unpacked) = gunzip(packed) {
        return unpacked.ok();
    }
    let mut unpacked = Vec::new();
    if packed.starts_with(b"\xfd7zXZ\0") {
        XzReader::new_mem_limit(packed, false, MEMORY_KB).take(MOST_BYTES).read_to_end(&mut unpacked).ok()?;
    } else {
        LzmaReader::new_mem_limit(packed, MEMORY_KB, None).ok()?.take(MOST_BYTES).read_to_end(&mut unpacked).ok()?;
    }
    Some(unpacked)
}

/// The request stands at the end; the executable names its header too, so the last one that reads is meant.
fn read(installer: &[u8]) -> Option<Bootstrap> {
    let starts = installer.windows(HEADER.len()).enumerate().filter(|(_, window)| *window == HEADER);
    let mut requests = starts.filter_map(|(at, _)| Request::parse(installer.get(at..)?).ok());
    let request = requests.next_back()?;
    let text = |encoded: &[u8]| String::from_utf8_lossy(&percent_decoded(encoded)).into_owned();
    Some(Bootstrap {
        deadline_s: request.deadline_s().into(),
        has_codedeploy: match request.codedeploy() {
            CodeDeployAgent::Leave => false,
            CodeDeployAgent::Ensure | CodeDeployAgent::V1 | CodeDeployAgent::V2 => true,
        },
        tags: request.tags().map(|tag| (text(tag.key), text(tag.value))).collect(),
    })
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                behind.get(2..).unwrap_or_default()
            }
            _ => {
                decoded.push(*first);
                behind
            }
        };
    }
    decoded
}
