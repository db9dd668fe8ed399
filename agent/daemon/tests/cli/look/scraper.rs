//! Prometheus' own tool reads what the agent says, and what is shipped for it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Looked, get, needs};

#[test]
fn promtool_finds_nothing_wrong_with_metrics_and_rules() {
    if !needs::program("promtool_finds_nothing_wrong_with_metrics_and_rules", "promtool", "prometheus") {
        return;
    }
    let looked = Looked::at();
    let (status, text) = get(looked.address, "/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("pitcrew_imds_requests_total{outcome=\"ok\"}"), "{text}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");

    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/dashboards/alerts.yml");
    let output = Command::new("promtool").args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
