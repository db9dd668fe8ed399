//! The page in a real browser: what it shows in each state, on a desk and on a phone, with scripts and without.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use pitcrew::history::{History, Phase, Record, Stretch, What};
use pitcrew::http::{Audience, Limits, Site, serve};
use pitcrew::report::metrics::Metrics;
use pitcrew_core::Core;
use pitcrew_core::ids::{CallId, DeploymentGroup};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::Ending;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::settings::{Settings, Thresholds};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::view::View;
use pitcrew_core::wire::{Action, Event, GroupFacts, HookCall, Observation, Owner, Target, TargetState};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use super::driver::Browser;
use super::needs;

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef";

fn at(seconds: u64) -> Now {
    Now { at: Instant(seconds * 1000), wall: WallTime(1_795_411_200_000 + seconds * 1000) }
}

/// A core in service, registered in one group.
fn serving() -> Core {
    let probes = BTreeMap::from([("app".into(), Thresholds { unhealthy: 1, ..Thresholds::default() })]);
    let settings = Settings { owner: Some(Owner::Pitcrew), keep_last_healthy: false, probes, ..Settings::default() };
    let mut core = Core::new(settings, Default::default(), at(0));
    play(&mut core, at(1), Event::Started, TargetState::Healthy);
    play(&mut core, at(2), Event::ProbeAnswered { probe: "app".into(), answer: Ok(()) }, TargetState::Healthy);
    core
}

/// Steps the core, and answers for a balancer where the target stands so.
fn play(core: &mut Core, now: Now, event: Event, state: TargetState) {
    let mut actions = core.step(now, event);
    while let Some(action) = actions.pop() {
        let event = match action {
            Action::DiscoverGroups => {
                let delay = Duration::from_secs(300);
                let answer = Ok(vec![GroupFacts { arn: GROUP.into(), deregistration_delay: delay }]);
                Event::GroupsDiscovered { answer }
            }
            Action::ObserveGroup { group } => {
                let target = Target { id: "i-0abc".into(), port: 8080, zone: None };
                let own = BTreeMap::from([(target, state.clone())]);
                Event::GroupObserved { group, answer: Ok(Observation { own, peers: 2, healthy_peers: 2 }) }
            }
            Action::Deregister { group, .. } => Event::Deregistered { group, answer: Ok(()) },
            Action::CountConnections { ports } => {
                Event::ConnectionsCounted { counts: ports.into_iter().map(|port| (port, 3)).collect() }
            }
            _ => continue,
        };
        actions.extend(core.step(now, event));
    }
}

fn deploying() -> Core {
    let mut core = serving();
    let hook = HookCall {
        event: LifecycleEvent::BeforeInstall,
        deployment: "d-ABCDEF123".into(),
        group: DeploymentGroup { application: "shop".into(), name: "web".into() },
        revision: Default::default(),
        patience: Duration::from_secs(900),
    };
    play(&mut core, at(100), Event::HookArrived { call: CallId(1), hook }, TargetState::Draining);
    core
}

fn leaving() -> Core {
    let mut core = serving();
    let notice = Notice { kind: NoticeKind::SpotTerminate, time: Some(at(220).wall) };
    play(&mut core, at(100), Event::NoticeSeen { notice }, TargetState::Draining);
    core
}

fn blind() -> Core {
    let mut core = serving();
    play(&mut core, at(100), Event::SightLost { why: "IMDS did not <answer>".into() }, TargetState::Healthy);
    core
}

fn history() -> History {
    let history = History::in_memory(100);
    let phases = [(Phase::Draining, 7_100), (Phase::Installing, 5_000), (Phase::Returning, 9_200)];
    let ended = What::DeploymentEnded {
        deployment: "d-OLDER0001".into(),
        group: DeploymentGroup { application: "shop".into(), name: "web".into() },
        how: Ending::HookFailed,
        opened: at(10).wall,
        phases: phases.map(|(phase, ms)| Stretch { phase, ms }).into(),
        why: Some("ValidateService gave up after 60 s: probe `app`: status 500".into()),
    };
    history.add(Record { at: at(31).wall, what: ended });
    let notice = Notice { kind: NoticeKind::SpotTerminate, time: Some(at(220).wall) };
    history.add(Record { at: at(100).wall, what: What::NoticeSeen { notice } });
    history
}

/// Serves `core` as it is at 103 s; gives the address and the way to show another view.
async fn page(core: &mut Core) -> (String, watch::Sender<Option<Arc<View>>>) {
    let (view, shown) = watch::channel(Some(Arc::new(core.view(at(103)))));
    let site = Site::new(shown, Arc::new(OnceLock::new()), Metrics::default(), history(), false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(site), Audience::Host, Limits::default()));
    (format!("http://{address}/"), view)
}

/// What must be seen in each state.
fn states() -> Vec<(&'static str, Core, Vec<&'static str>)> {
    vec![
        ("serving", serving(), vec!["in traffic: healthy in 1 of 1 target group", "ready"]),
        ("deploying", deploying(), vec!["deployment d-ABCDEF123", "draining port 8080", "not ready"]),
        ("leaving", leaving(), vec!["leaving (spot-terminate", "notice: spot-terminate", "left"]),
        ("blind", blind(), vec!["blind since", "IMDS did not <answer>", "in traffic"]),
    ]
}

/// Keeps a screenshot beside the build, for a look.
pub(super) fn keep(name: &str, png: &str) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&directory).unwrap();
    let png = base64::engine::general_purpose::STANDARD.decode(png).unwrap();
    assert!(png.len() > 5_000, "{name}: an empty screenshot");
    std::fs::write(directory.join(format!("{name}.png")), png).unwrap();
}

#[tokio::test]
async fn the_page_shows_each_state_to_people() {
    const TEST: &str = "the_page_shows_each_state_to_people";
    if !needs::program(TEST, "chromedriver", "chromium-driver") || !needs::program(TEST, "chromium", "chromium") {
        return;
    }
    let phone = Browser::open((500, 900), true).await;
    let silent = Browser::open((1100, 900), false).await;
    for (name, mut core, expected) in states() {
        let (url, view) = page(&mut core).await;
        phone.go(&url).await;
        let text = phone.run("return document.body.innerText").await;
        for words in expected.iter().chain(&["d-OLDER0001", "failed at a hook", "gave up after 60 s", "installing 5 s"])
        {
            assert!(text.as_str().unwrap().contains(words), "{name}: no `{words}` in\n{}", text.as_str().unwrap());
        }
        accessible(&phone, name).await;
        fits(&phone, name).await;
        follows(&phone, &view, name).await;
        keep(&format!("{name}-phone"), &phone.screenshot().await);

        silent.go(&url).await;
        let source = silent.source().await;
        assert!(
            source.contains("<svg") && source.contains("reload to look again"),
            "{name}: without a script\n{source}"
        );
        keep(name, &silent.screenshot().await);
    }
    phone.close().await;
    silent.close().await;
}

/// Nothing is cut off or must be scrolled sideways.
pub(super) async fn fits(browser: &Browser, name: &str) {
    let wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(wide, 0, "{name}: wider than a phone");
}

/// Landmarks, a language, names for drawings, headings in order, everything reachable by keyboard.
pub(super) async fn accessible(browser: &Browser, name: &str) {
    let flaws = browser
        .run(
            "const flaws = [];
             for (const one of ['header', 'main', 'footer', 'nav[aria-label]', 'h1'])
               if (document.querySelectorAll(one).length !== 1) flaws.push('not one ' + one);
             if (document.documentElement.lang !== 'en') flaws.push('no language');
             for (const drawing of document.querySelectorAll('svg'))
               if (!drawing.getAttribute('aria-label')) flaws.push('a drawing without a name');
             for (const link of document.querySelectorAll('a')) if (!link.innerText.trim()) flaws.push('an empty link');
             for (const table of document.querySelectorAll('.scroll'))
               if (table.tabIndex !== 0) flaws.push('a table that the keyboard cannot scroll');
             if (getComputedStyle(document.body).maxWidth === 'none') flaws.push('no style was applied');
             return flaws",
        )
        .await;
    assert_eq!(flaws, serde_json::json!([]), "{name}");
}

/// The script runs under the page's own policy, and shows the next view without a reload.
async fn follows(browser: &Browser, view: &watch::Sender<Option<Arc<View>>>, name: &str) {
    let mut next = view.borrow().as_deref().cloned().unwrap();
    next.sentence = "something else is so now".into();
    for _ in 0..100 {
        if browser.run("return document.getElementById('line').innerText").await == "live" {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let before = view.send_replace(Some(Arc::new(next)));
    for _ in 0..100 {
        let now = browser.run("return document.querySelector('.now').innerText").await;
        if now == "something else is so now" {
            view.send_replace(before);
            sleep(Duration::from_millis(1500)).await;
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{name}: the page does not follow");
}
