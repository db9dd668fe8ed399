//! The page for people: one sentence first, then what it rests on. Whole without a script; with one, it follows.

mod timeline;

use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::time::Duration;

use http::HeaderValue;
use pitcrew_core::readiness::Code;
use pitcrew_core::time::{Spoken, WallTime};
use pitcrew_core::view::{ProbeView, State, TargetView, View};
use pitcrew_core::wire::HostAgent;
use time::OffsetDateTime;

use crate::history::{Record, What};

/// What is said before the first view.
pub(super) const NOT_KNOWN_YET: &str = "the agent is starting: it does not know yet which instance this is";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// So many of the latest records are listed.
const LISTED: usize = 40;

/// Only this page's own style and script are run, and only this agent is asked for more.
pub(super) fn policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let digest = |text: &str| {
            let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest)
        };
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            digest(STYLE),
            digest(SCRIPT)
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    POLICY.clone()
}

/// The whole page. `bootstrap` are the lines that `pitcrew status` shows of it.
pub fn screen(instance: &str, view: Option<&View>, records: &[Record], bootstrap: &[String]) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{instance} – Pitcrew</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Pitcrew on {instance}</h1></header>\n<main>{main}</main>\n\
         <footer class=\"soft\"><p>Pitcrew {version} · <span id=\"line\" role=\"status\">reload to look again</span></p>\n\
         <nav aria-label=\"for programs\"><a href=\"/status\">status</a> · <a href=\"/history\">history</a> · \
         <a href=\"/metrics\">metrics</a> · <a href=\"/ready\">ready</a></nav></footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        instance = Text(instance),
        main = main(view, records, bootstrap),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// What changes of it.
pub(super) fn main(view: Option<&View>, records: &[Record], bootstrap: &[String]) -> String {
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a string cannot fail.
    let _ = match view {
        Some(view) => now(&mut page, view),
        None => write!(
            page,
            "<section aria-label=\"now\"><p class=\"now\">{NOT_KNOWN_YET}</p><p><span class=\"state busy\">starting</span></p></section>"
        ),
    };
    let _ = timeline::write(&mut page, view, records);
    if let Some(view) = view {
        let _ = targets(&mut page, &view.targets);
        let _ = probes(&mut page, &view.probes);
        let _ = host_agents(&mut page, &view.host_agents);
    }
    let _ = journal(&mut page, bootstrap);
    let _ = events(&mut page, records);
    page
}

fn now(page: &mut String, view: &View) -> fmt::Result {
    let readiness = if view.readiness.ready {
        "balancers that ask are told: ready"
    } else {
        "balancers that ask are told: not ready"
    };
    write!(
        page,
        "<section aria-label=\"now\"><p class=\"now\">{}</p><p><span class=\"state {}\">{}</span> <span class=\"soft\">\
         {readiness} · {}</span></p><ul>",
        Text(&view.sentence),
        tone(view.state),
        view.state.word(),
        clock(view.at)
    )?;
    if let Some(left) = view.leaving_in_ms {
        let stage = view.leaving_stage.map_or("", |stage| stage.word());
        write!(page, "<li class=\"bad\">leaving: {stage}, {} left</li>", spoken(left))?;
    }
    for notice in &view.notices {
        let at = notice.time.map(|time| format!(" at {}", clock(time))).unwrap_or_default();
        write!(page, "<li class=\"bad\">notice: {}{at}</li>", notice.kind)?;
    }
    if let Some(advice) = &view.at_risk {
        write!(page, "<li class=\"busy\">at risk: {}</li>", advice.kind)?;
    }
    if let Some(since) = view.blind_since {
        write!(
            page,
            "<li class=\"bad\">blind since {}: the metadata service does not answer, a notice may stand there unheard</li>",
            clock(since)
        )?;
    }
    match view.hold.map(|hold| hold.until) {
        Some(Some(until)) => write!(page, "<li class=\"busy\">held by an operator until {}</li>", clock(until))?,
        Some(None) => write!(page, "<li class=\"busy\">held by an operator until <code>pitcrew in</code></li>")?,
        None => {}
    }
    for reason in view.readiness.reasons.iter().filter(|reason| !is_said(reason.code)) {
        let tone = if reason.blocks { "bad" } else { "soft" };
        write!(page, "<li class=\"{tone}\">{}: {}</li>", reason.code.word(), Text(&reason.detail))?;
    }
    for trouble in &view.troubles {
        write!(page, "<li class=\"bad\">{}</li>", Text(trouble))?;
    }
    page.write_str("</ul></section>")
}

/// Whether the sentence or a line above it says the same already.
fn is_said(code: Code) -> bool {
    match code {
        Code::Leaving | Code::Held | Code::Deployment | Code::Blind | Code::AtRisk | Code::Agent => true,
        Code::Starting | Code::Unhealthy | Code::LastHealthy | Code::Advisory => false,
    }
}

fn targets(page: &mut String, targets: &[TargetView]) -> fmt::Result {
    if targets.is_empty() {
        return page.write_str("<section><h2>Targets</h2><p class=\"soft\">in no target group</p></section>");
    }
    page.write_str(
        "<section><h2>Targets</h2><div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">group</th>\
         <th scope=\"col\">target</th><th scope=\"col\">state</th></tr></thead><tbody>",
    )?;
    for target in targets {
        let remark = if target.taken_out { ", to be given back" } else { "" };
        write!(
            page,
            "<tr><td>{}</td><td>{}:{}</td><td>{}{remark}</td></tr>",
            Text(target.group.short()),
            Text(&target.target.id),
            target.target.port,
            Text(&target.standing)
        )?;
    }
    page.write_str("</tbody></table></div></section>")
}

fn probes(page: &mut String, probes: &[ProbeView]) -> fmt::Result {
    page.write_str("<section><h2>Probes</h2>")?;
    if probes.is_empty() {
        page.write_str("<p class=\"soft\">none is configured: only the balancers' own checks decide</p>")?;
    }
    page.write_str("<ul>")?;
    for probe in probes {
        let (tone, word) = match probe.passing {
            None => ("busy", "has not made up its mind"),
            Some(true) => ("good", "passing"),
            Some(false) => ("bad", "failing"),
        };
        let reason = probe.reason.as_deref().map(|reason| format!(": {}", Text(reason))).unwrap_or_default();
        let advisory = if probe.advisory { " (advisory)" } else { "" };
        write!(page, "<li>{} <span class=\"{tone}\">{word}</span>{advisory}{reason}</li>", Text(probe.name.as_str()))?;
    }
    page.write_str("</ul></section>")
}

fn host_agents(page: &mut String, agents: &[HostAgent]) -> fmt::Result {
    if agents.is_empty() {
        return Ok(());
    }
    page.write_str("<section><h2>Agents of AWS</h2><ul>")?;
    for agent in agents {
        let (tone, word) = match (&agent.trouble, agent.running) {
            (Some(trouble), _) => ("bad", trouble.as_str()),
            (None, Some(true)) => ("good", "works"),
            (None, Some(false) | None) => ("soft", "is installed"),
        };
        let version = agent.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        write!(page, "<li>{}{} <span class=\"{tone}\">{}</span></li>", Text(&agent.name), Text(&version), Text(word))?;
    }
    page.write_str("</ul></section>")
}

fn journal(page: &mut String, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    write!(page, "<section><h2>Bootstrap</h2><pre>{}</pre></section>", Text(&lines.join("\n")))
}

fn events(page: &mut String, records: &[Record]) -> fmt::Result {
    page.write_str("<section><h2>What happened</h2><ol>")?;
    for record in records.iter().rev().take(LISTED) {
        let sentence = record.what.to_string();
        write!(
            page,
            "<li>{} <span class=\"{}\">{}</span></li>",
            clock(record.at),
            tone_of(&record.what),
            Text(&sentence)
        )?;
    }
    page.write_str("</ol></section>")
}

fn tone(state: State) -> &'static str {
    match state {
        State::Serving => "good",
        State::Starting | State::Returning | State::Deploying | State::Held => "busy",
        State::Unhealthy | State::Leaving => "bad",
    }
}

fn tone_of(what: &What) -> &'static str {
    use pitcrew_core::memory::Ending;
    use pitcrew_core::wire::Verdict;
    match what {
        What::HookAnswered { verdict: Verdict::Done, .. }
        | What::AgentStarted { .. }
        | What::NoticeWithdrawn { .. } => "",
        What::DeploymentEnded { how: Ending::Succeeded | Ending::SucceededUnheard, .. }
        | What::ProbePassed { .. }
        | What::SightRegained { .. } => "good",
        What::StateChanged { state, .. } => tone(*state),
        What::HookAnswered { .. }
        | What::DeploymentEnded { .. }
        | What::NoticeSeen { .. }
        | What::Left { .. }
        | What::SightLost { .. }
        | What::ProbeFailed { .. } => "bad",
    }
}

/// Text in HTML: what anybody may have written into it stays text.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

fn spoken(ms: u64) -> Spoken {
    Spoken(Duration::from_millis(ms))
}

/// `<time datetime="2026-11-23T05:44:41Z">05:44:41</time>`.
fn clock(time: WallTime) -> String {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => {
            let (hour, minute, second) = at.to_hms();
            let date = at.date();
            format!(
                "<time datetime=\"{date}T{hour:02}:{minute:02}:{second:02}Z\" title=\"{date} UTC\">{hour:02}:{minute:02}:{second:02}</time>"
            )
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
