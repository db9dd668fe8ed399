//! What a fleet asks of the API, at rest and in one rolling deployment: the agents' cores against an API that throttles, as
//! the tests of the core play them.

use std::process::Command;

use crate::explain;
use crate::report::Table;
use crate::tests::cargo;

/// The table of fleets.
pub(crate) fn fleets() -> Table {
    explain("fleets of up to 10,000 instances are deployed to");
    let test = ["test", "--workspace", "--locked", "--test", "fleet", "--", "--ignored", "--nocapture"];
    let printed = cargo(Command::new("cargo").args(test));
    let columns = &[
        "at_a_time",
        "idle_calls_per_minute",
        "minutes",
        "reads_per_s",
        "changes_per_s",
        "throttled_percent",
        "hooks_failed",
        "out_p50_s",
        "out_max_s",
        "cpu_ms_per_instance_hour",
    ];
    let mut table = Table::new("a fleet in one rolling deployment, against an API that throttles", columns);
    for line in printed.lines() {
        // | instances | at a time | …
        let cells: Vec<f64> =
            line.split('|').filter_map(|cell| cell.trim().trim_end_matches(" %").parse().ok()).collect();
        if let [instances, values @ ..] = &cells[..]
            && let Ok([at_a_time, idle, _, minutes, reads, changes, throttled, failed, p50, max, cpu]) =
                <[f64; 11]>::try_from(values)
        {
            let row = [at_a_time, idle * 60.0, minutes, reads, changes, throttled, failed, p50, max, cpu];
            table.row(&format!("{instances:.0} instances"), row);
        }
    }
    table.note(
        "AWS does not publish the limits of its load balancing API; 40 reads and 20 changes a second stand for them."
            .to_owned(),
    );
    table.note(
        "The policy that keeps within them: an instance that deploys makes about one read a second, so let at most two \
         thirds of the reads that your account takes deploy at a time."
            .to_owned(),
    );
    table.note(
        "The CPU is that of deciding, at rest; what asking costs on top is in the table of the idle agent.".to_owned(),
    );
    table
}
