//! `pitcrew status`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::stand_in::Place;
use crate::{outcome, pitcrew};

fn document(sentence: &str, answered_ms: u64) -> Value {
    json!({
        "sentence": sentence,
        "state": "serving",
        "wanted": "in",
        "settled": true,
        "healthy": true,
        "deployments": [],
        "ended": [],
        "hold": null,
        "notices": [],
        "leaving_in_ms": null,
        "at_risk": null,
        "blind_since": null,
        "targets": [],
        "probes": [{ "name": "app", "passing": true, "reason": null, "answered_ms": answered_ms }],
        "troubles": [],
        "added_by_a_later_version": true,
    })
}

fn line(document: &Value) -> String {
    json!({ "v": 1, "status": document }).to_string()
}

/// An agent that shows one document after the other, then the last one for ever.
fn show(place: &Place, documents: Vec<Value>) {
    place.agent(move |accept| {
        let mut documents = documents.into_iter().peekable();
        loop {
            let mut caller = accept();
            assert_eq!(caller.hear(), json!({ "v": 1, "status": {} }));
            let Some(document) = documents.next() else { return };
            caller.say(&line(&document));
            if documents.peek().is_none() {
                documents = vec![document].into_iter().peekable();
            }
        }
    });
}

#[test]
fn the_sentence_comes_first() {
    let place = Place::new();
    show(&place, vec![document("in traffic: healthy in 2 of 2 target groups", 1500)]);
    let (status, stdout, _) = outcome(&mut pitcrew(&["status", &place.option()]));
    assert_eq!(status, 0);
    assert_eq!(stdout, "in traffic: healthy in 2 of 2 target groups\n\nhealth\n  app  passing  1.5 s ago\n");
}

#[test]
fn json_is_the_document_as_the_agent_gave_it() {
    let place = Place::new();
    let document = document("in traffic", 0);
    show(&place, vec![document.clone()]);
    let (status, stdout, _) = outcome(&mut pitcrew(&["status", "--json", &place.option()]));
    assert_eq!(status, 0);
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), document);
}

#[test]
fn an_absent_agent_is_an_exit_status_of_its_own() {
    let place = Place::new();
    let (status, stdout, stderr) = outcome(&mut pitcrew(&["status", &place.option()]));
    assert_eq!((status, stdout.as_str()), (69, ""));
    assert!(stderr.contains("there is no socket"), "{stderr}");
}

#[test]
fn a_document_that_is_not_understood_is_said_so() {
    let place = Place::new();
    show(&place, vec![json!({ "sentence": 3 })]);
    let (status, _, stderr) = outcome(&mut pitcrew(&["status", &place.option()]));
    assert_eq!(status, 1);
    assert!(stderr.contains("--json"), "{stderr}");
}

#[test]
fn a_pipe_gets_the_changes_until_it_is_closed_or_told_to_stop() {
    let place = Place::new();
    let looks = vec![document("in traffic", 1), document("in traffic", 900), document("out of traffic", 4)];
    show(&place, looks);
    let mut child = pitcrew(&["status", "--watch", &place.option()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let shown: Vec<_> = lines.by_ref().take(4).collect();
    assert_eq!(shown, ["in traffic", "health", "  app  passing", "out of traffic"]);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines.next(), None);
}
