//! What the same deployments and notices come to in the stand-in world, under virtual time: the same on every machine.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::explain;
use crate::report::Table;

/// Rehearsals over which the delays of a notice are taken.
const NOTICES: usize = 200;
/// Deregistration delays of the target group, in seconds: short, usual, and AWS's default.
const DELAYS: [u32; 3] = [30, 120, 300];
/// How often the metadata service is asked by whoever it is compared with.
const POLLER: &str = "5s";

/// From a notice to the call that takes the instance out.
pub(crate) fn notices(pitcrew: &Path) -> (Table, String) {
    explain(&format!("{NOTICES} notices are given"));
    let runs = NOTICES.to_string();
    let report = rehearse(pitcrew, &["--interrupt-at", "5", "--runs", &runs]);
    let delay = |what: &str, share: &str| report[what][share].as_f64().unwrap_or(f64::NAN);
    let title = format!("from a Spot notice to its effect, over {NOTICES} notices");
    let mut table = Table::new(title, &["p50_ms", "p99_ms", "max_ms"]);
    let row = |what: &str| ["p50", "p99", "max"].map(|share| delay(what, share));
    let (read, out) = (row("notice_to_read_ms"), row("notice_to_deregister_ms"));
    table.row("pitcrew: read", read);
    table.row("pitcrew: DeregisterTargets", out);
    let poller =
        rehearse(pitcrew, &["--interrupt-at", "5", "--runs", &runs, "--set", &format!("imds.poll=\"{POLLER}\"")]);
    let poller =
        ["p50", "p99", "max"].map(|share| poller["notice_to_deregister_ms"][share].as_f64().unwrap_or(f64::NAN));
    table.row(&format!("whoever asks every {POLLER}: DeregisterTargets"), poller);
    let ratio = format!("notice to deregister : whoever asks every 5 s   p99 1 : {:.1}", poller[1] / out[1]);
    (table, ratio)
}

/// How long one deployment keeps an instance out of service.
pub(crate) fn out_of_service(pitcrew: &Path) -> (Table, String) {
    explain("one deployment, by Pitcrew and by CodeDeploy's own BlockTraffic and AllowTraffic");
    let title = "one instance out of service in one deployment, the application's own restart included";
    let mut table = Table::new(title, &["pitcrew_s", "codedeploy_s"]);
    let mut ratios = Vec::new();
    for delay in DELAYS {
        let delay = delay.to_string();
        let ours = absence(&rehearse(pitcrew, &["--deregistration-delay", &delay]));
        let theirs = absence(&rehearse(
            pitcrew,
            &["--deregistration-delay", &delay, "--owner", "codedeploy", "--without-hooks", "--no-agent"],
        ));
        ratios.push(theirs / ours);
        table.row(&format!("deregistration delay of {delay} s"), [ours, theirs]);
    }
    let most = ratios.iter().copied().fold(f64::NAN, f64::max);
    let least = ratios.iter().copied().fold(f64::NAN, f64::min);
    (table, format!("seconds out of service : CodeDeploy's own block and allow   1 : {least:.1} to 1 : {most:.1}"))
}

/// The longest absence of a report, in seconds.
fn absence(report: &Value) -> f64 {
    let absences = report["absences"].as_array().unwrap_or_else(|| panic!("a report has absences: {report}"));
    let length = |absence: &Value| Some(absence["until"].as_f64()? - absence["from"].as_f64()?);
    absences.iter().filter_map(length).fold(f64::NAN, f64::max)
}

fn rehearse(pitcrew: &Path, options: &[&str]) -> Value {
    let output = Command::new(pitcrew).args(["rehearse", "--simulated", "--json"]).args(options).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{options:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}
