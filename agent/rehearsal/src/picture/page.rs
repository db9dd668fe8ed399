//! The page of `--html`: the verdict, the drawing, and the tables that it rests on.

use std::fmt::{self, Write as _};

use super::{Text, svg};
use crate::verdict::{Judgement, Report};

const STYLE: &str = "body{margin:0 auto;max-width:64rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:#1a1a1a;\
                     background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;\
                     padding:.3rem .75rem .3rem 0;border-top:1px solid #ccc}.held{color:#1a6b2f}.broken{color:#a5121b;\
                     font-weight:600}.na{color:#555}svg{width:100%;height:auto}td.n{text-align:right;\
                     font-variant-numeric:tabular-nums}";

/// One self-contained page about `report`: no script, and nothing is fetched.
pub fn html(report: &Report) -> String {
    let mut page = String::with_capacity(64 * 1024);
    // Writing to a string cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> fmt::Result {
    let load = &report.load;
    let verdict = if report.passed { "all went well" } else { "something is broken" };
    let tone = if report.passed { "held" } else { "broken" };
    let clock = if report.simulated { "under virtual time" } else { "with real processes" };
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src \
         'none'; style-src 'unsafe-inline'\"><title>Rehearsal: {verdict}</title><style>{STYLE}</style></head><body><main>\n\
         <h1>Rehearsal: <span class=\"{tone}\">{verdict}</span></h1>\n<p>Lost {} of {} requests, {clock}, seed {}.</p>",
        load.lost, load.sent, report.seed
    )?;
    page.write_str(&svg(report))?;
    if !report.reasons.is_empty() {
        page.write_str("<h2>Why requests were lost</h2>\n<ul>")?;
        for reason in &report.reasons {
            writeln!(page, "<li>{}</li>", Text(reason))?;
        }
        page.write_str("</ul>")?;
    }
    page.write_str(
        "<h2>Verdict</h2>\n<table><thead><tr><th>expectation</th><th></th><th>what was seen</th></tr></thead><tbody>",
    )?;
    for finding in &report.findings {
        let (class, word) = match finding.judgement {
            Judgement::Held => ("held", "ok"),
            Judgement::Broken => ("broken", "BROKEN"),
            Judgement::NotApplicable => ("na", "n/a"),
        };
        let number = finding.invariant.map(|number| format!("{number}. ")).unwrap_or_default();
        writeln!(
            page,
            "<tr><td>{number}{}</td><td class=\"{class}\">{word}</td><td>{}</td></tr>",
            Text(finding.expectation),
            Text(&finding.why)
        )?;
    }
    page.write_str("</tbody></table>\n")?;
    instances(page, report)?;
    absences(page, report)?;
    let latency = &load.latency;
    writeln!(
        page,
        "<h2>Latency</h2>\n<p>p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms</p>",
        latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
    )?;
    page.write_str("<h2>Timeline</h2>\n<table><tbody>")?;
    for entry in &report.timeline {
        let instance = entry.instance.map(|number| format!("instance {number}")).unwrap_or_default();
        writeln!(
            page,
            "<tr><td class=\"n\">{:.2} s</td><td>{instance}</td><td>{}</td></tr>",
            entry.at.as_secs_f64(),
            Text(&entry.what.to_string())
        )?;
    }
    page.write_str("</tbody></table>\n</main></body></html>\n")
}

fn instances(page: &mut String, report: &Report) -> fmt::Result {
    page.write_str(
        "<h2>By instance</h2>\n<table><thead><tr><th>instance</th><th>version</th><th>requests</th><th>p50</th><th>p99</th>\
         <th>longest</th><th>lost</th></tr></thead><tbody>",
    )?;
    for (instance, target) in &report.targets {
        let lost = report.load.lost_at.get(target).copied().unwrap_or_default();
        for served in report.load.served.iter().filter(|served| served.target == *target) {
            let latency = &served.latency;
            writeln!(
                page,
                "<tr><td>{instance}</td><td>{}</td><td>{}</td><td>{:.1} ms</td><td>{:.1} ms</td><td>{:.1} ms</td><td>{lost}</td></tr>",
                Text(&served.version),
                served.requests,
                latency.p50_ms,
                latency.p99_ms,
                latency.max_ms
            )?;
        }
    }
    page.write_str("</tbody></table>\n")
}

fn absences(page: &mut String, report: &Report) -> fmt::Result {
    if report.absences.is_empty() {
        return page.write_str("<p>No instance left service.</p>");
    }
    page.write_str(
        "<h2>Out of service</h2>\n<table><thead><tr><th>instance</th><th>in all</th><th>draining</th><th>out of \
         traffic</th><th>returning</th></tr></thead><tbody>",
    )?;
    let seconds = |part: Option<std::time::Duration>| {
        part.map_or_else(|| "–".to_owned(), |part| format!("{:.1} s", part.as_secs_f64()))
    };
    for absence in &report.absences {
        let total = absence.total().map_or_else(|| "for good".to_owned(), |total| seconds(Some(total)));
        writeln!(
            page,
            "<tr><td>{}</td><td>{total}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            absence.instance,
            seconds(absence.drain),
            seconds(absence.restart),
            seconds(absence.back)
        )?;
    }
    page.write_str("</tbody></table>\n")
}
