//! Whatever is in a file, it is judged or refused: nothing crashes, and `init` never breaks what was there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod bundles;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bundles::{Bundle, SHIM, read, told};
use pitcrew_lint::bundle::appspec::AppSpec;
use pitcrew_lint::bundle::init::plan;
use pitcrew_lint::bundle::{Options, check};
use pitcrew_lint::group;
use proptest::prelude::*;
use serde_json::{Value, json};

const RECOMMENDED: &str = include_str!("../../../packaging/elastigroup/recommended.json");

/// Any small JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-zA-Z]{1,8}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

/// Pointers to every value of a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An event with scripts in one of the ways in which people write them.
fn any_event() -> impl Strategy<Value = String> {
    let event = prop::sample::select(vec![
        "ApplicationStop",
        "BeforeInstall",
        "AfterInstall",
        "ApplicationStart",
        "ValidateService",
        "BeforeAllowTraffic",
    ]);
    let script = prop::sample::select(vec![
        "location: a.sh\n",
        "location: \"a.sh\" # why\n      timeout: 60\n",
        "{location: a.sh, timeout: 30}\n",
        "location: hook\n      timeout: 900\n",
        "location: >-\n        a.sh\n",
    ]);
    let blank = prop::sample::select(vec!["", "\n", "    # a word\n"]);
    (event, prop::collection::vec((blank, script), 0..3)).prop_map(|(event, scripts)| {
        let scripts: String = scripts.iter().map(|(blank, script)| format!("{blank}    - {script}")).collect();
        format!("  {event}:\n{scripts}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_group_with_anything_anywhere_is_judged_or_refused(at in any::<prop::sample::Index>(), value in any_json()) {
        let mut document: Value = serde_json::from_str(RECOMMENDED).unwrap();
        let mut places = Vec::new();
        pointers(&document, "", &mut places);
        *document.pointer_mut(&places[at.index(places.len())]).unwrap() = value;
        if let Ok(report) = group::lint(&document.to_string(), "group.json", &group::Options::default()) {
            prop_assert!(report.findings.iter().all(|finding| finding.place.line.is_some()), "{:?}", report);
        }
    }

    #[test]
    fn any_user_data_is_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), start in prop::sample::select(vec!["", "#!/bin/sh\n", "#cloud-config\n", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n", "\u{1f}\u{8b}"])) {
        let mut document: Value = serde_json::from_str(RECOMMENDED).unwrap();
        let text = [start.as_bytes(), &bytes].concat();
        document["group"]["compute"]["launchSpecification"]["userData"] = BASE64_STANDARD.encode(text).into();
        group::lint(&document.to_string(), "group.json", &group::Options::default()).unwrap();
    }

    #[test]
    fn any_text_is_read_as_an_appspec_or_has_a_flaw(text in "[-a-z:\\[\\]{}&*#|> \n\"'~0.]{0,80}") {
        let _ = AppSpec::read(&text);
        let _ = AppSpec::read(&format!("version: 0.0\nos: linux\nhooks:\n{text}"));
    }

    #[test]
    fn init_adds_and_keeps_or_refuses(events in prop::collection::vec(any_event(), 0..4), end in prop::sample::select(vec!["", "# end", "files: []\n"])) {
        let text = format!("version: 0.0\nos: linux\nhooks:\n{}{end}", events.concat());
        let bundle = Bundle::empty().with("appspec.yml", &text).with("a.sh", "#!/bin/sh\ntrue\n").with("hook", SHIM);
        let directory = bundle.write();
        let Ok(planned) = plan(directory.path(), Options::default()) else {
            prop_assert_eq!(read(directory.path(), "appspec.yml"), text);
            return Ok(());
        };
        planned.carry_out().unwrap();
        let edited = read(directory.path(), "appspec.yml");
        let mut rest = edited.lines();
        for line in text.lines() {
            prop_assert!(rest.any(|kept| kept == line), "{:?} is gone from {}", line, edited);
        }
        let told = told(&check(directory.path(), Options::default()).unwrap());
        for rule in ["AS002", "AS040", "AS041", "AS043", "AS060"] {
            prop_assert!(!told.contains(rule), "{} in {}", rule, edited);
        }
        prop_assert_eq!(plan(directory.path(), Options::default()).unwrap().changes, []);
    }
}
