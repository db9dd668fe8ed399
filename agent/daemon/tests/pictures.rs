//! What a rehearsal draws, and that the drawing in the README is one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use pitcrew::simulated::crew;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::picture::{html, svg};
use pitcrew_rehearsal::rehearsal::{Hooks, Options};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::Report;

/// `pitcrew rehearse --simulated --instances 2 --svg docs/rehearsal.svg`.
fn of_the_readme() -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.seed, options.instances, options.rate, options.requests) = (1, 2, 25, 500);
    options
}

fn rehearse(options: &Options) -> Report {
    play(options, Timeline::default(), &crew).unwrap()
}

/// The words of every `<title>` in a drawing, without the numbers, which follow the agent's timing.
fn titles(drawing: &str) -> Vec<String> {
    let titles = drawing.split("<title>").skip(1).map(|rest| rest.split("</title>").next().unwrap());
    let words =
        titles.map(|title| title.split(' ').filter(|word| word.parse::<f64>().is_err()).collect::<Vec<_>>().join(" "));
    let mut words: Vec<_> = words.filter(|title| !title.starts_with("127.")).collect();
    words.dedup();
    words
}

#[test]
fn the_drawing_of_the_readme_is_what_its_command_draws() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rehearsal.svg");
    let drawn = svg(&rehearse(&of_the_readme()));
    let kept = std::fs::read_to_string(path).unwrap();
    let advice = "draw it again: pitcrew rehearse --simulated --instances 2 --svg docs/rehearsal.svg";
    assert_eq!(titles(&kept), titles(&drawn), "{advice}");
    assert!(kept.contains("lost 0 of"), "{kept}");
    for phase in ["draining", "out of traffic", "returning"] {
        assert_eq!(kept.matches(&format!("<title>{phase}")).count(), 2, "{phase}: once for each instance");
    }
}

#[test]
fn the_same_seed_draws_the_same_picture() {
    assert_eq!(html(&rehearse(&of_the_readme())), html(&rehearse(&of_the_readme())));
}

#[test]
fn a_page_shows_what_was_lost_and_why_and_fetches_nothing() {
    let mut options = of_the_readme();
    options.hooks = Hooks::None;
    let report = rehearse(&options);
    let page = html(&report);
    assert!(report.load.lost > 0 && page.contains("something is broken") && page.contains("Why requests were lost"));
    assert!(page.contains(" lost</title>"), "the losses are drawn");
    assert!(page.contains("default-src 'none'") && !page.contains("<script"));
    let elsewhere = page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
    let equiv = page.matches("http-equiv").count();
    assert!(elsewhere <= equiv + report.timeline.iter().filter(|e| e.what.to_string().contains("http")).count());
}
