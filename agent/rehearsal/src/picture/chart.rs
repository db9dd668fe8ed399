//! The drawing: time from left to right; each instance's phases, then requests by target, latency, and what was lost.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::Text;
use crate::load::Second;
use crate::timeline::Happening;
use crate::verdict::{Absence, Report};

/// The size of the drawing, which whoever shows it stretches.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BAND: f64 = 22.0;
const GAP: f64 = 34.0;
const PLOT: f64 = 110.0;

/// Colours of instances, told apart by lightness, too.
const TARGETS: [&str; 6] = ["#5b3f8c", "#7fb2e5", "#444444", "#b9a4dd", "#27708a", "#aaaaaa"];
const DRAIN: &str = "#d98200";
const RESTART: &str = "#27568a";
const BACK: &str = "#1a8a3f";
const LOST: &str = "#c4161f";

/// Draws `report` as one SVG document that needs nothing beside itself.
pub fn svg(report: &Report) -> String {
    let mut svg = String::with_capacity(32 * 1024);
    // Writing to a string cannot fail.
    let _ = Drawing::of(report).write(&mut svg);
    svg
}

struct Drawing<'a> {
    report: &'a Report,
    /// Seconds since the world came up: the first and the last that is drawn.
    from: f64,
    until: f64,
    instances: Vec<u8>,
}

impl<'a> Drawing<'a> {
    fn of(report: &'a Report) -> Self {
        let from = report.load_started.as_secs_f64();
        let until = report.timeline.last().map_or(from, |entry| entry.at.as_secs_f64());
        let mut instances: BTreeSet<u8> = report.timeline.iter().filter_map(|entry| entry.instance).collect();
        instances.extend(report.targets.keys());
        Self { report, from, until: until.max(from + 1.0), instances: instances.into_iter().collect() }
    }

    fn x(&self, seconds: f64) -> f64 {
        let share = (seconds - self.from) / (self.until - self.from);
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let bands = self.instances.len() as f64 * (BAND + 8.0);
        let requests = TOP + bands + GAP;
        let latency = requests + PLOT + GAP;
        let bottom = latency + PLOT;
        let height = bottom + 36.0;
        let load = &self.report.load;
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"system-ui, \
             sans-serif\" font-size=\"12\">\n<title>A deployment that lost {} of {} requests</title>\n<rect \
             width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>",
            load.lost, load.sent
        )?;
        self.legend(out)?;
        for (row, instance) in self.instances.iter().enumerate() {
            self.band(out, *instance, TOP + row as f64 * (BAND + 8.0))?;
        }
        self.requests(out, requests)?;
        self.latency(out, latency)?;
        self.seconds(out, bottom)?;
        out.write_str("</svg>\n")
    }

    fn legend(&self, out: &mut String) -> fmt::Result {
        let mut x = LEFT;
        for (colour, word) in [(DRAIN, "draining"), (RESTART, "out of traffic"), (BACK, "returning"), (LOST, "lost")] {
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"10\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"20\">{word}</text>",
                x + 17.0
            )?;
            x += 130.0;
        }
        Ok(())
    }

    /// One instance: a line while it is in service, a bar for each phase out of it.
    fn band(&self, out: &mut String, instance: u8, y: f64) -> fmt::Result {
        let colour = colour(instance);
        writeln!(
            out,
            "<rect x=\"8\" y=\"{}\" width=\"8\" height=\"8\" fill=\"{colour}\"/><text x=\"21\" y=\"{}\">instance \
             {instance}</text>",
            y + 7.0,
            y + 15.0
        )?;
        let (from, until) = (self.x(self.from), self.x(self.until));
        let middle = y + BAND / 2.0;
        writeln!(out, "<line x1=\"{from:.1}\" x2=\"{until:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#999\"/>")?;
        for absence in self.report.absences.iter().filter(|absence| absence.instance == instance) {
            for (colour, word, from, until) in phases(absence, self.until) {
                let (left, right) = (self.x(from), self.x(until));
                writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAND}\" fill=\"{colour}\"><title>{word} {:.1} \
                     s</title></rect>",
                    (right - left).max(1.0),
                    until - from
                )?;
            }
        }
        for entry in self.report.timeline.iter().filter(|entry| entry.instance == Some(instance)) {
            let mark = match &entry.what {
                Happening::NoticeGiven { .. } | Happening::TakenAway | Happening::AgentKilled { .. } => LOST,
                Happening::EventStarted { .. } => "#555",
                _ => continue,
            };
            let x = self.x(entry.at.as_secs_f64());
            writeln!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"{mark}\"><title>{}</title></line>",
                y - 3.0,
                y + BAND + 3.0,
                Text(&entry.what.to_string())
            )?;
        }
        Ok(())
    }

    /// Requests in each second, one colour for each target, what was lost on top.
    fn requests(&self, out: &mut String, y: f64) -> fmt::Result {
        let most = self.report.load.seconds.iter().map(|second| second.sent).max().unwrap_or(0).max(1) as f64;
        axis(out, y, "requests/s", &format!("{most:.0}"))?;
        for second in &self.report.load.seconds {
            let mut floor = y + PLOT;
            let mut stack = |out: &mut String, count: u64, colour: &str, what: &str| {
                let height = count as f64 / most * PLOT;
                floor -= height;
                let (left, right) = self.of_second(second);
                if count == 0 {
                    return Ok(());
                }
                writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{floor:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"><title>{count} \
                     {}</title></rect>",
                    (right - left - 0.5).max(0.5),
                    Text(what)
                )
            };
            for (instance, target) in &self.report.targets {
                let served = second.served.iter().filter(|served| served.target == *target);
                let count = served.map(|served| served.requests).sum();
                stack(out, count, colour(*instance), &format!("by instance {instance}"))?;
            }
            stack(out, second.lost, LOST, "lost")?;
        }
        Ok(())
    }

    /// What 99 % of each second's requests took at most, by instance; on a logarithmic scale, since one slow request must
    /// not hide the others.
    fn latency(&self, out: &mut String, y: f64) -> fmt::Result {
        let seconds = &self.report.load.seconds;
        let slowest = seconds.iter().map(|second| second.latency.max_ms).fold(1.0_f64, f64::max);
        let decades = slowest.log10().ceil().max(1.0);
        axis(out, y, "p99", &format!("{:.0} ms", 10_f64.powf(decades)))?;
        let height = |ms: f64| y + PLOT - ms.max(1.0).log10().min(decades) / decades * PLOT;
        for (instance, target) in &self.report.targets {
            let mut points = String::new();
            for second in seconds {
                let (left, right) = self.of_second(second);
                let slowest = second.served.iter().filter(|served| served.target == *target);
                let slowest = slowest
                    .map(|served| served.latency.p99_ms)
                    .fold(None, |most: Option<f64>, ms| Some(most.map_or(ms, |most| most.max(ms))));
                match slowest {
                    Some(ms) => write!(points, "{:.1},{:.1} ", (left + right) / 2.0, height(ms))?,
                    // Out of service: the line ends, and another begins.
                    None => line(out, &std::mem::take(&mut points), *instance)?,
                }
            }
            line(out, &points, *instance)?;
        }
        Ok(())
    }

    fn seconds(&self, out: &mut String, y: f64) -> fmt::Result {
        let step =
            [1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0].into_iter().find(|step| (self.until - self.from) / step <= 12.0);
        let step = step.unwrap_or(600.0);
        let mut at = (self.from / step).ceil() * step;
        while at <= self.until {
            let x = self.x(at);
            writeln!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{}\" stroke=\"#555\"/><text x=\"{x:.1}\" y=\"{}\" \
                 text-anchor=\"middle\">{at:.0} s</text>",
                y + 5.0,
                y + 20.0
            )?;
            at += step;
        }
        Ok(())
    }

    /// From where to where a second of the load is drawn.
    fn of_second(&self, second: &Second) -> (f64, f64) {
        let from = self.from + second.second as f64;
        (self.x(from), self.x(from + 1.0))
    }
}

/// An instance's colour.
fn colour(instance: u8) -> &'static str {
    TARGETS.iter().cycle().nth(usize::from(instance).saturating_sub(1)).copied().unwrap_or_default()
}

fn line(out: &mut String, points: &str, instance: u8) -> fmt::Result {
    if points.is_empty() {
        return Ok(());
    }
    let colour = colour(instance);
    writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"><title>instance \
         {instance}</title></polyline>",
        points.trim_end()
    )
}

fn axis(out: &mut String, y: f64, word: &str, most: &str) -> fmt::Result {
    let (floor, right) = (y + PLOT, WIDTH - RIGHT);
    writeln!(
        out,
        "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{floor}\" y2=\"{floor}\" stroke=\"#555\"/><text x=\"8\" \
         y=\"{}\">{word}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most}</text>",
        y + PLOT / 2.0,
        LEFT - 6.0,
        y + 10.0
    )
}

/// The parts of an absence, in seconds since the world came up.
fn phases(absence: &Absence, end: f64) -> Vec<(&'static str, &'static str, f64, f64)> {
    let mut phases = Vec::new();
    let mut from = absence.from.as_secs_f64();
    let end = absence.until.map_or(end, |until| until.as_secs_f64());
    for (colour, word, part) in [
        (DRAIN, "draining", absence.drain),
        (RESTART, "out of traffic", absence.restart),
        (BACK, "returning", absence.back),
    ] {
        // What did not end lasts until the end of the absence.
        let until = part.map_or(end, |part| from + part.as_secs_f64());
        phases.push((colour, word, from, until));
        from = until;
    }
    phases.retain(|(_, _, from, until)| until > from);
    phases
}
