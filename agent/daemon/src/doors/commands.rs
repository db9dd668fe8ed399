//! Looks into the directory in which CodeDeploy's host agent tracks the commands that it carries out.
//!
//! `ongoing-deployment/<deployment id>` exists while one command of that deployment executes, in versions 1 and 2 of the
//! agent alike. The kernel tells when a file comes or goes (inotify), so that nothing is polled meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use pitcrew_core::ids::DeploymentId;
use tokio::time::sleep;

/// Where the commands of CodeDeploy's host agent can be seen.
pub trait Commands: Send + Sync {
    /// The deployments of which a command executes, and for how long it has; `None`: nobody can tell.
    fn look(&self) -> Option<BTreeMap<DeploymentId, Duration>>;

    /// Ends when another look may show something else; sometimes sooner.
    fn changed(&self) -> BoxFuture<'_, ()>;
}

/// A directory that is not there, or cannot be watched, is looked for again at this pace.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The directory on this host.
pub struct OngoingDirectory {
    path: PathBuf,
    watch: tokio::sync::Mutex<Option<Watch>>,
}

type Watch = EventStream<[u8; ROOM]>;

/// Room for some events with their names; more come with the next reading.
const ROOM: usize = 4096;

impl OngoingDirectory {
    /// The directory at `path`, which need not exist yet: the agent makes it with its first deployment.
    pub fn at(path: PathBuf) -> Self {
        Self { path, watch: tokio::sync::Mutex::default() }
    }

    /// `None` where it is not there, or the kernel gives no watch: then it is looked at again and again.
    fn watch(&self) -> Option<Watch> {
        let inotify = Inotify::init().ok()?;
        let what = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        inotify.watches().add(&self.path, what).ok()?;
        inotify.into_event_stream([0; ROOM]).ok()
    }
}

impl Commands for OngoingDirectory {
    fn look(&self) -> Option<BTreeMap<DeploymentId, Duration>> {
        let up = uptime()?;
        let entries = fs::read_dir(&self.path).ok()?;
        let mut executing = BTreeMap::new();
        for entry in entries {
            let entry = entry.ok()?;
            // One that is gone by now has ended.
            let Some(age) = age(&entry.path()) else { continue };
            // No command outlives its boot.
            if let (Ok(name), true) = (entry.file_name().into_string(), age < up) {
                executing.insert(DeploymentId::new(name), age);
            }
        }
        Some(executing)
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut held = self.watch.lock().await;
            let Some(watch) = held.as_mut() else {
                *held = self.watch();
                // A watch that has just begun may have missed something: look once more.
                if held.is_none() {
                    sleep(LOOK_AGAIN).await;
                }
                return;
            };
            let ends = EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF;
            match watch.next().await {
                Some(Ok(event)) if !event.mask.intersects(ends) => {}
                Some(Ok(_) | Err(_)) | None => *held = None,
            }
        })
    }
}

/// How long ago the file was written; a clock that was set back makes it new.
fn age(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    Some(written.elapsed().unwrap_or_default())
}

/// How long this host has been up; `None` where `/proc` does not tell.
fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_command_is_seen_as_it_begins_and_as_it_ends() {
        let place = tempfile::tempdir().unwrap();
        let commands = OngoingDirectory::at(place.path().to_owned());
        timeout(SOON, commands.changed()).await.expect("a watch that has just begun wants a look");
        assert_eq!(commands.look(), Some(BTreeMap::new()));
        fs::write(place.path().join("d-1"), "x").unwrap();
        timeout(SOON, commands.changed()).await.expect("a file came");
        let seen = commands.look().unwrap();
        assert!(seen[&"d-1".into()] < SOON);
        fs::remove_file(place.path().join("d-1")).unwrap();
        while !commands.look().unwrap().is_empty() {
            timeout(SOON, commands.changed()).await.expect("the file is gone");
        }
    }

    #[tokio::test]
    async fn a_directory_that_goes_away_says_nothing_and_is_watched_again_when_it_is_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ongoing-deployment");
        fs::create_dir(&path).unwrap();
        let commands = OngoingDirectory::at(path.clone());
        timeout(SOON, commands.changed()).await.expect("the watch begins");
        fs::remove_dir(&path).unwrap();
        timeout(SOON, commands.changed()).await.expect("the directory went");
        assert_eq!(commands.look(), None);
        fs::create_dir(&path).unwrap();
        timeout(SOON, commands.changed()).await.expect("the watch begins anew");
        fs::write(path.join("d-2"), "x").unwrap();
        timeout(SOON, commands.changed()).await.expect("a file came");
        assert_eq!(commands.look().unwrap().into_keys().collect::<Vec<_>>(), ["d-2".into()]);
    }
}
