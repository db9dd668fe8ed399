use std::fs;
use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use pitcrew_core::settings::{BeforeStop, OnAdvice, OnDead, OnNotice, Thresholds};
use pitcrew_core::wire::Owner;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/config.d")
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn load_one(text: &str) -> Result<Merged, ConfigError> {
    read(&[(Path::new("a.toml"), text)])
}

fn settings(text: &str) -> Settings {
    load_one(text).unwrap().into_settings()
}

fn complaints(text: &str) -> String {
    load_one(text).unwrap_err().to_string()
}

#[test]
fn the_shipped_files_are_the_defaults() {
    assert_eq!(load(&[shipped()]).unwrap().into_settings(), Settings::default());
}

#[test]
fn the_shipped_files_mention_every_key() {
    let text: String =
        fs::read_dir(shipped()).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    // What is a comment there because it has no default is a key all the same.
    let text = text.replace("\n# [[health", "\n[[health").lines().fold(String::new(), |text, line| {
        let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        match line.strip_prefix("# ") {
            Some(key) if is_key(key) => text + key + "\n",
            Some(_) | None => text + line + "\n",
        }
    });
    let written = load_one(&text).unwrap();
    let missing: Vec<_> = (written.rows().into_iter())
        .filter(|row| row.origin == origin::Origin::Default)
        .map(|row| format!("{}.{}", row.section, row.key))
        .collect();
    assert!(missing.is_empty(), "packaging/config.d does not mention {missing:?}");
    assert_eq!(written.into_settings().probes.len(), 1, "the probe in the manual is read");
}

#[test]
fn every_key_reaches_the_settings() {
    let settings = settings(
        r#"
        traffic = { owner = "codedeploy", target_groups = ["web", "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/api/2"], keep_last_healthy = false }
        drain = { settle = "0s", quiet_period = "250ms" }
        return = { within = "3m" }
        deployment = { ask_after = "31s", assume_dead_after = "2h", hook_timeout = "16m", on_notice = "refuse", before_stop = "answer", command_within = "6m", on_dead = "replace", replace_after = "20m", return_blocked = false }
        codedeploy = { root = "/srv/codedeploy" }
        agents = { look = "2m", stuck_after = "5m", restart = "never", inventory = false }
        tags = { version = "/opt/app/VERSION", after_success = { version = "8.0" } }
        elastigroup = { token = "ssm:/spot", account = "act-1", group = "sig-1", ready = "health", suspend = ["AUTO_HEALING"], base_url = "http://127.0.0.1:8", timeout = "4s" }
        imds = { poll = "2s", timeout = "3s", endpoint = "http://127.0.0.1:1338" }
        aws = { region = "eu-west-1", endpoint_url = "http://127.0.0.1:4566", timeout = "6s" }
        socket = { group = "deploy" }
        log = { format = "json", level = "debug" }
        [leave]
        budget = "90s"
        hibernate_budget = "8s"
        on_rebalance = "drain"
        on_foreign_drain = "drain"
        on_withdrawn = "return"
        on_stop = "stay"
        stop_budget = "40s"
        scripts = "/srv/drain.d"
        run_scripts = "direct"
        remove_tags = ["deploy", "pitcrew:ready"]
        lifecycle_hook = "drain"
        scheduled = { lead = "10m", instance-reboot = "2m", system-maintenance = "ignore" }
        webhook = { url = "https://hooks.example/x", headers = { Authorization = "hook-token" }, body = '{"text":"{{sentence}}"}' }
        commands = { noticed = ["/usr/bin/page", "now"], left_badly = ["/usr/bin/page", "late"] }
        [[health.probe]]
        name = "app"
        http = "http://127.0.0.1:8080/health"
        expect = "200,204-206"
        interval = "5s"
        timeout = "700ms"
        healthy_threshold = 3
        unhealthy_threshold = 4
        [[health.probe]]
        name = "port"
        tcp = "127.0.0.1:8080"
        [[health.probe]]
        name = "script"
        command = ["/usr/bin/check", "--fast"]
        "#,
    );
    let [app, port, script] = settings.probes.as_slice() else { panic!("three probes") };
    let Check::Http { url, expect } = &app.check else { panic!("an http probe") };
    assert_eq!(url, "http://127.0.0.1:8080/health");
    let good: Vec<u16> = (100..600).filter(|status| expect.contains(*status)).collect();
    assert_eq!(good, [200, 204, 205, 206]);
    assert_eq!((app.interval, app.timeout), (Duration::from_secs(5), Duration::from_millis(700)));
    assert_eq!(port.check, Check::Tcp { address: "127.0.0.1:8080".into() });
    assert_eq!(script.check, Check::Command { command: vec!["/usr/bin/check".into(), "--fast".into()] });
    assert_eq!(settings.core.probes[&app.name], Thresholds { healthy: 3, unhealthy: 4, ..Thresholds::default() });
    assert_eq!(settings.core.probes[&port.name], Thresholds::default());

    let core = &settings.core;
    assert_eq!(core.owner, Some(Owner::CodeDeploy));
    assert!(!core.keep_last_healthy);
    assert_eq!((core.settle, core.quiet_period), (Duration::ZERO, Duration::from_millis(250)));
    assert_eq!(core.return_within, Duration::from_secs(180));
    assert_eq!((core.ask_after, core.assume_dead_after), (Duration::from_secs(31), Duration::from_secs(7200)));
    assert_eq!((core.on_notice, core.before_stop), (OnNotice::Refuse, BeforeStop::Answer));
    assert_eq!((core.command_within, core.replace_after), (Duration::from_secs(360), Duration::from_secs(1200)));
    assert_eq!((core.on_dead, core.return_blocked), (OnDead::Replace, false));
    let agents = &settings.agents;
    assert_eq!((agents.look, agents.stuck_after), (Duration::from_secs(120), Duration::from_secs(300)));
    assert!(agents.restart == Restart::Never && !agents.inventory);
    assert_eq!(settings.tags.version, VersionFrom::File("/opt/app/VERSION".into()));
    assert_eq!(settings.tags.after_success, BTreeMap::from([("version".to_owned(), "8.0".to_owned())]));
    assert_eq!(settings.codedeploy.root.to_str(), Some("/srv/codedeploy"));
    assert_eq!((core.leave_budget, core.hibernate_budget), (Duration::from_secs(90), Duration::from_secs(8)));
    assert_eq!(core.on_rebalance, OnAdvice::Drain);
    assert_eq!(core.on_foreign_drain, OnAdvice::Drain);
    assert!(core.return_when_withdrawn && core.remove_tags);
    let leave = &settings.leave;
    assert_eq!(leave.on_stop, OnStop::Stay);
    assert_eq!(
        super::tests::settings("leave.stop_budget = \"40s\"").leave.on_stop,
        OnStop::Leave(Duration::from_secs(40))
    );
    assert_eq!((leave.scripts.as_path(), leave.run_scripts), (Path::new("/srv/drain.d"), RunScripts::Direct));
    assert_eq!(leave.remove_tags, ["deploy", "pitcrew:ready"]);
    assert_eq!(leave.lifecycle_hook.as_deref(), Some("drain"));
    let leads = ["instance-stop", "instance-reboot", "system-maintenance"].map(|code| leave.scheduled.lead(code));
    let minutes = |n: u64| Lead::Ahead(Duration::from_secs(60 * n));
    assert_eq!(leads, [minutes(10), minutes(2), Lead::Ignore]);
    let webhook = leave.webhook.as_ref().unwrap();
    assert_eq!(webhook.url, Address::Plain("https://hooks.example/x".parse().unwrap()));
    assert_eq!(webhook.headers["Authorization"], Credential("hook-token".into()));
    assert_eq!(webhook.body.filled(Fill::word), r#"{"text":"sentence"}"#);
    assert_eq!(leave.commands.noticed, ["/usr/bin/page", "now"]);
    assert!(leave.commands.left.is_empty());
    assert_eq!(leave.commands.left_badly, ["/usr/bin/page", "late"]);
    assert_eq!(settings.hook_timeout, Duration::from_secs(960));
    assert_eq!(settings.target_groups.len(), 2);
    assert_eq!(settings.imds.endpoint.unwrap(), "http://127.0.0.1:1338");
    assert_eq!((settings.imds.poll, settings.imds.timeout), (Duration::from_secs(2), Duration::from_secs(3)));
    assert_eq!(settings.aws.region.as_deref(), Some("eu-west-1"));
    assert_eq!(settings.aws.endpoint_url.unwrap(), "http://127.0.0.1:4566");
    assert_eq!(settings.elastigroup.token, Some(TokenPlace::Parameter("/spot".into())));
    assert_eq!(settings.elastigroup.account.as_deref(), Some("act-1"));
    assert_eq!(settings.elastigroup.group.as_deref(), Some("sig-1"));
    assert_eq!(settings.elastigroup.base_url, "http://127.0.0.1:8");
    assert_eq!(settings.elastigroup.timeout, Duration::from_secs(4));
    let told = settings.core.elastigroup.unwrap();
    assert_eq!(told.ready, pitcrew_core::elastigroup::ReadyAfter::Health);
    assert!(told.suspend.contains(&pitcrew_core::elastigroup::Process::AutoHealing));
    assert_eq!(settings.aws.timeout, Duration::from_secs(6));
    assert_eq!(settings.socket_group, "deploy");
    assert_eq!(settings.log, Log { format: LogFormat::Json, level: LogLevel::Debug });
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    expect![[r#"
        a.toml:3: `traffic.owner`: must be one of "auto", "pitcrew", "codedeploy", "elastigroup", not "me"
        a.toml:4: `traffic.target_groups`: `a b` is neither a target group's ARN (arn:…:targetgroup/…) nor its name
        a.toml:5: unknown key `traffic.keep_last`; [traffic] has owner, target_groups, keep_last_healthy
        a.toml:7: `drain.settle`: `5 s` is no duration; write a whole number and its unit: 1500ms, 5s, 2m or 1h
        a.toml:8: `drain.quiet_period`: must be a duration such as "5s", not 2
        a.toml:10: `imds.poll`: 1ms is too short; the least is 100ms
        a.toml:11: `imds.endpoint`: `169.254.169.254` is no address; write it as http://HOST[:PORT][/PATH]
        a.toml:13: `socket.group`: must not be empty; leave the key out instead
        a.toml:14: unknown section `drian`; there are traffic, drain, return, deployment, leave, elastigroup, codedeploy, agents, tags, imds, aws, socket, http, cloudwatch, autoscaling, history, log, health"#]]
    .assert_eq(&complaints(
        r#"
[traffic]
owner = "me"
target_groups = ["web", "a b"]
keep_last = true
[drain]
settle = "5 s"
quiet_period = 2
[imds]
poll = "1ms"
endpoint = "169.254.169.254"
[socket]
group = ""
[drian]
"#,
    ));
}

#[test]
fn a_probe_that_makes_no_sense_is_refused_with_its_name() {
    expect![[r#"
        a.toml:2: [[health.probe]] needs a `name`
        a.toml:4: probe `both` needs exactly one of `http`, `tcp`, `command`, `disk`, `memory_percent`, `memory_pressure_percent` and `load_per_cpu`
        a.toml:8: probe `none` needs exactly one of `http`, `tcp`, `command`, `disk`, `memory_percent`, `memory_pressure_percent` and `load_per_cpu`
        a.toml:10: probe `tls` asks its own host: `http` must begin with http://
        a.toml:13: probe `odd` has `expect`, which belongs to `http`
        a.toml:17: probe `port` needs `tcp` in the form "HOST:PORT"
        a.toml:23: `health.probe.expect`: `2xx` names no HTTP statuses; write statuses from 100 to 599: "200", "200,202" or "200-399"
        a.toml:24: `health.probe.healthy_threshold`: must be a whole number from 1 to 100, not 0
        a.toml:25: there are two probes `twice`; names are unique
        a.toml:30: `health.probe.http`: `not here` is no address; write it as http://HOST[:PORT][/PATH]"#]]
    .assert_eq(&complaints(
        r#"
[[health.probe]]
tcp = "127.0.0.1:80"
[[health.probe]]
name = "both"
tcp = "127.0.0.1:80"
command = ["true"]
[[health.probe]]
name = "none"
[[health.probe]]
name = "tls"
http = "https://127.0.0.1/"
[[health.probe]]
name = "odd"
tcp = "127.0.0.1:80"
expect = "200"
[[health.probe]]
name = "port"
tcp = "127.0.0.1"
[[health.probe]]
name = "twice"
http = "http://127.0.0.1/"
expect = "2xx"
healthy_threshold = 0
[[health.probe]]
name = "twice"
tcp = "127.0.0.1:80"
[[health.probe]]
name = "vague"
http = "not here"
expect = "200"
"#,
    ));
}

#[test]
fn a_hook_that_waits_longer_than_codedeploy_lets_it_is_refused() {
    expect!["a.toml:2: `deployment.hook_timeout`: 61m is too long; CodeDeploy ends a script after 1h"]
        .assert_eq(&complaints("[deployment]\nhook_timeout = \"61m\"\n"));
    assert!(load_one("[deployment]\nhook_timeout = \"1h\"\n").is_ok());
}

#[test]
fn what_makes_no_sense_of_the_end_is_refused_by_its_inner_key() {
    expect![[r#"
        a.toml:9: `leave.on_stop`: must be one of "leave", "stay", not "go"
        a.toml:6: `leave.scheduled`: `instance-reboot`: is too short: scheduled events are asked for every 30 s
        a.toml:3: `leave.scripts`: `drain.d` does not begin with /
        a.toml:4: `leave.run_scripts`: must be one of "unit", "direct", not "root"
        a.toml:5: `leave.remove_tags`: `aws:autoscaling:groupName` is no tag key that could be removed
        a.toml:7: `leave.webhook`: needs exactly one of `url` and `url_credential`
        a.toml:8: `leave.commands`: `left` begins with the whole path of a program"#]]
    .assert_eq(&complaints(
        r#"
[leave]
scripts = "drain.d"
run_scripts = "root"
remove_tags = ["aws:autoscaling:groupName"]
scheduled = { instance-reboot = "5s" }
webhook = { url = "https://hooks.example", url_credential = "hook" }
commands = { left = ["page"] }
on_stop = "go"
"#,
    ));
    expect![[r#"
        a.toml:2: `leave.scheduled`: unknown key `instance-reset`; there are lead, instance-reboot, system-reboot, system-maintenance, instance-retirement, instance-stop
        a.toml:4: `leave.webhook`: `headers.Authorization`: `a/b` is neither a credential's name nor the path of a file
        a.toml:7: `leave.commands`: `noticed` begins with the whole path of a program"#]]
    .assert_eq(&complaints(
        r#"
[leave.scheduled]
instance-reset = "5m"
[leave.webhook]
url_credential = "hook"
headers = { Authorization = "a/b" }
[leave.commands]
noticed = []
"#,
    ));
}

#[test]
fn two_servers_on_one_address_are_refused() {
    expect!["a.toml:2: http.ready_listen: is the address of http.listen, where /ready is answered, too; give it another port"]
        .assert_eq(&complaints("[http]\nready_listen = \"127.0.0.1:8790\""));
    settings("http = { listen = \"off\", ready_listen = \"127.0.0.1:8790\" }");
}

#[test]
fn standby_without_a_token_is_refused_and_so_is_a_token_in_the_open() {
    expect![[r#"a.toml:1: traffic.owner: "elastigroup" moves traffic through Elastigroup's API, which needs [elastigroup] token"#]]
        .assert_eq(&complaints(r#"traffic.owner = "elastigroup""#));
    let literal = format!("elastigroup.token = \"{}\"", "0123456789abcdef".repeat(4));
    expect!["a.toml:1: `elastigroup.token`: is a token itself, which must not stand here; name a credential of the unit, a file, or ssm:/PARAMETER"]
        .assert_eq(&complaints(&literal));
}

#[test]
fn what_is_no_toml_is_said_once_per_place() {
    let complaints = complaints("[traffic\nowner = \"auto\"\n");
    assert!(complaints.starts_with("a.toml:1: this is no TOML: "), "{complaints}");
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
}

proptest! {
    #[test]
    fn garbage_is_refused_line_by_line_and_never_panics(text in ".*", key in "[a-z._]{1,20}", value in ".{0,20}") {
        let probe = format!("[drain]\nsettle = {value}\n[[health.probe]]\nname = {value}\nhttp = {value}");
        for text in [text, format!("{key} = {value}"), probe] {
            if let Err(error) = load_one(&text) {
                let error = error.to_string();
                prop_assert!(!error.is_empty());
                prop_assert!(error.split('\n').all(|line| line.starts_with("a.toml:")), "{error}");
            }
        }
    }
}

#[test]
fn complaints_of_several_files_come_together() {
    let directory = directory(&[("a.toml", "x = 1"), ("b.toml", "y = 1")]);
    let error = load(&[directory.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("a.toml:1: unknown section `x`"), "{error}");
    assert!(error.contains("b.toml:1: unknown section `y`"), "{error}");
}

#[test]
fn the_later_file_wins_key_by_key_and_a_file_of_the_same_name_is_hidden() {
    let vendor = directory(&[
        ("10-a.toml", "drain = { settle = \"1s\", quiet_period = \"1s\" }"),
        ("20-b.toml", "return.within = \"1m\""),
    ]);
    let admin = directory(&[
        ("20-b.toml", "log.level = \"debug\""),
        ("15-c.toml", "drain.settle = \"9s\""),
        (".30-d.toml", "this is an editor's"),
        ("README", "this is for people"),
    ]);
    let merged = load(&[vendor.path().to_owned(), admin.path().to_owned()]).unwrap();
    let settings = merged.into_settings();
    assert_eq!(settings.core.settle, Duration::from_secs(9));
    assert_eq!(settings.core.quiet_period, Duration::from_secs(1));
    assert_eq!(settings.core.return_within, Settings::default().core.return_within);
    assert_eq!(settings.log.level, LogLevel::Debug);
}

#[test]
fn a_probe_of_the_same_name_is_replaced_whole() {
    let directory = directory(&[
        ("a.toml", "[[health.probe]]\nname = \"app\"\ntcp = \"127.0.0.1:80\"\ninterval = \"9s\""),
        ("b.toml", "[[health.probe]]\nname = \"app\"\ncommand = [\"true\"]"),
    ]);
    let settings = load(&[directory.path().to_owned()]).unwrap().into_settings();
    let [app] = settings.probes.as_slice() else { panic!("one probe") };
    assert_eq!(app.check, Check::Command { command: vec!["true".into()] });
    assert_eq!(app.interval, Duration::from_secs(2));
}

#[test]
fn a_directory_that_was_asked_for_must_exist() {
    let absent = directory(&[]).path().join("absent");
    let error = load(std::slice::from_ref(&absent)).unwrap_err();
    assert_eq!(error.to_string(), format!("failed to read `{}`", absent.display()));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let text = "drain.settle = \"7s\"\nleave.webhook = { url_credential = \"hook\", headers = { X-Key = \"key\" } }\n\
                leave.scheduled.instance-stop = \"1h\"\n[[health.probe]]\nname = \"app\"\ncommand = [\"a\", \"b \\\"c\\\"\"]";
    let merged = load_one(text).unwrap();
    let shown = merged.to_toml();
    assert!(shown.lines().any(|line| line.starts_with("settle = \"7s\"") && line.ends_with("a.toml:1")), "{shown}");
    assert!(
        shown.lines().any(|line| line.starts_with("quiet_period = \"2s\"") && line.ends_with("# default")),
        "{shown}"
    );
    assert_eq!(load_one(&shown).unwrap().into_settings(), merged.into_settings());
}
