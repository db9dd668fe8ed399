//! A sample of the matrix with real processes, sockets and files: `pitcrew rehearse` as people run it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// The options of each rehearsal; they run side by side.
const SAMPLE: [&[&str]; 4] = [
    &["--interrupt-at", "ApplicationStop", "--instances", "2", "--notice", "20"],
    &["--interrupt-at", "ValidateService", "--instances", "2", "--action", "hibernate", "--notice", "20"],
    &["--interrupt-at", "3", "--action", "asg", "--notice", "20"],
    &["--interrupt-at", "3", "--action", "shutdown", "--notice", "30"],
];

#[test]
fn real_processes_leave_in_time_too() {
    let running: Vec<_> = SAMPLE
        .iter()
        .map(|options| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pitcrew"));
            command.args(["rehearse", "--json", "--rate", "50", "--requests", "0"]).args(*options);
            (options, command.stdout(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (options, rehearsal) in running {
        let output = rehearsal.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let broken: Vec<_> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["judgement"] == "broken")
            .map(|finding| format!("{}: {}", finding["expectation"], finding["why"]))
            .collect();
        assert!(output.status.success(), "{options:?}: {broken:#?}\n{:#}", report["timeline"]);
        assert_eq!(report["load"]["lost"], 0, "{options:?}");
        assert!(report["load"]["sent"].as_u64().unwrap() > 300, "{options:?}");
        let notice = &report["notices"][0];
        assert!(notice["taken_away"].is_number() && notice["left_behind"] == serde_json::json!([]), "{notice:#}");
    }
}
