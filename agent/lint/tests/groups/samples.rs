//! A sample on which each rule breaks, and its nearest neighbour on which it holds.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pitcrew_lint::group::lint;
use pitcrew_lint::rules;
use serde_json::{Value, json};

use crate::{options, patch, recommended, told};

fn patched(change: &Value) -> BTreeSet<&'static str> {
    let mut group = recommended();
    patch(&mut group["group"], change);
    told(&lint(&group.to_string(), "group.json", &options()).unwrap())
}

fn launch(change: Value) -> Value {
    json!({ "compute": { "launchSpecification": change } })
}

fn strategy(change: Value) -> Value {
    json!({ "strategy": change })
}

fn signals(ready: Value, shutdown: Value) -> Value {
    strategy(json!({ "signals": [
        { "name": "INSTANCE_READY", "timeout": ready },
        { "name": "INSTANCE_READY_TO_SHUTDOWN", "timeout": shutdown },
    ] }))
}

fn codedeploy(change: Value) -> Value {
    json!({ "thirdPartiesIntegration": { "codeDeploy": change } })
}

fn tags(tags: &[(&str, &str)]) -> Value {
    let tags: Vec<_> = tags.iter().map(|(key, value)| json!({ "tagKey": key, "tagValue": value })).collect();
    launch(json!({ "tags": tags }))
}

fn user_data(bytes: impl AsRef<[u8]>) -> Value {
    launch(json!({ "userData": BASE64_STANDARD.encode(bytes) }))
}

pub(crate) fn script(lines: &str) -> Value {
    user_data(format!("#!/bin/sh\n{lines}\n"))
}

fn balancer(change: Value) -> Value {
    launch(json!({ "loadBalancersConfig": { "loadBalancers": [change] } }))
}

fn target_group(region: &str) -> Value {
    let arn = format!("arn:aws:elasticloadbalancing:{region}:123456789012:targetgroup/web/0123456789abcdef");
    balancer(json!({ "name": "web", "arn": arn, "type": "TARGET_GROUP" }))
}

fn bootstrap(request: &str) -> Value {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Something that cannot be packed, so that the line is as long as an installer's.
    let noise: Vec<u8> = (0..900u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    packed.write_all(&noise).unwrap();
    packed.write_all(format!("pitcrew-bootstrap 1\n{request}").as_bytes()).unwrap();
    script(&format!("base64 -d <<E | gzip -dc >$f\n{}\nE", BASE64_STANDARD.encode(packed.finish().unwrap())))
}

/// A rule, a change that breaks it and nothing else, and a like change that breaks nothing.
struct Case(&'static str, Value, Value);

fn cases() -> Vec<Case> {
    let ready_only = |timeout: Value| json!({ "name": "INSTANCE_READY", "timeout": timeout });
    let shutdown = json!({ "name": "INSTANCE_READY_TO_SHUTDOWN", "timeout": 360 });
    let aws_key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    vec![
        Case(
            "EG001",
            strategy(json!({ "signals": [shutdown] })),
            strategy(json!({ "signals": [shutdown, ready_only(json!(900))] })),
        ),
        Case("EG002", signals(json!(1801), json!(360)), signals(json!(1800), json!(360))),
        Case("EG003", signals(json!(899), json!(360)), signals(json!("900"), json!(360))),
        Case("EG004", signals(Value::Null, json!(360)), signals(json!(900), json!(360))),
        Case(
            "EG005",
            strategy(
                json!({ "signals": [ready_only(json!(900)), shutdown, { "name": "INSTANCE_UP", "timeout": 900 }] }),
            ),
            strategy(json!({ "signals": [ready_only(json!(900)), shutdown] })),
        ),
        Case("EG006", strategy(json!({ "drainingTimeout": 360 })), strategy(json!({ "drainingTimeout": null }))),
        Case(
            "EG007",
            // Without the other signal, which would be a note of its own, only its absence is.
            json!({ "strategy": { "signals": [ready_only(json!(900))], "drainingTimeout": 299 } }),
            json!({ "strategy": { "signals": [ready_only(json!(900))], "drainingTimeout": 300 } }),
        ),
        Case("EG008", signals(json!(900), json!(299)), signals(json!(900), json!(300))),
        Case(
            "EG009",
            json!({ "strategy": { "signals": [ready_only(json!(900))], "drainingTimeout": 300 } }),
            strategy(json!({ "signals": [ready_only(json!(900)), shutdown] })),
        ),
        Case("EG010", launch(json!({ "healthCheckType": "MLB" })), launch(json!({ "healthCheckType": "HCS" }))),
        Case(
            "EG011",
            launch(json!({ "healthCheckType": "ELB" })),
            launch(json!({ "healthCheckType": "ELB", "loadBalancerNames": ["web"] })),
        ),
        Case(
            "EG012",
            launch(json!({ "healthCheckGracePeriod": 899 })),
            launch(json!({ "healthCheckGracePeriod": null, "autoHealing": false })),
        ),
        Case(
            "EG013",
            launch(json!({ "healthCheckUnhealthyDurationBeforeReplacement": 599 })),
            launch(json!({ "healthCheckUnhealthyDurationBeforeReplacement": 600 })),
        ),
        Case("EG014", launch(json!({ "healthCheckType": null })), launch(json!({ "healthCheckType": "TARGET_GROUP" }))),
        Case(
            "EG020",
            user_data(format!("#!/bin/sh\n{}", "#".repeat(16_375))),
            user_data(format!("#!/bin/sh\n{}", "#".repeat(16_374))),
        ),
        Case("EG021", launch(json!({ "userData": "#!/bin/sh" })), launch(json!({ "userData": "IyEvYmluL3NoCg" }))),
        Case("EG022", user_data("apt-get update\n"), user_data("#cloud-boothook\napt-get update\n")),
        Case("EG023", user_data(b"#!/bin/sh\n\xc3\x28\n"), user_data("#!/bin/sh\n# ü\n")),
        Case("EG024", user_data("#!/bin/sh\r\nls\r\n"), user_data("#!/bin/sh\nls\n")),
        Case("EG025", user_data("#cloud-config\nruncmd: [ls\n"), user_data("#cloud-config\nruncmd: [ls]\n")),
        Case(
            "EG026",
            script("B=http://169.254.169.254/latest\ncurl -s $B/meta-data/instance-id"),
            script(
                "T=$(curl -X PUT http://169.254.169.254/latest/api/token)\ncurl -H \"X-aws-ec2-metadata-token: $T\" http://169.254.169.254/latest/meta-data/",
            ),
        ),
        Case(
            "EG031",
            script(&format!("export SPOTINST_TOKEN={}", "ab".repeat(32))),
            script("export SPOTINST_TOKEN=$(cat /run/credentials/token)"),
        ),
        Case("EG032", script(&format!("export AWS_ACCESS_KEY_ID={aws_key}")), script("export AWS_ACCESS_KEY_ID=$KEY")),
        Case("EG033", launch(json!({ "userData": null })), script("true")),
        Case(
            "EG027",
            script("curl -O https://aws-codedeploy-us-east-1.s3.amazonaws.com/latest/install"),
            script("curl -O https://aws-codedeploy-eu-west-1.s3.amazonaws.com/latest/install"),
        ),
        Case(
            "EG028",
            script(
                "dnf install -y https://amazon-ssm-eu-west-1.s3.amazonaws.com/latest/linux_arm64/amazon-ssm-agent.rpm",
            ),
            script(
                "dnf install -y https://amazon-ssm-eu-west-1.s3.amazonaws.com/latest/linux_amd64/amazon-ssm-agent.rpm",
            ),
        ),
        Case(
            "EG029",
            script("aws ec2 create-tags --resources i --tags Key=a,Value=b\n./install-codedeploy"),
            script("./install-codedeploy\naws ec2 create-tags --resources i --tags Key=a,Value=b"),
        ),
        Case("EG030", script("curl -O http://example.com/setup.sh"), script("curl -O https://example.com/setup.sh")),
        Case("EG034", bootstrap("deadline 901\ncodedeploy 2\n"), bootstrap("deadline 900\ncodedeploy 2\n")),
        Case("EG035", bootstrap("deadline 600\nssm ensure\n"), bootstrap("deadline 600\ncodedeploy ensure\n")),
        Case(
            "EG036",
            launch(json!({ "shutdownScript": BASE64_STANDARD.encode("#!/bin/sh\nls\n") })),
            launch(json!({ "shutdownScript": null })),
        ),
        Case(
            "EG037",
            launch(json!({ "shutdownScript": BASE64_STANDARD.encode("ls\n") })),
            launch(json!({ "shutdownScript": BASE64_STANDARD.encode("#!/bin/sh\nls\n") })),
        ),
        Case(
            "EG040",
            launch(json!({ "metadataOptions": { "instanceMetadataTags": "disabled" } })),
            launch(json!({ "metadataOptions": { "instanceMetadataTags": "Enabled" } })),
        ),
        Case("EG041", tags(&[("cost center", "1")]), tags(&[("cost-center", "1")])),
        Case("EG042", tags(&[("spotinst:owner", "me")]), tags(&[("owner", "spotinst")])),
        Case("EG043", tags(&[("version", "8.0")]), tags(&[("version", "7.0")])),
        Case("EG044", tags(&[("a", "1"), ("a", "2")]), tags(&[("a", "1"), ("A", "2")])),
        Case(
            "EG045",
            launch(json!({ "metadataOptions": { "httpTokens": "optional" } })),
            launch(json!({ "metadataOptions": { "httpTokens": "required" } })),
        ),
        Case(
            "EG050",
            codedeploy(json!({ "terminateInstanceOnFailure": true })),
            codedeploy(json!({ "terminateInstanceOnFailure": null })),
        ),
        Case(
            "EG051",
            codedeploy(json!({ "deploymentGroups": [{ "applicationName": "web" }] })),
            codedeploy(json!({ "deploymentGroups": [{ "applicationName": "web", "deploymentGroupName": "blue" }] })),
        ),
        Case(
            "EG052",
            launch(json!({ "iamRole": null })),
            launch(json!({ "iamRole": { "name": null, "arn": "arn:aws:iam::123456789012:instance-profile/web" } })),
        ),
        Case(
            "EG053",
            codedeploy(json!({ "deploymentGroups": [
                { "applicationName": "web", "deploymentGroupName": "a" },
                { "applicationName": "log", "deploymentGroupName": "b" },
            ] })),
            codedeploy(json!({ "deploymentGroups": [{ "applicationName": "log", "deploymentGroupName": "b" }] })),
        ),
        Case("EG060", json!({ "region": 7 }), json!({ "region": "eu-west-1" })),
        Case("EG061", json!({ "capacity": { "target": 9 } }), json!({ "capacity": { "target": 8 } })),
        Case("EG062", json!({ "capacity": { "minimum": 1 } }), json!({ "capacity": { "minimum": 0 } })),
        Case(
            "EG063",
            strategy(json!({ "fallbackToOd": false })),
            json!({ "strategy": { "fallbackToOd": false, "risk": 0 } }),
        ),
        Case(
            "EG064",
            json!({ "compute": { "instanceTypes": { "spot": ["m6i.large"] } } }),
            json!({ "compute": { "instanceTypes": { "spot": ["m6i.large", "m5.large"] } } }),
        ),
        Case(
            "EG065",
            launch(json!({ "loadBalancersConfig": { "loadBalancers": [
                { "arn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", "type": "TARGET_GROUP" },
                { "name": "old", "type": "MULTAI_TARGET_SET" },
            ] } })),
            target_group("eu-west-1"),
        ),
        Case("EG066", target_group("eu-west-2"), target_group("eu-west-1")),
        Case(
            "EG067",
            strategy(json!({ "persistence": { "shouldPersistRootDevice": true } })),
            strategy(json!({ "persistence": { "shouldPersistBlockDevices": true } })),
        ),
    ]
}

/// Rules that another one cannot be broken without.
fn companions(rule: &str) -> &'static [&'static str] {
    match rule {
        "EG007" => &["EG009"],
        "EG037" => &["EG036"],
        _ => &[],
    }
}

#[test]
fn each_rule_breaks_on_its_sample_and_holds_on_the_nearest_good_one() {
    for Case(rule, breaks, holds) in cases() {
        let broken = patched(&breaks);
        let expected: BTreeSet<_> = companions(rule).iter().copied().chain([rule]).collect();
        assert_eq!(broken, expected, "{breaks}");
        let held = patched(&holds);
        let expected: BTreeSet<_> = companions(rule).iter().copied().collect();
        assert_eq!(held, expected, "{rule} on {holds}");
    }
}

#[test]
fn every_rule_over_groups_has_a_sample() {
    let sampled: BTreeSet<_> = cases().iter().map(|case| case.0).chain(["EG015"]).collect();
    let known: BTreeSet<_> = rules().map(|rule| rule.id).filter(|id| id.starts_with("EG")).collect();
    assert_eq!(sampled, known);
}
