//! Tells systemd how the agent is (`sd_notify`). Without systemd, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// The agent hears hooks and notices from now on.
pub fn ready(sentence: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(sentence)]);
}

/// The configuration is being read again; [`ready`] ends that.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "reading the clock for systemd failed"),
    }
}

/// What the agent is doing, for `systemctl status`.
pub fn status(sentence: &str) {
    notify(&[NotifyState::Status(sentence)]);
}

/// The agent is stopping, and what it still does.
pub fn stopping(sentence: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(sentence)]);
}

/// The engine is alive; to be said every [`watchdog_interval`].
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear [`alive`]: half of `WatchdogSec=`, if that is set for this process.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "notifying systemd failed");
    }
}
