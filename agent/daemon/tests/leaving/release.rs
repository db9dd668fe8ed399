//! The lifecycle hook of an Auto Scaling group that waits for this instance.

use super::*;

/// Lifecycle hooks, by name and transition.
type Hooks = &'static [(&'static str, &'static str)];

const HOOKS: Hooks = &[("born", "LAUNCHING"), ("drain", "TERMINATING")];

/// Auto Scaling, with the instance in this state and these hooks.
fn auto_scaling(state: Option<&'static str>, hooks: Hooks) -> Arc<Scripted> {
    by_form(move |form| {
        let xml = |action: &str, result: String| {
            answer(
                200,
                format!(
                    r#"<{action}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"#
                ),
            )
        };
        let action = form["Action"].as_str();
        match action {
            "DescribeAutoScalingInstances" => {
                assert_eq!(form["InstanceIds.member.1"], "i-0me");
                let member = state.map(|state| {
                    format!("<member><InstanceId>i-0me</InstanceId><AutoScalingGroupName>fleet</AutoScalingGroupName><LifecycleState>{state}</LifecycleState></member>")
                });
                xml(action, format!("<AutoScalingInstances>{}</AutoScalingInstances>", member.unwrap_or_default()))
            }
            "DescribeLifecycleHooks" => {
                assert_eq!(form["AutoScalingGroupName"], "fleet");
                let members: String = hooks
                    .iter()
                    .map(|(name, transition)| {
                        format!("<member><LifecycleHookName>{name}</LifecycleHookName><AutoScalingGroupName>fleet</AutoScalingGroupName><LifecycleTransition>autoscaling:EC2_INSTANCE_{transition}</LifecycleTransition><HeartbeatTimeout>40</HeartbeatTimeout></member>")
                    })
                    .collect();
                xml(action, format!("<LifecycleHooks>{members}</LifecycleHooks>"))
            }
            "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat" => xml(action, String::new()),
            other => panic!("asked for {other}"),
        }
    })
}

fn release(transport: &Arc<Scripted>, hook: Option<&str>) -> Release {
    let group = AutoScaling::new(sdk(transport), doors(transport), "i-0me".into(), "amazonaws.com");
    Release::new(group, hook.map(str::to_owned))
}

fn actions(transport: &Scripted) -> Vec<String> {
    transport.forms().iter().map(|form| form["Action"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_hook_that_waits_is_told_to_go_on() {
    for state in ["Terminating:Wait", "Warmed:Terminating:Wait"] {
        let transport = auto_scaling(Some(state), HOOKS);
        release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap();
        let forms = transport.forms();
        let last = forms.last().unwrap();
        let told: BTreeMap<_, _> = last.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = BTreeMap::from([
            ("Action", "CompleteLifecycleAction"),
            ("Version", "2011-01-01"),
            ("AutoScalingGroupName", "fleet"),
            ("LifecycleHookName", "drain"),
            ("InstanceId", "i-0me"),
            ("LifecycleActionResult", "CONTINUE"),
        ]);
        assert_eq!(told, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_waits_nobody_is_told() {
    let quiet: [(Option<&str>, Hooks); 4] = [
        (None, HOOKS),
        (Some("Terminating:Proceed"), HOOKS),
        (Some("Terminating:Wait"), &[("born", "LAUNCHING")]),
        (Some("Terminating"), &[]),
    ];
    for (state, hooks) in quiet {
        let transport = auto_scaling(state, hooks);
        release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap();
        assert!(actions(&transport).iter().all(|action| action.starts_with("Describe")), "{state:?} {hooks:?}");
    }
    let transport = auto_scaling(Some("Terminating:Wait"), HOOKS);
    release(&transport, None).release(NoticeKind::SpotTerminate).await.unwrap();
    assert!(transport.seen().is_empty(), "nobody waits for an interrupted instance");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_wait_yet_is_asked_again() {
    let transport = auto_scaling(Some("Terminating"), HOOKS);
    let failure = release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.sentence.contains("does not wait for this instance yet"), "{}", failure.sentence);
}

#[tokio::test(start_paused = true)]
async fn of_several_hooks_ours_must_be_named() {
    const SEVERAL: Hooks = &[("backup", "TERMINATING"), ("drain", "TERMINATING")];
    let transport = auto_scaling(Some("Terminating:Wait"), SEVERAL);
    let failure = release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.sentence.contains("2 lifecycle hooks") && failure.sentence.contains("lifecycle_hook"));
    let failure = release(&transport, Some("other")).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert!(failure.sentence.contains("no lifecycle hook `other`"), "{}", failure.sentence);
    release(&transport, Some("drain")).release(NoticeKind::AutoScaling).await.unwrap();
    assert_eq!(transport.forms().last().unwrap()["LifecycleHookName"], "drain");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_told_before_a_restart_is_told_no_more() {
    let error = |code: &str, message: &str| {
        answer(
            400,
            format!(
                r#"<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"#
            ),
        )
    };
    for (code, message, well) in [
        ("ValidationError", "No active Lifecycle Action found with instance ID i-0me", true),
        ("ValidationError", "1 validation error detected", false),
        ("AccessDenied", "not authorized", false),
    ] {
        let world = auto_scaling(Some("Terminating:Wait"), HOOKS);
        let refusal = std::sync::Mutex::new(Some(error(code, message)));
        let transport = Scripted::new(move |request| {
            let action = form(std::str::from_utf8(request.body()).unwrap())["Action"].clone();
            let world = world.clone();
            let refusal = (action == "CompleteLifecycleAction").then(|| refusal.lock().unwrap().take().unwrap());
            async move {
                match refusal {
                    Some(refusal) => refusal,
                    None => pitcrew::doors::Transport::send(world.as_ref(), request, 5 * SECOND).await,
                }
            }
        });
        let outcome = release(&transport, None).release(NoticeKind::AutoScaling).await;
        assert_eq!(outcome.is_ok(), well, "{code}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_kept_waiting_by_heartbeats_at_half_its_timeout() {
    let transport = auto_scaling(Some("Terminating:Wait"), HOOKS);
    let release = release(&transport, None);
    assert!(timeout(90 * SECOND, release.keep_waiting()).await.is_err());
    let beats: Vec<_> = transport
        .seen()
        .into_iter()
        .filter(|seen| form(&seen.body)["Action"] == "RecordLifecycleActionHeartbeat")
        .collect();
    assert_eq!(beats.len(), 5, "at 0, 20, 40, 60 and 80 s, since the timeout is 40 s");
    assert_eq!(form(&beats[0].body)["LifecycleHookName"], "drain");
    assert!(beats.windows(2).all(|pair| (pair[1].at - pair[0].at).as_secs() == 20));
}
