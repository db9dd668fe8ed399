//! Every shape in which Elastigroup gives a group away, and what is none.

use std::fs;

use pitcrew_lint::group::lint;
use serde_json::{Value, json};

use crate::{options, recommended, shipped_file, told};

#[test]
fn every_shape_of_the_api_reads_the_same() {
    let sample: Value = serde_json::from_str(&fs::read_to_string(shipped_file("sample.json")).unwrap()).unwrap();
    let expected = told(&lint(&sample.to_string(), "sample.json", &options()).unwrap());
    let bare = sample["group"].clone();
    let reply = json!({
        "request": { "id": "1" },
        "response": { "status": { "code": 200 }, "kind": "spotinst:aws:ec2:group", "items": [bare], "count": 1 },
    });
    for shape in [bare.clone(), reply, json!([sample])] {
        assert_eq!(told(&lint(&shape.to_string(), "group.json", &options()).unwrap()), expected);
    }
}

#[test]
fn places_in_an_api_reply_lead_to_the_value_and_its_line() {
    let mut group = recommended();
    group["group"]["strategy"]["drainingTimeout"] = json!(180);
    let reply = json!({ "response": { "items": [group["group"]] } });
    let text = serde_json::to_string_pretty(&reply).unwrap();
    let report = lint(&text, "reply.json", &options()).unwrap();
    let place = &report.findings[0].place;
    assert_eq!(place.pointer.as_deref(), Some("/response/items/0/strategy/drainingTimeout"));
    let line = text.lines().nth(place.line.unwrap() - 1).unwrap();
    assert!(line.contains("\"drainingTimeout\": 180"), "{line}");
}

#[test]
fn what_is_no_group_is_refused_with_what_to_give() {
    let refusal = |text: &str| lint(text, "x.json", &options()).unwrap_err().to_string();
    assert!(refusal("{").contains("`x.json` is no JSON: EOF"), "{}", refusal("{"));
    assert!(refusal("{\"a\": 1}").contains("terraform show -json"));
    assert!(refusal("PK\u{3}\u{4}...").contains("terraform show -json x.json > plan.json"));
    assert!(refusal("[]").contains("holds no Elastigroup"));
}
