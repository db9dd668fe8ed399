//! Metrics as text: what Prometheus reads, and the reference page that people read.

use std::fmt::Write as _;

use super::families::{FAMILIES, Family, Kind};
use super::{Counts, Series};

/// The two texts that scrapers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4: what everybody reads who asks for nothing else.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a scraper gets whose `Accept` header says this.
    pub fn accepted_by(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// OpenMetrics names a family without the suffix of its samples.
    fn title(self, family: &Family) -> &'static str {
        let suffix = match (self, family.kind) {
            (Format::Prometheus, _) | (Format::OpenMetrics, Kind::Gauge | Kind::Histogram { .. }) => "",
            (Format::OpenMetrics, Kind::Counter) => "_total",
            (Format::OpenMetrics, Kind::Info) => "_info",
        };
        family.name.strip_suffix(suffix).unwrap_or(family.name)
    }

    fn kind(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::Info, Format::OpenMetrics) => "info",
            (Kind::Gauge, _) | (Kind::Info, Format::Prometheus) => "gauge",
            (Kind::Counter, _) => "counter",
            (Kind::Histogram { .. }, _) => "histogram",
        }
    }
}

/// Every family that has a series.
pub(super) fn written(counts: &Counts, format: Format) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for family in FAMILIES {
        let Some(series) = counts.series.get(family.name) else { continue };
        let title = format.title(family);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {title} {}", family.help);
        let _ = writeln!(text, "# TYPE {title} {}", format.kind(family.kind));
        for (values, one) in series {
            let labels: Vec<_> =
                family.labels.iter().map(|label| label.name).zip(values.iter().map(String::as_str)).collect();
            match one {
                Series::Number(number) => sample(&mut text, family.name, &labels, None, *number),
                Series::Histogram { buckets, sum } => {
                    let name = family.name;
                    for (bucket, bound) in buckets.iter().zip(family.bounds().chain([f64::INFINITY])) {
                        sample(&mut text, &format!("{name}_bucket"), &labels, Some(bound), *bucket as f64);
                    }
                    sample(&mut text, &format!("{name}_sum"), &labels, None, *sum);
                    let all = buckets.last().copied().unwrap_or_default();
                    sample(&mut text, &format!("{name}_count"), &labels, None, all as f64);
                }
            }
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], bound: Option<f64>, value: f64) {
    text.push_str(name);
    let bound = bound.map(|bound| if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") });
    let labels = labels.iter().copied().chain(bound.iter().map(|bound| ("le", bound.as_str())));
    let mut open = '{';
    let mut any = false;
    for (name, value) in labels {
        let _ = write!(text, "{open}{name}=\"{}\"", escaped(value));
        open = ',';
        any = true;
    }
    let close = if any { "}" } else { "" };
    let _ = writeln!(text, "{close} {value}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The page `docs/metrics.md`.
pub fn reference() -> String {
    let mut page = "# Metrics\n\nWhat `GET /metrics` on the agent's loopback address answers: Prometheus' text, or \
                    OpenMetrics for a scraper that accepts it. Counters begin at the agent's start. This page is written \
                    from the agent's own table.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{}`: {}", label.name, label.values)).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            family.name,
            Format::OpenMetrics.kind(family.kind),
            labels.join("; "),
            family.help
        );
    }
    page
}
