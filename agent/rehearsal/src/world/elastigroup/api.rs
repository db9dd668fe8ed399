//! The API: what it answers, and what an answer changes.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::fate::SignalRecord;
use super::fault::Fate;
use super::rate::Standing;
use super::wire::{Asked, What, query, respond, written};
use super::{ACCOUNT, GROUP, Life, Lock};
use crate::lock::lock;
use crate::timeline::Happening;
use crate::world::calls::{Call, Caller, Effect};
use crate::world::imds::rfc3339;
use crate::world::{State, World};

/// An error: status, code, message.
pub(super) type Refusal = (StatusCode, &'static str, String);
/// `response.items`, and what was changed in target groups.
pub(super) type Answer = (Vec<Value>, Vec<Effect>);

impl World {
    pub(in crate::world) async fn elastigroup(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let fate = {
            let mut state = lock(&self.state);
            let State { rng, elastigroup, .. } = &mut *state;
            let fault = elastigroup.as_ref().and_then(|group| group.plan.fault);
            fault.map_or(Fate::Answered, |fault| fault.fate(rng))
        };
        if let Fate::Late(delay) = fate {
            sleep(delay).await;
        }
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut state = lock(&self.state);
        let Some(asked) = Asked::read(request) else {
            return written(StatusCode::NOT_FOUND, &json!({}), None);
        };
        let standing = state.elastigroup.as_mut().map(|group| group.rate.count(&asked.route, now));
        let outcome = state.answer(now, wall, &asked, request, standing, fate);
        let instance = asked.instance.as_deref().and_then(|id| self.number_of(id));
        let (status, effects) = match &outcome {
            Ok((_, effects)) => (StatusCode::OK, effects.clone()),
            Err((status, ..)) => (*status, Vec::new()),
        };
        state.calls.push(Call {
            at: self.clock.since_start(now),
            asked: self.clock.since_start(now),
            caller: instance.map_or(Caller::Unknown, Caller::Instance),
            service: "elastigroup",
            action: asked.route.clone(),
            status: status.as_u16(),
            error: outcome.as_ref().err().map(|(_, code, _)| (*code).to_owned()),
            effects: effects.clone(),
        });
        let told = match asked.what {
            What::Look if fate == Fate::Answered => {
                state.told_of_detach(instance, &outcome, self.clock.since_start(now))
            }
            _ => None,
        };
        let explains = state.elastigroup.as_ref().is_none_or(|group| group.plan.unknown.explains_errors);
        state.turn.send_replace(());
        drop(state);
        if let Some(action) = told {
            self.happened(instance, Happening::NoticeRead { action });
        }
        if outcome.is_ok() && !matches!(asked.what, What::Look | What::Group | What::Status | What::Suspensions) {
            let body = String::from_utf8_lossy(request.body());
            let note = format!("Elastigroup: {} {body}", asked.route).trim_end().to_owned();
            self.happened(instance, Happening::Noted { note });
        }
        for effect in effects {
            self.tell_of_effect(effect, "Elastigroup".to_owned());
        }
        match outcome {
            Err((status, ..)) if !explains => written(status, &json!({}), standing),
            outcome => respond(fate, outcome, standing, wall),
        }
    }
}

impl State {
    fn answer(
        &mut self,
        now: Instant,
        wall: SystemTime,
        asked: &Asked,
        request: &Request<Bytes>,
        standing: Option<Standing>,
        fate: Fate,
    ) -> Result<Answer, Refusal> {
        let Some(group) = &self.elastigroup else {
            return Err((StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "no such organization".to_owned()));
        };
        match fate {
            Fate::TooMany => return Err(too_many()),
            Fate::ServerError => {
                return Err((StatusCode::SERVICE_UNAVAILABLE, "GENERAL_ERROR", "try again later".to_owned()));
            }
            Fate::Refused => return Err(unauthorized()),
            Fate::Answered | Fate::Late(_) | Fate::Html | Fate::Bare => {}
        }
        if standing.is_some_and(|standing| standing.refused) {
            return Err(too_many());
        }
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if token != Some(&format!("Bearer {}", group.token)) {
            return Err(unauthorized());
        }
        let invalid = |code, message: &str| (StatusCode::BAD_REQUEST, code, message.to_owned());
        if query(request, "accountId").as_deref() != Some(ACCOUNT) {
            return Err(invalid("ValidationError", "accountId is not an account of this organization"));
        }
        if asked.group.as_deref().is_some_and(|group| group != GROUP) {
            return Err(invalid("GROUP_DOESNT_EXIST", "the group does not exist"));
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let member = asked.instance.as_deref();
        if member.is_some_and(|id| !group.members.contains_key(id)) {
            return Err(invalid("GENERAL_ERROR", "the instance is in no group"));
        }
        self.carry_out_for_group(now, wall, asked, request, &body)
    }

    fn carry_out_for_group(
        &mut self,
        now: Instant,
        wall: SystemTime,
        asked: &Asked,
        request: &Request<Bytes>,
        body: &Value,
    ) -> Result<Answer, Refusal> {
        let wall_at = |at: Instant| rfc3339(wall + at.saturating_duration_since(now));
        let none = |items| Ok((items, Vec::new()));
        let id = asked.instance.clone().unwrap_or_default();
        let Some(group) = &mut self.elastigroup else { return none(Vec::new()) };
        match asked.what {
            What::Look => {
                let state = match group.members.get(&id).map(|member| member.life) {
                    Some(Life::Detached { .. }) => "TERMINATING",
                    Some(Life::HeldBack | Life::Active) if group.plan.unknown.other_words => "FULFILLED",
                    Some(Life::HeldBack | Life::Active) => "ACTIVE",
                    None => return none(Vec::new()),
                };
                none(vec![json!({ "instanceId": id, "lifeCycleState": state })])
            }
            What::Lock => {
                let minutes = query(request, "ttlInMinutes").and_then(|minutes| minutes.parse::<u64>().ok());
                let ends = minutes.map(|minutes| Lock::Until(now + Duration::from_secs(60 * minutes)));
                if let Some(member) = group.members.get_mut(&id) {
                    member.lock = Some(ends.unwrap_or(Lock::WithoutEnd));
                    group.protected.insert(member.number);
                }
                none(Vec::new())
            }
            What::Unlock => {
                group.members.get_mut(&id).into_iter().for_each(|member| member.lock = None);
                none(Vec::new())
            }
            What::Enter => {
                let taken = self.take_out_of_groups(now, &id);
                let places = taken.iter().filter_map(place).collect::<Vec<_>>();
                if let Some(member) = self.elastigroup.as_mut().and_then(|group| group.members.get_mut(&id)) {
                    member.standby = true;
                    member.taken.extend(places);
                    let number = member.number;
                    self.elastigroup.as_mut().map(|group| group.protected.insert(number));
                }
                Ok((Vec::new(), taken))
            }
            What::Exit => {
                let gives_back = group.plan.unknown.standby_gives_back;
                let Some(member) = group.members.get_mut(&id) else { return none(Vec::new()) };
                if !std::mem::take(&mut member.standby) {
                    return Err((
                        StatusCode::BAD_REQUEST,
                        "GENERAL_ERROR",
                        "the instance is not in standby".to_owned(),
                    ));
                }
                let taken = std::mem::take(&mut member.taken);
                Ok((Vec::new(), if gives_back { self.put_into_groups(now, &taken) } else { Vec::new() }))
            }
            What::Signal => self.signal(now, &wall_at, body),
            What::Group => {
                let plan = &group.plan;
                let signal = |name: &str, timeout: Option<Duration>| {
                    timeout.map(|timeout| json!({ "name": name, "timeout": timeout.as_secs() }))
                };
                let signals: Vec<Value> =
                    [signal("INSTANCE_READY", plan.ready), signal("INSTANCE_READY_TO_SHUTDOWN", plan.shutdown)]
                        .into_iter()
                        .flatten()
                        .collect();
                let mut group = recommended();
                group["id"] = json!(GROUP);
                group["strategy"]["drainingTimeout"] = json!(plan.draining_timeout.as_secs());
                group["strategy"]["signals"] = json!(signals);
                none(vec![group])
            }
            What::Status => {
                let status = group.members.iter().map(|(id, member)| {
                    let locked = member.lock.is_some_and(|lock| lock.holds(now));
                    json!({
                        "instanceId": id,
                        "groupId": GROUP,
                        "status": "fulfilled",
                        "lockStatus": if locked { "locked" } else { "unlocked" },
                    })
                });
                none(status.collect())
            }
            What::Healthiness => {
                let ids = group.members.keys();
                none(
                    ids.map(|id| json!({ "instanceId": id, "healthStatus": "HEALTHY", "lifeCycle": "SPOT" })).collect(),
                )
            }
            What::Suspensions => none(vec![suspended(group, now, &wall_at)]),
            What::Suspend => {
                let asked = body["suspensions"].as_array().cloned().unwrap_or_default();
                for suspension in &asked {
                    let name = suspension["name"].as_str().unwrap_or_default();
                    if !group.plan.unknown.prolongs_suspensions && group.is_suspended(name, now) {
                        let message = format!("{name} is suspended already");
                        return Err((StatusCode::BAD_REQUEST, "GENERAL_ERROR", message));
                    }
                    let minutes = suspension["ttlInMinutes"].as_u64();
                    let ends = minutes.map(|minutes| now + Duration::from_secs(60 * minutes));
                    group.suspensions.insert(name.to_owned(), ends);
                }
                none(vec![suspended(group, now, &wall_at)])
            }
            What::Resume => {
                let names = body["processes"].as_array().cloned().unwrap_or_default();
                for name in names.iter().filter_map(Value::as_str) {
                    group.suspensions.remove(name);
                }
                none(vec![suspended(group, now, &wall_at)])
            }
            What::Detach => {
                let asked = body["instancesToDetach"].as_array().cloned().unwrap_or_default();
                let of_group = asked.iter().filter_map(Value::as_str).filter_map(|id| group.members.get(id));
                group.to_detach.extend(of_group.map(|member| member.number));
                none(Vec::new())
            }
        }
    }

    /// A late signal is answered 200, too; only the message tells.
    fn signal(&mut self, now: Instant, wall_at: &dyn Fn(Instant) -> String, body: &Value) -> Result<Answer, Refusal> {
        let id = body["instanceId"].as_str().unwrap_or_default();
        let signal = body["signal"].as_str().unwrap_or_default();
        let Some(group) = &mut self.elastigroup else { return Ok((Vec::new(), Vec::new())) };
        let Some(member) = group.members.get_mut(id) else {
            return Err((StatusCode::BAD_REQUEST, "GENERAL_ERROR", "the instance is in no group".to_owned()));
        };
        let declared = match signal {
            "INSTANCE_READY" => group.plan.ready.is_some(),
            _ => group.plan.shutdown.is_some() && matches!(member.life, Life::Detached { .. }),
        };
        if group.plan.unknown.refuses_signals && !declared {
            return Err((StatusCode::BAD_REQUEST, "GENERAL_ERROR", "nobody waits for this signal".to_owned()));
        }
        let mut give = Vec::new();
        let ends = match (signal, &mut member.life) {
            ("INSTANCE_READY", life) => {
                if *life == Life::HeldBack {
                    *life = Life::Active;
                    give = std::mem::take(&mut member.taken);
                }
                group.plan.ready.map(|timeout| group.born + timeout)
            }
            ("INSTANCE_READY_TO_SHUTDOWN", Life::Detached { until, may_go }) => {
                *may_go |= group.plan.shutdown.is_some();
                Some(*until)
            }
            ("INSTANCE_READY_TO_SHUTDOWN", Life::HeldBack | Life::Active) => None,
            (_, _) => return Err((StatusCode::BAD_REQUEST, "ValidationError", "no such signal".to_owned())),
        };
        let late = ends.is_some_and(|ends| now > ends);
        let record = SignalRecord { at: now, instance: member.number, signal: signal.to_owned(), late };
        group.signals.push(record);
        let mut item = json!({ "instanceId": id, "type": signal });
        if let Some(ends) = ends {
            item["signalExpiresAt"] = json!(wall_at(ends));
        }
        if late {
            item["message"] = json!("This instance crossed the signal timeout limit");
        }
        Ok((vec![item], self.put_into_groups(now, &give)))
    }
}

/// The shipped group that has nothing to mend.
fn recommended() -> Value {
    let shipped = include_str!("../../../../../packaging/elastigroup/recommended.json");
    let mut exported: Value = serde_json::from_str(shipped).unwrap_or_default();
    exported["group"].take()
}

fn suspended(group: &super::Elastigroup, now: Instant, wall_at: &dyn Fn(Instant) -> String) -> Value {
    let live: Vec<_> = group.suspensions.iter().filter(|(name, _)| group.is_suspended(name, now)).collect();
    let suspensions: Vec<Value> =
        live.iter().map(|(name, ends)| json!({ "name": name, "expiresAt": ends.map(wall_at) })).collect();
    let names: Vec<&String> = live.iter().map(|(name, _)| *name).collect();
    json!({ "groupId": GROUP, "processes": names, "suspensions": suspensions })
}

fn place(effect: &Effect) -> Option<(String, crate::world::targets::TargetId)> {
    match effect {
        Effect::Deregistered { group, target, changed: true, .. } => Some((group.clone(), target.clone())),
        Effect::Deregistered { changed: false, .. } | Effect::Registered { .. } => None,
    }
}

fn too_many() -> Refusal {
    (StatusCode::TOO_MANY_REQUESTS, "RATE", "Rate limit exceeded".to_owned())
}

fn unauthorized() -> Refusal {
    (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "the token is not valid".to_owned())
}
