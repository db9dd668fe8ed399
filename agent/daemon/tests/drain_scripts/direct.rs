//! Run by the agent itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use pitcrew::doors::{Clock as _, SystemClock};
use pitcrew::effect::scripts::{DrainScripts as _, Order, Runner, Trust};
use tokio::time::Instant;

use crate::{Outcome, Place, assert_dies, assert_ended, order, outcome, wait_for};

const SECOND: Duration = Duration::from_secs(1);

async fn run(place: &Place, order: Order) -> Outcome {
    outcome(place.runner().run(order).collect().await)
}

#[tokio::test]
async fn scripts_run_in_order_and_know_why_and_how_long() {
    let place = Place::new();
    let note = "echo \"$(basename $0) $PITCREW_REASON $PITCREW_INSTANCE_ID $PITCREW_REGION $PITCREW_SECONDS_LEFT\" >> @/log\necho $PITCREW_DEADLINE > @/deadline";
    place.script("20-upload", note).script("10-flush", note).script("30-last", note);
    place.script(".hidden", note).script("10-flush~", note).script("10-flush.rpmsave", note);
    let order = order(60 * SECOND);
    let deadline = (SystemClock.now().wall.0 + 60_000) / 1000;
    let (ended, all) = run(&place, order).await;
    assert_eq!(all, Ok(()));
    let [first, second, third] = ended.as_slice() else { panic!("{ended:?}") };
    assert_ended(first, "10-flush", Ok("exited 0 after"));
    assert_ended(second, "20-upload", Ok("exited 0"));
    assert_ended(third, "30-last", Ok("exited 0"));
    let log = place.written("log");
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let facts = |line: &[&str]| line[1..4].join(" ");
    assert!(lines.iter().all(|line| facts(line) == "spot-terminate i-0abc eu-central-1"), "{log}");
    let shares: Vec<u64> = lines.iter().map(|line| line[4].parse().unwrap()).collect();
    assert!(shares[0] == 19 && (28..30).contains(&shares[1]) && (57..60).contains(&shares[2]), "{shares:?}");
    let told: u64 = place.written("deadline").trim().parse().unwrap();
    assert!(told.abs_diff(deadline) <= 1, "{told} {deadline}");
}

#[tokio::test]
async fn a_script_that_never_ends_and_traps_term_is_killed_with_its_children_and_delays_nobody() {
    let place = Place::new();
    place.script(
        "10-hang",
        "trap '' TERM\nsleep 600 &\necho $! > @/child\necho $$ > @/pid\nwhile :; do sleep 600; done",
    );
    place.script("20-flush", "echo ran > @/flushed");
    let began = Instant::now();
    let (ended, all) = run(&place, order(4 * SECOND)).await;
    assert!(began.elapsed() < 4 * SECOND, "took {:?}", began.elapsed());
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "10-hang", Err("did not end within 1.8 s and was killed"));
    assert_ended(&ended[1], "20-flush", Ok("exited 0"));
    assert_eq!(place.written("flushed"), "ran\n");
    assert_dies(&place.written("pid")).await;
    assert_dies(&place.written("child")).await;
}

#[tokio::test]
async fn a_script_that_heeds_term_has_time_to_tidy_up() {
    let place = Place::new();
    place.script("10-slow", "trap 'echo tidy > @/tidied; exit 1' TERM\nwhile :; do sleep 0.05; done");
    let (ended, _) = run(&place, order(2 * SECOND)).await;
    assert_ended(&ended[0], "10-slow", Err("was ended by SIGTERM"));
    assert_eq!(place.written("tidied"), "tidy\n");
}

#[tokio::test]
async fn a_daemon_that_holds_the_output_delays_nobody() {
    let place = Place::new();
    place.script("10-own-group", "sleep 600 &\necho $! > @/left");
    place.script("20-own-session", "setsid sleep 5 &");
    let began = Instant::now();
    let (ended, all) = run(&place, order(60 * SECOND)).await;
    assert!(began.elapsed() < 3 * SECOND, "took {:?}", began.elapsed());
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "10-own-group", Ok("exited 0"));
    assert_ended(&ended[1], "20-own-session", Ok("exited 0"));
    assert_dies(&place.written("left")).await;
}

#[tokio::test]
async fn every_way_to_fail_is_said_and_harms_no_other() {
    let place = Place::new();
    place.script("10-fails", "exit 3").script("20-dies", "kill -9 $$");
    place.file("30-no-run-bit", "#!/bin/sh\n", 0o644);
    place.file("40-no-interpreter", "#!/nowhere/sh\n", 0o755);
    place.file("50-no-script", "echo\n", 0o755);
    fs::create_dir(place.directory().join("60-directory")).unwrap();
    std::os::unix::fs::symlink("/nowhere", place.directory().join("70-dangling")).unwrap();
    place.script("80-works", "exit 0");
    let (ended, all) = run(&place, order(60 * SECOND)).await;
    assert_eq!(all, Ok(()));
    let expected = [
        ("10-fails", Err("exited 3 after")),
        ("20-dies", Err("was ended by SIGKILL")),
        ("30-no-run-bit", Err("has no run bit (chmod +x)")),
        ("40-no-interpreter", Err("could not be started: No such file or directory (os error 2) (is there")),
        ("50-no-script", Err("(a script begins with #!)")),
        ("60-directory", Err("is no file")),
        ("70-dangling", Err("cannot be looked at")),
        ("80-works", Ok("exited 0")),
    ];
    assert_eq!(ended.len(), expected.len());
    for (ended, (name, how)) in ended.iter().zip(expected) {
        assert_ended(ended, name, how);
    }
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_leave_memory_flat() {
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
        line.trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let place = Place::new();
    place.script("10-one-line", "head -c 100000000 /dev/zero; echo done > @/one");
    place.script("20-lines", "yes 'a line of output' | head -c 100000000; echo done > @/many");
    let before = peak();
    let (ended, all) = run(&place, order(120 * SECOND)).await;
    let grown = peak() - before;
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "10-one-line", Ok("exited 0"));
    assert_ended(&ended[1], "20-lines", Ok("exited 0"));
    assert_eq!(place.written("one") + &place.written("many"), "done\ndone\n", "all of it was read");
    assert!(grown < 8 * 1024, "grew by {grown} kB");
}

#[tokio::test]
async fn what_has_ended_before_a_restart_does_not_run_again() {
    let place = Place::new();
    place.script("10-flush", "echo flush >> @/log").script("20-upload", "echo upload >> @/log");
    let order = Order { ended: vec!["10-flush".to_owned()], ..order(60 * SECOND) };
    let (ended, all) = run(&place, order).await;
    assert_eq!((ended.len(), all), (1, Ok(())));
    assert_eq!(place.written("log"), "upload\n");
}

#[tokio::test]
async fn without_time_nothing_is_begun_and_each_is_said() {
    let place = Place::new();
    place.script("10-flush", "echo flush > @/log").script("20-upload", "echo upload > @/log");
    let (ended, all) = run(&place, order(Duration::ZERO)).await;
    assert_eq!(all, Ok(()));
    assert_ended(&ended[0], "10-flush", Err("no time was left"));
    assert_ended(&ended[1], "20-upload", Err("no time was left"));
    assert_eq!(place.written("log"), "");
}

#[tokio::test]
async fn without_a_directory_there_is_nothing_to_run() {
    let place = Place::new();
    fs::remove_dir(place.directory()).unwrap();
    assert_eq!(run(&place, order(SECOND)).await, (Vec::new(), Ok(())));
    fs::write(place.directory(), "").unwrap();
    let (_, all) = run(&place, order(SECOND)).await;
    assert!(all.unwrap_err().sentence.contains("cannot be read"), "a file where the directory should be");
}

#[tokio::test]
async fn root_does_not_run_what_others_may_write() {
    let place = Place::new();
    place.script("10-mine", "echo mine >> @/log").script("20-everybodys", "echo everybodys >> @/log");
    place.script("30-mine", "echo mine >> @/log");
    fs::set_permissions(place.directory().join("20-everybodys"), fs::Permissions::from_mode(0o777)).unwrap();
    let trust = Trust::OwnedBy(nix::unistd::Uid::effective().as_raw());
    let runner = Runner { trust, ..place.runner() };
    let (ended, _) = outcome(runner.run(order(60 * SECOND)).collect().await);
    assert_ended(&ended[1], "20-everybodys", Err("is not run: others may write"));
    assert_eq!(place.written("log"), "mine\nmine\n");

    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o777)).unwrap();
    let (ended, all) = outcome(runner.run(order(60 * SECOND)).collect().await);
    assert_eq!(ended, []);
    assert!(all.unwrap_err().sentence.contains("others may write"));
}

#[tokio::test]
async fn a_run_that_is_given_up_is_killed() {
    let place = Place::new();
    place
        .script("10-hang", "echo $$ > @/draft; mv @/draft @/pid; sleep 600")
        .script("20-upload", "echo upload > @/log");
    let mut events = place.runner().run(order(60 * SECOND));
    let pid = place.path("pid");
    tokio::select! {
        event = events.next() => panic!("{event:?}"),
        () = wait_for(&pid) => {}
    }
    drop(events);
    assert_dies(&place.written("pid")).await;
    assert_eq!(place.written("log"), "");
}
