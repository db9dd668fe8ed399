//! Counts established connections from other hosts: how a drain knows that nothing is in flight any more.

mod diag;
mod proc;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Sees this host's TCP connections.
pub trait Connections: Send + Sync {
    /// Established connections by local port, for the asked `ports` alone, zero where there is none. A connection whose
    /// peer has the very address that it came to is this host's own, a probe for one, and does not count. Fails where
    /// the kernel tells nobody; then nothing is known, which is not zero.
    fn established(&self, ports: &[u16]) -> io::Result<BTreeMap<u16, usize>>;
}

/// The kernel's answer for the network namespace that this process lives in: socket diagnostics, or `/proc/net/tcp` and
/// `tcp6` where those are not to be had (an old kernel, a unit without `AF_NETLINK`).
#[derive(Clone, Copy, Debug, Default)]
pub struct HostConnections;

impl Connections for HostConnections {
    fn established(&self, ports: &[u16]) -> io::Result<BTreeMap<u16, usize>> {
        diag::established(ports).or_else(|_| proc::established(ports))
    }
}

/// A tally that starts at zero for every asked port.
struct Tally(BTreeMap<u16, usize>);

impl Tally {
    fn of(ports: &[u16]) -> Self {
        Self(ports.iter().map(|port| (*port, 0)).collect())
    }

    /// Counts one established connection, if it was asked for and comes from elsewhere: whoever connects to one of this
    /// host's addresses from this host comes from that very address, or, within 127.0.0.0/8, from 127.0.0.1.
    fn add(&mut self, port: u16, local: IpAddr, peer: IpAddr) {
        let (local, peer) = (local.to_canonical(), peer.to_canonical());
        if local == peer || peer == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return;
        }
        if let Some(count) = self.0.get_mut(&port) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    /// A connection to `at` from the address `from`; dropping either end closes it.
    async fn connect(from: Ipv4Addr, at: SocketAddr) -> tokio::net::TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(at).await.unwrap()
    }

    type Source = fn(&[u16]) -> io::Result<BTreeMap<u16, usize>>;

    const SOURCES: [(&str, Source); 3] = [
        ("diagnostics", diag::established),
        ("proc", proc::established),
        ("host", |ports| HostConnections.established(ports)),
    ];

    #[tokio::test]
    async fn connections_of_others_count_and_the_hosts_own_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let port = at.port();
        let mut accepted = Vec::new();
        let own = TcpStream::connect(at).unwrap();
        accepted.push(listener.accept().unwrap());
        for (name, source) in SOURCES {
            assert_eq!(source(&[port]).unwrap(), [(port, 0)].into(), "{name}, own");
        }
        let others = [connect(Ipv4Addr::new(127, 0, 0, 7), at).await, connect(Ipv4Addr::new(127, 0, 0, 8), at).await];
        accepted.push(listener.accept().unwrap());
        accepted.push(listener.accept().unwrap());
        for (name, source) in SOURCES {
            assert_eq!(source(&[port]).unwrap(), [(port, 2)].into(), "{name}");
        }
        drop((own, others, accepted));
        for (name, source) in SOURCES {
            assert_eq!(source(&[port]).unwrap(), [(port, 0)].into(), "{name}, gone");
        }
    }

    #[tokio::test]
    async fn a_listener_for_both_families_shows_its_ipv4_peers() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let own = TcpStream::connect(at).unwrap();
        let other = connect(Ipv4Addr::new(127, 0, 0, 9), at).await;
        let accepted = [listener.accept().unwrap(), listener.accept().unwrap()];
        for (name, source) in SOURCES {
            assert_eq!(source(&[port]).unwrap(), [(port, 1)].into(), "{name}");
        }
        drop((own, other, accepted));
    }

    #[test]
    fn ports_that_were_not_asked_for_are_not_told() {
        for (name, source) in SOURCES {
            assert_eq!(source(&[]).unwrap(), BTreeMap::new(), "{name}");
            assert_eq!(source(&[1, 2]).unwrap(), [(1, 0), (2, 0)].into(), "{name}");
        }
    }
}
