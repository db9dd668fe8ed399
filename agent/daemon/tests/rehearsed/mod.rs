//! `pitcrew rehearse` as people run it: real processes, sockets and files, several rehearsals side by side.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Plays a rehearsal with each of these options. Each must pass and lose nothing; returns the reports.
pub(crate) fn side_by_side<'a>(sample: &'a [&'a [&'a str]]) -> Vec<(&'a [&'a str], Value)> {
    let running: Vec<_> = sample
        .iter()
        .map(|options| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pitcrew"));
            command.args(["rehearse", "--json", "--rate", "50", "--requests", "0"]).args(*options);
            (*options, command.stdout(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    let report = |(options, rehearsal): (&'a [&'a str], std::process::Child)| {
        let output = rehearsal.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        let broken: Vec<_> = findings
            .filter(|finding| finding["judgement"] == "broken")
            .map(|finding| format!("{}: {}", finding["expectation"], finding["why"]))
            .collect();
        assert!(output.status.success(), "{options:?}: {broken:#?}\n{:#}", report["timeline"]);
        assert_eq!(report["load"]["lost"], 0, "{options:?}");
        (options, report)
    };
    running.into_iter().map(report).collect()
}
