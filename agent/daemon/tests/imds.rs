//! IMDS as it is: tokens that end, troubles of every kind, notices that come, move and go. In virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use pitcrew::config::Scheduled;
use pitcrew::doors::TokioClock;
use pitcrew::intake::imds::{Calendar, Endpoint, Identity, Imds, NoticePoller, Sight, Trouble};
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::{Instant as BootTime, Now, WallTime};
use pitcrew_core::wire::Event;
use scripted::{Outcome, Scripted, answer, refused};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const SPOT: &str = "meta-data/spot/instance-action";
const REBALANCE: &str = "meta-data/events/recommendations/rebalance";
const LIFECYCLE: &str = "meta-data/autoscaling/target-lifecycle-state";
const SCHEDULED: &str = "meta-data/events/maintenance/scheduled";
const DOCUMENT: &str = "dynamic/instance-identity/document";

/// A stand-in IMDS whose answers a test changes while it runs.
struct World {
    state: Arc<Mutex<State>>,
    transport: Arc<Scripted>,
    imds: Arc<Imds>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<&'static str, String>,
    /// Instead of the page: for one path, or for all.
    faults: BTreeMap<&'static str, Fault>,
    everywhere: Option<Fault>,
    tokens_given: u32,
    token_life: u64,
    refused_tokens: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Status(u16),
    Empty,
    Hang,
    Refuse,
    Page(&'static str),
}

impl World {
    fn new() -> Self {
        let state = Arc::new(Mutex::new(State { token_life: 21_600, ..State::default() }));
        let transport = {
            let state = state.clone();
            Scripted::new(move |request| {
                let outcome = state.lock().unwrap().answer(&request);
                async move {
                    match outcome {
                        Some(outcome) => outcome,
                        None => std::future::pending().await,
                    }
                }
            })
        };
        let endpoint = Endpoint::at(&"http://imds".parse().unwrap()).unwrap();
        let imds = Arc::new(Imds::new(transport.clone(), endpoint, Duration::from_secs(1)));
        Self { state, transport, imds }
    }

    fn page(&self, path: &'static str, body: &str) {
        self.state.lock().unwrap().pages.insert(path, body.to_owned());
    }

    fn remove(&self, path: &str) {
        self.state.lock().unwrap().pages.remove(path);
    }

    fn fault(&self, fault: impl Into<Option<Fault>>) {
        self.state.lock().unwrap().everywhere = fault.into();
    }

    fn fault_at(&self, path: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(path, fault);
    }

    fn asked(&self, path: &str) -> usize {
        let seen = self.transport.seen();
        seen.iter().filter(|seen| seen.uri.ends_with(path)).count()
    }
}

impl State {
    /// `None`: hangs.
    fn answer(&mut self, request: &http::Request<bytes::Bytes>) -> Option<Outcome> {
        let path = request.uri().path().strip_prefix("/latest/").unwrap();
        let fault = self.everywhere.or_else(|| self.faults.get(path).copied());
        match fault {
            Some(Fault::Hang) => return None,
            Some(Fault::Refuse) => return Some(refused()),
            Some(Fault::Status(status)) => return Some(answer(status, "<html>an error page</html>")),
            Some(Fault::Empty) => return Some(answer(200, "")),
            Some(Fault::Page(page)) => return Some(answer(200, page)),
            None => {}
        }
        if request.method() == Method::PUT {
            assert_eq!(path, "api/token");
            assert_eq!(request.headers()["x-aws-ec2-metadata-token-ttl-seconds"], "21600");
            self.tokens_given += 1;
            let token = format!("token-{}", self.tokens_given);
            let mut given = answer(200, token).unwrap();
            let life = self.token_life.to_string().parse().unwrap();
            given.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", life);
            return Some(Ok(given));
        }
        let tokens: Vec<_> = request.headers().get_all("x-aws-ec2-metadata-token").iter().collect();
        assert_eq!(tokens.len(), 1, "one token, not a second one added");
        let number: u32 = tokens[0].to_str().unwrap().strip_prefix("token-").unwrap().parse().unwrap();
        if number <= self.refused_tokens {
            return Some(answer(401, "<html>unauthorized</html>"));
        }
        Some(match self.pages.get(path) {
            Some(page) => answer(200, page.clone()),
            None => answer(404, "<html>not found</html>"),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_serves_until_it_is_nearly_over_and_is_then_renewed() {
    let world = World::new();
    world.page("meta-data/x", "1");
    world.state.lock().unwrap().token_life = 100;
    for _ in 0..89 {
        world.imds.get("meta-data/x").await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.asked("api/token"), 1);
    sleep(Duration::from_secs(2)).await;
    world.imds.get("meta-data/x").await.unwrap();
    assert_eq!(world.asked("api/token"), 2, "renewed at nine tenths of its life");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_early_still_serves() {
    let world = World::new();
    world.page("meta-data/x", "1");
    world.state.lock().unwrap().token_life = 1000;
    world.imds.get("meta-data/x").await.unwrap();
    world.fault_at("api/token", Fault::Status(503));
    sleep(Duration::from_secs(901)).await;
    for _ in 0..30 {
        assert!(world.imds.get("meta-data/x").await.unwrap().is_some());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.asked("api/token"), 2, "and is not asked for at every question");
    sleep(Duration::from_secs(100)).await;
    assert!(matches!(world.imds.get("meta-data/x").await, Err(Trouble::Status(_))), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_and_the_question_asked_again() {
    let world = World::new();
    world.page("meta-data/x", "1");
    world.imds.get("meta-data/x").await.unwrap();
    world.state.lock().unwrap().refused_tokens = 1;
    assert_eq!(world.imds.get("meta-data/x").await.unwrap().unwrap(), "1");
    assert_eq!(world.asked("api/token"), 2);
    world.state.lock().unwrap().refused_tokens = u32::MAX;
    assert!(matches!(world.imds.get("meta-data/x").await, Err(Trouble::Unauthorized)));
    assert_eq!(world.asked("meta-data/x"), 5, "twice more, and not for ever");
}

#[tokio::test(start_paused = true)]
async fn every_trouble_has_its_own_name_and_absence_is_none_of_them() {
    let world = World::new();
    world.imds.get("meta-data/x").await.unwrap();
    assert!(world.imds.get("meta-data/x").await.unwrap().is_none(), "404");
    let table: [(Fault, &str); 8] = [
        (Fault::Empty, "IMDS answered with nothing in it"),
        (Fault::Page(" \n"), "IMDS answered with nothing in it"),
        (Fault::Status(401), "IMDS answered 401 Unauthorized"),
        (Fault::Status(403), "IMDS refuses this host (403)"),
        (Fault::Status(429), "IMDS is asked too often (429)"),
        (Fault::Status(503), "IMDS answered 503 Service Unavailable"),
        (Fault::Hang, "IMDS did not answer"),
        (Fault::Refuse, "IMDS did not answer"),
    ];
    for (fault, said) in table {
        world.fault(fault);
        let began = Instant::now();
        let trouble = world.imds.get("meta-data/x").await.unwrap_err().to_string();
        assert!(trouble.starts_with(said), "{fault:?}: {trouble}");
        assert!(began.elapsed() <= Duration::from_millis(1001), "{fault:?}");
        world.fault(None);
        assert!(world.imds.get("meta-data/x").await.unwrap().is_none(), "and is over with its cause");
    }
}

const IDENTITY: &str = r#"{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"cn-north-1a","billingProducts":null,"imageId":"ami-1","instanceId":"i-0abc","instanceType":"c5.large","pendingTime":"2026-01-01T00:00:00Z","privateIp":"10.0.0.7","region":"cn-north-1","version":"2017-09-30"}"#;

fn identity(partition: &str, domain: &str) -> Identity {
    Identity {
        instance: "i-0abc".into(),
        region: "cn-north-1".to_owned(),
        availability_zone: "cn-north-1a".to_owned(),
        account: "123456789012".to_owned(),
        private_address: Some("10.0.0.7".to_owned()),
        partition: partition.to_owned(),
        domain: domain.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_knows_who_it_is() {
    let world = World::new();
    world.page(DOCUMENT, IDENTITY);
    let usual = world.imds.identity().await.unwrap();
    assert_eq!(usual, identity("aws-cn", "amazonaws.com.cn"), "by its region where nothing is said");
    world.page("meta-data/services/partition", "aws-iso\n");
    world.page("meta-data/services/domain", "c2s.ic.gov");
    assert_eq!(world.imds.identity().await.unwrap(), identity("aws-iso", "c2s.ic.gov"));
}

#[tokio::test(start_paused = true)]
async fn an_error_page_does_not_become_the_instances_name() {
    let world = World::new();
    let nonsense = IDENTITY.replace("i-0abc", "401 - Unauthorized");
    for page in ["<html>401 - Unauthorized</html>", "{}", &nonsense] {
        world.page(DOCUMENT, page);
        let trouble = world.imds.identity().await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unreadable { .. }), "{trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_imds_that_comes_up_late_is_waited_for() {
    let world = World::new();
    world.page(DOCUMENT, IDENTITY);
    world.fault(Fault::Refuse);
    let began = Instant::now();
    let asking = world.imds.identity_when_known(7);
    let healing = async {
        sleep(Duration::from_secs(60)).await;
        world.fault(None);
    };
    let (known, ()) = tokio::join!(asking, healing);
    assert_eq!(known.instance.as_str(), "i-0abc");
    assert!(began.elapsed() <= Duration::from_secs(64), "{:?}", began.elapsed());
    assert!(world.asked("api/token") < 40, "without hammering it");
}

/// What the poller tells.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Seen(Notice),
    Withdrawn(Notice),
    Sight(Sight),
}

impl From<Event> for Told {
    fn from(event: Event) -> Self {
        match event {
            Event::NoticeSeen { notice } => Told::Seen(notice),
            Event::NoticeWithdrawn { notice } => Told::Withdrawn(notice),
            other => panic!("a poller does not tell {other:?}"),
        }
    }
}

impl From<Sight> for Told {
    fn from(sight: Sight) -> Self {
        Told::Sight(sight)
    }
}

impl World {
    fn poll(&self, standing: &[Notice]) -> mpsc::Receiver<Told> {
        let (sender, receiver) = mpsc::channel(16);
        let poller = NoticePoller::new(self.imds.clone(), Duration::from_secs(1), 42, calendar(), standing);
        tokio::spawn(poller.run(sender));
        receiver
    }
}

/// It is 2026-11-23T00:00:00Z, an hour after boot.
fn calendar() -> Calendar {
    let start = Now { at: BootTime(3_600_000), wall: WallTime(1_795_392_000_000) };
    Calendar { clock: Arc::new(TokioClock::starting_at(start)), scheduled: Scheduled::default() }
}

fn terminate() -> Notice {
    // 2026-11-23T00:02:00Z
    Notice { kind: NoticeKind::SpotTerminate, time: Some(WallTime(1_795_392_120_000)) }
}

const TERMINATE: &str = r#"{"action":"terminate","time":"2026-11-23T00:02:00Z"}"#;

/// What is told next, and after how long; panics where nothing is told for two minutes.
async fn next(told: &mut mpsc::Receiver<Told>) -> (Told, Duration) {
    let began = Instant::now();
    let next = timeout(Duration::from_secs(120), told.recv()).await.expect("told within two minutes");
    (next.unwrap(), began.elapsed())
}

async fn nothing(told: &mut mpsc::Receiver<Told>, patience: Duration) {
    if let Ok(told) = timeout(patience, told.recv()).await {
        panic!("nothing was to be told, and yet: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_told_once_and_within_a_poll() {
    for phase in 0..20 {
        let world = World::new();
        let mut told = world.poll(&[]);
        sleep(Duration::from_millis(10_000 + 53 * phase)).await;
        world.page(SPOT, TERMINATE);
        let (first, after) = next(&mut told).await;
        assert_eq!(first, Told::Seen(terminate()));
        assert!(after <= Duration::from_millis(1100), "{after:?}");
        nothing(&mut told, Duration::from_secs(300)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_stood_before_the_agent_is_told_at_once() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[]);
    assert_eq!(next(&mut told).await, (Told::Seen(terminate()), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_notice_in_the_past_or_without_a_readable_time_is_a_notice() {
    let past = Notice { kind: NoticeKind::SpotStop, time: Some(WallTime(0)) };
    let unread = Notice { kind: NoticeKind::SpotHibernate, time: None };
    let table = [
        (r#"{"action":"stop","time":"1969-12-31T23:59:59Z"}"#, past),
        (r#"{"action":"hibernate","time":"any minute now"}"#, unread),
    ];
    for (page, notice) in table {
        let world = World::new();
        world.page(SPOT, page);
        let mut told = world.poll(&[]);
        assert_eq!(next(&mut told).await.0, Told::Seen(notice));
    }
}

#[tokio::test(start_paused = true)]
async fn several_kinds_at_once_are_all_told() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    world.page(REBALANCE, r#"{"noticeTime":"2026-11-23T00:02:00Z"}"#);
    world.page(LIFECYCLE, "Terminated");
    world.page(SCHEDULED, r#"[{"NotBefore":"23 Nov 2026 00:02:00 GMT","Code":"instance-stop","State":"active"}]"#);
    let mut told = world.poll(&[]);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        match next(&mut told).await {
            (Told::Seen(notice), Duration::ZERO) => kinds.push(notice.kind),
            other => panic!("{other:?}"),
        }
    }
    kinds.sort();
    let expected = [NoticeKind::SpotTerminate, NoticeKind::Rebalance, NoticeKind::Scheduled, NoticeKind::AutoScaling];
    assert_eq!(kinds, expected);
    nothing(&mut told, Duration::from_secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_event_is_told_shortly_before_and_withdrawn_when_it_is_cancelled() {
    let world = World::new();
    let event = |state| {
        format!(
            r#"[{{"NotBefore":"23 Nov 2026 02:00:00 GMT","NotAfter":"","Code":"instance-stop","State":"{state}"}}]"#
        )
    };
    world.page(SCHEDULED, &event("active"));
    let mut told = world.poll(&[]);
    nothing(&mut told, Duration::from_secs(114 * 60)).await;
    let (seen, after) = next(&mut told).await;
    let notice = Notice { kind: NoticeKind::Scheduled, time: Some(WallTime(1_795_399_200_000)) };
    assert_eq!(seen, Told::Seen(notice.clone()));
    assert!(after <= Duration::from_secs(95), "five minutes ahead, within one look: {after:?}");
    world.page(SCHEDULED, &event("canceled"));
    assert_eq!(next(&mut told).await.0, Told::Withdrawn(notice));
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_withdrawn_when_it_is_gone_and_not_by_a_hiccup() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[]);
    next(&mut told).await;
    world.fault_at(SPOT, Fault::Status(404));
    sleep(Duration::from_millis(1050)).await;
    world.state.lock().unwrap().faults.clear();
    nothing(&mut told, Duration::from_secs(60)).await;
    world.remove(SPOT);
    let (withdrawn, after) = next(&mut told).await;
    assert_eq!(withdrawn, Told::Withdrawn(terminate()));
    assert!(after <= Duration::from_millis(2200), "{after:?}");
    world.page(SPOT, TERMINATE);
    assert_eq!(next(&mut told).await.0, Told::Seen(terminate()), "and may come back");
}

#[tokio::test(start_paused = true)]
async fn a_notice_whose_time_moves_is_never_gone_in_between() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[]);
    next(&mut told).await;
    world.page(SPOT, r#"{"action":"terminate","time":"2026-11-23T00:05:00Z"}"#);
    let later = Notice { kind: NoticeKind::SpotTerminate, time: Some(WallTime(1_795_392_300_000)) };
    assert_eq!(next(&mut told).await.0, Told::Seen(later));
    assert_eq!(next(&mut told).await.0, Told::Withdrawn(terminate()));
    nothing(&mut told, Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_notice_remembered_from_before_a_restart_is_not_told_again_but_its_end_is() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[terminate(), Notice { kind: NoticeKind::Operator, time: None }]);
    nothing(&mut told, Duration::from_secs(10)).await;
    world.remove(SPOT);
    assert_eq!(next(&mut told).await.0, Told::Withdrawn(terminate()));
    nothing(&mut told, Duration::from_secs(60)).await;
}

const FAULTS: [Fault; 9] = [
    Fault::Empty,
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(500),
    Fault::Status(503),
    Fault::Hang,
    Fault::Refuse,
    Fault::Page("<html>a captive portal</html>"),
    Fault::Page("{}"),
];

#[tokio::test(start_paused = true)]
async fn half_a_minute_of_any_trouble_is_said_and_a_notice_is_seen_when_it_ends() {
    for fault in FAULTS {
        for phase in 0..8 {
            let world = World::new();
            let mut told = world.poll(&[]);
            sleep(Duration::from_millis(10_000 + 131 * phase)).await;
            world.fault(fault);
            let requests = world.transport.seen().len();
            let (sight, after) = next(&mut told).await;
            assert!(matches!(sight, Told::Sight(Sight::Blind { .. })), "{fault:?}: {sight:?}");
            assert!(after <= Duration::from_millis(6500), "{fault:?}: blind after {after:?}");
            nothing(&mut told, Duration::from_secs(30) - after).await;
            let requests = world.transport.seen().len() - requests;
            assert!(requests <= 110, "{fault:?}: {requests} requests in 30 s of trouble");
            world.page(SPOT, TERMINATE);
            world.fault(None);
            let (sight, after) = next(&mut told).await;
            assert!(matches!(sight, Told::Sight(Sight::Seeing { .. })), "{fault:?}: {sight:?}");
            assert!(after <= Duration::from_millis(1500), "{fault:?}: seeing after {after:?}");
            assert_eq!(next(&mut told).await, (Told::Seen(terminate()), Duration::ZERO), "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_standing_notice_is_not_withdrawn_by_trouble() {
    for fault in FAULTS {
        let world = World::new();
        world.page(SPOT, TERMINATE);
        let mut told = world.poll(&[]);
        next(&mut told).await;
        world.fault(fault);
        assert!(matches!(next(&mut told).await.0, Told::Sight(Sight::Blind { .. })), "{fault:?}");
        nothing(&mut told, Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_answered_by_asking_less_but_never_by_looking_away() {
    let world = World::new();
    let mut told = world.poll(&[]);
    sleep(Duration::from_secs(10)).await;
    world.fault_at(SPOT, Fault::Status(429));
    let before = world.asked(SPOT);
    sleep(Duration::from_secs(60)).await;
    let polls = world.asked(SPOT) - before;
    assert!((13..=20).contains(&polls), "{polls} polls in a minute of throttling");
    world.state.lock().unwrap().faults.clear();
    world.page(SPOT, TERMINATE);
    assert!(matches!(next(&mut told).await.0, Told::Sight(Sight::Blind { .. })));
    let (seeing, after) = next(&mut told).await;
    assert!(matches!(seeing, Told::Sight(Sight::Seeing { .. })), "{seeing:?}");
    assert!(after < Duration::from_secs(5), "{after:?}");
    assert_eq!(next(&mut told).await.0, Told::Seen(terminate()));
}

#[tokio::test(start_paused = true)]
async fn a_path_that_hangs_does_not_hold_up_an_interruption() {
    let world = World::new();
    for path in [REBALANCE, LIFECYCLE, SCHEDULED] {
        world.fault_at(path, Fault::Hang);
    }
    let mut told = world.poll(&[]);
    for phase in 0..10 {
        sleep(Duration::from_millis(5_000 + 97 * phase)).await;
        world.page(SPOT, TERMINATE);
        let (seen, after) = next(&mut told).await;
        assert_eq!(seen, Told::Seen(terminate()));
        assert!(after <= Duration::from_millis(1100), "{after:?}");
        world.remove(SPOT);
        assert_eq!(next(&mut told).await.0, Told::Withdrawn(terminate()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_hour_costs_at_most_90_requests_a_minute() {
    let world = World::new();
    let mut told = world.poll(&[]);
    nothing(&mut told, Duration::from_secs(3600)).await;
    let requests = world.transport.seen().len();
    assert!((60 * 70..=60 * 90).contains(&requests), "{requests} requests in an hour");
    assert_eq!(world.asked("api/token"), 1);
}

#[tokio::test(start_paused = true)]
async fn polling_ends_when_nobody_listens() {
    let world = World::new();
    let (sender, receiver) = mpsc::channel::<Told>(1);
    let poller = NoticePoller::new(world.imds.clone(), Duration::from_secs(1), 42, calendar(), &[]);
    let polling = tokio::spawn(poller.run(sender));
    sleep(Duration::from_secs(3)).await;
    drop(receiver);
    timeout(Duration::from_millis(1), polling).await.expect("at once").unwrap();
}
