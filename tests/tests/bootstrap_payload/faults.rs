//! Everything that can go wrong ends in another try, or in a failure with a name.

use std::os::unix::fs::symlink;

use pitcrew_plan::journal::{Failure, Outcome};

use super::host::{Host, TOOLS};
use super::world::{Call, Reply};

/// A fault that answers the first `times` calls for which `concerns` is true.
fn first(
    times: usize,
    concerns: impl Fn(&Call) -> bool + Send + 'static,
    reply: Reply,
) -> impl FnMut(&Call) -> Option<Reply> {
    let mut left = times;
    move |call| {
        let hit = left > 0 && concerns(call);
        left -= usize::from(hit);
        hit.then(|| reply.clone())
    }
}

fn is_metadata(call: &Call) -> bool {
    call.path.starts_with("/latest/")
}

fn is_package(call: &Call) -> bool {
    call.path.ends_with("/pitcrew.deb")
}

#[test]
fn metadata_that_is_down_for_a_while_is_waited_for() {
    for reply in [
        Reply::Nothing,
        Reply::Full(503, Vec::new()),
        Reply::Full(200, Vec::new()),
        Reply::Half(b"half a token".to_vec()),
    ] {
        let host = Host::new();
        // The pauses double up to thirty paces: fifteen failures are about a minute at the usual pace.
        host.world.fault(first(15, is_metadata, reply.clone()));
        let run = host.run();
        run.assert_ended_well();
        assert!(host.world.asked("/latest/api/token") > 7, "{reply:?}");
    }
}

#[test]
fn metadata_that_hangs_is_given_up_and_asked_again() {
    let host = Host::new();
    host.world.fault(first(6, is_metadata, Reply::Silence));
    host.run().assert_ended_well();
}

#[test]
fn metadata_that_never_answers_is_a_failure_at_the_deadline() {
    let mut host = Host::new();
    host.ask("deadline 1");
    host.world.fault(|call| is_metadata(call).then_some(Reply::Nothing));
    host.run().assert_failed("facts", Failure::Imds);
    assert!(host.journal().starts_with("run - "));
}

#[test]
fn a_refused_token_is_asked_for_again() {
    let host = Host::new();
    host.world.fault(first(3, |call| call.path.contains("document"), Reply::Full(401, Vec::new())));
    host.run().assert_ended_well();
}

#[test]
fn credentials_that_come_late_are_waited_for_before_any_agent_starts() {
    let host = Host::new();
    host.world.fault(first(4, |call| call.path.contains("security-credentials"), Reply::Full(404, Vec::new())));
    let run = host.run();
    run.assert_ended_well();
    assert_eq!(run.step("role"), Some(Outcome::Done));
}

#[test]
fn an_instance_without_a_role_says_so() {
    let host = Host::new();
    host.world.fault(|call| call.path.contains("security-credentials").then(|| Reply::Full(404, Vec::new())));
    let run = host.run();
    run.assert_failed("role", Failure::Role);
    assert_eq!(run.detail, "no role");
    assert_eq!(run.step("pitcrew"), Some(Outcome::Done), "what needs no role is done: {run:?}");
    assert_eq!(run.step("tags"), None);
}

#[test]
fn credentials_that_expire_in_between_are_fetched_anew() {
    let host = Host::new();
    let mut calls = 0;
    host.world.fault(move |call| {
        calls += usize::from(call.is_to_ec2());
        (call.is_to_ec2() && calls == 1).then(|| Reply::ec2_error(400, "ExpiredToken"))
    });
    host.run().assert_ended_well();
    assert_eq!(host.world.calls_to_ec2().len(), 2);
    assert!(host.world.asked("security-credentials/role") >= 3);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let host = Host::new();
    host.world.fault(first(5, is_package, Reply::Full(503, b"Slow Down".to_vec())));
    host.run().assert_ended_well();
    assert_eq!(host.world.asked("/pitcrew.deb"), 6);
}

#[test]
fn a_server_that_stays_busy_is_a_failure_and_the_other_steps_go_on() {
    let host = Host::new();
    host.world.fault(|call| is_package(call).then(|| Reply::Full(503, Vec::new())));
    let run = host.run();
    run.assert_failed("pitcrew", Failure::Download);
    assert!(run.has_done("ssm-online"), "{run:?}");
    assert_eq!(run.step("tags"), None);
    assert_eq!(host.world.asked("/pitcrew.deb"), 10);
}

#[test]
fn what_is_refused_or_missing_is_not_asked_for_again() {
    for (status, failure) in [(403, Failure::Refused), (404, Failure::Missing)] {
        let host = Host::new();
        host.world.fault(move |call| is_package(call).then(|| Reply::Full(status, Vec::new())));
        host.run().assert_failed("pitcrew", failure);
        assert_eq!(host.world.asked("/pitcrew.deb"), 1);
    }
}

#[test]
fn half_a_file_is_fetched_again_whichever_tool_fetches() {
    for tool in TOOLS {
        let host = Host::new();
        host.with_only(tool);
        host.world.fault(first(2, |call| call.path.contains("latestv2"), Reply::Half(b"exit 7 # and more".to_vec())));
        let run = host.run();
        run.assert_ended_well();
        assert_eq!(host.world.asked("/latestv2/install"), 3, "{tool}: half an installer must not run");
    }
}

#[test]
fn a_wrong_digest_is_tried_once_more_and_then_told_with_both() {
    let host = Host::new();
    host.put("/pitcrew.deb", &format!("touch {}/must-not-happen\n", host.root()));
    let run = host.run();
    run.assert_failed("pitcrew", Failure::Digest);
    assert!(run.detail.starts_with("expected ") && run.detail.contains(", got "), "{run:?}");
    assert_eq!(host.world.asked("/pitcrew.deb"), 2);
    assert!(!host.path("must-not-happen").exists());
}

#[test]
fn an_agent_without_a_pinned_digest_is_not_installed() {
    let mut host = Host::new();
    host.ask_not("pin");
    host.run().assert_failed("ssm", Failure::Digest);
    assert!(!host.path("units/amazon-ssm-agent.service").exists());
}

#[test]
fn a_name_that_does_not_resolve_is_told_whichever_tool_asks() {
    for tool in TOOLS {
        let mut host = Host::new();
        host.with_only(tool);
        host.ask("s3 https://nowhere.invalid");
        host.run().assert_failed("ssm", Failure::Dns);
    }
}

#[test]
fn a_lock_that_is_held_is_waited_for() {
    let host = Host::new();
    host.write("locked", "2");
    host.run().assert_ended_well();
    assert!(host.calls().contains(&"apt-get -q update".to_owned()));
}

#[test]
fn a_broken_package_is_told_with_the_managers_last_words() {
    let host = Host::new();
    host.write("broken/apt-get", "");
    let run = host.run();
    run.assert_failed("pitcrew", Failure::Install);
    assert_eq!(run.detail, "E: apt-get: broken");
}

#[test]
fn a_package_manager_that_hangs_is_ended_at_the_deadline() {
    let mut host = Host::new();
    host.ask("deadline 2");
    host.double("apt-get", "exec /usr/bin/sleep 600");
    let run = host.run();
    run.assert_failed("pitcrew", Failure::Install);
}

#[test]
fn a_full_disk_is_told_whichever_tool_writes() {
    for tool in TOOLS {
        let host = Host::new();
        host.with_only(tool);
        let large = "# a package that does not fit\n".repeat(10_000);
        host.put("/pitcrew.deb", &large);
        let console = host.run_with_disk_of("64k");
        assert!(console.contains("pitcrew-bootstrap: pitcrew failed "), "{tool}: {console}");
        assert!(console.contains(" disk "), "{tool}: {console}");
        assert_eq!(host.world.asked("/pitcrew.deb"), 1, "{tool}");
    }
}

#[test]
fn a_journal_that_cannot_be_written_does_not_stop_the_run() {
    let host = Host::new();
    std::fs::create_dir_all(host.path("var/lib/pitcrew-bootstrap")).unwrap();
    symlink("/dev/full", host.path("var/lib/pitcrew-bootstrap/journal")).unwrap();
    let run = host.run();
    assert_eq!(run.output.status.code(), Some(0), "{run:?}");
    assert!(String::from_utf8_lossy(&run.output.stdout).contains("\npitcrew-bootstrap: end done "));
}

#[test]
fn without_any_tool_for_tls_the_run_says_so() {
    let host = Host::new();
    for tool in TOOLS {
        host.without(tool);
    }
    host.run().assert_failed("pitcrew", Failure::NoTool);
}

#[test]
fn a_clock_ten_minutes_off_is_corrected_by_the_servers_date() {
    for tool in TOOLS {
        let host = Host::new();
        host.with_only(tool);
        host.world.state().ahead_s = 600;
        host.run().assert_ended_well();
        assert_eq!(host.world.calls_to_ec2().len(), 2, "{tool}");
    }
}

#[test]
fn a_unit_that_fails_is_told() {
    let host = Host::new();
    host.write("broken/codedeploy-agent.service", "");
    let run = host.run();
    run.assert_failed("codedeploy", Failure::Unit);
    assert_eq!(run.detail, "Job for codedeploy-agent.service failed");
    assert_eq!(run.step("codedeploy-running"), None);
    assert!(run.has_done("ssm-online"), "{run:?}");
}

#[test]
fn a_unit_that_does_not_stay_up_is_told() {
    let host = Host::new();
    host.double(
        "systemctl",
        "case $1 in cat) [ -e $ROOT/units/$2.service ] ;; is-active) case $2 in *codedeploy*) exit 3 ;; esac ;; restart) \
         mkdir -p $ROOT/var/lib/amazon/ssm/runtimeconfig; printf '{\"InstanceId\":\"%s\",\"CredentialsRetrievedAt\":\"2099-01-01T00:00:00Z\"}' \
         $(cat $ROOT/instance) > $ROOT/var/lib/amazon/ssm/runtimeconfig/identity_config.json ;; esac",
    );
    host.run().assert_failed("codedeploy-running", Failure::Unit);
}

#[test]
fn tags_are_tried_again_when_throttled_and_given_up_when_denied() {
    let host = Host::new();
    let mut calls = 0;
    host.world.fault(move |call| {
        calls += usize::from(call.is_to_ec2());
        call.is_to_ec2().then(|| match calls {
            1..4 => Reply::ec2_error(503, "RequestLimitExceeded"),
            _ => Reply::ec2_error(403, "UnauthorizedOperation"),
        })
    });
    let run = host.run();
    run.assert_failed("tags", Failure::Denied);
    assert_eq!(run.detail, "UnauthorizedOperation");
    // Three throttled, one denied, and one more to say that it failed.
    assert_eq!(host.world.calls_to_ec2().len(), 5);
}

#[test]
fn an_instance_that_ec2_does_not_know_yet_is_tried_again() {
    let host = Host::new();
    host.world.fault(first(3, Call::is_to_ec2, Reply::ec2_error(400, "InvalidInstanceID.NotFound")));
    host.run().assert_ended_well();
    assert_eq!(host.world.calls_to_ec2().len(), 4);
}

#[test]
fn a_failure_is_put_on_the_instance_as_a_tag() {
    let host = Host::new();
    host.put("/pitcrew.deb", "another\n");
    host.run().assert_failed("pitcrew", Failure::Digest);
    let state = host.world.state();
    assert_eq!(state.tagged.len(), 1);
    assert_eq!(state.tagged[0].get("Tag.1.Key").map(String::as_str), Some("pitcrew:bootstrap"));
    assert_eq!(state.tagged[0].get("Tag.1.Value").map(String::as_str), Some("failed:digest"));
}

#[test]
fn a_failure_that_was_told_is_taken_back_by_the_next_run_that_succeeds() {
    let host = Host::new();
    host.put("/pitcrew.deb", "another\n");
    host.run().assert_failed("pitcrew", Failure::Digest);
    host.put("/pitcrew.deb", &host.pitcrew());
    host.run().assert_ended_well();
    let tags = host.world.tags();
    assert_eq!(tags.get("pitcrew:bootstrap").map(String::as_str), Some("done"));
    assert_eq!(tags.get("pitcrew:ready").map(String::as_str), Some("true"));
    assert_eq!(host.world.calls_to_ec2().len(), 2, "in the one call that sets the tags");
    let run = host.run();
    assert_eq!(run.step("tags"), Some(Outcome::Already), "{run:?}");
    assert_eq!(host.world.calls_to_ec2().len(), 2);
}

#[test]
fn a_failure_that_the_role_may_not_tell_asks_for_no_wider_role_later() {
    let host = Host::new();
    host.put("/pitcrew.deb", "another\n");
    host.world.fault(first(1, Call::is_to_ec2, Reply::ec2_error(403, "UnauthorizedOperation")));
    host.run().assert_failed("pitcrew", Failure::Digest);
    host.put("/pitcrew.deb", &host.pitcrew());
    host.run().assert_ended_well();
    assert_eq!(host.world.tags().keys().collect::<Vec<_>>(), ["Name", "pitcrew:ready"]);
}

#[test]
fn tags_that_ec2_will_never_take_are_not_tried_again() {
    for code in ["TagLimitExceeded", "InvalidParameterValue", "InvalidInstanceID.Malformed", "OptInRequired"] {
        let host = Host::new();
        host.world.fault(first(1, Call::is_to_ec2, Reply::ec2_error(400, code)));
        let run = host.run();
        run.assert_failed("tags", Failure::Tags);
        assert_eq!(run.detail, code);
        // The one that was refused, and one to say that it failed.
        assert_eq!(host.world.calls_to_ec2().len(), 2, "{code}");
    }
}

#[test]
fn tags_are_tried_again_whatever_may_pass() {
    for reply in [
        Reply::ec2_error(400, "Throttling"),
        Reply::ec2_error(503, "RequestLimitExceeded"),
        Reply::ec2_error(500, "InternalError"),
        Reply::ec2_error(503, "Unavailable"),
        Reply::ec2_error(401, "AuthFailure"),
        Reply::Full(502, b"<html>".to_vec()),
        Reply::Nothing,
    ] {
        let host = Host::new();
        host.world.fault(first(2, Call::is_to_ec2, reply.clone()));
        host.run().assert_ended_well();
        assert!(host.world.calls_to_ec2().len() >= 3, "{reply:?}");
    }
}

#[test]
fn a_package_that_lacks_what_it_depends_on_is_told_in_the_managers_words() {
    let mut host = Host::new();
    let package = "echo 'Reading package lists...'; echo ' pitcrew : Depends: nothing-like-it but it is not installable'\n\
        echo 'E: Unable to correct problems, you have held broken packages.' >&2; exit 100\n";
    host.put("/pitcrew.deb", package);
    let services = host.services();
    let line =
        format!("package {} deb {services}/pitcrew.deb {}", super::payload::arch(), super::host::sha256(package));
    host.ask(&line);
    let run = host.run();
    run.assert_failed("pitcrew", Failure::Install);
    assert_eq!(run.detail, "E: Unable to correct problems, you have held broken packages.");
    assert!(host.written().contains("Depends: nothing-like-it"), "the whole story is in the log");
}

#[test]
fn a_second_bootstrap_at_the_same_time_steps_back() {
    let host = Host::new();
    // The double runs a bootstrap of its own while the first one waits for it.
    let elf = super::payload::elf().display().to_string();
    host.double("apt-get", &format!("{elf} $ROOT/request > $ROOT/second; . \"$last\""));
    if super::payload::arch() == std::env::consts::ARCH {
        host.run().assert_ended_well();
        assert_eq!(host.read("second"), "pitcrew-bootstrap: end failed 0 running\n");
    }
}

#[test]
fn a_request_of_another_version_is_refused() {
    let host = Host::new();
    host.write("request", "pitcrew-bootstrap 2\n");
    let run = host.run_file(super::payload::elf(), Some("request"));
    assert_eq!(run.output.status.code(), Some(1));
    assert_eq!(run.output.stdout, b"pitcrew-bootstrap: end failed 0 request\n");
}
