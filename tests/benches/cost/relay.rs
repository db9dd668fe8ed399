//! A relay on loopback that counts the HTTP requests that pass.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Ends every request line.
const VERSION: &[u8] = b" HTTP/1.1\r\n";

/// A relay to one server, until this program ends.
pub(crate) struct Relay {
    /// `http://…`
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl Relay {
    /// To a server at `http://…`.
    pub(crate) fn to(url: &str) -> Self {
        let server = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self { url: format!("http://{}", listener.local_addr().unwrap()), requests: Arc::default() };
        let requests = relay.requests.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let requests = requests.clone();
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    carry(from, to, |text| {
                        requests.fetch_add(ends(text), Ordering::Relaxed);
                    });
                });
                thread::spawn(move || carry(server, client, |_| {}));
            }
        });
        relay
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Carries what is read until it ends; whoever breaks off is no concern of a relay.
fn carry(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // Clients here write a request's head in one piece.
        seen(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn ends(text: &[u8]) -> usize {
    text.windows(VERSION.len()).filter(|window| *window == VERSION).count()
}
