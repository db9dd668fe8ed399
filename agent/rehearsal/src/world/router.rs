//! Answers requests: to a metadata service from its instance, to AWS from whoever signed them; and tells what they did.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep, sleep_until};

use crate::lock::lock;
use crate::timeline::Happening;

use super::calls::{Call, Caller, Effect};
use super::faults::Fate;
use super::imds::Arrival;
use super::operation::{Operation, Reply};
use super::wire::ApiError;
use super::{State, World, access, ec2, elastigroup, elbv2, identity, metrics, policy};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Asked of the metadata service of the instance with this number.
    Imds(u8),
    /// Asked of the AWS endpoint that all services share.
    Aws,
}

impl World {
    /// Answers a request to a metadata service or to AWS. Slow only where a fault makes it so.
    pub async fn router(&self, origin: Origin, request: Request<Bytes>) -> Response<Bytes> {
        match origin {
            Origin::Imds(number) => self.metadata(number, &request).await,
            Origin::Aws if request.uri().path().starts_with(elastigroup::PREFIX) => self.elastigroup(&request).await,
            Origin::Aws => self.aws(&request).await,
        }
    }

    async fn metadata(&self, number: u8, request: &Request<Bytes>) -> Response<Bytes> {
        let at = Arrival { now: self.clock.now(), wall: self.clock.wall() };
        let path = request.uri().path();
        let (answer, told) = {
            let mut state = lock(&self.state);
            state.tag_members(at.now);
            let State { rng, imds, .. } = &mut *state;
            let answer = match imds.get_mut(&number) {
                Some(imds) => imds.answer(at, request, rng),
                None => Ok(plain(StatusCode::NOT_FOUND)),
            };
            let arrived = self.clock.since_start(at.now);
            let is_told =
                answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::OK && !answer.body().is_empty());
            let told = if is_told { state.told(number, path, arrived) } else { None };
            state.metadata_asked.entry(number).or_default().push(arrived);
            (answer, told)
        };
        if let Some(action) = told {
            self.happened(Some(number), Happening::NoticeRead { action });
        }
        match answer {
            Ok(answer) => answer,
            Err(until) => {
                sleep_until(until).await;
                plain(StatusCode::REQUEST_TIMEOUT)
            }
        }
    }

    async fn aws(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let Some(operation) = Operation::read(request) else {
            return plain(StatusCode::NOT_FOUND);
        };
        let caller = identity::caller(request.headers(), self.clock.wall());
        let asked = self.clock.since_start(self.clock.now());
        let fate = {
            let mut state = lock(&self.state);
            let State { rng, fault, .. } = &mut *state;
            match (&caller, *fault) {
                (Ok(Caller::Instance(_)), Some(fault)) => fault.fate(operation.action(), rng),
                (Ok(_) | Err(_), Some(_) | None) => Fate::Answered,
            }
        };
        if let Fate::AnsweredAfter(delay) = fate {
            sleep(delay).await;
        }
        self.answer(&operation, asked, caller, fate)
    }

    fn answer(
        &self,
        operation: &Operation,
        asked: Duration,
        caller: Result<Caller, identity::Refusal>,
        fate: Fate,
    ) -> Response<Bytes> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.tag_members(now);
        let request_id = request_id(&mut state.rng);
        let who = caller.unwrap_or(Caller::Unknown);
        let refused = caller
            .err()
            .map(|(code, message)| ApiError::new(StatusCode::FORBIDDEN, code, message))
            .or_else(|| fate.error(who, operation))
            .or_else(|| self.forbidden(&state, who, operation));
        let mut effects = Vec::new();
        let result = match refused {
            Some(error) => Err(error),
            None => state.carry_out(now, operation, &mut effects),
        };
        let response = operation.reply(&request_id, &result);
        state.calls.push(Call {
            at: self.clock.since_start(now),
            asked,
            caller: who,
            service: operation.service(),
            action: operation.action().to_owned(),
            status: response.status().as_u16(),
            error: result.as_ref().err().map(|error| error.code.to_owned()),
            effects: effects.clone(),
        });
        state.turn.send_replace(());
        drop(state);
        self.tell_of_call(who, operation.action(), result.err(), effects);
        response
    }

    /// Whether the caller's policy does not allow the call.
    fn forbidden(&self, state: &State, caller: Caller, operation: &Operation) -> Option<ApiError> {
        let (policy, instance) = match caller {
            Caller::Instance(number) => (&state.policies.0, self.seat(number).map(|seat| seat.instance_id.as_str())),
            Caller::LimitedOperator => (&state.policies.1, None),
            Caller::CodeDeploy | Caller::Operator | Caller::Unknown => return None,
        };
        let action = format!("{}:{}", operation.service(), operation.action());
        let request = policy::Request { caller: instance, ..access::request(operation, &action, state) };
        (!policy.allows(&request)).then(|| operation.access_denied(&caller.to_string()))
    }

    pub(super) fn tell_of_call(&self, caller: Caller, action: &str, error: Option<ApiError>, effects: Vec<Effect>) {
        let by = match caller {
            Caller::Instance(_) => "agent".to_owned(),
            Caller::CodeDeploy | Caller::Operator | Caller::LimitedOperator | Caller::Unknown => caller.to_string(),
        };
        if let Some(error) = error {
            let instance = match caller {
                Caller::Instance(number) => Some(number),
                Caller::CodeDeploy | Caller::Operator | Caller::LimitedOperator | Caller::Unknown => None,
            };
            self.happened(
                instance,
                Happening::CallFailed {
                    action: action.to_owned(),
                    status: error.status.as_u16(),
                    code: error.code.to_owned(),
                },
            );
        }
        for effect in effects {
            self.tell_of_effect(effect, by.clone());
        }
    }

    pub(super) fn tell_of_effect(&self, effect: Effect, by: String) {
        match effect {
            Effect::Registered { group, target, changed: true, .. } => {
                self.happened(self.number_of(&target.id), Happening::TargetRegistered { group, target, by })
            }
            Effect::Deregistered { group, target, changed: true, .. } => {
                self.happened(self.number_of(&target.id), Happening::TargetDeregistered { group, target, by })
            }
            Effect::Registered { changed: false, .. } | Effect::Deregistered { changed: false, .. } => {}
        }
    }

    pub(super) fn number_of(&self, instance_id: &str) -> Option<u8> {
        let seat = self.seats.iter().find(|seat| seat.instance_id == instance_id);
        seat.map(|seat| seat.number)
    }
}

impl State {
    /// Elastigroup's tags may come later than the instances.
    fn tag_members(&mut self, now: Instant) {
        let Some(tags) = self.elastigroup.as_ref().and_then(|group| group.tags(now)) else { return };
        for imds in self.imds.values_mut() {
            imds.tags.extend(tags.clone());
        }
    }

    /// Answers a call that nothing stands in the way of.
    fn carry_out(&mut self, now: Instant, operation: &Operation, effects: &mut Vec<Effect>) -> Result<Reply, ApiError> {
        match operation {
            Operation::LoadBalancing { action, form } => {
                let done = self.balancing.call(now, action, form, &mut self.rng)?;
                *effects = done.effects;
                Ok(Reply::Xml(done.result))
            }
            Operation::Classic { action } => elbv2::classic(action).map(Reply::Xml),
            Operation::AutoScaling { action, form } => self.scaling.call(now, action, form).map(Reply::Xml),
            Operation::Ec2 { action, form } => ec2::call(&mut self.imds, action, form).map(Reply::Xml),
            Operation::CodeDeploy { action, input } => self.codedeploy.call(action, input).map(Reply::Json),
            Operation::Parameter { name } => match &self.elastigroup {
                Some(group) if name == elastigroup::TOKEN_PARAMETER => {
                    let parameter = serde_json::json!({ "Name": name, "Type": "SecureString", "Value": group.token });
                    Ok(Reply::Json(serde_json::json!({ "Parameter": parameter })))
                }
                Some(_) | None => Err(ApiError::sender("ParameterNotFound", "")),
            },
            Operation::Systems { action, input } => self.systems.call(action, input).map(Reply::Json),
            Operation::Metrics { action, form } => metrics::call(action, form).map(Reply::Xml),
        }
    }
}

fn request_id(rng: &mut Rng) -> String {
    let (high, low) = (rng.u64(..), rng.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
