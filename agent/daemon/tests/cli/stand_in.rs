//! An agent's end of the socket, played by the test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

/// A socket where somebody listens, or nobody yet.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("pitcrew.sock")
    }

    /// `--socket PATH`.
    pub(crate) fn option(&self) -> String {
        format!("--socket={}", self.socket().display())
    }

    /// Listens, and plays `script` to the first connections, one after the other.
    pub(crate) fn agent<T: Send + 'static>(
        &self,
        script: impl FnOnce(&mut dyn FnMut() -> Conversation) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let listener = UnixListener::bind(self.socket()).unwrap();
        thread::spawn(move || script(&mut || Conversation::with(listener.accept().unwrap().0)))
    }
}

/// One connection.
pub(crate) struct Conversation {
    lines: BufReader<UnixStream>,
}

impl Conversation {
    fn with(stream: UnixStream) -> Self {
        Self { lines: BufReader::new(stream) }
    }

    /// The caller's next line.
    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
    }

    /// Writes a line; whether the caller still reads is its own affair.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = writeln!(self.lines.get_mut(), "{line}");
    }
}
