//! Real scripts, as CodeDeploy's agent runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::ProcessCrew;
use crate::clock::WorldClock;
use crate::crew::{Crew, ScriptCode, ScriptJob, ScriptOutcome, Services, Transcript};
use crate::death::Generation;
use crate::lifecycle::LifecycleEvent;
use crate::net::RealNet;
use crate::timeline::Timeline;
use crate::world::{Plan, World};

struct Instance {
    home: TempDir,
    world: Arc<World>,
    crew: Arc<ProcessCrew>,
}

impl Instance {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // A district that no rehearsal takes: nothing listens here.
        let plan = Plan {
            seed: 1,
            district: 240,
            instances: 1,
            deregistration_delay: Duration::from_secs(1),
            fault: None,
            elastigroup: None,
            ask_after: None,
            denied: None,
        };
        let world = Arc::new(World::new(&plan, WorldClock::real(), Some(home.path()), Timeline::default()));
        let crew = Arc::new(ProcessCrew::new(Arc::clone(&world), "/bin/false".into()).unwrap());
        Self { home, world, crew }
    }

    fn job(&self, text: &str, timeout: Duration) -> ScriptJob {
        let path = self.home.path().join("script.sh");
        fs::write(&path, text).unwrap();
        let seat = self.world.seats[0].clone();
        let services = Services::new(
            seat.clone(),
            Arc::clone(&self.world),
            Arc::clone(&self.crew) as Arc<dyn Crew>,
            Arc::new(RealNet),
            "v1".to_owned(),
            Duration::ZERO,
        );
        ScriptJob {
            host_agent: Generation::One,
            seat,
            event: LifecycleEvent::BeforeInstall,
            location: "script.sh".to_owned(),
            path: Some(path),
            text: text.to_owned(),
            environment: [("LIFECYCLE_EVENT".to_owned(), "BeforeInstall".to_owned())].into(),
            timeout,
            run_as: None,
            sudo: false,
            services,
            transcript: Transcript::begin(),
        }
    }

    async fn run(&self, text: &str, timeout: Duration) -> ScriptOutcome {
        self.crew.run_script(self.job(text, timeout)).await
    }
}

const ENOUGH: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_script_sees_codedeploys_variables_the_stand_in_world_and_nothing_of_the_caller() {
    let instance = Instance::new();
    let outcome = instance.run("#!/bin/sh\nenv; pwd; cat; echo end >&2\n", ENOUGH).await;
    assert_eq!((outcome.code, outcome.exit), (ScriptCode::Success, Some(0)));
    let has = |line: &str| outcome.output.lines().any(|seen| seen.starts_with(line));
    for line in ["LIFECYCLE_EVENT=BeforeInstall", "AWS_ENDPOINT_URL=http://127.77.240.254:4566", "/", "end"] {
        assert!(has(line), "{line} is not in {}", outcome.output);
    }
    for line in ["CARGO_", "HOME=", "AWS_ACCESS_KEY_ID="] {
        assert!(!has(line), "{line} is in {}", outcome.output);
    }
}

#[tokio::test]
async fn a_failure_keeps_its_exit_status_and_the_last_2048_characters() {
    let text = "#!/bin/sh\ni=0; while [ $i -lt 500 ]; do echo 0123456789; i=$((i+1)); done; echo last; exit 77\n";
    let outcome = Instance::new().run(text, ENOUGH).await;
    assert_eq!((outcome.code, outcome.exit), (ScriptCode::ScriptFailed, Some(77)));
    assert_eq!(outcome.output.chars().count(), 2048);
    assert!(outcome.output.ends_with("last\n"));
}

#[tokio::test]
async fn at_the_timeout_the_whole_group_gets_term() {
    let instance = Instance::new();
    let text = "#!/bin/sh\n(trap ': >\"$0.heard\"; exit' TERM; while :; do sleep 0.1; done) &\nwait\n";
    let outcome = instance.run(text, SHORT).await;
    assert_eq!(outcome.code, ScriptCode::ScriptTimedOut);
    assert!(outcome.took >= SHORT);
    let heard = instance.home.path().join("script.sh.heard");
    let heard = async {
        while !heard.exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), heard).await.unwrap();
}

#[tokio::test]
async fn a_script_that_ends_in_its_own_time_after_term_is_waited_for() {
    let text = "#!/bin/sh\ntrap 'sleep 0.7; echo restored; exit 75' TERM\nwhile :; do sleep 0.1; done\n";
    let outcome = Instance::new().run(text, SHORT).await;
    assert_eq!((outcome.code, outcome.exit), (ScriptCode::ScriptTimedOut, Some(75)));
    assert!(outcome.output.contains("restored"), "{}", outcome.output);
    assert!(outcome.took >= Duration::from_millis(1200), "{:?}", outcome.took);
}

#[tokio::test]
async fn a_child_that_keeps_the_output_open_fails_the_event() {
    let instance = Instance::new();
    let open = instance.run("#!/bin/sh\nsleep 2 &\n", SHORT).await;
    assert_eq!((open.code, open.exit), (ScriptCode::OutputsLeftOpen, Some(0)));
    let detached = instance.run("#!/bin/sh\nsleep 2 </dev/null >/dev/null 2>&1 &\n", SHORT).await;
    assert_eq!(detached.code, ScriptCode::Success);
}

#[tokio::test]
async fn a_script_without_permission_is_made_executable_and_a_missing_one_is_named() {
    let instance = Instance::new();
    let outcome = instance.run("#!/bin/sh\nexit 0\n", ENOUGH).await;
    assert_eq!(outcome.code, ScriptCode::Success);
    let mode = fs::metadata(instance.home.path().join("script.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    let job = ScriptJob { path: Some(Path::new("/nowhere").to_owned()), ..instance.job("", ENOUGH) };
    let missing = instance.crew.run_script(job).await;
    assert_eq!(missing.code, ScriptCode::ScriptMissing);
    assert!(missing.output.contains("script.sh"), "{}", missing.output);
}

#[tokio::test]
async fn two_scripts_may_run_on_one_instance_at_the_same_time() {
    let instance = Instance::new();
    let job = instance.job("#!/bin/sh\ntest -S \"$PITCREW_REHEARSAL_SERVICES\" && sleep 0.3\n", ENOUGH);
    let (one, other) = tokio::join!(instance.crew.run_script(job.clone()), instance.crew.run_script(job));
    assert_eq!((one.code, other.code), (ScriptCode::Success, ScriptCode::Success));
}
