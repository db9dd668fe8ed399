//! The ledger's document: `{"pitcrew_ledger":1,"crc32":"…","body":{…}}` and a line's end.

use pitcrew_core::ids::{BootId, InstanceId};
use pitcrew_core::time::Now;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Remembered;

/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

/// What a document says.
#[derive(Serialize, Deserialize)]
pub(super) struct Body<M> {
    pub(super) generation: u64,
    pub(super) instance: InstanceId,
    pub(super) boot: BootId,
    pub(super) written: Now,
    pub(super) memory: M,
}

/// Why a document is not used.
pub(super) enum Flaw {
    Damaged(String),
    OtherFormat(u32),
    OtherInstance(InstanceId),
}

/// What any format has.
#[derive(Deserialize)]
struct Label {
    pitcrew_ledger: u32,
}

/// The checksum is of the body as it is written, byte for byte.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    pitcrew_ledger: u32,
    crc32: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

pub(super) fn write<M: Serialize>(body: &Body<M>) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::value::to_raw_value(body)?;
    let mut document = serde_json::to_vec(&Envelope { pitcrew_ledger: FORMAT, crc32: checksum(&body), body: &body })?;
    document.push(b'\n');
    Ok(document)
}

/// The memory of a document that is this instance's.
pub(super) fn read<M: DeserializeOwned>(document: &[u8], instance: &InstanceId) -> Result<Remembered<M>, Flaw> {
    let body = open(document)?;
    if body.instance != *instance {
        return Err(Flaw::OtherInstance(body.instance));
    }
    Ok(Remembered {
        memory: serde_json::from_str(body.memory.get()).map_err(damaged)?,
        boot: body.boot,
        written: body.written,
        generation: body.generation,
    })
}

/// The memory of a document of this `boot`, whoever's it is: an instance keeps its name for as long as it is up.
pub(super) fn of_boot<M: DeserializeOwned>(document: &[u8], boot: &BootId) -> Option<M> {
    let body = open(document).ok().filter(|body| body.boot == *boot)?;
    serde_json::from_str(body.memory.get()).ok()
}

fn open(document: &[u8]) -> Result<Body<Box<RawValue>>, Flaw> {
    let label: Label = serde_json::from_slice(document).map_err(damaged)?;
    if label.pitcrew_ledger != FORMAT {
        return Err(Flaw::OtherFormat(label.pitcrew_ledger));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(document).map_err(damaged)?;
    if envelope.crc32 != checksum(envelope.body) {
        return Err(Flaw::Damaged("its checksum does not fit".to_owned()));
    }
    serde_json::from_str(envelope.body.get()).map_err(damaged)
}

fn checksum(body: &RawValue) -> String {
    format!("{:08x}", crc32fast::hash(body.get().as_bytes()))
}

fn damaged(error: serde_json::Error) -> Flaw {
    Flaw::Damaged(error.to_string())
}
