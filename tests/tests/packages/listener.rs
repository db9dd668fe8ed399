//! Stands between an instance and its world: passes bytes on, and writes down in which order things were asked.

use std::collections::BTreeMap;
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
        self.times(what) > 0
    }

    /// How often this was heard and not taken yet.
    pub(crate) fn times(&self, what: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|line| *line == what).count()
    }
}

/// What CodeDeploy says of the deployments whose hooks a test runs; the world, which rolls none out, knows no other.
#[derive(Clone, Default)]
pub(crate) struct CodeDeploy(Arc<Mutex<BTreeMap<String, &'static str>>>);

impl CodeDeploy {
    /// From now on this deployment is `InProgress`, `Succeeded`, ….
    pub(crate) fn says(&self, deployment: &str, status: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(deployment.to_owned(), status);
    }

    /// The answer to a request for how one of them stands, here or as a whole.
    fn answer(&self, calls: &[String], request: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, status) = known.iter().find(|(deployment, _)| request.contains(deployment.as_str()))?;
        let body = match calls.first()?.as_str() {
            "GetDeploymentTarget" => format!(r#"{{"deploymentTarget":{{"instanceTarget":{{"status":"{status}"}}}}}}"#),
            "GetDeployment" => format!(r#"{{"deploymentInfo":{{"status":"{status}"}}}}"#),
            _ => return None,
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1";
        Some(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }
}

/// To whom a relay passes on what it hears, from the next connection on.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Mutex<SocketAddr>>);

impl Peer {
    pub(crate) fn new(address: &str) -> Self {
        Self(Arc::new(Mutex::new(address.parse().unwrap())))
    }

    pub(crate) fn becomes(&self, other: &Self) {
        let address = other.get();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    fn get(&self) -> SocketAddr {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what is said to `from`, in the network namespace at `namespace`, and writes the names of calls down. What
/// `codedeploy` has an answer to goes no further.
pub(crate) fn relay(namespace: PathBuf, from: &str, to: &Peer, heard: &Heard, codedeploy: &CodeDeploy) {
    let (to, heard, codedeploy) = (to.clone(), heard.clone(), codedeploy.clone());
    listen(namespace, from, move |client| {
        let Ok(server) = TcpStream::connect(to.get()) else { return };
        let (mut asked, mut answered) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (heard, codedeploy) = (heard.clone(), codedeploy.clone());
        thread::spawn(move || {
            let (mut client, mut server) = (client, server);
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let calls = calls(&text);
                calls.iter().for_each(|name| heard.add(name));
                let passed_on = match codedeploy.answer(&calls, &text) {
                    Some(answer) => client.write_all(answer.as_bytes()),
                    None => server.write_all(&buffer[..length]),
                };
                if passed_on.is_err() {
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
