//! What Pitcrew costs, beside the AWS CLI in the same world and the same run. Nothing is asserted about time.
//!
//!     cargo bench --profile dev --workspace --bench cost [-- --json | -- --markdown >docs/PERFORMANCE.md]
//!
//! Needs python3-venv, and PyPI once, for the AWS CLI; and a machine with little else to do. Measures what is in the packages,
//! where `packaging/build` has built them; else the `pitcrew` of the release profile, which it builds; or the one named by
//! `PITCREW_BIN`. `BENCH_SECONDS` (60) is how long agents idle, `BENCH_CALLS` (200) how many hooks are
//! called. Ledgers lie below `TMPDIR`, and what its disk takes for a sync is in the wall time of hooks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot be made is not printed")]

mod asker;
mod aws_cli;
mod bytes;
mod fleet;
mod machine;
mod process;
mod rehearsed;
mod relay;
mod report;
mod stopwatch;
mod tests;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use asker::Asker;
use aws_cli::AwsCli;
use process::Usage;
use relay::Relay;
use report::{Report, Table};
use stopwatch::{Call, Series};
use world::{Agent, World};

/// Connections that the start left open are closed after 20 s; then an agent idles.
const SETTLED: Duration = Duration::from_secs(25);
/// A half minute has every kind of question in it.
const COUNTED: Duration = Duration::from_secs(30);
/// Calls of the AWS CLI, each.
const CLI_CALLS: usize = 10;
/// Times that an operator takes the instance out and in.
const PAIRS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if stopwatch::is_wanted(&arguments) {
        return stopwatch::main();
    }
    if asker::is_wanted(&arguments) {
        return asker::main(&arguments);
    }
    let (pitcrew, profile) = binary();
    let aws_cli = AwsCli::installed();
    let world = World::up(&pitcrew);
    let idle_for = Duration::from_secs(number("BENCH_SECONDS", 60));
    let hooks = usize::try_from(number("BENCH_CALLS", 200)).unwrap();

    let shipped = Agent::start(&pitcrew, &world, world.metadata(2), "");
    let probing = Agent::start(&pitcrew, &world, world.metadata(1), &probe(&world));
    let requests = metadata_requests(&pitcrew, &world);
    let asker = Asker::start(world.metadata(2), requests);
    let mut report = Report::of(&pitcrew, profile);
    let idlers = [
        ("as shipped", shipped.id()),
        ("with an HTTP probe every 2 s", probing.id()),
        ("(a program that only asks the metadata service as often)", asker.id()),
    ];
    let mut idle = idle(&idlers, idle_for);
    drop((shipped, asker));
    idle.note(format!("requests to the metadata service: {requests:.0} a minute, each over a connection of its own"));
    let (calls, call_ratios) = calls(&probing, &aws_cli, &world, hooks);
    let (pairs, pair_ratio) = pairs(&probing, &aws_cli, &world);
    report.ratios.extend(call_ratios);
    report.ratios.push(pair_ratio);
    let (notices, notice_ratio) = rehearsed::notices(&pitcrew);
    let (absences, absence_ratio) = rehearsed::out_of_service(&pitcrew);
    report.ratios.extend([notice_ratio, absence_ratio]);
    report.tables.extend([calls, pairs, notices, idle, absences, fleet::fleets(), bytes::bytes()]);
    if arguments.iter().any(|argument| argument == "--markdown") {
        print!("{}", report.markdown(&machine::described()));
    } else if arguments.iter().any(|argument| argument == "--json") {
        println!("{:#}", report.json());
    } else {
        print!("{report}");
    }
}

/// The agent while nothing happens: what every instance pays all day. Takes processes by their numbers.
fn idle(processes: &[(&'static str, u32)], lasting: Duration) -> Table {
    explain(&format!("agents idle for {} s", (SETTLED + lasting).as_secs()));
    sleep(SETTLED);
    let before: Vec<_> = processes.iter().map(|(_, process)| Usage::of(*process)).collect();
    sleep(lasting);
    let mut table = Table::new(
        format!("the agent idle for {} s", lasting.as_secs()),
        &["rss_mib", "rss_anon_mib", "cpu_s_per_hour", "wake_ups_per_s", "preempted_per_s", "threads"],
    );
    for ((name, process), usage) in processes.iter().zip(before) {
        let now = Usage::of(*process);
        let seconds = lasting.as_secs_f64();
        table.row(
            name,
            [
                mib(now.resident),
                mib(now.anonymous),
                (now.cpu - usage.cpu).as_secs_f64() * 3600.0 / seconds,
                count(now.woken - usage.woken) / seconds,
                count(now.preempted - usage.preempted) / seconds,
                count(now.threads),
            ],
        );
    }
    table
}

/// How often an idle agent asks the metadata service, per minute. Counted apart: a relay on the way costs the agent
/// wake-ups of its own.
fn metadata_requests(pitcrew: &Path, world: &World) -> f64 {
    explain(&format!("requests to the metadata service are counted for {} s", COUNTED.as_secs()));
    let relay = Relay::to(world.metadata(2));
    let _agent = Agent::start(pitcrew, world, &relay.url, "");
    let before = relay.requests();
    sleep(COUNTED);
    count(relay.requests() - before) * 60.0 / COUNTED.as_secs_f64()
}

/// A hook call with nothing to wait for, beside one call of the AWS CLI of each kind that a hook replaces.
fn calls(agent: &Agent, aws_cli: &AwsCli, world: &World, hooks: usize) -> (Table, Vec<String>) {
    explain(&format!("a deployment opens, {hooks} hooks are called, the AWS CLI makes {} calls", 3 * CLI_CALLS));
    agent.calls(&agent.hook("BeforeInstall"));
    let (before, asked) = (agent.usage(), world.requests());
    let hook = Series::run(&[agent.hook("AfterInstall")], hooks);
    let (after, asked) = (agent.usage(), world.requests() - asked);
    agent.calls(&agent.hook("ValidateService"));

    let title = format!("a hook call with nothing to wait for ({hooks} × AfterInstall), beside the AWS CLI");
    let mut table = Table::new(title, &["wall_min_ms", "wall_median_ms", "wall_p99_ms", "cpu_ms", "rss_mib"]);
    let mut add = |name: &str, series: &Series| {
        let wall = [series.wall(0.0), series.wall(0.5), series.wall(0.99)];
        let [least, median, most] = wall.map(milliseconds);
        table.row(name, [least, median, most, milliseconds(series.cpu()), mib(series.resident)]);
    };
    add("pitcrew hook", &hook);
    add("(a program that does nothing: true)", &Series::run(&[Call::new(Path::new("true"))], hooks));
    let cli = aws_cli.each(world).map(|(name, call)| (name, Series::run(&[call], CLI_CALLS)));
    for (name, series) in &cli {
        add(name, series);
    }
    let in_agent = (after.cpu - before.cpu).div_f64(count(hooks));
    table.note(format!(
        "in the agent, its polls included: {:.2} ms of CPU for each hook; {:.2} requests to AWS for each",
        milliseconds(in_agent),
        count(asked) / count(hooks),
    ));

    let whole = hook.cpu() + in_agent;
    let [(_, describe), ..] = &cli;
    let all_cpu: Duration = cli.iter().map(|(_, series)| series.cpu()).sum();
    let all_wall: Duration = cli.iter().map(|(_, series)| series.wall(0.5)).sum();
    let ratio = |what: &str, cpu: Duration, wall: Duration| {
        format!(
            "one hook call (agent's share included) : {what}   CPU 1 : {:.0}   wall 1 : {:.0}",
            cpu.div_duration_f64(whole),
            wall.div_duration_f64(hook.wall(0.5)),
        )
    };
    let ratios = vec![
        ratio("one describe by the AWS CLI", describe.cpu(), describe.wall(0.5)),
        ratio("describe, deregister, register by the AWS CLI", all_cpu, all_wall),
    ];
    (table, ratios)
}

/// Out of traffic and back in: the agent's part with all its waiting, beside a script of the AWS CLI that waits for nothing.
fn pairs(agent: &Agent, aws_cli: &AwsCli, world: &World) -> (Table, String) {
    explain(&format!("the instance goes out and in {PAIRS} times"));
    let (before, asked) = (agent.usage(), world.requests());
    let both = Series::run(&[agent.call(&["out"]), agent.call(&["in"])], PAIRS);
    let (after, asked) = (agent.usage(), world.requests() - asked);
    let script = Series::run(&aws_cli.script(world), PAIRS);

    let mut table = Table::new("out of traffic and back in", &["wall_median_ms", "cpu_ms", "requests_to_aws"]);
    let agent_cpu = (after.cpu - before.cpu).div_f64(count(PAIRS));
    let each = count(asked) / count(PAIRS);
    let wall = milliseconds(both.wall(0.5));
    let ours = both.cpu() + agent_cpu;
    table.row("pitcrew out, pitcrew in, and the agent: drained and healthy again", [wall, milliseconds(ours), each]);
    table.row("  of it in the agent, its polls included", [f64::NAN, milliseconds(agent_cpu), f64::NAN]);
    let wall = milliseconds(script.wall(0.5));
    let calls = count(aws_cli.script(world).len());
    table.row(
        "aws deregister, describe, register, describe: waits for nothing",
        [wall, milliseconds(script.cpu()), calls],
    );
    let ratio = format!(
        "out and in, all waiting included : four calls of the AWS CLI, none waited for   CPU 1 : {:.0}",
        script.cpu().div_duration_f64(ours)
    );
    (table, ratio)
}

/// The binary that is named, that of the packages, or the release binary, built now; and what it is.
fn binary() -> (PathBuf, &'static str) {
    if let Some(named) = std::env::var_os("PITCREW_BIN") {
        let named = std::fs::canonicalize(&named).unwrap_or_else(|error| panic!("PITCREW_BIN {named:?}: {error}"));
        return (named, "the one that was named");
    }
    if let Some(packaged) = bytes::packaged(std::env::consts::ARCH) {
        return (packaged, "as it is packaged");
    }
    let build = ["build", "--release", "--locked", "--bin", "pitcrew", "--message-format=json"];
    let messages = tests::cargo(Command::new("cargo").args(build));
    let mut built = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    (built.next().unwrap_or_else(|| panic!("cargo built no executable")), "of the release profile")
}

/// What the README has an operator configure.
fn probe(world: &World) -> String {
    format!("[[health.probe]]\nname = 'app'\nhttp = 'http://{}/health'\n", world.application(1))
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| {
        value.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not `{value}`"))
    })
}

/// Says on stderr what takes so long.
fn explain(what: &str) {
    eprintln!("… {what}");
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    count(bytes) / (1024.0 * 1024.0)
}

/// Exact below 2^53, which nothing here reaches.
fn count(number: impl TryInto<u64>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let count = number.try_into().unwrap_or_else(|_| panic!("a count is not negative")) as f64;
    count
}
