//! Elastigroup: carries out one order of the core's, and says what Elastigroup answered.
//!
//! Waits for the organization's allowance, where an order can wait; never repeats a call that failed: the core does.

mod api;
mod budget;
mod place;
mod reading;
mod token;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use http::Method;
use pitcrew_core::elastigroup::{Declared, Life, Order, Process, Receipt, Reply, Signal};
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::{Failure, FailureKind};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Tags;
use crate::config;
use crate::doors::{Credentials, Operation, Transport};
use crate::intake::imds::Imds;
use api::{Answered, Api, Refusal};
use budget::{Admission, Budget, Urgency};
use place::{Place, Places};
use token::Tokens;

pub use reading::Healthiness;

/// An order that would have to wait longer for the allowance is refused instead; the core gives it again.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Two suspensions that end within this time of each other are the same one.
const SAME: Duration = Duration::from_secs(180);

/// This instance's Elastigroup.
pub struct Elastigroup {
    api: Api,
    budget: Budget,
    places: Places,
    instance: InstanceId,
}

/// What the client goes through.
pub struct Doors {
    /// Carries requests.
    pub transport: Arc<dyn Transport>,
    /// Where a token may be.
    pub credentials: Credentials,
    /// Where a token may be, too.
    pub sdk: SdkConfig,
    /// Tells the instance's tags.
    pub imds: Arc<Imds>,
    /// Tells them where the metadata service does not.
    pub tags: Arc<Tags>,
    /// Spreads a fleet's calls.
    pub seed: u64,
}

/// One call: its route, as the allowance is counted, and where it goes.
struct Call<'a> {
    method: Method,
    /// With `{}` for the instance or the group.
    route: &'static str,
    object: &'a str,
    query: &'static str,
    minutes: Option<u32>,
    body: Option<Value>,
    urgency: Urgency,
}

impl Elastigroup {
    /// The group of `instance`; `None`: there is no token.
    pub fn new(settings: &config::Elastigroup, instance: InstanceId, doors: Doors) -> Option<Self> {
        let tokens = Tokens::new(settings.token.clone()?, doors.credentials, doors.sdk);
        Some(Self {
            api: Api {
                transport: doors.transport,
                tokens,
                base_url: settings.base_url.clone(),
                timeout: settings.timeout,
            },
            budget: Budget::new(doors.seed),
            places: Places::new(settings, doors.imds, doors.tags),
            instance,
        })
    }

    /// Carries an order out. The failure's sentence says what is lost by it, and does not change from one attempt to the
    /// next.
    pub async fn carry_out(&self, order: &Order) -> Result<Reply, Failure> {
        let done = match order {
            Order::ReadGroup => self.declared().await.map(Reply::Group),
            Order::Look => self.look().await,
            Order::Lock { minutes } => {
                let call = self.of_instance(Method::POST, "/aws/ec2/instance/{}/lock");
                self.done(Call { query: "ttlInMinutes", minutes: Some(*minutes), ..call }).await
            }
            Order::Unlock => self.done(self.of_instance(Method::POST, "/aws/ec2/instance/{}/unlock")).await,
            Order::EnterStandby => {
                self.done(self.of_instance(Method::POST, "/aws/ec2/instance/{}/standby/enter")).await
            }
            Order::ExitStandby => self.done(self.of_instance(Method::POST, "/aws/ec2/instance/{}/standby/exit")).await,
            Order::Suspend { processes, minutes } => self.suspend(processes, *minutes).await,
            Order::Resume { processes, minutes } => self.resume(processes, *minutes).await,
            Order::Signal(signal) => self.signal(*signal).await,
        };
        done.map_err(|refusal| Failure { kind: refusal.kind, sentence: format!("{}: {}", lost(order), refusal.why) })
    }

    /// The health of every instance of the group, as Elastigroup sees it.
    pub async fn healthiness(&self) -> Result<Vec<Healthiness>, Failure> {
        let read = async {
            let place = self.places.find().await?;
            let route = "/aws/ec2/group/{}/instanceHealthiness";
            let answer = self.send(&place, self.of_group(Method::GET, route, &place)).await?;
            Ok(answer.items.iter().map(reading::healthiness).collect())
        };
        read.await
            .map_err(|refusal: Refusal| failure("Elastigroup does not say how healthy its instances are", refusal))
    }

    /// The group, in its own JSON.
    pub async fn document(&self) -> Result<Value, Failure> {
        let read = async { self.group_document(&self.places.find().await?).await };
        read.await.map_err(|refusal| failure("what the Elastigroup declares is not known", refusal))
    }

    /// Detaches this instance from its group, which holds it for as long as it would by itself, terminates it and replaces
    /// it. Says who does.
    pub async fn replace(&self) -> Result<String, Failure> {
        let detach = async {
            let place = self.places.find().await?;
            let hold = self.declared().await?.hold();
            let body = json!({
                "instancesToDetach": [self.instance.as_str()],
                "shouldTerminateInstances": true,
                "shouldDecrementTargetCapacity": false,
                "drainingTimeout": hold.as_secs(),
            });
            let call = self.of_group(Method::PUT, "/aws/ec2/group/{}/detachInstances", &place);
            self.send(&place, Call { body: Some(body), ..call }).await
        };
        match detach.await {
            Ok(_) => Ok("its Elastigroup replaces this instance".to_owned()),
            Err(refusal) => Err(failure("no Elastigroup replaces this instance", refusal)),
        }
    }

    async fn look(&self) -> Result<Reply, Refusal> {
        let place = self.places.find().await?;
        let call = self.of_instance(Method::GET, "/aws/ec2/instance/{}");
        let answer = self.send(&place, Call { urgency: Urgency::Question, ..call }).await?;
        let own =
            answer.items.iter().find(|item| item["instanceId"] == self.instance.as_str()).or(answer.items.first());
        let word = own.and_then(|item| item["lifeCycleState"].as_str()).unwrap_or_default();
        let life = match word {
            word if word.eq_ignore_ascii_case("active") => Life::Active,
            word if word.eq_ignore_ascii_case("terminating") => Life::Terminating,
            "" => Life::Unknown("nothing".to_owned()),
            word => Life::Unknown(word.to_owned()),
        };
        Ok(Reply::Seen { life, load: answer.load })
    }

    async fn declared(&self) -> Result<Declared, Refusal> {
        let place = self.places.find().await?;
        Ok(reading::declared(&self.group_document(&place).await?))
    }

    async fn group_document(&self, place: &Place) -> Result<Value, Refusal> {
        let answer = self.send(place, self.of_group(Method::GET, "/aws/ec2/group/{}", place)).await?;
        answer.items.into_iter().next().ok_or_else(|| Refusal::unreadable("it names no group"))
    }

    async fn signal(&self, signal: Signal) -> Result<Reply, Refusal> {
        let place = self.places.find().await?;
        let body = json!({ "instanceId": self.instance.as_str(), "signal": signal.word() });
        let call = self.of_group(Method::POST, "/aws/ec2/instance/signal", &place);
        let answer = self.send(&place, Call { body: Some(body), ..call }).await?;
        let item = answer.items.first();
        Ok(Reply::Signalled(Receipt {
            expires: item.and_then(|item| reading::time(&item["signalExpiresAt"])),
            message: item.and_then(|item| item["message"].as_str()).map(str::to_owned),
        }))
    }

    /// Suspensions are the whole group's. What is suspended without an end, or for longer, is somebody else's, and enough.
    async fn suspend(&self, processes: &[Process], minutes: u32) -> Result<Reply, Refusal> {
        let place = self.places.find().await?;
        let needed = Duration::from_secs(60 * u64::from(minutes));
        let found = self.send(&place, self.of_group(Method::GET, SUSPENSION, &place)).await?;
        let suspended = reading::suspended(&found.items);
        let lacking: Vec<Process> = processes
            .iter()
            .copied()
            .filter(|process| {
                !suspended.iter().any(|(name, ends)| {
                    let lasts = ends.is_none_or(|ends| found.left(ends).is_some_and(|left| left + SAME >= needed));
                    name == process.word() && lasts
                })
            })
            .collect();
        if lacking.is_empty() {
            return Ok(Reply::Done);
        }
        let wanted: Vec<Value> =
            lacking.iter().map(|process| json!({ "name": process.word(), "ttlInMinutes": minutes })).collect();
        let order =
            || Call { body: Some(json!({ "suspensions": wanted })), ..self.of_group(Method::POST, SUSPENSION, &place) };
        match self.send(&place, order()).await {
            // Whether one that runs can be prolonged is not documented: else it is ended, and begun again.
            Err(refusal) if refusal.kind == FailureKind::Invalid && !suspended.is_empty() => {
                self.send(&place, self.end(&lacking, &place)).await?;
                self.send(&place, order()).await?;
            }
            outcome => drop(outcome?),
        }
        Ok(Reply::Done)
    }

    /// Another instance of the group that is locked is being deployed to, and relies on the suspensions: it ends them.
    async fn resume(&self, processes: &[Process], minutes: u32) -> Result<Reply, Refusal> {
        let place = self.places.find().await?;
        if self.another_is_locked(&place).await? {
            return Ok(Reply::Done);
        }
        // One without an end, or with another end than ours, was not made here.
        let expected = Duration::from_secs(60 * u64::from(minutes));
        let found = self.send(&place, self.of_group(Method::GET, SUSPENSION, &place)).await?;
        let suspended = reading::suspended(&found.items);
        let ours: Vec<Process> = processes
            .iter()
            .copied()
            .filter(|process| {
                suspended.iter().any(|(name, ends)| {
                    let left = ends.and_then(|ends| found.left(ends));
                    name == process.word() && left.is_some_and(|left| left.abs_diff(expected) <= SAME)
                })
            })
            .collect();
        if ours.is_empty() {
            return Ok(Reply::Done);
        }
        self.send(&place, self.end(&ours, &place)).await?;
        // One that locked itself since the first look may have found them just before they ended.
        if minutes > 0 && self.another_is_locked(&place).await? {
            return self.suspend(&ours, minutes).await;
        }
        Ok(Reply::Done)
    }

    async fn another_is_locked(&self, place: &Place) -> Result<bool, Refusal> {
        let status = self.send(place, self.of_group(Method::GET, "/aws/ec2/group/{}/status", place)).await?;
        let is_locked =
            |item: &Value| item["lockStatus"].as_str().is_some_and(|word| word.eq_ignore_ascii_case("locked"));
        Ok(status.items.iter().any(|item| item["instanceId"] != self.instance.as_str() && is_locked(item)))
    }

    fn end<'a>(&self, processes: &[Process], place: &'a Place) -> Call<'a> {
        let words: Vec<&str> = processes.iter().map(|process| process.word()).collect();
        Call { body: Some(json!({ "processes": words })), ..self.of_group(Method::DELETE, SUSPENSION, place) }
    }

    async fn done(&self, call: Call<'_>) -> Result<Reply, Refusal> {
        let place = self.places.find().await?;
        self.send(&place, call).await?;
        Ok(Reply::Done)
    }

    fn of_instance(&self, method: Method, route: &'static str) -> Call<'_> {
        Call { object: self.instance.as_str(), ..bare(method, route) }
    }

    fn of_group<'a>(&self, method: Method, route: &'static str, place: &'a Place) -> Call<'a> {
        Call { object: &place.group, ..bare(method, route) }
    }

    /// Sends a call when the allowance has room for it.
    async fn send(&self, place: &Place, call: Call<'_>) -> Result<Answered, Refusal> {
        let route = budget::Route { method: call.method.clone(), path: call.route };
        let mut waited = Duration::ZERO;
        loop {
            match self.budget.admit(&route, call.urgency) {
                Admission::Now => break,
                Admission::After(wait) if call.urgency == Urgency::Order && waited + wait <= LONGEST_WAIT => {
                    waited += wait;
                    sleep(wait).await;
                }
                Admission::After(_) => return Err(Refusal::throttled()),
            }
        }
        let mut path = call.route.replace("{}", call.object);
        path.push_str("?accountId=");
        path.push_str(&place.account);
        if let Some(minutes) = call.minutes {
            path.push_str(&format!("&{}={minutes}", call.query));
        }
        let operation = Operation { service: "elastigroup", name: format!("{} {}", call.method, call.route) };
        let answer = self.api.send(call.method, &path, call.body.as_ref(), &operation).await;
        match &answer {
            Ok(answered) => self.budget.answered(&route, &answered.allowance),
            Err(refusal) => self.budget.refused(&route, refusal),
        }
        answer
    }
}

const SUSPENSION: &str = "/aws/ec2/group/{}/suspension";

fn bare(method: Method, route: &'static str) -> Call<'static> {
    Call { method, route, object: "", query: "", minutes: None, body: None, urgency: Urgency::Order }
}

/// What it means that an order failed.
fn lost(order: &Order) -> &'static str {
    match order {
        Order::ReadGroup => "what the Elastigroup declares is not known",
        Order::Look => "Elastigroup does not say whether it detached this instance",
        Order::Lock { .. } => "Elastigroup may take this instance in the middle of a deployment, for it is not locked",
        Order::Unlock => "the lock at Elastigroup was not ended; it ends by itself",
        Order::Suspend { .. } => "Elastigroup may replace this instance in the middle of a deployment",
        Order::Resume { .. } => "the suspensions at Elastigroup were not ended; they end by themselves",
        Order::EnterStandby => "Elastigroup did not put this instance in standby",
        Order::ExitStandby => "this instance is still in standby at Elastigroup",
        Order::Signal(Signal::Ready) => "Elastigroup was not told that this instance is ready",
        Order::Signal(Signal::ReadyToShutdown) => "Elastigroup was not told that this instance may go",
    }
}

fn failure(what: &str, refusal: Refusal) -> Failure {
    Failure { kind: refusal.kind, sentence: format!("{what}: {}", refusal.why) }
}

impl std::fmt::Debug for Elastigroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Elastigroup({})", self.instance)
    }
}
