//! The commands that host agents carry out just now: what their `ongoing-deployment` directories show.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::World;
use crate::filled::filled;
use crate::lock::lock;
use crate::seat::Seat;

/// Tracking files, by instance and deployment, and since when each is there.
#[derive(Debug)]
pub(super) struct Tracked {
    files: BTreeMap<(u8, String), Instant>,
    /// Changes with them.
    turn: watch::Sender<()>,
}

impl Default for Tracked {
    fn default() -> Self {
        Self { files: BTreeMap::new(), turn: watch::Sender::new(()) }
    }
}

impl World {
    /// A command began: `ongoing-deployment/<id>` is there from now on.
    pub fn command_began(&self, seat: &Seat, deployment: &str) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.tracked.files.insert((seat.number, deployment.to_owned()), now);
        state.tracked.turn.send_replace(());
    }

    /// A command ended: the file is gone.
    pub fn command_ended(&self, seat: &Seat, deployment: &str) {
        let mut state = lock(&self.state);
        state.tracked.files.remove(&(seat.number, deployment.to_owned()));
        state.tracked.turn.send_replace(());
    }

    /// Whether `ongoing-deployment/<id>` is there.
    pub fn is_ongoing(&self, seat: &Seat, deployment: &str) -> bool {
        lock(&self.state).tracked.files.contains_key(&(seat.number, deployment.to_owned()))
    }

    /// Every file that is there on this instance, and for how long.
    pub fn ongoing(&self, seat: &Seat) -> BTreeMap<String, Duration> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let files = state.tracked.files.iter().filter(|((number, _), _)| *number == seat.number);
        filled(files.map(|((_, id), began)| (id.clone(), now.saturating_duration_since(*began))))
    }

    /// Changes whenever a file comes or goes, on any instance.
    pub fn ongoing_changes(&self) -> watch::Receiver<()> {
        lock(&self.state).tracked.turn.subscribe()
    }
}
