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

#[test]
fn another_reader_understands_the_openmetrics_text() {
    let test = "another_reader_understands_the_openmetrics_text";
    let python = || Command::new("/usr/bin/python3");
    let there = python().args(["-c", "import prometheus_client.openmetrics.parser"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        needs::missing(test, "prometheus_client (apt-get install python3-prometheus-client)");
        return;
    }
    let looked = Looked::at();
    let mut stream = std::net::TcpStream::connect(looked.address).unwrap();
    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    let reader = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as read; \
                  print(len(list(read(sys.stdin.read()))))";
    let mut reader = python()
        .args(["-c", reader])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let families: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(families > 10, "{families} families");
}
