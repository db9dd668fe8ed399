//! One call on the agent's socket, from a process that does little else.

use std::future::Future;
use std::io;
use std::path::Path;

use anyhow::Context;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::{exit, say};
use crate::protocol::Request;
use crate::protocol::client::{self, End, Waiting};

/// Makes the call of a hook or an operator: writes how it goes and, last, how it ended. Gives the exit status.
pub(super) fn to_the_end(socket: &Path, request: Request, waiting: Waiting) -> u8 {
    let mut last = String::new();
    let mut progress = |sentence: &str| {
        // CodeDeploy keeps the last 2048 characters; a sentence twice tells nothing.
        if sentence != last {
            say(sentence);
            sentence.clone_into(&mut last);
        }
    };
    let outcome = run(async {
        let told_to_stop = told_to_stop()?;
        Ok(client::call(|| connect(socket), request, waiting, told_to_stop, &mut progress).await)
    });
    let (sentence, status) = match outcome {
        Ok(Ok(End::Answer(answer))) => (answer.sentence, answer.verdict.exit_status()),
        Ok(Ok(End::Status(_))) => ("the agent answered what was not asked".to_owned(), exit::FAILED),
        Ok(Err(error)) => (error.to_string(), error.exit_status()),
        Err(error) => (format!("{error:#}"), exit::FAILED),
    };
    say(&sentence);
    status
}

/// Runs `work` with timers and sockets, on this thread alone: that is what a hook's start costs least with.
pub(super) fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    runtime.context("starting the event loop")?.block_on(work)
}

/// Opens the agent's socket.
pub(super) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), format!("there is no socket `{}`", socket.display())),
        io::ErrorKind::ConnectionRefused => {
            io::Error::new(error.kind(), format!("nobody listens on `{}`", socket.display()))
        }
        _ => error,
    })
}

/// Ends when this process is told to stop: by CodeDeploy at a script's timeout, by a person, by a closed terminal.
pub(super) fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("listening for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
