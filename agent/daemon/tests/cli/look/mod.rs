//! The agent's own HTTP server as balancers, scrapers, people and attackers meet it.

mod balancer;
mod browser;
mod driver;
mod hostile;
mod needs;
mod real;
mod scraper;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::run::{Manager, Started, agent, metadata_service};
use crate::stand_in::Place;

/// A real agent that is ready, and where it is looked at.
struct Looked {
    address: SocketAddr,
    balancers: SocketAddr,
    _place: Place,
    agent: Started,
}

impl Looked {
    fn at() -> Self {
        let place = Place::new();
        let (manager, notify) = Manager::at(&place);
        let mut command = agent(&place, &metadata_service(), "state");
        let (address, balancers) = (free_address(), free_address());
        let config = place.socket().with_file_name("config.d").join("http.toml");
        std::fs::write(config, format!("[http]\nlisten = \"{address}\"\nready_listen = \"{balancers}\"\n")).unwrap();
        let agent = Started(command.env("NOTIFY_SOCKET", notify).stderr(Stdio::null()).spawn().unwrap());
        manager.hears("READY=1");
        Self { address, balancers, _place: place, agent }
    }

    /// A sample of the agent's metrics.
    fn metric(&self, name: &str) -> f64 {
        let text = get(self.address, "/metrics").1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One request on a connection of its own: status and body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}
