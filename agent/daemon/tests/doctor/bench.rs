//! An instance of a simulated world on which everything is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use pitcrew::config::{self, Settings};
use pitcrew::doctor::{self, Asking, Line, Patience, Space};
use pitcrew::doors::TokioClock;
use pitcrew::effect::tags::{Owner, Tags};
use pitcrew::effect::{Balancer, OwnIds, aws};
use pitcrew::intake::host_agents::HostAgents;
use pitcrew::intake::imds::{Endpoint, Imds};
use pitcrew::simulated::transport;
use pitcrew_core::ids::{DeploymentGroup as Name, InstanceId};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::rehearsal::{Group, Options, Stage};
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::World;
use pitcrew_rehearsal::world::codedeploy::{Creator, DeploymentGroup};
use pitcrew_rehearsal::world::elastigroup::{GroupPlan, TOKEN_PARAMETER};
use pitcrew_rehearsal::world::identity::SessionKeys;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PLENTY: u64 = 10 << 30;
pub(crate) const AGENT_OF_SSM: &str = "usr/bin/amazon-ssm-agent";
pub(crate) const IDENTITY_OF_SSM: &str = "var/lib/amazon/ssm/runtimeconfig/identity_config.json";
pub(crate) const VERSION_OF_CODEDEPLOY: &str = "opt/codedeploy-agent/.version";
pub(crate) const PROCESSES: &str = "sys/fs/cgroup/system.slice";

/// An instance of a simulated world on which everything is right.
pub(crate) struct Bench {
    stage: Stage,
    pub(crate) files: TempDir,
    pub(crate) settings: Settings,
    pub(crate) status: Result<Value, String>,
    pub(crate) free: u64,
    pub(crate) clock_in_step: Option<bool>,
    pub(crate) group_named: bool,
}

pub(crate) fn group() -> DeploymentGroup {
    DeploymentGroup {
        application: "sample".to_owned(),
        name: "sample-fleet".to_owned(),
        id: "5e1f0c5a-0000-4000-8000-000000000001".to_owned(),
        controls_traffic: None,
        in_place: true,
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::on(Options::of(Bundle::sample().unwrap())).await
    }

    /// In an Elastigroup, and told how to speak to it.
    pub(crate) async fn in_group(plan: GroupPlan) -> Self {
        let group = Some(Group { plan, wish: None });
        let bench = Self::on(Options { elastigroup: group, ..Options::of(Bundle::sample().unwrap()) }).await;
        let settings = settings(&bench.token(TOKEN_PARAMETER));
        Self { settings, ..bench }
    }

    async fn on(options: Options) -> Self {
        let stage = Stage::simulated(&options, Timeline::default()).await.unwrap();
        stage.world.put_deployment_group(group());
        let bench = Self {
            stage,
            files: tempfile::tempdir().unwrap(),
            settings: settings(""),
            status: Ok(json!({ "sentence": "in traffic", "troubles": [], "deployments": [], "ended": [] })),
            free: PLENTY,
            clock_in_step: Some(true),
            group_named: true,
        };
        bench.put(AGENT_OF_SSM, "");
        bench.register_ssm_as(&bench.seat().instance_id);
        bench.put(VERSION_OF_CODEDEPLOY, "agent_version: OFFICIAL_1.8.1-12_rpm\n");
        bench.run_unit("amazon-ssm-agent", true);
        bench.run_unit("codedeploy-agent", true);
        bench
    }

    /// Settings that read the token from this parameter.
    pub(crate) fn token(&self, parameter: &str) -> String {
        let aws = self.world().addresses.aws;
        format!("elastigroup = {{ token = \"ssm:{parameter}\", base_url = \"http://{aws}\" }}")
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.stage.world
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.stage.world.seats[0]
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.files.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.files.path().join(path)).unwrap();
    }

    pub(crate) fn register_ssm_as(&self, id: &str) {
        self.put(IDENTITY_OF_SSM, &json!({ "SchemaVersion": "1.1", "InstanceId": id }).to_string());
    }

    pub(crate) fn run_unit(&self, unit: &str, runs: bool) {
        self.put(&format!("{PROCESSES}/{unit}.service/cgroup.procs"), if runs { "612\n" } else { "" });
    }

    pub(crate) fn doors(&self) -> aws::Doors {
        let wall = self.world().clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap();
        let wall = WallTime(pitcrew_core::time::millis(wall));
        let clock = TokioClock::starting_at(Now { at: Instant(3_600_000), wall });
        aws::Doors { transport: transport(&self.stage, self.seat()).unwrap(), clock: Arc::new(clock) }
    }

    pub(crate) async fn look(&self) -> Vec<Line> {
        let doors = self.doors();
        let metadata = format!("http://{}", self.seat().metadata);
        let endpoint = Endpoint::at(&metadata.parse().unwrap()).unwrap();
        let imds = Arc::new(Imds::new(doors.transport.clone(), endpoint, Duration::from_secs(1)));
        let sdk = self.instance();
        let named = Name { application: "sample".to_owned(), name: "sample-fleet".to_owned() };
        let facts = doctor::gather(Asking {
            settings: &self.settings,
            imds: &imds,
            sdk,
            doors,
            credentials: pitcrew::doors::Credentials::default(),
            agents: HostAgents::below(self.files.path()),
            status: self.status.clone(),
            group: self.group_named.then_some(named),
            space: vec![Space { path: PathBuf::from("/var/lib"), free: self.free }],
            clock_in_step: self.clock_in_step,
        });
        doctor::diagnose(&facts.await)
    }

    pub(crate) fn operator(&self) -> (SdkConfig, Tags, Balancer) {
        let doors = self.doors();
        let keys = SessionKeys::of_limited_operator(self.world().clock.wall() + Duration::from_secs(3600));
        let credentials =
            Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, "test");
        let endpoint = format!("http://{}", self.world().addresses.aws);
        let credentials = SharedCredentialsProvider::new(credentials);
        let sdk = aws::fixed("us-west-2", &endpoint, Duration::from_secs(5), credentials, &doors);
        let owner = Owner { partition: "aws", account: "*", domain: "amazonaws.com" };
        let tags = Tags::new(sdk.clone(), doors.clone(), InstanceId::new("*"), &owner);
        let nobody = OwnIds { instance: InstanceId::new("i-operator"), address: None };
        let balancer = Balancer::new(sdk.clone(), doors, nobody, owner.domain);
        (sdk, tags, balancer)
    }

    pub(crate) async fn look_at_fleet(&self) -> Vec<Line> {
        let (sdk, tags, balancer) = self.operator();
        let name = Name { application: "sample".to_owned(), name: "sample-fleet".to_owned() };
        let facts = doctor::gather_fleet(sdk, &tags, &balancer, name, Patience::of(&self.settings)).await;
        doctor::diagnose_fleet(&facts)
    }

    /// A deployment of the fleet's group goes on; returns its id.
    pub(crate) fn deploy_once(&self) -> String {
        let instances = [self.seat().instance_id.clone()];
        self.world().create_deployment(&group(), "v2", Creator::User, &instances)
    }

    /// The SDK with the instance's role.
    pub(crate) fn instance(&self) -> SdkConfig {
        let doors = self.doors();
        let credentials = aws::of_role(&format!("http://{}", self.seat().metadata), &doors).unwrap();
        let endpoint = format!("http://{}", self.world().addresses.aws);
        aws::fixed("us-west-2", &endpoint, Duration::from_secs(5), credentials, &doors)
    }
}

pub(crate) fn settings(more: &str) -> Settings {
    let text = format!("{more}\n[[health.probe]]\nname = \"app\"\ntcp = \"127.0.0.1:8080\"\n");
    config::read(&[(Path::new("test.toml"), &text)]).unwrap().into_settings()
}
