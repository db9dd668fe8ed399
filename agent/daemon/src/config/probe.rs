//! `[[health.probe]]`: the keys of one probe, and what they make together.

use http::Uri;
use pitcrew_core::ids::ProbeName;
use pitcrew_core::settings::Thresholds;
use std::time::Duration;

use super::origin::Chosen;
use super::read::{Reader, Table};
use super::settings::{Check, Probe, Statuses};
use super::show::Row;
use super::value::{Count, Period, Value};

const SECTION: &str = "health.probe";
const KEYS: [&str; 9] =
    ["name", "http", "expect", "tcp", "command", "interval", "timeout", "healthy_threshold", "unhealthy_threshold"];

/// One probe: complete and consistent.
#[derive(Clone, Debug)]
pub(super) struct ProbeKeys {
    probe: Probe,
    thresholds: Thresholds,
}

impl ProbeKeys {
    pub(super) fn name(&self) -> &str {
        self.probe.name.as_str()
    }

    pub(super) fn into_parts(self) -> (Probe, (ProbeName, Thresholds)) {
        let name = self.probe.name.clone();
        (self.probe, (name, self.thresholds))
    }
}

/// Reads every probe of a file; one that is not complete is complained of and left out.
pub(super) fn read(reader: &Reader<'_>, mut health: Table<'_>) -> Vec<Chosen<ProbeKeys>> {
    let mut probes: Vec<Chosen<ProbeKeys>> = Vec::new();
    for (line, table) in health.tables(reader, "probe") {
        let Some(probe) = one(reader, line, table) else {
            continue;
        };
        match probes.iter().any(|other| other.value.name() == probe.name()) {
            true => reader.complain(line, format!("there are two probes `{}`; names are unique", probe.name())),
            false => probes.push(Chosen { value: probe, origin: reader.at(line) }),
        }
    }
    health.refuse_the_rest(reader, &["probe"]);
    probes
}

fn one(reader: &Reader<'_>, line: usize, mut table: Table<'_>) -> Option<ProbeKeys> {
    let name = table.take::<String>(reader, "name");
    let http = table.take::<Uri>(reader, "http");
    let expect = table.take::<Statuses>(reader, "expect");
    let tcp = table.take::<String>(reader, "tcp");
    let command = table.take::<Vec<String>>(reader, "command");
    let interval = table.take::<Period>(reader, "interval");
    let timeout = table.take::<Period>(reader, "timeout");
    let healthy = table.take::<Count>(reader, "healthy_threshold");
    let unhealthy = table.take::<Count>(reader, "unhealthy_threshold");
    table.refuse_the_rest(reader, &KEYS);

    let Some(name) = name else {
        reader.complain(line, format!("[[{SECTION}]] needs a `name`"));
        return None;
    };
    let complain = |sentence: &str| reader.complain(line, format!("probe `{}` {sentence}", name.value));
    let check = match (http, tcp, command) {
        (Some(url), None, None) if url.value.scheme_str() != Some("http") => {
            complain("asks its own host: `http` must begin with http://");
            return None;
        }
        (Some(url), None, None) => {
            Check::Http { url: url.value, expect: expect.map_or_else(Statuses::success, |expect| expect.value) }
        }
        (None, _, _) if expect.is_some() => {
            complain("has `expect`, which belongs to `http`");
            return None;
        }
        (None, Some(address), None) if !is_host_and_port(&address.value) => {
            complain("needs `tcp` in the form \"HOST:PORT\"");
            return None;
        }
        (None, Some(address), None) => Check::Tcp { address: address.value },
        (None, None, Some(command)) if command.value.is_empty() => {
            complain("has an empty `command`; write the program and its arguments");
            return None;
        }
        (None, None, Some(command)) => Check::Command { command: command.value },
        (None, None, None) | (Some(_), _, _) | (_, Some(_), Some(_)) => {
            complain("needs exactly one of `http`, `tcp` and `command`");
            return None;
        }
    };
    let seconds =
        |chosen: Option<Chosen<Period>>, default| chosen.map_or(Duration::from_secs(default), |period| period.value.0);
    let count = |chosen: Option<Chosen<Count>>, default| chosen.map_or(default, |count| count.value.0);
    let default = Thresholds::default();
    Some(ProbeKeys {
        probe: Probe {
            name: ProbeName::new(name.value),
            check,
            interval: seconds(interval, 2),
            timeout: seconds(timeout, 1),
        },
        thresholds: Thresholds {
            healthy: count(healthy, default.healthy),
            unhealthy: count(unhealthy, default.unhealthy),
        },
    })
}

fn is_host_and_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The probe's keys as they would be written in full.
pub(super) fn rows(chosen: &Chosen<ProbeKeys>) -> Vec<Row> {
    let ProbeKeys { probe, thresholds } = &chosen.value;
    let mut keys = vec![("name", probe.name.as_str().to_owned().show())];
    match &probe.check {
        Check::Http { url, expect } => {
            keys.push(("http", url.show()));
            keys.push(("expect", expect.show()));
        }
        Check::Tcp { address } => keys.push(("tcp", address.show())),
        Check::Command { command } => keys.push(("command", command.show())),
    }
    keys.extend([
        ("interval", probe.interval.show()),
        ("timeout", probe.timeout.show()),
        ("healthy_threshold", Count(thresholds.healthy).show()),
        ("unhealthy_threshold", Count(thresholds.unhealthy).show()),
    ]);
    keys.into_iter()
        .map(|(key, value)| Row {
            section: format!("{SECTION}.{}", probe.name),
            key,
            value,
            origin: chosen.origin.clone(),
        })
        .collect()
}
