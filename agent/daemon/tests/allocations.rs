//! What one question costs the agent: counted, not timed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;

use pitcrew::history::History;
use pitcrew::http::{Audience, Limits, Site, serve};
use pitcrew::report::metrics::Metrics;
use pitcrew_core::Core;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::Event;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

const QUESTIONS: u64 = 1_000;

/// Asks `path` over one connection, so many times.
fn ask(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = [0; 4096];
    for _ in 0..QUESTIONS {
        stream.write_all(request.as_bytes()).unwrap();
        let length = stream.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

/// Allocations of the serving thread for each of [`QUESTIONS`] questions on a kept connection, and their bytes.
fn cost_of(path: &'static str) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let now = Now { at: Instant(1_000), wall: WallTime(1_795_411_200_000) };
    let mut core = Core::new(Settings::default(), Default::default(), now);
    core.step(now, Event::Started);
    core.step(now, Event::GroupsDiscovered { answer: Ok(Vec::new()) });
    let (_view, shown) = watch::channel(Some(Arc::new(core.view(now))));
    let site = Site::new(shown, Arc::new(OnceLock::new()), Metrics::default(), History::in_memory(10), false);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = Box::pin(serve(listener, Arc::new(site), Audience::Balancer, Limits::default()));
    let mut round = || {
        let (done, over) = oneshot::channel();
        let client = thread::spawn(move || {
            ask(address, path);
            let _ = done.send(());
        });
        let counted = allocation_counter::measure(|| {
            runtime.block_on(async {
                tokio::select! {
                    () = &mut serving => {}
                    _ = over => {}
                }
            });
        });
        client.join().unwrap();
        counted
    };
    // The first round brings what is kept from then on.
    round();
    let counted = round();
    (counted.count_total / QUESTIONS, counted.bytes_total / QUESTIONS)
}

#[test]
fn an_answer_of_readiness_is_not_made_anew() {
    let (ready, live) = (cost_of("/ready"), cost_of("/live"));
    println!("allocations and bytes for each question: /ready {ready:?}, /live {live:?}");
    // The HTTP library's own, for the heads of request and answer: /live says a constant.
    assert_eq!(ready.0, live.0, "nothing is allocated for the answer itself");
    assert!(ready.0 <= 8 && ready.1 <= 12 * 1024, "{ready:?}");
}
