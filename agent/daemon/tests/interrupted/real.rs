//! A sample of the matrix with real processes, sockets and files.

use crate::rehearsed::side_by_side;

const SAMPLE: [&[&str]; 4] = [
    &["--interrupt-at", "ApplicationStop", "--instances", "2", "--notice", "20"],
    &["--interrupt-at", "ValidateService", "--instances", "2", "--action", "hibernate", "--notice", "20"],
    &["--interrupt-at", "3", "--action", "asg", "--notice", "20"],
    &["--interrupt-at", "3", "--action", "shutdown", "--notice", "30"],
];

#[test]
fn real_processes_leave_in_time_too() {
    for (options, report) in side_by_side(&SAMPLE) {
        assert!(report["load"]["sent"].as_u64().unwrap() > 300, "{options:?}");
        let notice = &report["notices"][0];
        assert!(notice["taken_away"].is_number() && notice["left_behind"] == serde_json::json!([]), "{notice:#}");
    }
}
