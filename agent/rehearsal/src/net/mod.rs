//! How bytes travel: real loopback sockets, or in-memory pipes under virtual time.

mod body;
mod exchange;
pub(crate) mod pool;
mod real;
mod server;
mod sim;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

pub use body::{Body, nothing, whole};
pub use exchange::exchange;
pub use real::{RealNet, allow_many_connections};
pub use server::serve;
pub use sim::SimNet;

/// A boxed future that may move between threads: what the object-safe traits of this crate return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One end of a connection. Dropping it without a shutdown cuts the connection.
pub type Stream = Box<dyn AsyncReadWrite>;

/// What a connection's end can do.
pub trait AsyncReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> AsyncReadWrite for T {}

/// Opens connections and listens for them.
pub trait Net: Send + Sync {
    /// Opens a connection from a free port of `from` to `to`.
    ///
    /// Fails with `ConnectionRefused` when nobody listens at `to`.
    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>>;

    /// Listens at `at`; port 0 takes a free one (see [`Listener::address`]).
    ///
    /// Fails with `AddrInUse` when somebody listens there already.
    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;
}

/// A listening socket. Dropping it makes later connections be refused.
pub trait Listener: Send {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Waits for the next connection; returns it with its peer's address.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>>;
}
