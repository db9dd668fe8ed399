use expect_test::{Expect, expect};
use pitcrew_core::ids::{DeploymentGroup, TargetGroupArn};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::readiness::Readiness;
use pitcrew_core::revision::Revision;
use pitcrew_core::traffic::{Traffic, Why};
use pitcrew_core::view::State;
use pitcrew_core::wire::{Target, TargetState};

use super::*;

const NOON: WallTime = WallTime(1_795_435_200_000);

fn serving() -> View {
    View {
        at: NOON,
        sentence: "in traffic: healthy in 2 of 2 target groups".into(),
        state: State::Serving,
        wanted: Traffic::In,
        settled: true,
        healthy: true,
        readiness: Readiness { ready: true, reasons: Vec::new() },
        deployments: Vec::new(),
        ended: Vec::new(),
        suspect: None,
        hold: None,
        notices: Vec::new(),
        leaving_in_ms: None,
        leaving_stage: None,
        elastigroup: None,
        at_risk: None,
        blind_since: None,
        targets: vec![registration("web", 8080, "healthy"), registration("internal-api", 9090, "healthy")],
        probes: vec![ProbeView {
            name: "app".into(),
            passing: Some(true),
            reason: None,
            answered_ms: Some(1200),
            advisory: false,
        }],
        host_agents: Vec::new(),
        troubles: Vec::new(),
    }
}

fn registration(group: &str, port: u16, standing: &str) -> TargetView {
    TargetView {
        group: TargetGroupArn::new(format!("arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/{group}/6d0e")),
        target: Target { id: "i-0abc".into(), port, zone: None },
        balancer: Some(TargetState::Healthy),
        standing: standing.into(),
        taken_out: false,
        put_back: 0,
        drained: None,
    }
}

fn group() -> DeploymentGroup {
    DeploymentGroup { application: "shop".into(), name: "web".into() }
}

fn check(view: &View, ages: Ages, expected: &Expect) {
    expected.assert_eq(&(lines(view, ages).join("\n") + "\n"));
}

#[test]
fn serving_is_said_in_a_few_lines() {
    check(
        &serving(),
        Ages::Shown,
        &expect![[r#"
        in traffic: healthy in 2 of 2 target groups

        targets
          web           i-0abc:8080  healthy
          internal-api  i-0abc:9090  healthy

        health
          app  passing  1.2 s ago
    "#]],
    );
}

#[test]
fn a_deployment_shows_what_it_waits_for() {
    let mut view = serving();
    view.sentence = "deployment d-ABC: web: draining, 3 connections".into();
    view.state = State::Deploying;
    view.wanted = Traffic::Out(Why::Deploying(vec!["d-ABC".into()]));
    view.targets[0].standing = "draining, 3 connections".into();
    view.targets[0].taken_out = true;
    view.targets[0].put_back = 2;
    view.deployments = vec![DeploymentView {
        id: "d-ABC".into(),
        group: group(),
        owner: Owner::Pitcrew,
        holds_traffic: true,
        last_event: LifecycleEvent::BeforeInstall,
        opened: NOON,
        silent_ms: 12_000,
        revision: Revision { commit: Some("0d1f2c3".into()), ..Revision::default() },
    }];
    view.ended = vec![Ended {
        deployment: "d-OLD".into(),
        group: group(),
        how: Ending::HookFailed,
        last_event: LifecycleEvent::ApplicationStart,
        opened: NOON,
        at: NOON,
        revision: Revision { etag: Some("\"9b2c\"".into()), ..Revision::default() },
    }];
    view.probes[0].passing = Some(false);
    view.probes[0].reason = Some("connection refused".into());
    view.troubles = vec!["DescribeTargetHealth of web was throttled".into()];
    check(
        &view,
        Ages::Shown,
        &expect![[r#"
        deployment d-ABC: web: draining, 3 connections

        targets
          web           i-0abc:8080  draining, 3 connections  to be given back, put back 2 times by somebody else
          internal-api  i-0abc:9090  healthy

        deployments
          d-ABC  shop/web  BeforeInstall 12 s ago  holds traffic, since 2026-11-23 12:00:00 UTC  revision 0d1f2c3

        ended
          d-OLD  shop/web  a hook failed  at 2026-11-23 12:00:00 UTC, after ApplicationStart  revision 9b2c

        health
          app  failing  1.2 s ago  connection refused

        troubles
          DescribeTargetHealth of web was throttled
    "#]],
    );
}

#[test]
fn what_only_grows_older_is_no_change() {
    let mut view = serving();
    let before = lines(&view, Ages::Hidden);
    view.probes[0].answered_ms = Some(1900);
    assert_eq!(lines(&view, Ages::Hidden), before);
    assert_ne!(lines(&view, Ages::Shown), before);
}

#[test]
fn leaving_names_every_notice_and_the_time_that_is_left() {
    let mut view = serving();
    view.sentence = "leaving (spot-terminate, 94 s left): web: draining, 1 connection".into();
    view.state = State::Leaving;
    view.notices = vec![Notice { kind: NoticeKind::SpotTerminate, time: Some(NOON) }];
    view.at_risk = Some(Notice { kind: NoticeKind::Rebalance, time: None });
    view.blind_since = Some(NOON);
    view.leaving_in_ms = Some(94_000);
    view.targets = Vec::new();
    view.probes = Vec::new();
    check(
        &view,
        Ages::Shown,
        &expect![[r#"
        leaving (spot-terminate, 94 s left): web: draining, 1 connection
        notice: spot-terminate at 2026-11-23 12:00:00 UTC
        94 s left
        at risk: rebalance
        blind since 2026-11-23 12:00:00 UTC: the metadata service does not answer, a notice may stand there unheard
    "#]],
    );
}

#[test]
fn a_hold_says_how_it_ends() {
    let mut view = serving();
    view.state = State::Held;
    view.targets = Vec::new();
    view.probes = Vec::new();
    view.sentence = "held by an operator: out of traffic".into();
    view.hold = Some(HoldView { until: Some(NOON) });
    check(
        &view,
        Ages::Shown,
        &expect![[r#"
        held by an operator: out of traffic
        the hold ends at 2026-11-23 12:00:00 UTC
    "#]],
    );
    view.hold = Some(HoldView { until: None });
    check(
        &view,
        Ages::Shown,
        &expect![[r#"
        held by an operator: out of traffic
        the hold ends with `pitcrew in`
    "#]],
    );
}
