use pitcrew_core::Core;
use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::{Settings, Thresholds};
use pitcrew_core::wire::{GroupFacts, Observation, TargetState};

use super::*;
use crate::report::metrics::Format;

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef";

/// A core, a balancer with one group, and who tells of them.
struct Stage {
    core: Core,
    chronicle: Chronicle,
    metrics: Metrics,
    registered: bool,
    seconds: u64,
}

impl Stage {
    fn new() -> Self {
        let thresholds = Thresholds { healthy: 1, unhealthy: 1, ..Thresholds::default() };
        let settings = Settings {
            owner: Some(Owner::Pitcrew),
            probes: BTreeMap::from([("app".into(), thresholds)]),
            ..Settings::default()
        };
        let (metrics, history) = (Metrics::default(), History::in_memory(100));
        let mut stage = Self {
            core: Core::new(settings, Memory::default(), at(0)),
            chronicle: Chronicle::new(metrics.clone(), history),
            metrics,
            registered: true,
            seconds: 0,
        };
        stage.hears(Event::Started);
        stage.probe(true);
        stage
    }

    fn hears(&mut self, event: Event) {
        let now = at(self.seconds);
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.chronicle.event(now, &event);
            let actions = self.core.step(now, event);
            for action in actions {
                self.chronicle.action(now, &action);
                events.extend(self.answer(action));
            }
            self.chronicle.view(now, &Arc::new(self.core.view(now)));
        }
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        Some(match action {
            Action::DiscoverGroups => {
                let deregistration_delay = Duration::from_secs(300);
                Event::GroupsDiscovered { answer: Ok(vec![GroupFacts { arn: GROUP.into(), deregistration_delay }]) }
            }
            Action::ObserveGroup { group } => {
                let target = Target { id: "i-0abc".into(), port: 8080, zone: None };
                let state = if self.registered { TargetState::Healthy } else { TargetState::Draining };
                let own = BTreeMap::from([(target, state)]);
                Event::GroupObserved { group, answer: Ok(Observation { own, peers: 1, healthy_peers: 1 }) }
            }
            Action::Deregister { group, .. } => {
                self.registered = false;
                Event::Deregistered { group, answer: Ok(()) }
            }
            Action::Register { group, .. } => {
                self.registered = true;
                Event::Registered { group, answer: Ok(()) }
            }
            Action::CountConnections { ports } => {
                Event::ConnectionsCounted { counts: ports.into_iter().map(|port| (port, 0)).collect() }
            }
            _ => return None,
        })
    }

    fn probe(&mut self, well: bool) {
        let answer = if well { Ok(()) } else { Err("status 500".to_owned()) };
        self.hears(Event::ProbeAnswered { probe: "app".into(), answer });
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.seconds += 1;
            self.hears(Event::TimerElapsed);
        }
    }

    fn hook(&mut self, call: u64, event: E, patience: u64) {
        let group = DeploymentGroup { application: "shop".into(), name: "web".into() };
        let patience = Duration::from_secs(patience);
        let hook = HookCall { event, deployment: "d-1".into(), group, revision: Default::default(), patience };
        self.hears(Event::HookArrived { call: CallId(call), hook });
    }

    fn counts(&self, line: &str) {
        let text = self.metrics.written(Format::Prometheus, None);
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }

    fn ended(&self) -> (Ending, Vec<Stretch>, Option<String>) {
        let ended = self.chronicle.records().into_iter().find_map(|record| match record.what {
            What::DeploymentEnded { how, phases, why, .. } => Some((how, phases, why)),
            _ => None,
        });
        ended.expect("the deployment has ended")
    }
}

fn at(seconds: u64) -> Now {
    Now { at: Instant(seconds * 1000), wall: WallTime(1_795_411_200_000 + seconds * 1000) }
}

#[test]
fn a_deployment_is_told_phase_by_phase() {
    let mut stage = Stage::new();
    stage.hook(1, E::BeforeInstall, 900);
    stage.pass(20);
    stage.hook(2, E::ValidateService, 900);
    stage.probe(true);
    stage.pass(1);
    stage.probe(true);
    stage.pass(5);
    let (how, phases, why) = stage.ended();
    assert_eq!((how, why), (Ending::Succeeded, None));
    let names: Vec<_> = phases.iter().map(|stretch| stretch.phase).collect();
    assert_eq!(names, [Phase::Draining, Phase::Installing, Phase::Returning]);
    let all: u64 = phases.iter().map(|stretch| stretch.ms).sum();
    assert!(phases[0].ms >= 7_000 && (20_000..=27_000).contains(&all), "{phases:?}");
    stage.counts("pitcrew_deployments_total{outcome=\"succeeded\"} 1");
    stage.counts("pitcrew_drain_duration_seconds_count{end=\"idle\"} 1");
    stage.counts("pitcrew_hook_calls_total{event=\"ValidateService\",verdict=\"done\"} 1");
}

#[test]
fn a_deployment_that_fails_is_told_with_its_reason() {
    let mut stage = Stage::new();
    stage.hook(1, E::BeforeInstall, 900);
    stage.pass(20);
    stage.probe(false);
    stage.hook(2, E::ValidateService, 10);
    stage.pass(12);
    let (how, _, why) = stage.ended();
    assert_eq!(how, Ending::HookFailed);
    assert!(why.is_some_and(|why| why.contains("gave up") && why.contains("status 500")));
    stage.counts("pitcrew_deployments_total{outcome=\"hook-failed\"} 1");
    let sentences: Vec<_> = stage.chronicle.records().iter().map(|record| record.what.to_string()).collect();
    assert!(sentences.iter().any(|sentence| sentence == "probe `app` fails: status 500"), "{sentences:#?}");
}

#[test]
fn what_ended_before_this_run_is_not_told_again() {
    let mut stage = Stage::new();
    stage.hook(1, E::BeforeInstall, 900);
    stage.pass(20);
    stage.hook(2, E::ValidateService, 10);
    stage.pass(12);
    let _ = stage.ended();
    let mut next = Chronicle::new(Metrics::default(), History::in_memory(10));
    let view = Arc::new(stage.core.view(at(stage.seconds)));
    next.view(at(stage.seconds), &view);
    next.view(at(stage.seconds + 1), &view);
    assert!(!next.records().iter().any(|record| matches!(record.what, What::DeploymentEnded { .. })));
}

#[test]
fn a_notice_is_counted_with_what_it_left() {
    let mut stage = Stage::new();
    let notice = pitcrew_core::notice::Notice { kind: NoticeKind::SpotTerminate, time: Some(at(120).wall) };
    stage.hears(Event::NoticeSeen { notice });
    stage.pass(130);
    stage.counts("pitcrew_notices_total{kind=\"spot-terminate\"} 1");
    stage.counts("pitcrew_notice_left_seconds_bucket{kind=\"spot-terminate\",moment=\"noticed\",le=\"120.0\"} 1");
    let left = stage.chronicle.records().into_iter().any(|record| matches!(record.what, What::Left { .. }));
    assert!(left, "{:#?}", stage.chronicle.records());
}

#[test]
fn a_deployment_that_outlives_its_agent_keeps_its_phases() {
    let mut stage = Stage::new();
    stage.hook(1, E::BeforeInstall, 900);
    stage.pass(20);
    // The agent is killed, and knows only what was written down.
    let history = History::in_memory(100);
    stage.chronicle.records().into_iter().for_each(|record| history.add(record));
    stage.chronicle = Chronicle::new(stage.metrics.clone(), history);
    stage.hook(2, E::ValidateService, 900);
    stage.probe(true);
    stage.pass(1);
    stage.probe(true);
    stage.pass(5);
    let (how, phases, _) = stage.ended();
    assert_eq!(how, Ending::Succeeded);
    let names: Vec<_> = phases.iter().map(|stretch| stretch.phase).collect();
    assert_eq!(names, [Phase::Draining, Phase::Installing, Phase::Returning]);
    assert!((7_000..10_000).contains(&phases[0].ms) && phases[1].ms >= 10_000, "{phases:?}");
}
