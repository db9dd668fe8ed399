//! The step that tags the instance: one call, signed here, after everything else.

use pitcrew_plan::{
    ec2::{self, Post},
    http,
    journal::{Failure, Outcome},
    location,
    retry::{self, TRIES, Trial},
    text::{after, trimmed},
    transfer::Transfer,
};

use crate::{
    fetch, imds,
    machine::Machine,
    sys::{arena, file, time::monotonic_ms},
};

/// The tag that tells how a run ended, as it stands in the form.
const HOW: &[u8] = b"pitcrew%3Abootstrap";
/// The file that keeps the form of the last call.
const MARK: &[u8] = state!("tagged");
/// Tries to say that the run failed, which nobody may be allowed to hear.
const TRIES_TO_TELL: u32 = 3;
/// Time for that beyond the deadline of the run.
const TIME_TO_TELL_MS: u64 = 20_000;

/// Sets the tags, unless the same ones were set on this instance before.
#[inline(never)]
pub(crate) fn set(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let (mut form, mut index) = (arena::text(12_288), 0);
    ec2::create_tags(machine.facts.instance, &mut form);
    let mut add = |key, value| {
        index += 1;
        ec2::add_tag(index, key, value, &mut form);
    };
    let marked = file::read(machine.path(MARK), arena::room(12_288));
    if after(marked, HOW).is_some() {
        // A run before this one told of its failure: no longer so, and the role may set this tag as well.
        add(HOW, b"done");
    }
    for tag in machine.request.tags() {
        add(tag.key, tag.value);
    }
    if marked == form.bytes() {
        return Ok(Outcome::Already);
    }
    call(machine, form.bytes(), TRIES)?;
    Ok(Outcome::Done)
}

/// Tags the instance with the word of a failure, if the role may.
pub(crate) fn tell_failure(machine: &mut Machine<'_>, failure: Failure) {
    let mut form = arena::text(512);
    ec2::create_tags(machine.facts.instance, &mut form);
    ec2::add_tag(1, HOW, b"failed%3A", &mut form);
    form.put(failure.word());
    machine.until = machine.until.max(monotonic_ms() + TIME_TO_TELL_MS);
    _ = call(machine, form.bytes(), TRIES_TO_TELL);
}

fn call(machine: &mut Machine<'_>, form: &[u8], tries: u32) -> Result<Outcome, Failure> {
    let mut url = arena::text(512);
    location::ec2(&machine.request, &machine.facts, &mut url);
    let url = url.bytes();
    let (mut authorization, mut scratch) = (arena::text(512), arena::text(12_288));
    let (mut clock, mut date) = (arena::text(64), arena::text(64));
    clock.put(b"now");
    let done = machine.retry(tries, &mut |machine| {
        // Fresh ones each time: those at hand may have expired.
        let Some(credentials) = imds::credentials(machine) else { return Trial::Again(Failure::Role) };
        machine.run(ec2::DATE_COMMAND, clock.bytes());
        date.clear();
        date.put(trimmed(machine.said()));
        let post = Post { url, region: machine.facts.region, form, date: date.bytes() };
        ec2::sign(&post, &credentials, &mut authorization, &mut scratch);
        let signature = [date.bytes(), credentials.token, authorization.bytes()];
        let trial = fetch::transfer(machine, &Transfer::post(url, b"-", machine.request.ca(), form, signature));
        let said = machine.said();
        let head = http::head(said);
        if head.status == 0 {
            return trial;
        }
        // The machine's clock may be wrong; from here on it is the server's that counts.
        if !head.date.is_empty() {
            clock.clear();
            clock.put(head.date);
        }
        let code = ec2::error_code(said);
        machine.say(code);
        retry::create_tags(head.status, code)
    });
    if done.is_ok() {
        file::write(machine.path(MARK), form).ok_or(Failure::Disk)?;
    }
    done
}
