//! The step that tags the instance: one call, signed here, after everything else.

use pitcrew_plan::{
    ec2::{self, Post},
    http,
    journal::{Failure, Outcome},
    location,
    retry::{self, TRIES, Trial},
    sha256::Sha256,
    time,
    transfer::Transfer,
};

use crate::{
    fetch, imds,
    machine::Machine,
    sys::{
        arena, file,
        time::{monotonic_ms, unix},
    },
};

/// Tries to say that the run failed, which nobody may be allowed to hear.
const TRIES_TO_TELL: u32 = 3;
/// Time for that beyond the deadline of the run.
const TIME_TO_TELL_MS: u64 = 20_000;

/// Sets the tags, unless the same ones were set on this instance before.
pub(crate) fn set(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let mut form = arena::text(12_288);
    ec2::create_tags(machine.facts.instance, &mut form);
    for (index, tag) in (1..).zip(machine.request.tags()) {
        ec2::add_tag(index, tag.key, tag.value, &mut form);
    }
    let mark = machine.state(b"/tagged");
    let digest = Sha256::new().update(form.bytes()).finish();
    if file::read(mark, &mut [0; 32]) == digest {
        return Ok(Outcome::Already);
    }
    call(machine, form.bytes(), TRIES)?;
    file::replace(mark, &digest).ok_or(Failure::Disk)?;
    Ok(Outcome::Done)
}

/// Tags the instance with the word of a failure, if the role may.
pub(crate) fn tell_failure(machine: &mut Machine<'_>, failure: Failure) {
    let mut form = arena::text(512);
    ec2::create_tags(machine.facts.instance, &mut form);
    ec2::add_tag(1, b"pitcrew%3Abootstrap", b"failed%3A", &mut form);
    form.put(failure.word());
    machine.until = machine.until.max(monotonic_ms() + TIME_TO_TELL_MS);
    _ = call(machine, form.bytes(), TRIES_TO_TELL);
}

fn call(machine: &mut Machine<'_>, form: &[u8], tries: u32) -> Result<(), Failure> {
    let mut url = arena::text(512);
    location::ec2(&machine.request, &machine.facts, &mut url);
    let url = url.bytes();
    let answer = machine.state(b"/answer");
    let mut headers = arena::text(12_288);
    machine.retry(tries, &mut |machine| {
        // Fresh ones each time: those at hand may have expired.
        let Some(credentials) = imds::credentials(machine) else { return Trial::Again(Failure::Role) };
        headers.clear();
        let unix_there = unix().wrapping_add(machine.clock_error);
        let post = Post { url, region: machine.facts.region, form, unix: unix_there };
        ec2::sign(&post, &credentials, &mut headers);
        let call = Transfer { url, output: answer.bytes(), ca: machine.request.ca(), headers: headers.bytes(), form };
        file::remove(answer);
        let carried = fetch::transfer(machine, &call);
        let head = http::head(machine.said());
        if let Some(there) = time::http_date(head.date) {
            machine.clock_error = there.wrapping_sub(unix());
        }
        if head.status == 0 {
            return carried;
        }
        let body = file::read(answer, arena::room(2048));
        machine.say(ec2::error_code(body));
        retry::create_tags(head.status, body)
    })
}
