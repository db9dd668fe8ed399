mod promises;

use std::cell::RefCell;
use std::future::{Future, pending};
use std::os::unix::fs::PermissionsExt;

use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::revision::Revision;
use pitcrew_core::wire::Verdict;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::protocol::client::{self, CallError, Waiting, call};
use crate::protocol::{self, Hook, encode};

const ROOT: Peer = Peer { uid: 0, gid: 0 };
/// No user has this id (`-2` is "nobody" on some systems, `-1` is "no change").
const STRANGER: Peer = Peer { uid: u32::MAX - 7, gid: u32::MAX - 7 };

/// A server, and what it told the engine.
struct Stage {
    dialer: Dialer,
    engine: mpsc::Receiver<CallEvent>,
    server: JoinHandle<()>,
}

fn stage() -> Stage {
    let (dialer, listener) = in_process();
    let (sender, engine) = mpsc::channel(8);
    let server = Server {
        access: Access::members_of("no-such-group-here"),
        limits: Limits::default(),
        patience: Duration::from_secs(900),
        engine: sender,
    };
    Stage { dialer, engine, server: tokio::spawn(server.serve(listener)) }
}

impl Stage {
    async fn arrival(&mut self) -> (CallId, Request, Replies) {
        match self.engine.recv().await {
            Some(CallEvent::Arrived { call, request, replies }) => (call, request, replies),
            other => panic!("no call arrived, but {other:?}"),
        }
    }

    async fn abandonment(&mut self) -> CallId {
        match self.engine.recv().await {
            Some(CallEvent::Abandoned { call }) => call,
            other => panic!("no call was abandoned, but {other:?}"),
        }
    }
}

fn before_install() -> protocol::Request {
    protocol::Request::Hook(Hook {
        event: LifecycleEvent::BeforeInstall,
        deployment: "d-1".into(),
        application: "shop".to_owned(),
        group: "web".to_owned(),
        revision: Revision::default(),
        patience_ms: None,
    })
}

fn done(sentence: &str) -> Answer {
    Answer { verdict: Verdict::Done, sentence: sentence.to_owned() }
}

type Progress = Arc<std::sync::Mutex<Vec<String>>>;

/// The real client in a task of its own.
fn client(
    dialer: &Dialer,
    peer: Peer,
    request: protocol::Request,
    cancelled: impl Future<Output = ()> + Send + 'static,
) -> (JoinHandle<Result<client::End, CallError>>, Progress) {
    let (dialer, said) = (dialer.clone(), Progress::default());
    let heard = said.clone();
    let task = tokio::spawn(async move {
        let connect = || {
            let dialer = dialer.clone();
            async move { dialer.connect(peer).await }
        };
        let mut progress = |sentence: &str| heard.lock().unwrap().push(sentence.to_owned());
        call(connect, request, Waiting::default(), cancelled, &mut progress).await
    });
    (task, said)
}

/// A connection by hand.
async fn dial(stage: &Stage, peer: Peer, text: &[u8]) -> BufReader<DuplexStream> {
    let mut stream = stage.dialer.connect(peer).await.unwrap();
    stream.write_all(text).await.unwrap();
    BufReader::new(stream)
}

async fn line(stream: &mut BufReader<DuplexStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_told_how_it_goes_and_then_its_answer() {
    let mut stage = stage();
    let (task, said) = client(&stage.dialer, ROOT, before_install(), pending());
    let (_, request, replies) = stage.arrival().await;
    let Request::Hook(hook) = request else { panic!("a hook") };
    assert_eq!(hook.event, LifecycleEvent::BeforeInstall);
    assert_eq!(hook.group.to_string(), "shop/web");
    assert_eq!(hook.patience, Duration::from_secs(900), "the agent's own, where the caller has none");
    replies.progress("draining: 3 connections left");
    replies.answer(done("out of traffic"));
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("out of traffic")));
    assert_eq!(*said.lock().unwrap(), ["draining: 3 connections left"]);
}

#[tokio::test(start_paused = true)]
async fn an_operators_words_reach_the_engine() {
    let mut stage = stage();
    let out = protocol::Request::Out { ttl_ms: Some(3_600_000), patience_ms: Some(60_000) };
    let (_task, _) = client(&stage.dialer, ROOT, out, pending());
    let (first, request, _replies) = stage.arrival().await;
    let (ttl, patience) = (Some(Duration::from_secs(3600)), Duration::from_secs(60));
    assert_eq!(request, Request::Operator(OperatorRequest::Out { ttl, patience }));

    let (_task, _) = client(&stage.dialer, ROOT, protocol::Request::In { patience_ms: None }, pending());
    let (second, request, _replies) = stage.arrival().await;
    let patience = Duration::from_secs(900);
    assert_eq!(request, Request::Operator(OperatorRequest::In { patience }));
    assert_ne!(first, second);
}

#[tokio::test(start_paused = true)]
async fn everybody_may_read_the_status_even_with_a_closed_half() {
    let mut stage = stage();
    let mut stream = dial(&stage, STRANGER, b"{\"v\":1,\"status\":{}}\n").await;
    stream.get_mut().shutdown().await.unwrap();
    let (_, request, replies) = stage.arrival().await;
    assert_eq!(request, Request::Status);
    sleep(Duration::from_secs(1)).await;
    replies.status(json!({ "in": true }));
    assert_eq!(line(&mut stream).await, r#"{"v":1,"status":{"in":true}}"#);
    assert_eq!(line(&mut stream).await, "", "closed");
    assert!(stage.engine.try_recv().is_err(), "nothing was abandoned");
}

#[tokio::test]
async fn a_stranger_may_not_move_traffic_and_learns_which_group_is_missing() {
    let mut stage = stage();
    let (task, _) = client(&stage.dialer, STRANGER, before_install(), pending());
    let error = task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("group `no-such-group-here`"), "{error}");
    assert_eq!(error.exit_status(), 78);
    assert!(stage.engine.try_recv().is_err());
}

#[tokio::test]
async fn a_member_of_the_group_may_move_traffic() {
    // The user `daemon` (1) has the primary group `daemon` (1) on every Linux.
    let access = Access::members_of("daemon");
    let by_gid = Peer { uid: STRANGER.uid, gid: 1 };
    let by_name = Peer { uid: 1, gid: STRANGER.gid };
    assert!(access.may_move_traffic(by_gid).await);
    assert!(access.may_move_traffic(by_name).await);
    assert!(!access.may_move_traffic(STRANGER).await);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_another_version_is_refused_in_words() {
    let stage = stage();
    let mut stream = dial(&stage, ROOT, b"{\"v\":7,\"hook\":{\"new\":true}}\n").await;
    let reply = line(&mut stream).await;
    assert!(reply.contains(r#""reason":"version""#) && reply.contains("version 7"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_another_version_is_named() {
    let (dialer, mut listener) = in_process();
    let (task, _) = client(&dialer, ROOT, before_install(), pending());
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"{\"v\":2,\"refused\":{\"why\":\"new\"}}\n").await.unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Foreign { theirs: 2 }), "{error}");
    assert_eq!(error.exit_status(), 69);
}

#[tokio::test(start_paused = true)]
async fn nonsense_harms_nobody_but_its_own_connection() {
    let mut stage = stage();
    let (task, _) = client(&stage.dialer, ROOT, before_install(), pending());
    let (_, _, replies) = stage.arrival().await;
    let long = [b"{\"v\":1,".as_slice(), &[b' '; 70_000]].concat();
    for nonsense in [b"GET / HTTP/1.1\r\n".as_slice(), b"\xff\xfe\n", b"\n", b"{\"v\":1}\n", &long] {
        let mut stream = stage.dialer.connect(ROOT).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut reply = String::new();
        // The server may close before it read everything; then the rest cannot be written.
        let _ = tokio::join!(writer.write_all(nonsense), reader.read_to_string(&mut reply));
        assert!(reply.contains(r#""reason":"malformed""#), "{nonsense:?}: {reply}");
    }
    replies.answer(done("out of traffic"));
    assert!(task.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_let_go() {
    let stage = stage();
    let mut stream = dial(&stage, ROOT, b"{\"v\":1").await;
    let start = Instant::now();
    assert!(line(&mut stream).await.contains("no request came"));
    assert_eq!(start.elapsed(), Limits::default().request_within);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_has_given_up() {
    let mut stage = stage();
    let stream = dial(&stage, ROOT, &encode(&before_install())).await;
    let (call, _, replies) = stage.arrival().await;
    drop(stream);
    assert_eq!(stage.abandonment().await, call);
    replies.answer(done("nobody hears this"));
}

#[tokio::test(start_paused = true)]
async fn sigterm_cancels_the_call_and_the_answer_is_still_heard() {
    let mut stage = stage();
    let sigterm = sleep(Duration::from_secs(3));
    let (task, _) = client(&stage.dialer, ROOT, before_install(), sigterm);
    let (call, _, replies) = stage.arrival().await;
    assert_eq!(stage.abandonment().await, call);
    let answer = Answer { verdict: Verdict::TimedOut, sentence: "back in traffic".to_owned() };
    replies.answer(answer.clone());
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(answer));
}

#[tokio::test(start_paused = true)]
async fn sigterm_is_obeyed_within_five_seconds_whatever_the_agent_does() {
    let mut stage = stage();
    let (task, _) = client(&stage.dialer, ROOT, before_install(), sleep(Duration::from_secs(3)));
    let (_, _, _replies) = stage.arrival().await;
    let start = Instant::now();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Cancelled { told: true }), "{error}");
    assert_eq!(error.exit_status(), 75);
    assert!(start.elapsed() < Duration::from_secs(3 + 5));
}

#[tokio::test(start_paused = true)]
async fn sigterm_ends_the_wait_for_an_agent_at_once() {
    let (dialer, listener) = in_process();
    drop(listener);
    let (task, _) = client(&dialer, ROOT, before_install(), sleep(Duration::from_secs(3)));
    let start = Instant::now();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Cancelled { told: false }), "{error}");
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_absent_agent_is_waited_for_and_then_named() {
    let (dialer, listener) = in_process();
    drop(listener);
    let (task, _) = client(&dialer, ROOT, before_install(), pending());
    let start = Instant::now();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert_eq!((error.exit_status(), start.elapsed()), (69, Duration::from_secs(15)));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_is_given_up_like_an_absent_one() {
    let (dialer, mut listener) = in_process();
    let (task, _) = client(&dialer, ROOT, before_install(), pending());
    let _connection = listener.accept().await.unwrap();
    let start = Instant::now();
    assert!(matches!(task.await.unwrap(), Err(CallError::Unreachable { .. })));
    assert_eq!(start.elapsed(), Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_took_the_call_and_hangs_is_given_up_after_the_patience() {
    let mut stage = stage();
    let request = before_install().with_patience(Duration::from_secs(60));
    let (task, _) = client(&stage.dialer, ROOT, request, pending());
    let (_, _, _replies) = stage.arrival().await;
    let start = Instant::now();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Late(_)), "{error}");
    assert!(start.elapsed() >= Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(error.exit_status(), 75);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarts_is_called_again_with_the_patience_that_is_left() {
    let address: &'static RefCell<Option<Dialer>> = Box::leak(Box::default());
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let mut first = stage();
            *address.borrow_mut() = Some(first.dialer.clone());
            let request = before_install().with_patience(Duration::from_secs(600));
            let task = tokio::task::spawn_local(async move {
                let connect = || async {
                    let dialer = address.borrow().clone();
                    let absent = std::io::ErrorKind::NotFound;
                    dialer.ok_or(absent)?.connect(ROOT).await
                };
                call(connect, request, Waiting::default(), pending(), &mut |_| {}).await
            });
            let _ = first.arrival().await;
            sleep(Duration::from_secs(100)).await;
            *address.borrow_mut() = None;
            first.server.abort();
            sleep(Duration::from_secs(10)).await;
            let mut second = stage();
            *address.borrow_mut() = Some(second.dialer.clone());
            let (_, request, replies) = second.arrival().await;
            let Request::Hook(hook) = request else { panic!("a hook") };
            let left = Duration::from_secs(488)..=Duration::from_secs(490);
            assert!(left.contains(&hook.patience), "{:?}", hook.patience);
            replies.answer(done("out of traffic"));
            assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("out of traffic")));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn agents_that_die_of_a_call_are_not_called_for_ever() {
    let mut stage = stage();
    let request = before_install().with_patience(Duration::from_secs(60));
    let (task, _) = client(&stage.dialer, ROOT, request, pending());
    let start = Instant::now();
    // An engine that drops its side without an answer closes the connection, as a crash does.
    let crash_loop = tokio::spawn(async move {
        loop {
            drop(stage.arrival().await);
        }
    });
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Late(_)), "{error}");
    let elapsed = start.elapsed();
    assert!((60..70).contains(&elapsed.as_secs()), "{elapsed:?}");
    crash_loop.abort();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_read_loses_progress_but_not_its_answer() {
    let mut stage = stage();
    let mut stream = dial(&stage, ROOT, &encode(&before_install())).await;
    let (_, _, replies) = stage.arrival().await;
    for number in 0..10_000 {
        replies.progress(format!("sentence {number}"));
    }
    replies.answer(done("out of traffic"));
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() < 100, "{} lines", lines.len());
    assert!(lines.iter().any(|line| line.contains("sentence 0")));
    assert!(lines.last().unwrap().contains("out of traffic"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_reads_is_given_up_and_holds_nothing() {
    let mut stage = stage();
    let _stream = dial(&stage, ROOT, &encode(&before_install())).await;
    let (call, _, replies) = stage.arrival().await;
    let flood = tokio::spawn(async move {
        loop {
            replies.progress("x".repeat(8000));
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(stage.abandonment().await, call);
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn one_user_cannot_keep_another_users_hooks_out() {
    let mut stage = stage();
    let limit = Limits::default().connections_per_user;
    let mut idle = Vec::new();
    for _ in 0..limit {
        idle.push(stage.dialer.connect(STRANGER).await.unwrap());
    }
    advance(Duration::from_millis(1)).await;
    let mut stream = dial(&stage, STRANGER, b"{\"v\":1,\"status\":{}}\n").await;
    assert!(line(&mut stream).await.contains(r#""reason":"busy""#));

    let (task, _) = client(&stage.dialer, ROOT, before_install(), pending());
    let (_, _, replies) = stage.arrival().await;
    replies.answer(done("out of traffic"));
    assert!(task.await.unwrap().is_ok());

    drop(idle);
    sleep(Duration::from_secs(1)).await;
    let _stream = dial(&stage, STRANGER, b"{\"v\":1,\"status\":{}}\n").await;
    assert_eq!(stage.arrival().await.1, Request::Status);
}

#[tokio::test]
async fn the_socket_tells_who_calls_and_replaces_what_a_killed_agent_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pitcrew.sock");
    let first = UnixSocket::bind(&path).await.unwrap();
    assert!(matches!(UnixSocket::bind(&path).await, Err(BindError::Taken(_))));
    drop(first);
    let mut second = UnixSocket::bind(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let _near = tokio::net::UnixStream::connect(&path).await.unwrap();
    let (_, peer) = second.accept().await.unwrap();
    assert_eq!(peer.uid, nix::unistd::Uid::effective().as_raw());

    let absent = directory.path().join("absent/pitcrew.sock");
    assert!(matches!(UnixSocket::bind(&absent).await, Err(BindError::Unusable { .. })));
}
