//! A sample with real processes, sockets and files: `pitcrew rehearse` as people run it.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The options of each rehearsal, and a finding that must have held; they run side by side.
const SAMPLE: [(&[&str], &str); 3] = [
    (
        &["--elastigroup", "scale-in", "--at", "Install", "--instances", "2"],
        "that it may go is said once, after the drain",
    ),
    (
        &["--owner", "elastigroup", "--die-at", "AfterInstall", "--death", "reboot"],
        "a dead deployment keeps no healthy instance out",
    ),
    (
        &["--owner", "elastigroup", "--kill-agent-at", "Install", "--fault", "elastigroup-5xx"],
        "healthy means back in every place",
    ),
];

fn start(options: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitcrew"));
    command.args(["rehearse", "--json", "--rate", "50", "--requests", "0", "--deregistration-delay", "20"]);
    command.args(options).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn real_processes_are_protected_and_not_stranded_either() {
    let running: Vec<_> = SAMPLE.iter().map(|(options, expected)| (options, expected, start(options))).collect();
    for (options, expected, rehearsal) in running {
        let output = rehearsal.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let broken: Vec<_> = findings.iter().filter(|finding| finding["judgement"] == "broken").collect();
        assert!(output.status.success(), "{options:?}: {broken:#?}\n{:#}", report["timeline"]);
        assert_eq!(report["load"]["lost"], 0, "{options:?}");
        let found = findings.iter().find(|finding| finding["expectation"] == *expected);
        assert_eq!(found.unwrap()["judgement"], "held", "{options:?}: {found:#?}");
    }
}
