//! Elastigroup's health check service (HCS) asks its proxies `POST /api/check`; the agent answers as the proxy of the one
//! instance that it knows.

use pitcrew_core::view::View;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Question {
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    id: String,
}

/// Answers for each instance that is asked about. `own` is this one, where that is known; nothing is known about others.
pub(super) fn answer(body: &[u8], own: Option<&str>, view: Option<&View>) -> Result<Value, serde_json::Error> {
    let question: Question = serde_json::from_slice(body)?;
    let items: Vec<_> = question
        .instances
        .iter()
        .map(|instance| {
            // Readiness would have an instance replaced because it is being deployed to.
            let (success, code, text) = match view {
                _ if own != Some(&instance.id) => (false, 404, "this proxy knows only its own instance".to_owned()),
                Some(view) if view.healthy => (true, 200, "OK".to_owned()),
                Some(view) => (false, 503, view.sentence.clone()),
                None => (false, 503, super::page::NOT_KNOWN_YET.to_owned()),
            };
            json!({ "id": instance.id, "check": { "success": success, "output": { "code": code, "text": text } } })
        })
        .collect();
    Ok(json!({ "response": { "status": { "code": 200, "message": "OK" }, "items": items } }))
}
