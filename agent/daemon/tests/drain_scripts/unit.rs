//! Run by root's unit, for an agent without privilege.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use pitcrew::doors::SystemClock;
use pitcrew::effect::scripts::{DrainScripts as _, UnitScripts, serve};
use pitcrew_core::wire::{Event, FailureKind};
use tokio::time::Instant;

use crate::{Place, assert_ended, order, outcome, wait_for};

const SECOND: Duration = Duration::from_secs(1);
const REQUEST: &str = "run/drain/request.json";
const REPORT: &str = "report.jsonl";

impl Place {
    fn by_unit(&self) -> UnitScripts {
        UnitScripts {
            request: self.path(REQUEST),
            report: self.path(REPORT),
            runner: self.runner(),
            clock: Arc::new(SystemClock),
        }
    }

    /// What the path unit does: waits for the request, and starts the service.
    async fn unit(&self) {
        wait_for(&self.path(REQUEST)).await;
        serve(&self.path(REQUEST), &self.path(REPORT), self.runner()).await.unwrap();
    }
}

#[tokio::test]
async fn the_agent_asks_and_hears_how_each_script_ended() {
    let place = Place::new();
    place
        .script("10-flush", "echo $PITCREW_REASON $PITCREW_INSTANCE_ID $PITCREW_REGION > @/log")
        .script("20-fails", "exit 3");
    let (events, ()) = tokio::join!(place.by_unit().run(order(60 * SECOND)).collect(), place.unit());
    let (ended, all) = outcome(events);
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "10-flush", Ok("exited 0"));
    assert_ended(&ended[1], "20-fails", Err("exited 3"));
    assert_eq!(place.written("log"), "spot-terminate i-0abc eu-central-1\n");
}

#[tokio::test]
async fn where_nobody_takes_the_request_up_it_is_said_in_time() {
    let place = Place::new();
    place.script("10-flush", "exit 0");
    let began = Instant::now();
    let (ended, all) = outcome(place.by_unit().run(order(2 * SECOND)).collect().await);
    let failure = all.unwrap_err();
    assert_eq!((ended.len(), failure.kind), (0, FailureKind::NotFound));
    assert!(failure.sentence.contains("systemctl enable --now pitcrew-drain.path"), "{}", failure.sentence);
    assert!(began.elapsed() < 2 * SECOND);
}

#[tokio::test]
async fn without_scripts_nobody_is_asked() {
    let place = Place::new();
    assert_eq!(outcome(place.by_unit().run(order(60 * SECOND)).collect().await), (Vec::new(), Ok(())));
    assert!(!place.path(REQUEST).exists());
}

#[tokio::test]
async fn an_agent_that_dies_between_two_scripts_hears_the_rest_after_its_restart_and_nothing_runs_twice() {
    let place = Place::new();
    place.script("10-flush", "echo flush >> @/log");
    place.script("20-upload", "echo upload >> @/log; echo > @/uploading; while [ ! -e @/go ]; do sleep 0.02; done");
    place.script("30-last", "echo last >> @/log");
    let order = order(60 * SECOND);
    let agent = async {
        let mut before = place.by_unit().run(order.clone());
        let Some(Event::DrainScriptEnded { name, .. }) = before.next().await else { panic!("the first has ended") };
        assert_eq!(name, "10-flush");
        drop(before);
        wait_for(&place.path("uploading")).await;
        std::fs::write(place.path("go"), "").unwrap();
        let ended = vec![name];
        place.by_unit().run(pitcrew::effect::scripts::Order { ended, ..order.clone() }).collect().await
    };
    let (events, ()) = tokio::join!(agent, place.unit());
    let (ended, all) = outcome(events);
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "20-upload", Ok("exited 0"));
    assert_ended(&ended[1], "30-last", Ok("exited 0"));
    assert_eq!(place.written("log"), "flush\nupload\nlast\n");
}

#[tokio::test]
async fn a_unit_that_dies_between_two_scripts_goes_on_after_the_last_that_ended() {
    let place = Place::new();
    place
        .script("10-flush", "echo flush >> @/log")
        .script("20-hang", "echo hang >> @/log; [ -e @/again ] || sleep 600");
    let agent = place.by_unit().run(order(60 * SECOND)).collect();
    let unit = async {
        tokio::select! {
            () = place.unit() => panic!("20-hang does not end"),
            () = async {
                while !place.written("log").contains("hang") {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            } => {}
        }
        std::fs::write(place.path("again"), "").unwrap();
        place.unit().await;
    };
    let (events, ()) = tokio::join!(agent, unit);
    let (ended, all) = outcome(events);
    assert_eq!((ended.len(), all), (2, Ok(())));
    assert_eq!(place.written("log"), "flush\nhang\nhang\n", "what had ended did not run again");
}

#[tokio::test]
async fn the_program_that_the_unit_starts_does_what_the_request_asks_once() {
    let place = Place::new();
    place.script("10-flush", "echo flush >> @/log");
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitcrew"));
        command.env_clear().env("PATH", "/usr/bin:/bin").arg("drain-scripts");
        command.arg("--runtime-dir").arg(place.path("run"));
        command.arg("--report").arg(place.path(REPORT)).arg("--directory").arg(place.directory());
        command.output().unwrap()
    };
    assert!(program().status.success(), "nothing is asked for: nothing is done");
    assert_eq!(place.written("log"), "");

    let agent = place.by_unit().run(order(60 * SECOND)).collect();
    let unit = async {
        wait_for(&place.path(REQUEST)).await;
        let output = program();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(program().status.success(), "started twice for one request");
    };
    let (events, ()) = tokio::join!(agent, unit);
    let (ended, all) = outcome(events);
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "10-flush", Ok("exited 0"));
    assert_eq!(place.written("log"), "flush\n");

    std::fs::write(place.path(REQUEST), "{}").unwrap();
    let output = program();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the request `"));
}
