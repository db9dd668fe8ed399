//! The service manager of one instance: what `systemctl` in a script talks to.
//!
//! Applications are its children, never a hook's: they outlive the script that starts them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Request;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{Crew, Verb};
use crate::lock::lock;
use crate::net::pool::Pool;
use crate::net::{Net, nothing};
use crate::output::say;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::World;

/// Names the socket that the stand-in `systemctl` talks to.
pub(crate) const SOCKET_VARIABLE: &str = "PITCREW_REHEARSAL_SERVICES";

/// How often a starting application is asked whether it answers.
const LOOK: Duration = Duration::from_millis(100);

/// The service manager of one instance; clones are the same one.
#[derive(Clone)]
pub struct Services {
    manager: Arc<Manager>,
}

struct Manager {
    seat: Seat,
    world: Arc<World>,
    crew: Arc<dyn Crew>,
    net: Arc<dyn Net>,
    warm_up: Duration,
    state: Mutex<State>,
    /// Notes that were made already.
    noted: Mutex<BTreeSet<String>>,
    /// One change at a time, as systemd's jobs of one unit.
    changing: tokio::sync::Mutex<()>,
}

struct State {
    release: String,
    running: bool,
    /// The instance is gone, and nothing starts there any more.
    gone: bool,
    /// Counts starts, so that a watcher of an earlier one says nothing.
    generation: u64,
}

/// What `systemctl` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Exit status.
    pub exit: u8,
    /// What it prints, if anything.
    pub says: String,
}

impl Services {
    /// The service manager of `seat`, with `release` installed and nothing running.
    pub fn new(
        seat: Seat,
        world: Arc<World>,
        crew: Arc<dyn Crew>,
        net: Arc<dyn Net>,
        release: String,
        warm_up: Duration,
    ) -> Self {
        Self {
            manager: Arc::new(Manager {
                seat,
                world,
                crew,
                net,
                warm_up,
                state: Mutex::new(State { release, running: false, gone: false, generation: 0 }),
                noted: Mutex::default(),
                changing: tokio::sync::Mutex::new(()),
            }),
        }
    }

    /// From the next start on, the application is this release.
    pub fn install(&self, release: String) {
        lock(&self.manager.state).release = release;
    }

    /// Whether the application is running, listening or not yet.
    pub(crate) fn is_running(&self) -> bool {
        lock(&self.manager.state).running
    }

    /// Starts the application; nothing happens when it is running.
    pub async fn start(&self) -> anyhow::Result<()> {
        let _turn = self.manager.changing.lock().await;
        self.start_now().await
    }

    /// Stops the application at once; nothing happens when it is not running.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let _turn = self.manager.changing.lock().await;
        self.stop_now().await
    }

    /// The instance is gone, and the application with it.
    pub(crate) async fn vanish(&self) -> anyhow::Result<()> {
        lock(&self.manager.state).gone = true;
        self.stop().await
    }

    /// Asks the application for its health on its own host; returns the release that answers.
    pub async fn healthy_release(&self) -> Option<String> {
        let Manager { seat, net, .. } = &*self.manager;
        let pool = Arc::new(Pool::new(Arc::clone(net), seat.address, seat.application, false));
        let request = Request::get("/health").header("host", seat.application.to_string()).body(nothing()).ok()?;
        let response = timeout(Duration::from_secs(2), pool.send(request)).await.ok()?.ok()?;
        let release = response.headers().get(crate::app::VERSION_HEADER)?.to_str().ok()?;
        response.status().is_success().then(|| release.to_owned())
    }

    /// Does what `systemctl` with these words would. Every unit is the application: a stand-in has only one.
    pub async fn systemctl(&self, words: &[String]) -> Answer {
        let now = words.iter().any(|word| word == "--now");
        let mut names = words.iter().filter(|word| !word.starts_with('-'));
        let Some(verb) = names.next() else {
            return Answer::refused("systemctl needs a verb, such as start");
        };
        let done = match verb.as_str() {
            "start" => self.start().await,
            "stop" | "kill" => self.stop().await,
            "restart" | "try-restart" | "reload-or-restart" => self.restart().await,
            "enable" if now => self.start().await,
            "disable" if now => self.stop().await,
            "daemon-reload" | "enable" | "disable" | "mask" | "unmask" | "reset-failed" | "reload" => Ok(()),
            "is-active" | "status" => {
                return if self.is_running() {
                    Answer { exit: 0, says: "active".to_owned() }
                } else {
                    Answer { exit: 3, says: "inactive".to_owned() }
                };
            }
            "is-enabled" => return Answer { exit: 0, says: "enabled".to_owned() },
            other => {
                return Answer::refused(&format!(
                    "the rehearsal's systemctl does not know `{other}`; it knows start, stop, restart, is-active"
                ));
            }
        };
        match done {
            Ok(()) => Answer { exit: 0, says: String::new() },
            Err(error) => Answer::refused(&format!("{error:#}")),
        }
    }

    /// Adds to the timeline of this instance.
    pub fn happened(&self, what: Happening) {
        self.manager.world.happened(Some(self.manager.seat.number), what);
    }

    /// Adds a note to the timeline of this instance, the first time that it is made.
    pub(crate) fn note_once(&self, note: &str) {
        if lock(&self.manager.noted).insert(note.to_owned()) {
            self.happened(Happening::Noted { note: note.to_owned() });
        }
    }

    async fn restart(&self) -> anyhow::Result<()> {
        let _turn = self.manager.changing.lock().await;
        self.stop_now().await?;
        self.start_now().await
    }

    async fn start_now(&self) -> anyhow::Result<()> {
        let Manager { seat, world, crew, warm_up, state, .. } = &*self.manager;
        let (release, generation) = {
            let mut state = lock(state);
            if state.running || state.gone {
                return Ok(());
            }
            state.running = true;
            state.generation += 1;
            (state.release.clone(), state.generation)
        };
        let verb = Verb::Start { release: release.clone(), warm_up: *warm_up };
        if let Err(error) = crew.application(seat, verb).await {
            lock(state).running = false;
            return Err(error);
        }
        world.happened(Some(seat.number), Happening::ApplicationStarted { version: release });
        let services = self.clone();
        tokio::spawn(async move { services.watch_start(generation).await });
        Ok(())
    }

    async fn stop_now(&self) -> anyhow::Result<()> {
        let Manager { seat, world, crew, state, .. } = &*self.manager;
        if !std::mem::take(&mut lock(state).running) {
            return Ok(());
        }
        let in_traffic = world.in_traffic(seat);
        world.happened(Some(seat.number), Happening::ApplicationStopped { in_traffic });
        crew.application(seat, Verb::Stop).await
    }

    async fn watch_start(&self, generation: u64) {
        let Manager { seat, world, state, .. } = &*self.manager;
        let is_current = || {
            let state = lock(state);
            state.running && state.generation == generation
        };
        while is_current() {
            sleep(LOOK).await;
            if let Some(version) = self.healthy_release().await {
                if is_current() {
                    world.happened(Some(seat.number), Happening::ApplicationReady { version });
                }
                return;
            }
        }
    }
}

impl Answer {
    fn refused(why: &str) -> Self {
        Self { exit: 1, says: why.to_owned() }
    }
}

/// The stand-in `systemctl`: passes its words to the world's service manager, prints the answer, exits with its status.
pub fn systemctl(words: &[String]) -> ExitCode {
    let Some(socket) = std::env::var_os(SOCKET_VARIABLE) else {
        eprintln!("systemctl: this stand-in works only inside a rehearsal's scripts ({SOCKET_VARIABLE} is not set)");
        return ExitCode::FAILURE;
    };
    match ask(Path::new(&socket), words) {
        Ok(answer) => {
            let quiet = words.iter().any(|word| word == "--quiet" || word == "-q");
            if !answer.says.is_empty() && !quiet {
                say(answer.says);
            }
            ExitCode::from(answer.exit)
        }
        Err(error) => {
            eprintln!("systemctl: the rehearsal's service manager does not answer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(socket: &Path, words: &[String]) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    let mut line = serde_json::to_string(words)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
