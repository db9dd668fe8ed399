//! Downloads and calls over TLS, by a child program.

use pitcrew_plan::{
    journal::{Failure, Outcome},
    retry::{TRIES, Trial},
    sha256::Sha256,
    text::Text,
    transfer::{Tool, Transfer, outcome},
};

use crate::{
    machine::Machine,
    sys::{Path, arena, file::File},
};

/// The exit status of a command whose program is not there.
const NOT_FOUND: u32 = 127;

/// Carries out one transfer; [`Machine::said`] has the headers of the reply.
pub(crate) fn transfer(machine: &mut Machine<'_>, transfer: &Transfer<'_>) -> Trial<()> {
    let mut input = arena::text(16_384);
    for tool in Tool::ALL {
        input.clear();
        tool.configure(transfer, &mut input);
        let exit = machine.run_reading(tool.command(), transfer.url(), input.bytes());
        if exit != NOT_FOUND {
            return outcome(exit, machine.said());
        }
    }
    Trial::Never(Failure::NoTool)
}

/// Downloads `url` to `to`, and checks its SHA-256 where one is given. A wrong digest is tried
/// once more: a proxy may have cut the file.
pub(crate) fn download(
    machine: &mut Machine<'_>,
    url: &[u8],
    to: Path,
    sha256: Option<&[u8]>,
) -> Result<Outcome, Failure> {
    let mut verdict: fn(Failure) -> Trial<()> = Trial::Again;
    machine.retry(TRIES, &mut |machine| {
        let get = Transfer::get(url, to.bytes(), machine.request.ca());
        let trial = transfer(machine, &get);
        let (Trial::Ended(()), Some(expected)) = (trial, sha256) else { return trial };
        let mut found = arena::text(64);
        digest(to, &mut found);
        if found.bytes() == expected {
            return trial;
        }
        machine.say(b"expected ");
        machine.detail.fill(b"$1, got $2", &[expected, found.bytes()]);
        core::mem::replace(&mut verdict, Trial::Never)(Failure::Digest)
    })
}

/// Writes the SHA-256 of the file at `path`.
fn digest(path: Path, out: &mut Text<'_>) {
    let mut hash = Sha256::default();
    if let Some(file) = File::open(path) {
        let room = arena::room(16_384);
        loop {
            match file.read_all(room) {
                [] => break,
                bytes => hash.update(bytes),
            }
        }
    }
    out.hex(&hash.finish());
}
