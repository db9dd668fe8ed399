//! The timeline: the last deployments and notices, a bar each, with phases, durations and why.

use std::fmt::{self, Write as _};

use pitcrew_core::memory::Ending;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::WallTime;
use pitcrew_core::view::View;

use super::{Text, clock, spoken};
use crate::history::{Phase, Record, Stretch, What, told};

/// So many bars.
const BARS: usize = 8;

/// How wide a bar's drawing is; the page stretches it.
const WIDTH: u64 = 1000;

/// One bar.
struct Bar {
    began: WallTime,
    title: String,
    tone: &'static str,
    why: Option<String>,
    stretches: Vec<(&'static str, u64)>,
}

impl Bar {
    fn total(&self) -> u64 {
        self.stretches.iter().map(|(_, ms)| ms).sum()
    }
}

/// Writes it, the newest first; bars share one scale, so that lengths can be compared.
pub(super) fn write(page: &mut String, view: Option<&View>, records: &[Record]) -> fmt::Result {
    let bars = bars(view, records);
    page.write_str("<section><h2>Deployments and notices</h2>")?;
    if bars.is_empty() {
        return page.write_str("<p class=\"soft\">none yet</p></section>");
    }
    page.write_str(
        "<p class=\"key soft\" aria-hidden=\"true\"><i class=\"draining\"></i>draining<i class=\"installing\"></i>out of \
         traffic<i class=\"returning\"></i>returning<i class=\"notice\"></i>leaving</p><ol>",
    )?;
    let longest = bars.iter().map(Bar::total).max().unwrap_or(0).max(1);
    for bar in &bars {
        draw(page, bar, longest)?;
    }
    page.write_str("</ol></section>")
}

fn draw(page: &mut String, bar: &Bar, longest: u64) -> fmt::Result {
    let said: Vec<_> = bar.stretches.iter().map(|(name, ms)| format!("{name} {}", spoken(*ms))).collect();
    let said = said.join(", ");
    write!(page, "<li>{} <span class=\"{}\">{}</span>", clock(bar.began), bar.tone, Text(&bar.title))?;
    write!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} 20\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
        Text(&said)
    )?;
    let mut x = 0;
    for (name, ms) in &bar.stretches {
        // What is too short to be seen is seen all the same.
        let width = (ms * WIDTH / longest).max(3);
        let class = if *name == "leaving" { "notice" } else { name };
        write!(
            page,
            "<rect class=\"{class}\" x=\"{x}\" width=\"{width}\" height=\"20\"><title>{name} {}</title></rect>",
            spoken(*ms)
        )?;
        x += width;
    }
    write!(page, "</svg><span class=\"soft\">{said}</span>")?;
    if let Some(why) = &bar.why {
        write!(page, "<br><span class=\"bad\">{}</span>", Text(why))?;
    }
    page.write_str("</li>")
}

fn bars(view: Option<&View>, records: &[Record]) -> Vec<Bar> {
    let mut bars: Vec<Bar> =
        records.iter().enumerate().filter_map(|(place, record)| bar(records, place, record, view)).collect();
    if let Some(view) = view {
        bars.extend(view.deployments.iter().map(|open| {
            let phase = if open.holds_traffic { Phase::Draining } else { Phase::Returning };
            let phase = if open.holds_traffic && view.settled { Phase::Installing } else { phase };
            Bar {
                began: open.opened,
                title: format!("{} of {}: {} is the latest event", open.id, open.group, open.last_event),
                tone: "busy",
                why: None,
                stretches: vec![(phase.word(), view.at.0.saturating_sub(open.opened.0))],
            }
        }));
    }
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.began));
    bars.truncate(BARS);
    bars
}

fn bar(records: &[Record], place: usize, record: &Record, view: Option<&View>) -> Option<Bar> {
    match &record.what {
        What::DeploymentEnded { deployment, group, how, opened, phases, why } => Some(Bar {
            began: *opened,
            title: format!("{deployment} of {group} {}", told(*how)),
            tone: if matches!(how, Ending::Succeeded | Ending::SucceededUnheard) { "good" } else { "bad" },
            why: why.clone(),
            stretches: phases.iter().map(|Stretch { phase, ms }| (phase.word(), *ms)).collect(),
        }),
        What::NoticeSeen { notice } => {
            Some(notice_bar(notice, record.at, records.get(place + 1..).unwrap_or_default(), view))
        }
        What::AgentStarted { .. }
        | What::StateChanged { .. }
        | What::HookAnswered { .. }
        | What::NoticeWithdrawn { .. }
        | What::Left { .. }
        | What::SightLost { .. }
        | What::SightRegained { .. }
        | What::ProbeFailed { .. }
        | What::ProbePassed { .. } => None,
    }
}

/// From the notice until the instance had left, the notice was withdrawn, or now.
fn notice_bar(notice: &Notice, seen: WallTime, later: &[Record], view: Option<&View>) -> Bar {
    let end = later.iter().find_map(|record| match &record.what {
        What::Left { badly, left_ms, .. } => {
            let left = left_ms.map(|ms| format!(" with {} left", spoken(ms))).unwrap_or_default();
            let badly = if *badly { ", and something was skipped or failed" } else { "" };
            Some((record.at, format!("left{left}{badly}")))
        }
        What::NoticeWithdrawn { kind } if *kind == notice.kind => Some((record.at, "withdrawn".to_owned())),
        _ => None,
    });
    let now = view.map_or(seen, |view| view.at);
    let (until, said) = end.unwrap_or_else(|| match notice.kind {
        NoticeKind::Rebalance => (seen, "advice".to_owned()),
        _ => (now, "leaving".to_owned()),
    });
    Bar {
        began: seen,
        title: format!("notice {}: {said}", notice.kind),
        tone: "bad",
        why: notice
            .time
            .map(|time| format!("its time ends {} after it was seen", spoken(time.0.saturating_sub(seen.0)))),
        stretches: vec![("leaving", until.0.saturating_sub(seen.0))],
    }
}
