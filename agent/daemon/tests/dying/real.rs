//! A sample of the matrix with real processes, sockets, files and inotify: `pitcrew rehearse` as people run it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// The options of each rehearsal; they run side by side.
const SAMPLE: [&[&str]; 4] = [
    &["--die-at", "BeforeInstall", "--death", "host-agent"],
    &["--die-at", "ApplicationStart", "--death", "timeout", "--host-agent", "2", "--rollback"],
    &["--die-at", "AfterInstall", "--death", "stopped", "--host-agent", "2"],
    &["--die-at", "ApplicationStop", "--death", "reboot"],
];

#[test]
fn real_processes_are_not_stranded_either() {
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
        assert_eq!(report["deployments"].as_array().unwrap().len(), 2, "{options:?}");
    }
}
