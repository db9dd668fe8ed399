//! CodeDeploy: who owns traffic, and how a deployment stands.

use super::*;

fn deployments(transport: &Arc<Scripted>) -> Deployments {
    Deployments::new(config(transport), ME.into())
}

/// Answers CodeDeploy's requests by operation, as the target header names it.
fn codedeploy(script: impl Fn(&str) -> Outcome + Send + Sync + 'static) -> Arc<Scripted> {
    Scripted::new(move |request| {
        let target = request.headers()["x-amz-target"].to_str().unwrap();
        let outcome = script(target.strip_prefix("CodeDeploy_20141006.").unwrap());
        async move { outcome }
    })
}

fn error(code: &'static str) -> Outcome {
    answer(400, format!(r#"{{"__type":"{code}","message":"it is so"}}"#))
}

#[tokio::test(start_paused = true)]
async fn codedeploy_owns_traffic_only_where_it_controls_a_named_balancer() {
    let with = r#""deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITH_TRAFFIC_CONTROL"}"#;
    let without = r#""deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITHOUT_TRAFFIC_CONTROL"}"#;
    let named = r#""loadBalancerInfo":{"targetGroupInfoList":[{"name":"web"}]}"#;
    let classic = r#""loadBalancerInfo":{"elbInfoList":[{"name":"web"}]}"#;
    let nobody = r#""loadBalancerInfo":{"targetGroupInfoList":[],"elbInfoList":[]}"#;
    let table = [
        (format!("{with},{named}"), Owner::CodeDeploy),
        (format!("{with},{classic}"), Owner::CodeDeploy),
        (format!("{with},{nobody}"), Owner::Pitcrew),
        (with.to_owned(), Owner::Pitcrew),
        (format!("{without},{named}"), Owner::Pitcrew),
        (named.to_owned(), Owner::Pitcrew),
    ];
    for (info, owner) in table {
        let transport = {
            let info = info.clone();
            codedeploy(move |operation| {
                assert_eq!(operation, "GetDeploymentGroup");
                answer(200, format!(r#"{{"deploymentGroupInfo":{{"deploymentGroupName":"blue",{info}}}}}"#))
            })
        };
        let group = DeploymentGroup { application: "shop".to_owned(), name: "blue".to_owned() };
        assert_eq!(deployments(&transport).owner(&group).await, Ok(owner), "{info}");
        assert_eq!(transport.seen()[0].body, r#"{"applicationName":"shop","deploymentGroupName":"blue"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_may_not_be_asked_for_is_not_guessed() {
    let transport = codedeploy(|_| error("AccessDeniedException"));
    let group = DeploymentGroup { application: "shop".to_owned(), name: "blue".to_owned() };
    let failure = deployments(&transport).owner(&group).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.sentence.contains("allow codedeploy:GetDeploymentGroup"), "{failure:?}");
}

fn target_status(status: &str) -> Outcome {
    answer(
        200,
        format!(
            r#"{{"deploymentTarget":{{"deploymentTargetType":"InstanceTarget","instanceTarget":{{"status":"{status}"}}}}}}"#
        ),
    )
}

fn deployment_status(status: &str) -> Outcome {
    answer(200, format!(r#"{{"deploymentInfo":{{"deploymentId":"d-1","status":"{status}"}}}}"#))
}

async fn state(
    here: impl Fn() -> Outcome + Send + Sync + 'static,
    whole: impl Fn() -> Outcome + Send + Sync + 'static,
) -> Result<DeploymentState, Failure> {
    let transport = codedeploy(move |operation| match operation {
        "GetDeploymentTarget" => here(),
        "GetDeployment" => whole(),
        other => panic!("asked for {other}"),
    });
    deployments(&transport).state(&"d-1".into()).await
}

#[tokio::test(start_paused = true)]
async fn how_a_deployment_stands_here_is_what_counts() {
    let table = [
        ("Succeeded", DeploymentState::Succeeded),
        ("Failed", DeploymentState::Failed),
        ("Skipped", DeploymentState::Failed),
    ];
    for (status, expected) in table {
        let found = state(move || target_status(status), || panic!("{} needs no second question", "it")).await;
        assert_eq!(found, Ok(expected), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_under_way_here_for_ever_has_failed_where_it_was_stopped() {
    for here in ["Pending", "InProgress", "Ready"] {
        for (whole, expected) in [
            ("InProgress", DeploymentState::Running),
            ("Succeeded", DeploymentState::Running),
            ("Stopped", DeploymentState::Failed),
            ("Failed", DeploymentState::Failed),
        ] {
            let found = state(move || target_status(here), move || deployment_status(whole)).await;
            assert_eq!(found, Ok(expected), "{here} here, {whole} as a whole");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_codedeploy_does_not_know_the_instance_the_whole_deployment_counts() {
    let table = [
        ("Created", DeploymentState::Running),
        ("Queued", DeploymentState::Running),
        ("InProgress", DeploymentState::Running),
        ("Baking", DeploymentState::Running),
        ("Ready", DeploymentState::Running),
        ("Succeeded", DeploymentState::Succeeded),
        ("Failed", DeploymentState::Failed),
        ("Stopped", DeploymentState::Failed),
    ];
    let unknown: [fn() -> Outcome; 2] =
        [|| error("DeploymentTargetDoesNotExistException"), || target_status("Unknown")];
    for (status, expected) in table {
        for here in unknown {
            assert_eq!(state(here, move || deployment_status(status)).await, Ok(expected), "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_codedeploy_never_heard_of_has_failed_but_a_denied_question_says_nothing() {
    let gone = || error("DeploymentDoesNotExistException");
    assert_eq!(state(gone, gone).await, Ok(DeploymentState::Failed));
    let denied = state(|| error("AccessDeniedException"), || panic!("{}", "not asked")).await;
    assert_eq!(denied.unwrap_err().kind, FailureKind::Denied);
    let throttled = state(gone, || error("ThrottlingException")).await;
    assert_eq!(throttled.unwrap_err().kind, FailureKind::Throttled);
}
