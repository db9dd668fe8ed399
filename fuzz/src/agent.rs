//! What the agent reads of its own: lines on its socket, its configuration, its ledger, requests of its HTTP server.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pitcrew::config;
use pitcrew::history::History;
use pitcrew::http::{Audience, Limits, Site, talk};
use pitcrew::ledger::{Ledger, MemoryStore, Slot};
use pitcrew::protocol::{self, Lines, Reply};
use pitcrew::report::metrics::Metrics;
use pitcrew_core::Core;
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::Now;
use pitcrew_core::wire::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// Lines on the agent's socket, from both sides.
pub(crate) fn socket(stream: &[u8]) {
    run(async {
        let mut lines = Lines::new(stream, 4096);
        while let Ok(Some(line)) = lines.next().await {
            assert!(line.len() <= 4096 && !line.contains(&b'\n'));
            if let Ok(request) = protocol::decode::<protocol::Request>(&line) {
                let again = protocol::encode(&request);
                let read = protocol::decode::<protocol::Request>(again.trim_ascii_end());
                assert_eq!(read.ok(), Some(request), "what is read can be said");
            }
            let _ = protocol::decode::<Reply>(&line);
        }
    });
}

/// A configuration file.
pub(crate) fn configuration(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match config::read(&[(Path::new("50-case.toml"), text)]) {
        Ok(merged) => {
            let shown = merged.to_toml();
            let settings = merged.into_settings();
            let again = config::read(&[(Path::new("50-shown.toml"), shown.as_str())]);
            let again = again.unwrap_or_else(|error| panic!("what is shown is refused: {error}\n{shown}"));
            assert_eq!(again.into_settings(), settings, "what is shown means something else:\n{shown}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A document in the ledger's newest place, as it is and with a checksum that fits, so that what is inside of it is read.
pub(crate) fn ledger(document: &[u8]) {
    lies_there(document);
    let body = std::str::from_utf8(document).unwrap_or_default();
    let body = body.split_once("\"body\":").map_or(body, |(_, body)| body.trim_end().strip_suffix('}').unwrap_or(body));
    let crc32 = crc32fast::hash(body.as_bytes());
    lies_there(format!("{{\"pitcrew_ledger\":1,\"crc32\":\"{crc32:08x}\",\"body\":{body}}}\n").as_bytes());
}

/// Whatever it is, the ledger opens, the core takes it up, and the next save is found.
fn lies_there(document: &[u8]) {
    let store = MemoryStore::default();
    store.put(Slot::Current, document);
    let open = |store: MemoryStore| {
        Ledger::<Memory>::open(Box::new(store), "i-1".into(), "boot-1".into())
            .unwrap_or_else(|error| panic!("it does not open: {error}"))
    };
    let (mut ledger, opened) = open(store.clone());
    let memory = opened.remembered.map(|found| found.memory).unwrap_or_default();
    let mut core = Core::new(Settings::default(), memory, Now::default());
    core.step(Now::default(), Event::Started);
    assert!(!core.view(Now::default()).sentence.is_empty());
    let memory = core.memory().clone();
    ledger.save(Now::default(), &memory).unwrap_or_else(|error| panic!("it does not save: {error}"));
    assert_eq!(open(store).1.remembered.map(|found| found.memory), Some(memory));
}

/// What a client sends to the agent's HTTP server before it closes: it is answered in HTTP, or not at all.
pub(crate) fn http(request: &[u8]) {
    run(async {
        let mut core = Core::new(Settings::default(), Memory::default(), Now::default());
        core.step(Now::default(), Event::Started);
        let (_view, shown) = watch::channel(Some(Arc::new(core.view(Now::default()))));
        let identity = Arc::new(OnceLock::new());
        let site = Site::new(shown, identity, Metrics::default(), History::in_memory(10), true);
        for audience in [Audience::Host, Audience::Balancer] {
            let (mut client, server) = tokio::io::duplex(64 * 1024);
            let asks = async {
                // A server that closes first has heard enough.
                let _ = client.write_all(request).await;
                let _ = client.shutdown().await;
                let mut answer = Vec::new();
                let _ = tokio::time::timeout(Duration::from_secs(60), client.read_to_end(&mut answer)).await;
                answer
            };
            let talks = talk(server, &site, audience, Limits::default(), Arc::new(AtomicBool::new(false)));
            let (answer, _) = tokio::join!(asks, tokio::time::timeout(Duration::from_secs(120), talks));
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
        }
    });
}

/// Runs `work` to its end, under a clock that does not wait.
pub(crate) fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("a runtime needs nothing from outside: {error}")).block_on(work);
}
