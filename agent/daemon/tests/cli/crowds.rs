//! The real agent under a crowd: hundreds of callers, callers that do not read or never finish, no descriptors, little
//! memory, hardly any processor. It stays bounded, it is fair, and it is well again afterwards.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::crashes::Host;
use crate::outcome;
use crate::pitcrew;

/// An instance whose deployments wait for nothing outside.
fn host() -> Host {
    let host = Host::new();
    host.configure("traffic.owner = \"pitcrew\"");
    host
}

/// A hook with nothing to wait for, of deployment `number` to a group of its own: a newer one of the same group would
/// supersede it. Returns the end. A user may have only so many calls open at once: whoever is told so calls again, as
/// `pitcrew hook` does.
pub(crate) fn hook(host: &Host, number: usize) -> String {
    loop {
        let end = call(host, number);
        if !end.contains(r#""reason":"busy""#) {
            return end;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn call(host: &Host, number: usize) -> String {
    let mut stream = UnixStream::connect(host.place.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    ask(&mut stream, number);
    let mut last = String::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        last = line;
    }
    last
}

fn ask(stream: &mut UnixStream, number: usize) {
    // Who is one too many may be hung up on before: what it was told can be read all the same.
    let _ = writeln!(
        stream,
        r#"{{"v":1,"hook":{{"event":"AfterInstall","deployment":"d-{number}","application":"web","group":"prod-{number}"}}}}"#
    );
}

/// Calls `count` hooks at once; returns how many were done, and how long the slowest took.
fn crowd(host: &Host, count: usize) -> (usize, Duration) {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || {
                    #[expect(clippy::disallowed_methods, reason = "measures a real process")]
                    let began = Instant::now();
                    (hook(host, number % 5).contains(r#""verdict":"done""#), began.elapsed())
                })
            })
            .collect();
        let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        let done = answers.iter().filter(|(done, _)| *done).count();
        (done, answers.iter().map(|(_, took)| *took).max().unwrap_or_default())
    })
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn hooks_by_the_hundred_are_all_answered_and_leave_nothing_behind() {
    let host = host();
    let agent = host.ready(&[]);
    crowd(&host, 50);
    let before = agent.held_kib();
    for _ in 0..4 {
        let (done, slowest) = crowd(&host, 50);
        assert_eq!(done, 50, "{}", host.log());
        assert!(slowest < Duration::from_secs(20), "the slowest took {slowest:?}");
    }
    // Far more than one user may have open at once.
    assert_eq!(crowd(&host, 300).0, 300, "{}", host.log());
    let after = agent.held_kib();
    assert!(after < before + 6_000, "{before} KiB became {after} KiB");
    assert_eq!(hook(&host, 1).matches("done").count(), 1, "well again");
}

#[test]
fn callers_that_never_finish_or_never_read_are_in_nobodys_way() {
    let host = host();
    let _agent = host.ready(&[]);
    let half_open: Vec<UnixStream> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(host.place.socket()).unwrap();
            stream.write_all(br#"{"v":1,"hook":{"event":"#).unwrap();
            stream
        })
        .collect();
    let slow_readers: Vec<UnixStream> = (0..10)
        .map(|_| {
            let mut stream = UnixStream::connect(host.place.socket()).unwrap();
            writeln!(stream, r#"{{"v":1,"status":{{}}}}"#).unwrap();
            stream
        })
        .collect();
    let (done, slowest) = crowd(&host, 10);
    assert_eq!(done, 10, "{}", host.log());
    assert!(slowest < Duration::from_secs(10), "the slowest took {slowest:?}");
    drop((half_open, slow_readers));
    host.status();
}

#[test]
fn half_open_callers_hold_their_seats_for_seconds_and_a_hook_gets_in() {
    let host = host();
    let agent = host.ready(&[]);
    hook(&host, 1);
    let before = descriptors(agent.0.id());
    // All seats that this user has, and more: some say nothing, some half a line.
    let half_open: Vec<UnixStream> = (0..100)
        .map(|number| {
            let mut stream = UnixStream::connect(host.place.socket()).unwrap();
            if number % 2 == 0 {
                // One too many is told so, and may be gone by now.
                let _ = stream.write_all(br#"{"v":1,"hook":{"event":"#);
            }
            stream
        })
        .collect();
    assert!(descriptors(agent.0.id()) < before + 60, "no more is taken on than there are seats");
    #[expect(clippy::disallowed_methods, reason = "measures a real process")]
    let began = Instant::now();
    assert!(hook(&host, 2).contains(r#""verdict":"done""#), "{}", host.log());
    assert!(began.elapsed() < Duration::from_secs(10), "after {:?}", began.elapsed());
    // They are told why, and let go, though they hold on.
    for stream in &half_open {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let told = BufReader::new(stream).lines().map_while(Result::ok).collect::<String>();
        assert!(told.contains("no request came") || told.contains("too many calls open at once"), "{told:?}");
    }
    crate::crashes::soon("their descriptors are free", || descriptors(agent.0.id()) <= before);
}

#[test]
fn callers_that_vanish_in_the_middle_of_a_hook_leave_nothing_behind() {
    let host = host();
    let agent = host.ready(&[]);
    assert_eq!(crowd(&host, 10).0, 10);
    let before = descriptors(agent.0.id());
    for number in 0..100 {
        let mut stream = UnixStream::connect(host.place.socket()).unwrap();
        ask(&mut stream, number % 5);
        // Killed, as far as the agent can tell: no word of farewell, and no answer is read.
    }
    assert_eq!(crowd(&host, 50).0, 50, "{}", host.log());
    crate::crashes::soon("their descriptors are free", || descriptors(agent.0.id()) <= before);
    assert!(!host.log().contains("panicked"), "{}", host.log());
}

#[test]
fn without_descriptors_it_waits_and_is_well_again() {
    let host = host();
    let agent = host.ready(&["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"].map(str::to_owned));
    // Each takes a descriptor of the agent's until there are none.
    let idle: Vec<UnixStream> = (0..60).filter_map(|_| UnixStream::connect(host.place.socket()).ok()).collect();
    thread::sleep(Duration::from_millis(300));
    drop(idle);
    crate::crashes::soon("it answers again", || {
        let (status, ..) = outcome(&mut pitcrew(&["status", &host.place.option()]));
        status == 0
    });
    assert_eq!(crowd(&host, 10).0, 10, "{}", host.log());
    assert!(!host.log().contains("panicked"), "{}", host.log());
    drop(agent);
}

#[test]
fn in_thirty_two_megabytes_a_crowd_and_endless_lines_are_survived() {
    let host = host();
    // RLIMIT_DATA: private memory, whether it is resident or not; stricter than a cgroup's limit.
    let agent = host.ready(&["sh", "-c", "ulimit -d 32768; exec \"$@\"", "sh"].map(str::to_owned));
    let endless = vec![b'x'; 8 * 1024 * 1024];
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut stream = UnixStream::connect(host.place.socket()).unwrap();
                // It hangs up on a line that does not end.
                let _ = stream.write_all(&endless);
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    assert_eq!(crowd(&host, 200).0, 200, "{}", host.log());
    let held = agent.held_kib();
    assert!(held < 32 * 1024, "{held} KiB");
}

#[test]
fn with_a_twentieth_of_a_processor_it_is_slow_and_answers_everybody() {
    let host = host();
    let agent = host.ready(&[]);
    let pid = Pid::from_raw(agent.0.id().try_into().unwrap());
    let starved = thread::spawn(move || {
        // Runs for 5 ms of each 100 ms.
        for _ in 0..60 {
            let _ = kill(pid, Signal::SIGSTOP);
            thread::sleep(Duration::from_millis(95));
            let _ = kill(pid, Signal::SIGCONT);
            thread::sleep(Duration::from_millis(5));
        }
    });
    let (done, slowest) = crowd(&host, 20);
    starved.join().unwrap();
    assert_eq!(done, 20, "{}", host.log());
    assert!(slowest < Duration::from_secs(15), "the slowest took {slowest:?}");
    let (done, at_last) = crowd(&host, 10);
    assert_eq!(done, 10);
    assert!(at_last < Duration::from_secs(10), "well again: {at_last:?}");
}
