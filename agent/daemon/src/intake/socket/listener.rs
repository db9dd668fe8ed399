//! Where connections come from: a Unix socket, or the same process.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Yields connections, each with who is at the other end.
pub trait Listener: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + 'static;

    /// The next connection. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// Who is at the other end, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// The socket on disk.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another agent is there.
    #[error("another agent listens on `{0}`; stop it first (systemctl stop pitcrew)")]
    Taken(PathBuf),
    /// The path cannot be used.
    #[error("failed to listen on `{path}`; its directory must exist and be writable for the agent")]
    Unusable {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl UnixSocket {
    /// Listens on `path`. A socket that an agent left there when it was killed is replaced.
    ///
    /// Everybody may connect (mode 0666), because everybody may read the status; who may do more is decided for
    /// each connection by its credentials, so that the refusal can say which group is missing.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let unusable = |source| BindError::Unusable { path: path.to_owned(), source };
        match timeout(Duration::from_secs(1), UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(unusable)?;
            }
            Ok(Err(error)) => return Err(unusable(error)),
            Ok(Ok(_)) | Err(_) => return Err(BindError::Taken(path.to_owned())),
        }
        let listener = UnixListener::bind(path).map_err(unusable)?;
        fs::set_permissions(path, Permissions::from_mode(0o666)).map_err(unusable)?;
        Ok(Self { listener })
    }
}

impl Listener for UnixSocket {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        let credentials = stream.peer_cred()?;
        Ok((stream, Peer { uid: credentials.uid(), gid: credentials.gid() }))
    }
}

/// Opens connections to an [`InProcess`] listener.
#[derive(Clone, Debug)]
pub struct Dialer {
    connections: mpsc::Sender<(DuplexStream, Peer)>,
}

/// A listener without a socket: for simulations and tests.
#[derive(Debug)]
pub struct InProcess {
    connections: mpsc::Receiver<(DuplexStream, Peer)>,
}

/// A listener and the way to reach it. Once the listener is dropped, connections are refused.
pub fn in_process() -> (Dialer, InProcess) {
    let (sender, receiver) = mpsc::channel(128);
    (Dialer { connections: sender }, InProcess { connections: receiver })
}

impl Dialer {
    /// Connects as `peer`.
    pub async fn connect(&self, peer: Peer) -> io::Result<DuplexStream> {
        let (near, far) = duplex(64 * 1024);
        let sent = self.connections.send((far, peer)).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

impl Listener for InProcess {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.connections.recv().await {
            Some(connection) => Ok(connection),
            // Nobody can ever connect again; nobody is there to be told.
            None => std::future::pending().await,
        }
    }
}
