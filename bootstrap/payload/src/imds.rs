//! The only one to speak to the instance metadata service: version 2, over a plain socket.

use pitcrew_plan::{
    ec2::Credentials,
    http,
    journal::{Failure, Outcome},
    location,
    retry::{TRIES, Trial},
    text::cut,
};

use crate::{
    machine::Machine,
    sys::{arena, socket},
};

/// What comes before the name of a role.
const ROLES: &[u8] = b"meta-data/iam/security-credentials/";

/// The body of the text at `folder` and `name` under `/latest/`, asked for with a token of its
/// own; `None` for any other status than 200, an empty body, and everything that goes wrong on the
/// way.
fn get(machine: &Machine<'_>, folder: &[u8], name: &[u8]) -> Option<&'static [u8]> {
    let token = exchange(
        machine,
        b"PUT /latest/api/token HTTP/1.0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0",
        &[],
    )?;
    exchange(machine, b"GET /latest/$1$2 HTTP/1.0\r\nX-aws-ec2-metadata-token: $3", &[folder, name, token])
}

fn exchange(machine: &Machine<'_>, head: &[u8], values: &[&[u8]]) -> Option<&'static [u8]> {
    let (address, port) = location::ipv4(machine.request.imds())?;
    let socket = socket::connect(address, port, u64::from(machine.request.pace_ms()) * 2)?;
    let mut text = arena::text(1024);
    socket.write(text.fill(head, values).put(b"\r\nHost: 169.254.169.254\r\n\r\n").bytes())?;
    match http::reply(socket.read_all(arena::room(8192)))? {
        (200, body) if !body.is_empty() => Some(body),
        (_, _) => None,
    }
}

/// Waits for the text at `path`, which every instance has.
pub(crate) fn await_text(machine: &mut Machine<'_>, path: &[u8]) -> Result<&'static [u8], Failure> {
    let mut text: &[u8] = b"";
    machine.retry(u32::MAX, &mut |machine| match get(machine, path, b"") {
        Some(body) => {
            text = body;
            Trial::Ended(())
        }
        None => Trial::Again(Failure::Imds),
    })?;
    Ok(text)
}

/// Waits until the instance's role has credentials.
pub(crate) fn await_role(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    machine.retry(TRIES, &mut |machine| match credentials(machine) {
        Some(_) => Trial::Ended(()),
        None => Trial::Again(Failure::Role),
    })
}

/// Credentials of the instance's role, fresh from the service.
pub(crate) fn credentials(machine: &mut Machine<'_>) -> Option<Credentials<'static>> {
    machine.say(b"no role");
    let name = cut(get(machine, ROLES, b"")?, b'\n').0;
    machine.say(b"no credentials");
    Credentials::parse(get(machine, ROLES, name)?)
}
