//! Agents that are made to break what a rehearsal judges: proof that its verdict finds it, and names the seed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::{Runs, play, play_many, said};
use pitcrew_rehearsal::crew::{Crew, Verb};
use pitcrew_rehearsal::interruption::{Action, Interruption, Kill, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::chaos::{Plan, shrink};
use pitcrew_rehearsal::rehearsal::{Group, Options, Owner, Stage};
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::Judgement;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::sleep;

use super::between::{Between, Nobody};
use super::crew_with;
use crate::doors::{Connections, Transport, TransportError};
use crate::intake::socket::{Dialer, InProcess, Listener as _, in_process};
use crate::ledger::MemoryStore;
use crate::run::Doors;

/// What is done to the agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// What was taken out is registered again a moment later.
    RegistersAgain,
    /// A register call never leaves the instance, and is answered as if it had.
    SwallowsRegister,
    /// A register call names one more target.
    RegistersAStranger,
    /// A look at a target group takes the instance out of it.
    MovesForCodeDeploy,
    /// No hook hears its answer.
    NeverAnswers,
    /// Tags are never removed.
    KeepsTheTags,
    /// A deregister call is held back until the group's other target is ill.
    TakesTheLastHealthyOut,
    /// What was written down is gone with the agent.
    DoesNotWriteDown,
    /// A notice is never read.
    HearsNothing,
    /// An unlock call never leaves the instance, and is answered as if it had.
    SwallowsUnlock,
    /// The same of the call that ends standby.
    SwallowsStandbyExit,
    /// No connection is ever counted, and nothing is waited for.
    CountsNothing,
}

impl Between for Sabotage {
    fn doors(&self, seat: &Seat, doors: Doors) -> Doors {
        let transport = Arc::new(Tampered { sabotage: *self, seat: seat.clone(), honest: doors.transport });
        let doors = Doors { transport, ..doors };
        match self {
            Self::DoesNotWriteDown => Doors { store: Box::new(MemoryStore::default()), ..doors },
            Self::CountsNothing => Doors { connections: Arc::new(Blind), ..doors },
            Self::RegistersAgain
            | Self::SwallowsRegister
            | Self::RegistersAStranger
            | Self::MovesForCodeDeploy
            | Self::NeverAnswers
            | Self::KeepsTheTags
            | Self::TakesTheLastHealthyOut
            | Self::SwallowsUnlock
            | Self::SwallowsStandbyExit
            | Self::HearsNothing => doors,
        }
    }

    fn socket(&self, (dialer, listener): (Dialer, InProcess)) -> (Dialer, InProcess) {
        if *self != Self::NeverAnswers {
            return (dialer, listener);
        }
        let (outer, mut callers) = in_process();
        tokio::spawn(async move {
            while let Ok((caller, peer)) = callers.accept().await {
                let Ok(agent) = dialer.connect(peer).await else { return };
                tokio::spawn(without_answers(caller, agent));
            }
        });
        (outer, listener)
    }
}

/// Carries everything between a caller and its agent but the line in which the agent answers.
async fn without_answers(caller: tokio::io::DuplexStream, agent: tokio::io::DuplexStream) {
    let (mut from_caller, mut to_caller) = tokio::io::split(caller);
    let (from_agent, mut to_agent) = tokio::io::split(agent);
    let asks = tokio::io::copy(&mut from_caller, &mut to_agent);
    let answers = async {
        let mut lines = BufReader::new(from_agent).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if !line.contains("\"answer\"") {
                let _ = to_caller.write_all(format!("{line}\n").as_bytes()).await;
            }
        }
        std::future::pending::<()>().await
    };
    // The caller that hangs up ends both.
    tokio::select! {
        biased;
        _ = asks => {}
        () = answers => {}
    }
}

/// Counts no connection.
struct Blind;

impl Connections for Blind {
    fn established(&self, ports: &[u16]) -> std::io::Result<std::collections::BTreeMap<u16, usize>> {
        Ok(ports.iter().map(|port| (*port, 0)).collect())
    }
}

/// The neighbour's application ends when the call has just been made.
const NEIGHBOUR_DIES_AFTER: Duration = Duration::from_secs(7);
/// The balancer's checks have found out, at the latest, so long after a call that was made when they had not.
const NEIGHBOUR_IS_ILL_AFTER: Duration = Duration::from_secs(16);

/// What leaves the instance, changed on the way.
struct Tampered {
    sabotage: Sabotage,
    seat: Seat,
    honest: Arc<dyn Transport>,
}

const REGISTERED: &str = "<RegisterTargetsResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
    <RegisterTargetsResult/><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></RegisterTargetsResponse>";
const DONE: &str = r#"{"response":{"status":{"code":200,"message":"OK"}}}"#;
const TAGS_DELETED: &str = "<DeleteTagsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
    <requestId>1</requestId><return>true</return></DeleteTagsResponse>";

impl Tampered {
    async fn tampered(
        &self,
        request: http::Request<Bytes>,
        patience: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let text = String::from_utf8_lossy(request.body()).into_owned();
        let is = |action: &str| text.contains(&format!("Action={action}&"));
        let with = |text: String| {
            let (mut parts, _) = request.clone().into_parts();
            parts.headers.remove(http::header::CONTENT_LENGTH);
            http::Request::from_parts(parts, Bytes::from(text))
        };
        match self.sabotage {
            Sabotage::RegistersAgain if is("DeregisterTargets") => {
                let answer = self.honest.send(request.clone(), patience).await;
                sleep(Duration::from_millis(300)).await;
                let again = with(text.replace("Action=DeregisterTargets", "Action=RegisterTargets"));
                self.honest.send(again, patience).await?;
                answer
            }
            Sabotage::SwallowsRegister if is("RegisterTargets") => Ok(http::Response::new(Bytes::from(REGISTERED))),
            Sabotage::RegistersAStranger if is("RegisterTargets") => {
                let id = &self.seat.instance_id;
                let more = format!("{text}&Targets.member.2.Id={id}&Targets.member.2.Port=22");
                self.honest.send(with(more), patience).await
            }
            Sabotage::MovesForCodeDeploy if is("DescribeTargetHealth") => {
                let (id, port) = (&self.seat.instance_id, self.seat.application.port());
                let own = format!("&Targets.member.1.Id={id}&Targets.member.1.Port={port}");
                let out = text.replace("Action=DescribeTargetHealth", "Action=DeregisterTargets") + &own;
                self.honest.send(with(out), patience).await?;
                self.honest.send(request, patience).await
            }
            Sabotage::TakesTheLastHealthyOut if is("DeregisterTargets") => {
                sleep(NEIGHBOUR_IS_ILL_AFTER).await;
                self.honest.send(request, patience).await
            }
            Sabotage::KeepsTheTags if is("DeleteTags") => Ok(http::Response::new(Bytes::from(TAGS_DELETED))),
            Sabotage::SwallowsUnlock if request.uri().path().ends_with("/unlock") => {
                Ok(http::Response::new(Bytes::from(DONE)))
            }
            Sabotage::SwallowsStandbyExit if request.uri().path().ends_with("/standby/exit") => {
                Ok(http::Response::new(Bytes::from(DONE)))
            }
            Sabotage::HearsNothing if request.uri().path().ends_with("spot/instance-action") => {
                let mut absent = http::Response::new(Bytes::new());
                *absent.status_mut() = http::StatusCode::NOT_FOUND;
                Ok(absent)
            }
            Sabotage::RegistersAgain
            | Sabotage::SwallowsRegister
            | Sabotage::RegistersAStranger
            | Sabotage::MovesForCodeDeploy
            | Sabotage::KeepsTheTags
            | Sabotage::SwallowsUnlock
            | Sabotage::SwallowsStandbyExit
            | Sabotage::HearsNothing
            | Sabotage::NeverAnswers
            | Sabotage::TakesTheLastHealthyOut
            | Sabotage::DoesNotWriteDown
            | Sabotage::CountsNothing => self.honest.send(request, patience).await,
        }
    }
}

impl Transport for Tampered {
    fn send(
        &self,
        request: http::Request<Bytes>,
        patience: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.tampered(request, patience))
    }
}

/// A deployment with a little load, in which whoever waits in vain does not wait for long.
fn options() -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.rate, options.requests) = (10, 0);
    options.deregistration_delay = Duration::from_secs(20);
    options.settings = "deployment.hook_timeout = \"30s\"\nreturn.within = \"20s\"\n".to_owned();
    options
}

fn taken_away() -> Option<Interruption> {
    let (at, notice) = (Moment::Idle(Duration::from_secs(3)), Duration::from_secs(20));
    Some(Interruption { at, action: Action::Terminate, notice, withdrawn_after: None })
}

/// Where each sabotage shows, and as what.
fn table() -> Vec<(Sabotage, Options, &'static str)> {
    vec![
        (
            Sabotage::RegistersAgain,
            Options { interruption: taken_away(), ..options() },
            "invariant 1, no registration once leaving: ",
        ),
        (Sabotage::SwallowsRegister, options(), "invariant 2, healthy means back in every place: "),
        (
            Sabotage::DoesNotWriteDown,
            Options { kill_agent_at: Some(Kill::During(LifecycleEvent::AfterInstall)), ..options() },
            "invariant 2, healthy means back in every place: ",
        ),
        (Sabotage::RegistersAStranger, options(), "invariant 3, nothing else is registered: "),
        (
            Sabotage::MovesForCodeDeploy,
            Options { owner: Owner::CodeDeploy, ..options() },
            "invariant 4, never two owners: ",
        ),
        (
            Sabotage::NeverAnswers,
            Options { settings: "deployment.hook_timeout = \"1h\"".to_owned(), first: true, ..options() },
            "invariant 5, each hook answered once, in time: ",
        ),
        (
            Sabotage::SwallowsUnlock,
            Options { elastigroup: Some(Group::default()), ..options() },
            "invariant 6, protections are released: ",
        ),
        (
            Sabotage::SwallowsStandbyExit,
            Options { elastigroup: Some(Group::default()), owner: Owner::Elastigroup, ..options() },
            "invariant 6, protections are released: ",
        ),
        (
            Sabotage::KeepsTheTags,
            Options { interruption: taken_away(), ..options() },
            "invariant 7, deadlines are kept: ",
        ),
        (
            Sabotage::TakesTheLastHealthyOut,
            Options { settings: options().settings + "aws.timeout = \"1m\"\n", ..options() },
            "invariant 8, the last healthy target stays: ",
        ),
        (
            Sabotage::HearsNothing,
            Options { interruption: taken_away(), ..options() },
            "a notice is read as soon as it can be: ",
        ),
    ]
}

/// The crew that `sabotage` works on, or the honest one where it would have worked.
fn crew(stage: &Stage, options: &Options, sabotage: Sabotage, honest: bool) -> anyhow::Result<Arc<dyn Crew>> {
    let between: Arc<dyn Between> = if honest { Arc::new(Nobody) } else { Arc::new(sabotage) };
    let crew = crew_with(stage, options, between)?;
    if let (Sabotage::TakesTheLastHealthyOut, Some(neighbour)) = (sabotage, stage.world.seats.last().cloned()) {
        let crew = crew.clone();
        tokio::spawn(async move {
            sleep(NEIGHBOUR_DIES_AFTER).await;
            crew.application(&neighbour, Verb::Stop).await
        });
    }
    Ok(crew)
}

/// What is broken in one rehearsal, as the many print it, and how many requests are lost.
fn outcome(options: &Options, sabotage: Sabotage, honest: bool) -> (Vec<String>, u64) {
    let crew = move |stage: &Stage, options: &Options| crew(stage, options, sabotage, honest);
    let report = play(options, Timeline::default(), &crew).unwrap();
    let broken = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken);
    (broken.map(said).collect(), report.load.lost)
}

fn many(options: &Options, sabotage: Sabotage) -> Runs {
    play_many(options, 2, &move |stage, options| crew(stage, options, sabotage, false)).unwrap()
}

#[test]
fn an_invariant_that_is_broken_on_purpose_is_named_with_the_seed_that_plays_it_again() {
    for (sabotage, options, expected) in table() {
        let options = Options { seed: 40, ..options };
        let runs = many(&options, sabotage);
        let text = runs.to_string();
        let is_named = |lines: &[String]| lines.iter().any(|line| line.starts_with(expected));
        let found = runs.failures().find(|run| is_named(&run.broken));
        let found = found.unwrap_or_else(|| panic!("{sabotage:?} was not found as `{expected}`:\n{text}"));
        assert!(!runs.passed() && text.contains(&format!("seed {}: lost ", found.seed)) && text.contains(expected));
        let first = runs.failures().next().unwrap().seed;
        assert!(text.ends_with(&format!("the same command without --runs and with --seed {first}\n")), "{text}");

        let alone = Options { seed: found.seed, ..options };
        let again = outcome(&alone, sabotage, false);
        assert_eq!(again, (found.broken.clone(), found.lost), "{sabotage:?}: the seed alone plays it again");
        let (honest, _) = outcome(&alone, sabotage, true);
        assert!(!is_named(&honest), "{sabotage:?}: broken anyway: {honest:#?}");
    }
}

#[test]
fn requests_that_are_lost_on_purpose_are_counted_with_the_seed_that_loses_them_again() {
    let options = Options {
        slow_requests: Some(Duration::from_secs(10)),
        settings: "drain = { settle = \"0s\", quiet_period = \"0s\" }".to_owned(),
        rate: 20,
        ..options()
    };
    let runs = many(&options, Sabotage::CountsNothing);
    let losing = runs.failures().find(|run| run.lost > 0).unwrap();
    assert!(runs.to_string().contains(&format!("seed {}: lost {} of {}", losing.seed, losing.lost, losing.sent)));
    let alone = Options { seed: losing.seed, ..options };
    assert_eq!(outcome(&alone, Sabotage::CountsNothing, false).1, losing.lost);
}

#[test]
fn a_chaotic_world_that_breaks_an_invariant_plays_again_exactly_and_is_shrunk_to_what_it_takes() {
    const SPAN: Duration = Duration::from_secs(30);
    let fault = Sabotage::SwallowsRegister;
    let is_it = |broken: &[String]| broken.iter().any(|line| line.starts_with("invariant 2, healthy means back"));
    let found = (1..20).find_map(|seed| {
        let drawn = Plan::draw(&options(), seed, SPAN);
        let outcome = outcome(&drawn, fault, false);
        is_it(&outcome.0).then_some((seed, drawn, outcome))
    });
    let (seed, drawn, first) = found.unwrap();
    assert_eq!(outcome(&Plan::draw(&options(), seed, SPAN), fault, false), first, "seed {seed} plays again");

    let plan = drawn.chaos.clone().unwrap();
    let with = |plan: &Plan| Options { chaos: Some(plan.clone()), ..drawn.clone() };
    let shortest = shrink(&plan, 100, |plan| is_it(&outcome(&with(plan), fault, false).0));
    assert!(shortest.turns.len() < plan.turns.len(), "nothing could be left out of {plan:?}");
    assert!(is_it(&outcome(&with(&shortest), fault, false).0), "{shortest:?} still fails");
    assert!(!is_it(&outcome(&with(&shortest), fault, true).0), "{shortest:?} fails without the fault");
    for place in 0..shortest.turns.len() {
        let mut less = shortest.clone();
        less.turns.remove(place);
        assert!(!is_it(&outcome(&with(&less), fault, false).0), "{less:?} is shorter and still fails");
    }
}
