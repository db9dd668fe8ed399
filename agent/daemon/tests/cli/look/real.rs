//! One real agent goes through all that there is to be seen: it serves, is deployed to, is killed, is blind and leaves.
//! People see it on the page, scrapers in the metrics, and everybody afterwards in the history.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pitcrew::report::metrics::FAMILIES;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::crew::ProcessCrew;
use pitcrew_rehearsal::interruption::{Action, Interruption, Kill, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{self, Options, Stage};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::faults::MetadataFault;
use serde_json::Value;
use tokio::time::sleep;

use super::balancer::Balancer;
use super::browser::{accessible, fits, keep};
use super::driver::Browser;
use super::needs;
use crate::{outcome, pitcrew};

/// What stays as it is here, and why.
const UNTOUCHED: [(&str, &str); 3] = [
    ("pitcrew_targets_put_back", "nobody else registers this instance"),
    ("pitcrew_at_risk", "there is no rebalance recommendation"),
    ("pitcrew_host_agent_working", "no agent of AWS is installed on a machine of tests"),
];

/// A name, which status it is, and what the page must say then.
type Sight = (&'static str, fn(&Value) -> bool, Vec<&'static str>);

fn sights() -> Vec<Sight> {
    vec![
        (
            "serving",
            |status| status["state"] == "serving" && status["blind_since"].is_null(),
            vec!["in traffic: healthy in 1 of 1 target group", "told: ready", "app passing"],
        ),
        (
            "deploying",
            |status| status["state"] == "deploying",
            vec!["deployment d-", "told: not ready", "is the latest event"],
        ),
        ("blind", |status| !status["blind_since"].is_null(), vec!["blind since", "a notice may stand there unheard"]),
        (
            "leaving",
            |status| status["state"] == "leaving",
            vec!["notice: spot-terminate", "told: not ready", "succeeded"],
        ),
    ]
}

fn options() -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.rate, options.requests) = (25, 0);
    options.kill_agent_at = Some(Kill::During(LifecycleEvent::AfterInstall));
    options.metadata_fault = Some(MetadataFault::Unavailable);
    options.interruption = Some(Interruption {
        at: Moment::During(LifecycleEvent::ValidateService),
        action: Action::Terminate,
        notice: Duration::from_secs(60),
        withdrawn_after: None,
    });
    options
}

#[test]
fn a_real_agent_is_seen_in_every_state_and_remembers_them() {
    const TEST: &str = "a_real_agent_is_seen_in_every_state_and_remembers_them";
    if !needs::program(TEST, "chromedriver", "chromium-driver") || !needs::program(TEST, "chromium", "chromium") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = options();
        let stage = Stage::real(&options, Timeline::default()).await.unwrap();
        let seat = stage.world.seats[0].clone();
        let crew = Arc::new(ProcessCrew::new(stage.world.clone(), env!("CARGO_BIN_EXE_pitcrew").into()).unwrap());
        let over = Arc::new(AtomicBool::new(false));
        let looking = tokio::spawn(look(seat.looked_at, over.clone()));
        let report = rehearsal::run(&options, &stage, crew, None).await.unwrap();
        over.store(true, Ordering::Relaxed);
        let seen = looking.await.unwrap();
        assert_eq!(report.load.lost, 0, "{:#?}", report.reasons);
        assert!(seen.missing.is_empty(), "never seen on the page: {:#?}", seen.missing);
        every_metric_is_fed(&seen.highest);

        // The agent is gone with its instance: what it has written stands there, from before it was killed, too.
        let dirs = seat.dirs.unwrap();
        let state_dir = format!("--state-dir={}", dirs.state.display());
        let nobody = format!("--socket={}", dirs.runtime.join("nobody.sock").display());
        let (status, history, _) = outcome(&mut pitcrew(&["history", &state_dir, &nobody]));
        assert_eq!((status, history.matches("started").count()), (0, 2), "{history}");
        for words in ["BeforeInstall of d-", "blind: ", "seeing again after", "notice: spot-terminate", "left after"] {
            assert!(history.contains(words), "no `{words}` in\n{history}");
        }
        let phases = history.lines().find(|line| line.contains("succeeded: draining ")).unwrap();
        assert!(phases.contains("installing ") && phases.contains("returning "), "{phases}");
        let (killed, ended) = (history.rfind("started").unwrap(), history.find("succeeded").unwrap());
        assert!(history.find("BeforeInstall").unwrap() < killed && killed < ended, "{history}");
    });
}

/// What was seen of an agent until its end.
struct Seen {
    /// The states in which nobody saw the page as it must be, and how it was instead.
    missing: BTreeMap<&'static str, String>,
    /// The highest value that each sample had.
    highest: BTreeMap<String, f64>,
}

async fn look(address: SocketAddr, over: Arc<AtomicBool>) -> Seen {
    let browser = Browser::open((500, 900), true).await;
    let url = format!("http://{address}/");
    let mut wanted = sights();
    let mut missing: BTreeMap<_, _> = wanted.iter().map(|(name, ..)| (*name, "not yet so".to_owned())).collect();
    let mut highest = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(200)).await;
        let ask = async |path| Balancer { address, stream: None }.ask(path).await;
        // Nobody answers before its start, and while it is killed.
        let (Ok((_, status)), Ok((_, metrics))) = (ask("/status").await, ask("/metrics").await) else { continue };
        raise(&mut highest, &metrics);
        let status: Value = serde_json::from_str(&status).unwrap();
        let Some(place) = wanted.iter().position(|(_, is_so, _)| is_so(&status)) else { continue };
        let (name, _, words) = &wanted[place];
        browser.go(&url).await;
        let text = browser.run("return document.body ? document.body.innerText : ''").await;
        let text = text.as_str().unwrap();
        if !words.iter().all(|words| text.contains(words)) {
            missing.insert(name, text.to_owned());
            continue;
        }
        accessible(&browser, name).await;
        fits(&browser, name).await;
        keep(&format!("real-{name}"), &browser.screenshot().await);
        missing.remove(name);
        wanted.remove(place);
    }
    browser.close().await;
    Seen { missing, highest }
}

fn raise(highest: &mut BTreeMap<String, f64>, metrics: &str) {
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (value, highest) = (value.parse().unwrap(), highest.entry(name.to_owned()).or_insert(0.0));
        *highest = f64::max(*highest, value);
    }
}

fn every_metric_is_fed(highest: &BTreeMap<String, f64>) {
    let fed = |name: &str| {
        let mut samples = highest.iter().filter(|(sample, _)| {
            let sample = sample.split('{').next().unwrap_or_default();
            sample == name || sample.strip_suffix("_count") == Some(name)
        });
        samples.any(|(_, value)| *value > 0.0)
    };
    let zero: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).filter(|name| !fed(name)).collect();
    let expected: BTreeSet<_> = UNTOUCHED.iter().map(|(name, _)| *name).collect();
    assert_eq!(zero, expected, "metrics that nothing feeds; or that are fed after all");
}
