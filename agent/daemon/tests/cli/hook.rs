//! `pitcrew hook`, as CodeDeploy's host agent runs it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::stand_in::Place;
use crate::{outcome, pitcrew, told};

const ACCEPTED: &str = r#"{"v":1,"accepted":{"patience_ms":60000}}"#;
const DONE: &str = r#"{"v":1,"answer":{"verdict":"done","sentence":"out of traffic, drained in 7 s"}}"#;

/// The hook in CodeDeploy's environment.
fn hook(place: &Place, options: &[&str]) -> Command {
    let mut command = pitcrew(&["hook", &place.option()]);
    command
        .args(options)
        .env("LIFECYCLE_EVENT", "BeforeInstall")
        .env("DEPLOYMENT_ID", "d-ABC")
        .env("APPLICATION_NAME", "shop")
        .env("DEPLOYMENT_GROUP_NAME", "web");
    command
}

#[test]
fn the_environment_of_codedeploy_becomes_the_call() {
    let place = Place::new();
    let agent = place.agent(|accept| {
        let mut caller = accept();
        let request = caller.hear();
        caller.say(ACCEPTED);
        caller.say(r#"{"v":1,"progress":"draining: 3 connections"}"#);
        caller.say(r#"{"v":1,"progress":"draining: 3 connections"}"#);
        caller.say(r#"{"v":1,"progress":"draining: 1 connection"}"#);
        caller.say(DONE);
        request
    });
    let (status, stdout, stderr) = outcome(&mut hook(&place, &["--wait", "2m"]));
    assert_eq!(
        agent.join().unwrap(),
        json!({
            "v": 1,
            "hook": {
                "event": "BeforeInstall",
                "deployment": "d-ABC",
                "application": "shop",
                "group": "web",
                "patience_ms": 120_000,
            },
        })
    );
    assert_eq!(status, 0);
    assert_eq!(stdout, "draining: 3 connections\ndraining: 1 connection\nout of traffic, drained in 7 s\n");
    assert_eq!(stderr, "");
}

#[test]
fn options_stand_before_the_environment() {
    let place = Place::new();
    let agent = place.agent(|accept| {
        let mut caller = accept();
        let request = caller.hear();
        caller.say(DONE);
        request
    });
    outcome(&mut hook(&place, &["--event", "ValidateService", "--deployment", "d-XYZ"]));
    let request = agent.join().unwrap();
    assert_eq!(request["hook"]["event"], "ValidateService");
    assert_eq!(request["hook"]["deployment"], "d-XYZ");
    assert_eq!(request["hook"]["application"], "shop");
    assert_eq!(request["hook"].get("patience_ms"), None, "the agent's own holds");
}

#[test]
fn every_verdict_has_its_exit_status_and_the_reason_stands_last() {
    let table = [("done", 0), ("failed", 1), ("timed_out", 75), ("refused", 77), ("misconfigured", 78)];
    for (verdict, expected) in table {
        let place = Place::new();
        let agent = place.agent(move |accept| {
            let mut caller = accept();
            caller.hear();
            caller.say(ACCEPTED);
            caller.say(r#"{"v":1,"progress":"on the way"}"#);
            caller.say(&format!(r#"{{"v":1,"answer":{{"verdict":"{verdict}","sentence":"because of {verdict}"}}}}"#));
        });
        let (status, stdout, _) = outcome(&mut hook(&place, &[]));
        agent.join().unwrap();
        assert_eq!(status, expected, "{verdict}");
        assert_eq!(stdout, format!("on the way\nbecause of {verdict}\n"));
    }
}

#[test]
fn without_codedeploys_environment_it_says_what_is_missing_and_why() {
    let (status, stdout, _) = outcome(pitcrew(&["hook"]).env("LIFECYCLE_EVENT", "BeforeInstall"));
    assert_eq!(status, 64);
    for word in ["DEPLOYMENT_ID", "APPLICATION_NAME", "DEPLOYMENT_GROUP_NAME", "--group", "runas"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    assert!(!stdout.contains("LIFECYCLE_EVENT"), "{stdout}");
}

#[test]
fn an_event_that_runs_no_scripts_is_refused_with_those_that_do() {
    let (status, stdout, _) = outcome(hook(&Place::new(), &[]).env("LIFECYCLE_EVENT", "BlockTraffic"));
    assert_eq!(status, 64);
    assert!(stdout.contains("`BlockTraffic`") && stdout.contains("ValidateService"), "{stdout}");
}

#[test]
fn an_absent_socket_is_named() {
    let place = Place::new();
    let (status, stdout, _) = outcome(&mut hook(&place, &["--wait-for-agent", "200ms"]));
    assert_eq!(status, 69);
    assert!(stdout.contains(&place.socket().display().to_string()), "{stdout}");
    assert!(stdout.contains("systemctl status pitcrew"), "{stdout}");
}

#[test]
fn a_socket_that_a_killed_agent_left_is_told_apart() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
    let (status, stdout, _) = outcome(&mut hook(&place, &["--wait-for-agent", "200ms"]));
    assert_eq!(status, 69);
    assert!(stdout.contains("nobody listens"), "{stdout}");
}

#[test]
fn an_agent_of_another_version_is_named_from_either_side() {
    let foreign = r#"{"v":9,"refused":{"why":"we speak otherwise"}}"#;
    let own = r#"{"v":1,"refused":{"reason":"version","sentence":"the caller speaks protocol version 1 and the agent version 0"}}"#;
    for (reply, said) in [(foreign, "version 9"), (own, "agent version 0")] {
        let place = Place::new();
        let agent = place.agent(move |accept| {
            let mut caller = accept();
            caller.hear();
            caller.say(reply);
        });
        let (status, stdout, _) = outcome(&mut hook(&place, &[]));
        agent.join().unwrap();
        assert_eq!(status, 69);
        assert!(stdout.contains(said), "{stdout}");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
    }
}

#[test]
fn a_refusal_for_want_of_a_group_is_an_operators_affair() {
    let place = Place::new();
    let agent = place.agent(|accept| {
        let mut caller = accept();
        caller.hear();
        caller.say(r#"{"v":1,"refused":{"reason":"permission","sentence":"add the user to group `pitcrew`"}}"#);
    });
    let (status, stdout, _) = outcome(&mut hook(&place, &[]));
    agent.join().unwrap();
    assert_eq!((status, stdout.as_str()), (78, "add the user to group `pitcrew`\n"));
}

#[test]
fn an_agent_that_dies_is_called_again_with_the_same_words() {
    let place = Place::new();
    let agent = place.agent(|accept| {
        let mut first = accept();
        let request = first.hear();
        first.say(ACCEPTED);
        drop(first);
        let mut second = accept();
        let again = second.hear();
        second.say(DONE);
        (request, again)
    });
    let (status, stdout, _) = outcome(&mut hook(&place, &[]));
    let (request, mut again) = agent.join().unwrap();
    assert_eq!(status, 0, "{stdout}");
    assert!(stdout.contains("went away"), "{stdout}");
    let left = again["hook"].as_object_mut().unwrap().remove("patience_ms").unwrap();
    assert!(left.as_u64().unwrap() < 60_000, "only what is left: {left}");
    assert_eq!(again, request);
}

#[test]
fn garbage_from_the_agent_is_no_answer() {
    let place = Place::new();
    let agent = place.agent(|accept| {
        for _ in 0..2 {
            let mut caller = accept();
            caller.hear();
            caller.say("HTTP/1.1 400 Bad Request\r");
        }
        let mut caller = accept();
        caller.hear();
        caller.say(DONE);
    });
    let (status, stdout, _) = outcome(&mut hook(&place, &[]));
    agent.join().unwrap();
    assert_eq!((status, stdout.as_str()), (0, "out of traffic, drained in 7 s\n"));
}

#[test]
fn sigterm_cancels_and_the_reason_is_still_heard() {
    let place = Place::new();
    let (waiting, is_waiting) = mpsc::channel();
    let agent = place.agent(move |accept| {
        let mut caller = accept();
        caller.hear();
        caller.say(ACCEPTED);
        waiting.send(()).unwrap();
        let cancel = caller.hear();
        caller.say(r#"{"v":1,"answer":{"verdict":"timed_out","sentence":"told to stop: back in traffic"}}"#);
        cancel
    });
    let child = hook(&place, &[]).stdout(Stdio::piped()).spawn().unwrap();
    is_waiting.recv_timeout(Duration::from_secs(30)).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let (status, stdout, _) = told(child.wait_with_output().unwrap());
    assert_eq!(agent.join().unwrap(), json!({ "v": 1, "cancel": {} }));
    assert_eq!((status, stdout.as_str()), (75, "told to stop: back in traffic\n"));
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_hook() {
    let place = Place::new();
    let (closed, is_closed) = mpsc::channel();
    let agent = place.agent(move |accept| {
        let mut caller = accept();
        caller.hear();
        caller.say(ACCEPTED);
        caller.say(r#"{"v":1,"progress":"draining"}"#);
        is_closed.recv_timeout(Duration::from_secs(30)).unwrap();
        caller.say(r#"{"v":1,"progress":"nobody reads this"}"#);
        caller.say(DONE);
    });
    let mut child = hook(&place, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "draining\n");
    closed.send(()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    agent.join().unwrap();
}

#[test]
fn operators_are_answered_the_same_way() {
    let place = Place::new();
    let agent = place.agent(|accept| {
        let mut requests = Vec::new();
        for _ in 0..2 {
            let mut caller = accept();
            requests.push(caller.hear());
            caller.say(DONE);
        }
        requests
    });
    assert_eq!(outcome(&mut pitcrew(&["out", "--ttl", "30m", "--wait", "1m", &place.option()])).0, 0);
    // The environment names the socket as well.
    assert_eq!(outcome(pitcrew(&["in"]).env("PITCREW_SOCKET", place.socket())).0, 0);
    assert_eq!(
        agent.join().unwrap(),
        [json!({ "v": 1, "out": { "ttl_ms": 1_800_000, "patience_ms": 60_000 } }), json!({ "v": 1, "in": {} }),]
    );
}
