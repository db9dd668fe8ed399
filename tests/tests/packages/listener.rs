//! Stands between an instance and its world: passes bytes on, and writes down in which order things were asked.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sched::{CloneFlags, setns};

/// What was heard, in order: names of AWS calls, and lines that units of the instance wrote.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn add(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }

    /// Everything since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this was heard and not taken yet.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line == what)
    }
}

/// Passes on what is said to `from`, in the network namespace at `namespace`, and writes the names of calls down.
pub(crate) fn relay(namespace: PathBuf, from: &str, to: &str, heard: &Heard) {
    let (to, heard): (SocketAddr, _) = (to.parse().unwrap(), heard.clone());
    listen(namespace, from, move |client| {
        let Ok(server) = TcpStream::connect(to) else { return };
        let (mut asked, mut answered) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let heard = heard.clone();
        thread::spawn(move || {
            let (mut client, mut server) = (client, server);
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                for name in calls(&String::from_utf8_lossy(&buffer[..length])) {
                    heard.add(&name);
                }
                if server.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            let _ = server.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut answered, &mut asked);
        let _ = asked.shutdown(Shutdown::Both);
    });
}

/// Writes down each line that is sent to `at`.
pub(crate) fn notes(namespace: PathBuf, at: &str, heard: &Heard) {
    let heard = heard.clone();
    listen(namespace, at, move |mut stream| {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text.lines().for_each(|line| heard.add(line));
    });
}

/// A thread in the namespace that serves each connection in a thread of its own, until the test ends.
fn listen(namespace: PathBuf, at: &str, serve: impl Fn(TcpStream) + Clone + Send + 'static) {
    let at: SocketAddr = at.parse().unwrap();
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind(at).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    is_ready.recv().unwrap();
}

/// The calls in a request: `Action=NAME` of a form, or the last word of `X-Amz-Target`.
fn calls(text: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
    let forms = text.split("Action=").skip(1).map(word);
    let lower = text.to_ascii_lowercase();
    let targets = lower.match_indices("x-amz-target:").filter_map(|(at, header)| {
        let line = text[at + header.len()..].lines().next()?;
        Some(word(line.rsplit('.').next()?))
    });
    forms.chain(targets).collect()
}
