//! A network of the test's own: loopback, the metadata service's address, and no way out.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::command::{output, run};

/// The network; it is gone with this.
pub struct Namespace {
    /// As `ip netns` knows it.
    pub name: String,
}

impl Namespace {
    /// Makes the namespace `name`; its loopback also answers for 169.254.169.254.
    pub fn new(name: &str) -> Self {
        // One that a killed test has left behind.
        output("ip", &["netns", "del", name]);
        run("ip", &["netns", "add", name]);
        let namespace = Self { name: name.to_owned() };
        run("ip", &["-n", name, "link", "set", "lo", "up"]);
        run("ip", &["-n", name, "addr", "add", "169.254.169.254/32", "dev", "lo"]);
        namespace
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Listens inside the namespace; the socket then works from any thread of the test.
    pub fn listen(&self, address: SocketAddr) -> TcpListener {
        let namespace = File::open(self.path()).unwrap();
        let listening = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind(address).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        listening.join().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        output("ip", &["netns", "del", &self.name]);
    }
}
