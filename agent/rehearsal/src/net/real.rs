//! Real TCP sockets, in practice on loopback addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;

use super::{BoxFuture, Listener, Net, Stream};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long accepting rests when the process has run out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(20);

/// Lets this process hold as many connections as the system allows it; returns how many.
///
/// A load with slow requests holds thousands of sockets, and a login shell starts at 1,024.
pub fn allow_many_connections() -> io::Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// The machine's own network.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNet;

impl Net for RealNet {
    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let socket = socket_for(to)?;
            if !from.is_unspecified() {
                // The kernel then picks the port at connect, when it knows the peer too: without
                // this, an address has only one connection per port to all peers together.
                setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
                socket.bind(SocketAddr::new(from, 0))?;
            }
            let stream = socket.connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = socket_for(at)?;
            // A restarted application listens again although old connections linger in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(at)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok(Box::new(RealListener { listener, address }) as Box<dyn Listener>)
        })
    }
}

struct RealListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener for RealListener {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => {
                        // A peer that has gone already shows at the first read.
                        stream.set_nodelay(true).ok();
                        return Ok((Box::new(stream) as Stream, peer));
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) if is_out_of_descriptors(&error) => sleep(EXHAUSTED_PAUSE).await,
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let exhausted = [nix::errno::Errno::EMFILE, nix::errno::Errno::ENFILE];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| *errno as i32 == code))
}
