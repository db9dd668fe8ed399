//! Nobody on the port hurts the agent: each attacker is bounded, closed and counted, and balancers are answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Looked, get, needs};

/// What the agent may grow by in KiB, whatever is done to it.
const GROWTH: u64 = 4 * 1024;

#[test]
fn attackers_are_bounded_closed_and_counted() {
    const IDLE: u64 = 10_000;
    if !needs::descriptors("attackers_are_bounded_closed_and_counted", IDLE + 200) {
        return;
    }
    let looked = Looked::at();
    let before = looked.agent.held_kib();

    // Heads that come a byte at a time: more than there are places for.
    let mut slow: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(looked.balancers).unwrap()).collect();
    for byte in b"GET /ready" {
        for stream in &mut slow {
            // Those that had to make room are closed already.
            let _ = stream.write_all(&[*byte]);
        }
        assert_eq!(get(looked.balancers, "/ready").0, 200);
    }
    assert!(looked.metric("pitcrew_http_connections_total{end=\"evicted\"}") >= 36.0, "some had to make room");

    // A body of a gigabyte: the agent hangs up long before its end.
    let mut body = TcpStream::connect(looked.balancers).unwrap();
    body.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(body, "GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n").unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let taken = (0..1024).take_while(|_| body.write_all(&chunk).is_ok()).count();
    assert!(taken < 64, "the agent took {taken} MiB of it");

    let refused = "pitcrew_http_requests_total{path=\"/ready\",status=\"413\"}";
    assert!(looked.metric(refused) >= 1.0, "the body is counted");

    // Garbage.
    for _ in 0..100 {
        let mut garbage = TcpStream::connect(looked.balancers).unwrap();
        let _ = garbage.write_all(b"\x00\xff\x16\x03\x01 nonsense\r\n\r\n");
        let mut answer = Vec::new();
        let _ = garbage.read_to_end(&mut answer);
    }
    assert!(looked.metric("pitcrew_http_connections_total{end=\"garbage\"}") >= 100.0);

    // Ten thousand who connect and say nothing; the balancer gets in all the while.
    let mut idle = Vec::new();
    for number in 0..IDLE {
        idle.push(TcpStream::connect(looked.balancers).unwrap());
        if number % 500 == 0 {
            assert_eq!(get(looked.balancers, "/ready").0, 200);
        }
    }
    assert_eq!(get(looked.balancers, "/ready").0, 200);
    let evicted = looked.metric("pitcrew_http_connections_total{end=\"evicted\"}");
    assert!(evicted >= 9_900.0, "{evicted} had to make room");
    assert!(looked.metric("process_open_fds") < 200.0);

    let after = looked.agent.held_kib();
    println!("{before} KiB before, {after} KiB after {IDLE} idle connections");
    assert!(after < before + GROWTH, "from {before} to {after} KiB");
}

#[test]
fn other_hosts_are_shown_readiness_and_nothing_else() {
    let looked = Looked::at();
    for path in ["/ready", "/live"] {
        assert_eq!(get(looked.balancers, path).0, 200);
    }
    for path in ["/", "/status", "/metrics", "/history", "/events"] {
        assert_eq!(get(looked.balancers, path).0, 404, "{path}");
    }
}

#[test]
fn ten_thousand_questions_leave_the_memory_as_it_is() {
    let looked = Looked::at();
    let mut stream = TcpStream::connect(looked.balancers).unwrap();
    let mut ask = || {
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    };
    (0..5_000).for_each(|_| ask());
    let before = looked.agent.held_kib();
    (0..10_000).for_each(|_| ask());
    let after = looked.agent.held_kib();
    println!("{before} KiB before, {after} KiB after 10,000 questions");
    assert!(after < before + 512, "from {before} to {after} KiB");
}
