use std::collections::BTreeSet;
use std::path::Path;

use expect_test::expect_file;

use super::families as of;
use super::*;

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let mut names = BTreeSet::new();
    for family in FAMILIES {
        let name = family.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("pitcrew_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        match family.kind {
            Kind::Counter => assert!(name.ends_with("_total"), "{name}"),
            Kind::Info => assert!(name.ends_with("_info"), "{name}"),
            Kind::Histogram { bounds } => {
                assert!(name.ends_with("_seconds") && bounds.is_sorted(), "{name}");
            }
            Kind::Gauge => assert!(!name.ends_with("_total"), "{name}"),
        }
        assert!(family.labels.iter().all(|label| label.name != "le"), "{name}");
    }
}

#[test]
fn the_reference_page_is_the_table() {
    expect_file!["../../../../../docs/metrics.md"].assert_eq(&reference());
}

#[test]
fn both_texts_say_the_same_in_their_own_words() {
    let metrics = Metrics::default();
    metrics.count(&of::NOTICES, &["spot-terminate"]);
    metrics.observe(&of::DRAINS, &["idle"], Duration::from_millis(7100));
    let prometheus = metrics.written(Format::Prometheus, None);
    for line in [
        "# TYPE pitcrew_notices_total counter",
        "pitcrew_notices_total{kind=\"spot-terminate\"} 1",
        "pitcrew_drain_duration_seconds_bucket{end=\"idle\",le=\"5.0\"} 0",
        "pitcrew_drain_duration_seconds_bucket{end=\"idle\",le=\"10.0\"} 1",
        "pitcrew_drain_duration_seconds_bucket{end=\"idle\",le=\"+Inf\"} 1",
        "pitcrew_drain_duration_seconds_sum{end=\"idle\"} 7.1",
        "pitcrew_drain_duration_seconds_count{end=\"idle\"} 1",
        "# TYPE pitcrew_build_info gauge",
        "pitcrew_state{state=\"starting\"} 1",
        "pitcrew_ready 0",
        "pitcrew_blind_seconds_total 0",
    ] {
        assert!(prometheus.lines().any(|found| found == line), "no `{line}` in\n{prometheus}");
    }
    let open = metrics.written(Format::OpenMetrics, None);
    for line in [
        "# TYPE pitcrew_notices counter",
        "# TYPE pitcrew_build info",
        "pitcrew_notices_total{kind=\"spot-terminate\"} 1",
    ] {
        assert!(open.lines().any(|found| found == line), "no `{line}` in\n{open}");
    }
    assert!(open.ends_with("# EOF\n") && !prometheus.contains("EOF"));
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let metrics = Metrics::default();
    metrics.count(&of::PROBE_ANSWERS, &["a\"b\\c\nd", "good"]);
    let text = metrics.written(Format::Prometheus, None);
    assert!(text.contains(r#"pitcrew_probe_answers_total{probe="a\"b\\c\nd",outcome="good"} 1"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn blind_seconds_go_on_while_the_agent_is_blind() {
    let metrics = Metrics::default();
    let seconds = || {
        let text = metrics.written(Format::Prometheus, None);
        let line = text.lines().find(|line| line.starts_with("pitcrew_blind_seconds_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    metrics.blind(true);
    tokio::time::advance(Duration::from_secs(7)).await;
    assert!((seconds() - 7.0).abs() < 0.01);
    metrics.blind(false);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!((seconds() - 7.0).abs() < 0.01);
    metrics.blind(true);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!((seconds() - 9.0).abs() < 0.01);
}

/// Every `pitcrew_…` that a dashboard or an alert names is a metric that there is.
#[test]
fn dashboards_and_alerts_name_metrics_that_there_are() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/dashboards");
    let known: BTreeSet<String> = FAMILIES
        .iter()
        .flat_map(|family| {
            let suffixes: &[&str] = match family.kind {
                Kind::Histogram { .. } => &["_bucket", "_sum", "_count"],
                Kind::Counter | Kind::Gauge | Kind::Info => &[""],
            };
            suffixes.iter().map(|suffix| format!("{}{suffix}", family.name))
        })
        .collect();
    for name in ["grafana.json", "alerts.yml"] {
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let named: BTreeSet<&str> = words.filter(|word| word.starts_with("pitcrew_")).collect();
        let unknown: Vec<_> = named.iter().filter(|word| !known.contains(**word)).collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}");
        assert!(named.len() > 5, "{name} names only {named:?}");
    }
    let grafana = std::fs::read_to_string(directory.join("grafana.json")).unwrap();
    let grafana: serde_json::Value = serde_json::from_str(&grafana).unwrap();
    assert!(grafana["panels"].as_array().is_some_and(|panels| panels.len() > 5));
}
