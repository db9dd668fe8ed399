//! The whole agent: `pitcrew run` as a process, and operators and hooks that call it.

use std::process::{Output, Stdio};

use pitcrew_core::ids::TargetGroupArn;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::metadata::Metadata;
use crate::server::{Instances, Keys, Moto};

/// A running agent on the first of two instances.
struct Agent {
    moto: Moto,
    instances: Instances,
    web: TargetGroupArn,
    home: TempDir,
    _metadata: Metadata,
    _process: Child,
}

impl Agent {
    /// Both instances are in the target group `web`, on ports that are not the group's own.
    async fn started(configuration: &str) -> Self {
        let moto = Moto::start().await;
        Self::started_by(moto, configuration, None).await
    }

    /// As `keys` say, or else by the instance's role.
    async fn started_by(moto: Moto, configuration: &str, keys: Option<Keys>) -> Self {
        let instances = moto.instances().await;
        let web = moto.target_group("web", "instance", &instances.vpc).await;
        moto.register(&web, &instances.me, "8080").await;
        moto.register(&web, &instances.peer, "8081").await;
        if keys.is_some() {
            moto.check_access_after(0).await;
        }
        let metadata = Metadata::of(&instances.me).await;
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("config.d");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("50-test.toml"), format!("log.level = 'error'\n{configuration}")).unwrap();
        let mut command = pitcrew(&home);
        command
            .arg("run")
            .arg("--config-dir")
            .arg(config)
            .arg("--state-dir")
            .arg(home.path().join("state"))
            .env("AWS_ENDPOINT_URL", &moto.url)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url)
            .stderr(Stdio::inherit());
        if let Some(keys) = keys {
            command.env("AWS_ACCESS_KEY_ID", keys.id).env("AWS_SECRET_ACCESS_KEY", keys.secret);
        }
        std::fs::create_dir(home.path().join("state")).unwrap();
        let process = command.spawn().unwrap();
        Self { moto, instances, web, home, _metadata: metadata, _process: process }
    }

    /// Exit status and what was said, of a call on the agent's socket. It waits until the agent listens.
    async fn call(&self, arguments: &[&str]) -> (i32, String) {
        told(pitcrew(&self.home).args(arguments).output().await.unwrap())
    }

    async fn hook(&self, event: &str) -> (i32, String) {
        let mut command = pitcrew(&self.home);
        command
            .arg("hook")
            .env("LIFECYCLE_EVENT", event)
            .env("DEPLOYMENT_ID", "d-MOTO")
            .env("APPLICATION_NAME", "shop")
            .env("DEPLOYMENT_GROUP_NAME", "plain");
        told(command.output().await.unwrap())
    }

    async fn registered(&self) -> Vec<(String, String)> {
        let mut registered = self.moto.registered(&self.web).await;
        registered.sort_by_key(|(_, port)| port.clone());
        registered
    }

    fn both(&self) -> Vec<(String, String)> {
        vec![(self.instances.me.clone(), "8080".to_owned()), self.peer()]
    }

    fn peer(&self) -> (String, String) {
        (self.instances.peer.clone(), "8081".to_owned())
    }
}

/// The program, with nothing of this machine's AWS configuration in its environment.
fn pitcrew(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitcrew"));
    command.env_clear().env("PITCREW_SOCKET", home.path().join("pitcrew.sock")).kill_on_drop(true);
    command
}

fn told(output: Output) -> (i32, String) {
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn out_and_in_move_the_instance_with_its_own_port() {
    let agent = Agent::started("traffic.owner = 'pitcrew'").await;
    assert_eq!(agent.registered().await, agent.both());

    let (status, said) = agent.call(&["out"]).await;
    assert_eq!(status, 0, "{said}");
    assert_eq!(agent.registered().await, [agent.peer()]);

    let (status, said) = agent.call(&["in"]).await;
    assert_eq!(status, 0, "{said}");
    assert_eq!(agent.registered().await, agent.both());
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn a_deployment_takes_the_instance_out_and_brings_it_back() {
    let agent = Agent::started("traffic.owner = 'pitcrew'").await;

    let (status, said) = agent.hook("BeforeInstall").await;
    assert_eq!(status, 0, "{said}");
    assert_eq!(agent.registered().await, [agent.peer()]);

    let (status, said) = agent.hook("AfterInstall").await;
    assert_eq!(status, 0, "{said}");
    assert_eq!(agent.registered().await, [agent.peer()]);

    let (status, said) = agent.hook("ValidateService").await;
    assert_eq!(status, 0, "{said}");
    assert_eq!(agent.registered().await, agent.both());
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn a_target_group_that_does_not_exist_is_named() {
    let agent = Agent::started("traffic = { owner = 'pitcrew', target_groups = ['nowhere'] }").await;
    let (status, said) = agent.hook("BeforeInstall").await;
    assert_eq!(status, 78, "{said}");
    assert!(said.contains("target group `nowhere` (from `target_groups`"), "{said}");
    assert!(said.contains("does not exist"), "{said}");
    assert_eq!(agent.registered().await, agent.both());
}

#[tokio::test]
#[ignore = "needs python3-venv and PyPI's moto: cargo test -p pitcrew --test moto -- --ignored"]
async fn a_role_that_may_not_deregister_is_told_which_permission_it_lacks() {
    let moto = Moto::start().await;
    let keys = moto.user("looks-only", &["elasticloadbalancing:Describe*"]).await;
    let agent = Agent::started_by(moto, "traffic.owner = 'pitcrew'", Some(keys)).await;
    let (status, said) = agent.hook("BeforeInstall").await;
    assert_eq!(status, 78, "{said}");
    assert!(said.contains("elasticloadbalancing:DeregisterTargets"), "{said}");

    agent.moto.check_access_after(u32::MAX).await;
    assert_eq!(agent.registered().await, agent.both());
}
