//! `[[health.probe]]`: the keys of one probe, and what they make together.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use pitcrew_core::ids::ProbeName;
use pitcrew_core::settings::Thresholds;

use super::origin::Chosen;
use super::read::{Reader, Table};
use super::settings::{Check, Probe, Statuses};
use super::show::Row;
use super::value::{Count, Percent, Period, Value};

const SECTION: &str = "health.probe";
/// Each asks something else; a probe has one of them.
const QUESTIONS: [&str; 7] =
    ["http", "tcp", "command", "disk", "memory_percent", "memory_pressure_percent", "load_per_cpu"];
const KEYS: [&str; 16] = [
    "name",
    "http",
    "expect",
    "tcp",
    "command",
    "disk",
    "free_percent",
    "memory_percent",
    "memory_pressure_percent",
    "load_per_cpu",
    "interval",
    "timeout",
    "healthy_threshold",
    "unhealthy_threshold",
    "grace",
    "advisory",
];

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
    let asked: Vec<&str> = QUESTIONS.into_iter().filter(|key| table.has(key)).collect();
    let questions = Questions::take(reader, &mut table);
    let interval = table.take::<Period>(reader, "interval");
    let timeout = table.take::<Period>(reader, "timeout");
    let healthy = table.take::<Count>(reader, "healthy_threshold");
    let unhealthy = table.take::<Count>(reader, "unhealthy_threshold");
    let grace = table.take::<Duration>(reader, "grace");
    let advisory = table.take::<bool>(reader, "advisory");
    table.refuse_the_rest(reader, &KEYS);

    let Some(name) = name else {
        reader.complain(line, format!("[[{SECTION}]] needs a `name`"));
        return None;
    };
    let check = match questions.check(&asked) {
        Ok(Some(check)) => check,
        Ok(None) => return None,
        Err(complaint) => {
            reader.complain(line, format!("probe `{}` {complaint}", name.value));
            return None;
        }
    };
    let seconds =
        |chosen: Option<Chosen<Period>>, default| chosen.map_or(Duration::from_secs(default), |period| period.value.0);
    let count = |chosen: Option<Chosen<Count>>, default| chosen.map_or(default, |count| count.value.0);
    let default = Thresholds::default();
    let usual = if check.is_of_the_host() { 15 } else { 2 };
    Some(ProbeKeys {
        probe: Probe {
            name: ProbeName::new(name.value),
            check,
            interval: seconds(interval, usual),
            timeout: seconds(timeout, 1),
        },
        thresholds: Thresholds {
            healthy: count(healthy, default.healthy),
            unhealthy: count(unhealthy, default.unhealthy),
            grace: grace.map_or(default.grace, |grace| grace.value),
            advisory: advisory.map_or(default.advisory, |advisory| advisory.value),
        },
    })
}

/// The keys that say what is asked, of which a probe has those of one question.
struct Questions {
    http: Option<Chosen<Uri>>,
    expect: Option<Chosen<Statuses>>,
    tcp: Option<Chosen<String>>,
    command: Option<Chosen<Vec<String>>>,
    disk: Option<Chosen<String>>,
    free_percent: Option<Chosen<Percent>>,
    memory_percent: Option<Chosen<Percent>>,
    memory_pressure_percent: Option<Chosen<Percent>>,
    load_per_cpu: Option<Chosen<Count>>,
}

impl Questions {
    fn take(reader: &Reader<'_>, table: &mut Table<'_>) -> Self {
        Self {
            http: table.take(reader, "http"),
            expect: table.take(reader, "expect"),
            tcp: table.take(reader, "tcp"),
            command: table.take(reader, "command"),
            disk: table.take(reader, "disk"),
            free_percent: table.take(reader, "free_percent"),
            memory_percent: table.take(reader, "memory_percent"),
            memory_pressure_percent: table.take(reader, "memory_pressure_percent"),
            load_per_cpu: table.take(reader, "load_per_cpu"),
        }
    }

    /// The one question of those that are `asked`; an error completes a sentence that begins with the probe's name.
    /// `None`: it is not readable, which has been said.
    fn check(self, asked: &[&str]) -> Result<Option<Check>, &'static str> {
        if asked.len() != 1 {
            return Err("needs exactly one of `http`, `tcp`, `command`, `disk`, `memory_percent`, \
                        `memory_pressure_percent` and `load_per_cpu`");
        }
        if self.expect.is_some() && asked != ["http"] {
            return Err("has `expect`, which belongs to `http`");
        }
        if self.free_percent.is_some() && asked != ["disk"] {
            return Err("has `free_percent`, which belongs to `disk`");
        }
        if let Some(url) = self.http {
            if url.value.scheme_str() != Some("http") {
                return Err("asks its own host: `http` must begin with http://");
            }
            let expect = self.expect.map_or_else(Statuses::success, |expect| expect.value);
            return Ok(Some(Check::Http { url: url.value, expect }));
        }
        if let Some(address) = self.tcp {
            return match is_host_and_port(&address.value) {
                true => Ok(Some(Check::Tcp { address: address.value })),
                false => Err("needs `tcp` in the form \"HOST:PORT\""),
            };
        }
        if let Some(path) = self.disk {
            let path = PathBuf::from(path.value);
            if !path.is_absolute() {
                return Err("needs `disk` to be an absolute path");
            }
            let free_percent = self.free_percent.map_or(5, |percent| percent.value.0);
            return Ok(Some(Check::Disk { path, free_percent }));
        }
        if let Some(percent) = self.memory_percent {
            return Ok(Some(Check::Memory { available_percent: percent.value.0 }));
        }
        if let Some(percent) = self.memory_pressure_percent {
            return Ok(Some(Check::MemoryPressure { percent: percent.value.0 }));
        }
        if let Some(load) = self.load_per_cpu {
            return Ok(Some(Check::Load { per_cpu: load.value.0 }));
        }
        match self.command.map(|command| command.value) {
            Some(command) if !command.is_empty() => Ok(Some(Check::Command { command })),
            None => Ok(None),
            Some(_) => Err("has an empty `command`; write the program and its arguments"),
        }
    }
}

impl Check {
    /// Asked of the host, whose facts change slowly.
    fn is_of_the_host(&self) -> bool {
        match self {
            Check::Http { .. } | Check::Tcp { .. } | Check::Command { .. } => false,
            Check::Disk { .. } | Check::Memory { .. } | Check::MemoryPressure { .. } | Check::Load { .. } => true,
        }
    }
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
        Check::Disk { path, free_percent } => {
            keys.push(("disk", path.display().to_string().show()));
            keys.push(("free_percent", Percent(*free_percent).show()));
        }
        Check::Memory { available_percent } => keys.push(("memory_percent", Percent(*available_percent).show())),
        Check::MemoryPressure { percent } => keys.push(("memory_pressure_percent", Percent(*percent).show())),
        Check::Load { per_cpu } => keys.push(("load_per_cpu", Count(*per_cpu).show())),
    }
    keys.extend([
        ("interval", probe.interval.show()),
        ("timeout", probe.timeout.show()),
        ("healthy_threshold", Count(thresholds.healthy).show()),
        ("unhealthy_threshold", Count(thresholds.unhealthy).show()),
        ("grace", thresholds.grace.show()),
        ("advisory", thresholds.advisory.show()),
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
