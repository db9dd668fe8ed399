//! What the agent asks of the unit that runs `drain.d` as root: one small file, in which root believes nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::{Instant, Now};
use serde::{Deserialize, Serialize};

use super::Order;

/// Longer than any request, in bytes.
const LONGEST: u64 = 64 * 1024;

/// No leaving takes longer.
const LATEST: Duration = Duration::from_secs(3600);

/// The most scripts that a request may name.
const MOST: usize = 256;

/// A request, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The same for one leaving, also after a restart of the agent: what ran under it does not run again.
    pub(super) id: String,
    why: NoticeKind,
    /// By the boot clock, which both sides read.
    until: Instant,
    ended: Vec<String>,
    instance: InstanceId,
    region: String,
}

impl Request {
    pub(super) fn of(order: &Order) -> Self {
        let Order { why, until, ended, instance, region } = order.clone();
        Self { id: format!("{why}-{}", until.0), why, until, ended, instance, region }
    }

    /// Puts it at `path` in one step, by way of a file in the directory above.
    pub(super) fn put(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        // Not beside the request: whoever watches that directory would wake for half a file.
        let draft = directory.with_extension("draft");
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        drop(file);
        fs::rename(draft, path)
    }

    /// Takes it from `path`, which belongs to somebody less trusted: no link is followed, and nothing is waited for.
    /// `None`: there is none. An error is a sentence.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, String> {
        let shown = path.display();
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| format!("the request `{shown}` cannot be opened: {error}"))?,
        };
        if !file.metadata().is_ok_and(|facts| facts.is_file()) {
            return Err(format!("the request `{shown}` is no file"));
        }
        let mut text = Vec::new();
        file.take(LONGEST)
            .read_to_end(&mut text)
            .map_err(|error| format!("the request `{shown}` cannot be read: {error}"))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| format!("the request `{shown}` is none: {error}"))
    }

    /// The order in it, where every value is one that may be passed on to root's scripts.
    pub(super) fn order(&self, now: Now) -> Result<Order, String> {
        let Self { id, why, until, ended, instance, region } = self.clone();
        if !is_word(&id, 64) || !is_word(instance.as_str(), 32) || !is_word(&region, 32) {
            return Err("the request's id, instance or region is not one".to_owned());
        }
        if ended.len() > MOST || ended.iter().any(|name| name.len() > 255) {
            return Err("the request names more scripts than there can be".to_owned());
        }
        if until <= now.at {
            return Err("the request's time is over".to_owned());
        }
        Ok(Order { why, until: until.min(now.at.after(LATEST)), ended, instance, region })
    }
}

fn is_word(text: &str, longest: usize) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=longest).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use pitcrew_core::time::WallTime;

    use super::*;

    const NOW: Now = Now { at: Instant(1_000_000), wall: WallTime(1_795_392_000_000) };

    fn request() -> Request {
        Request::of(&Order {
            why: NoticeKind::SpotTerminate,
            until: Instant(1_060_000),
            ended: vec!["10-flush".to_owned()],
            instance: "i-0abc".into(),
            region: "eu-central-1".to_owned(),
        })
    }

    #[test]
    fn a_request_arrives_as_it_was_put() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("drain/request.json");
        assert_eq!(Request::take(&path), Ok(None));
        request().put(&path).unwrap();
        assert_eq!(Request::take(&path), Ok(Some(request())));
        request().put(&path).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left beside it");
        assert_eq!(request().order(NOW).map(|order| order.until), Ok(Instant(1_060_000)));
    }

    #[test]
    fn root_follows_no_link_and_waits_for_no_pipe() {
        let place = tempfile::tempdir().unwrap();
        let (link, pipe) = (place.path().join("link"), place.path().join("pipe"));
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Request::take(&link).unwrap_err().contains("cannot be opened"));
        assert!(Request::take(&pipe).unwrap_err().contains("is no file"));
        fs::write(place.path().join("text"), "secret").unwrap();
        let error = Request::take(&place.path().join("text")).unwrap_err();
        assert!(error.contains("is none") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn what_may_not_be_passed_on_is_refused() {
        let long = "x".repeat(65);
        let refused = [
            Request { id: "a b".to_owned(), ..request() },
            Request { id: long, ..request() },
            Request { id: String::new(), ..request() },
            Request { instance: "i-1\nPATH=/tmp".into(), ..request() },
            Request { region: "$(reboot)".to_owned(), ..request() },
            Request { ended: vec![String::new(); MOST + 1], ..request() },
            Request { until: NOW.at, ..request() },
        ];
        for request in refused {
            assert!(request.order(NOW).is_err(), "{request:?}");
        }
        let endless = Request { until: Instant(u64::MAX), ..request() };
        assert_eq!(endless.order(NOW).map(|order| order.until), Ok(NOW.at.after(LATEST)));
        let text = serde_json::to_string(&request()).unwrap().replace("spot-terminate", "because");
        assert!(serde_json::from_str::<Request>(&text).is_err(), "only known reasons");
    }
}
