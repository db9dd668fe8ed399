//! The sample application as a process of its own.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::release::{NotARelease, Release};
use super::{Settings, run};
use crate::net::{RealNet, allow_many_connections};

/// Runs the sample application until it is killed: SIGTERM ends it at once.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it listens, for example 127.77.0.1:8080
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,

    /// File with the release to run: a version, and the word `unhealthy` if it is a bad one
    #[arg(long, value_name = "FILE")]
    version_file: PathBuf,

    /// How long it takes before it listens
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    start_seconds: Duration,
}

/// Why the application ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The version file could not be read.
    #[error("failed to read the version file `{path}`")]
    Read {
        /// The version file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The version file holds something else.
    #[error("the version file `{path}` holds no release")]
    Release {
        /// The version file.
        path: PathBuf,
        /// What it holds.
        source: NotARelease,
    },
    /// The asynchronous runtime did not start.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// The address could not be listened on.
    #[error("failed to serve on {listen}")]
    Serve {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the release, then serves it. No signal is handled: SIGTERM kills.
pub fn main(args: Args) -> Result<(), Error> {
    let Args { listen, version_file: path, start_seconds: start } = args;
    let release: Release = match fs::read_to_string(&path) {
        Ok(text) => text.parse().map_err(|source| Error::Release { path, source })?,
        Err(source) => return Err(Error::Read { path, source }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    // Without more descriptors it serves fewer connections at a time, which is no reason to fail.
    allow_many_connections().ok();
    let settings = Settings { listen, release, start };
    let source = runtime.block_on(run(Arc::new(RealNet), settings));
    Err(Error::Serve { listen, source })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
