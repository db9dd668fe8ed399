//! A plan of Terraform reads like the group that it makes.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pitcrew_lint::Report;
use pitcrew_lint::group::{Options, lint};
use serde_json::{Value, json};

use crate::told;

/// What the provider plans for a group with nothing to mend.
fn values() -> Value {
    json!({
        "name": "web-prod",
        "region": "eu-west-1",
        "product": "Linux/UNIX (Amazon VPC)",
        "subnet_ids": ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"],
        "min_size": 2, "max_size": 8, "desired_capacity": 3,
        "instance_types_ondemand": "m6i.large",
        "instance_types_spot": ["m6i.large", "m6a.large"],
        "orientation": "balanced",
        "spot_percentage": 100,
        "fallback_to_ondemand": true,
        "draining_timeout": -1,
        "signal": [
            { "name": "INSTANCE_READY", "timeout": 900 },
            { "name": "INSTANCE_READY_TO_SHUTDOWN", "timeout": 360 },
        ],
        "health_check_type": "TARGET_GROUP",
        "health_check_grace_period": 900,
        "health_check_unhealthy_duration_before_replacement": 900,
        "auto_healing": true,
        "iam_instance_profile": "web-prod-instance",
        "image_id": "ami-0123456789abcdef0",
        "user_data": BASE64_STANDARD.encode("#!/bin/sh\ntrue\n"),
        "shutdown_script": "",
        "target_group_arns": ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"],
        "elastic_load_balancers": null,
        "itf": [],
        "metadata_options": [{ "http_tokens": "required", "http_put_response_hop_limit": 1, "instance_metadata_tags": "enabled" }],
        "tags": [{ "key": "Name", "value": "web-prod" }],
        "integration_codedeploy": [{
            "cleanup_on_failure": true,
            "terminate_instance_on_failure": false,
            "deployment_groups": [{ "application_name": "web", "deployment_group_name": "web-prod-inplace" }],
        }],
        "update_policy": [{ "should_roll": false, "roll_config": [{ "batch_size_percentage": 34, "grace_period": 900, "health_check_type": "TARGET_GROUP" }] }],
    })
}

/// A plan with the group in a module of a module, beside something else.
fn plan(values: &Value, unknown: &Value) -> String {
    let address = "module.site.module.web.spotinst_elastigroup_aws.web";
    let plan = json!({
        "format_version": "1.2",
        "terraform_version": "1.13.0",
        "planned_values": { "root_module": {
            "resources": [{ "address": "aws_s3_bucket.b", "type": "aws_s3_bucket", "values": { "bucket": "b" } }],
            "child_modules": [{ "address": "module.site", "child_modules": [{
                "address": "module.site.module.web",
                "resources": [{ "address": address, "type": "spotinst_elastigroup_aws", "name": "web", "values": values }],
            }] }],
        } },
        "resource_changes": [{ "address": address, "change": { "actions": ["create"], "after": values, "after_unknown": unknown } }],
    });
    serde_json::to_string_pretty(&plan).unwrap()
}

fn lint_plan(change: &[(&str, Value)], unknown: &Value) -> Report {
    let mut values = values();
    for (key, value) in change {
        values[key] = value.clone();
    }
    lint(&plan(&values, unknown), "plan.json", &Options::default()).unwrap()
}

#[test]
fn a_plan_with_nothing_to_mend_is_clean() {
    let report = lint_plan(&[], &json!({ "id": true }));
    assert_eq!(report.findings, []);
    assert_eq!(report.subject, "group web-prod in plan.json");
}

#[test]
fn each_mapped_attribute_is_looked_at_and_named_as_terraform_names_it() {
    let cases = [
        ("signal", json!([]), &["EG001", "EG007", "EG009"][..], "signal"),
        ("draining_timeout", json!(180), &["EG006", "EG007"], "draining_timeout"),
        ("health_check_type", json!("MLB"), &["EG010"], "health check type"),
        ("target_group_arns", json!([]), &["EG011"], "target_group_arns"),
        ("health_check_grace_period", json!(300), &["EG012"], "health_check_grace_period"),
        (
            "health_check_unhealthy_duration_before_replacement",
            json!(120),
            &["EG013"],
            "health_check_unhealthy_duration_before_replacement",
        ),
        ("user_data", json!(""), &["EG033"], "user_data"),
        ("metadata_options", json!([]), &["EG040", "EG045"], "metadata_options.http_tokens"),
        ("tags", json!([{ "key": "cost center", "value": "1" }]), &["EG041"], "key"),
        (
            "integration_codedeploy",
            json!([{ "terminate_instance_on_failure": true, "deployment_groups": [{ "application_name": "a", "deployment_group_name": "b" }] }]),
            &["EG050"],
            "terminate_instance_on_failure",
        ),
        ("iam_instance_profile", json!(null), &["EG052"], "iam_instance_profile"),
        ("min_size", json!(4), &["EG061"], "target"),
        ("fallback_to_ondemand", json!(false), &["EG063"], "fallback_to_ondemand"),
        ("instance_types_spot", json!(["m6i.large"]), &["EG064"], "instance_types_spot"),
        ("persist_root_device", json!(true), &["EG067"], "persist_root_device"),
    ];
    for (key, value, expected, word) in cases {
        let report = lint_plan(&[(key, value)], &json!({}));
        assert_eq!(told(&report), expected.iter().copied().collect(), "{key}");
        let texts: String =
            report.findings.iter().map(|finding| format!("{} {}", finding.message, finding.fix)).collect();
        assert!(texts.contains(word), "{key}: {texts}");
    }
}

#[test]
fn a_roll_is_given_as_much_grace_as_a_launch() {
    let roll = |grace: u64| json!([{ "roll_config": [{ "grace_period": grace, "health_check_type": "NONE" }] }]);
    let report = lint_plan(&[("update_policy", roll(899))], &json!({}));
    assert_eq!(told(&report), BTreeSet::from(["EG015"]));
    let pointer = report.findings[0].place.pointer.clone().unwrap();
    assert!(pointer.ends_with("/values/update_policy/0/roll_config/0/grace_period"), "{pointer}");
    assert_eq!(lint_plan(&[("update_policy", roll(900))], &json!({})).findings, []);
}

#[test]
fn what_only_the_apply_will_know_is_not_complained_of() {
    let change = [
        ("user_data", Value::Null),
        ("target_group_arns", Value::Null),
        ("iam_instance_profile", Value::Null),
        ("metadata_options", Value::Null),
    ];
    let unknown = json!({
        "user_data": true,
        "target_group_arns": [true],
        "iam_instance_profile": true,
        "metadata_options": [{ "http_tokens": true }],
    });
    assert_eq!(lint_plan(&change, &unknown).findings, []);
    assert_eq!(told(&lint_plan(&change, &json!({}))), BTreeSet::from(["EG011", "EG033", "EG040", "EG045", "EG052"]));
}

#[test]
fn user_data_may_stand_in_clear() {
    let report = lint_plan(&[("user_data", json!("#!/bin/sh\ncurl -O http://example.com/a\n"))], &json!({}));
    assert_eq!(told(&report), BTreeSet::from(["EG030"]));
}

#[test]
fn several_groups_of_a_plan_each_have_their_findings() {
    let mut broken = values();
    broken["name"] = json!("jobs");
    broken["desired_capacity"] = json!(9);
    let resource = |values: &Value| json!({ "address": "a", "type": "spotinst_elastigroup_aws", "values": values });
    let state = json!({ "values": { "root_module": { "resources": [resource(&values()), resource(&broken)] } } });
    let report = lint(&state.to_string(), "state.json", &Options::default()).unwrap();
    assert_eq!(report.subject, "group web-prod, group jobs in state.json");
    assert_eq!(told(&report), BTreeSet::from(["EG061"]));
    assert!(report.findings[0].place.pointer.as_ref().unwrap().starts_with("/values/root_module/resources/1/values"));
}
