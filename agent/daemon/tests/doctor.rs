//! `pitcrew doctor` against the stand-in world: each prerequisite broken alone, and mended again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use pitcrew::config::{self, Settings};
use pitcrew::doctor::{self, Asking, FleetFacts, Level, Line, Space};
use pitcrew::doors::TokioClock;
use pitcrew::effect::aws;
use pitcrew::effect::tags::{Owner, Tags};
use pitcrew::intake::host_agents::HostAgents;
use pitcrew::intake::imds::{Endpoint, Imds};
use pitcrew::simulated::transport;
use pitcrew_core::ids::{DeploymentGroup as Name, InstanceId};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::rehearsal::{Group, Options, Stage};
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::codedeploy::DeploymentGroup;
use pitcrew_rehearsal::world::elastigroup::{GroupPlan, TOKEN_PARAMETER};
use pitcrew_rehearsal::world::faults::MetadataFault;
use pitcrew_rehearsal::world::identity::SessionKeys;
use pitcrew_rehearsal::world::{TARGET_GROUP, World};
use serde_json::{Value, json};
use tempfile::TempDir;

const PLENTY: u64 = 10 << 30;
const AGENT_OF_SSM: &str = "usr/bin/amazon-ssm-agent";
const IDENTITY_OF_SSM: &str = "var/lib/amazon/ssm/runtimeconfig/identity_config.json";
const VERSION_OF_CODEDEPLOY: &str = "opt/codedeploy-agent/.version";
const PROCESSES: &str = "sys/fs/cgroup/system.slice";

/// An instance of a simulated world on which everything is right.
struct Bench {
    stage: Stage,
    files: TempDir,
    settings: Settings,
    status: Result<Value, String>,
    free: u64,
    clock_in_step: Option<bool>,
    group_named: bool,
}

fn group() -> DeploymentGroup {
    DeploymentGroup {
        application: "sample".to_owned(),
        name: "sample-fleet".to_owned(),
        id: "5e1f0c5a-0000-4000-8000-000000000001".to_owned(),
        controls_traffic: None,
        in_place: true,
    }
}

impl Bench {
    async fn new() -> Self {
        Self::on(Options::of(Bundle::sample().unwrap())).await
    }

    /// In an Elastigroup, and told how to speak to it.
    async fn in_group(plan: GroupPlan) -> Self {
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
    fn token(&self, parameter: &str) -> String {
        let aws = self.world().addresses.aws;
        format!("elastigroup = {{ token = \"ssm:{parameter}\", base_url = \"http://{aws}\" }}")
    }

    fn world(&self) -> &Arc<World> {
        &self.stage.world
    }

    fn seat(&self) -> &Seat {
        &self.stage.world.seats[0]
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.files.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.files.path().join(path)).unwrap();
    }

    fn register_ssm_as(&self, id: &str) {
        self.put(IDENTITY_OF_SSM, &json!({ "SchemaVersion": "1.1", "InstanceId": id }).to_string());
    }

    fn run_unit(&self, unit: &str, runs: bool) {
        self.put(&format!("{PROCESSES}/{unit}.service/cgroup.procs"), if runs { "612\n" } else { "" });
    }

    fn doors(&self) -> aws::Doors {
        let wall = self.world().clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap();
        let wall = WallTime(pitcrew_core::time::millis(wall));
        let clock = TokioClock::starting_at(Now { at: Instant(3_600_000), wall });
        aws::Doors { transport: transport(&self.stage, self.seat()).unwrap(), clock: Arc::new(clock) }
    }

    async fn look(&self) -> Vec<Line> {
        let doors = self.doors();
        let metadata = format!("http://{}", self.seat().metadata);
        let endpoint = Endpoint::at(&metadata.parse().unwrap()).unwrap();
        let imds = Arc::new(Imds::new(doors.transport.clone(), endpoint, Duration::from_secs(1)));
        let credentials = aws::of_role(&metadata, &doors).unwrap();
        let endpoint = format!("http://{}", self.world().addresses.aws);
        let sdk = aws::fixed("us-west-2", &endpoint, Duration::from_secs(5), credentials, &doors);
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

    fn operator(&self) -> (SdkConfig, Tags) {
        let doors = self.doors();
        let keys = SessionKeys::of_limited_operator(self.world().clock.wall() + Duration::from_secs(3600));
        let credentials =
            Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, "test");
        let endpoint = format!("http://{}", self.world().addresses.aws);
        let credentials = SharedCredentialsProvider::new(credentials);
        let sdk = aws::fixed("us-west-2", &endpoint, Duration::from_secs(5), credentials, &doors);
        let owner = Owner { partition: "aws", account: "*", domain: "amazonaws.com" };
        let tags = Tags::new(sdk.clone(), doors, InstanceId::new("*"), &owner);
        (sdk, tags)
    }

    async fn look_at_fleet(&self) -> FleetFacts {
        let (sdk, tags) = self.operator();
        let name = Name { application: "sample".to_owned(), name: "sample-fleet".to_owned() };
        doctor::gather_fleet(sdk, &tags, name).await
    }
}

fn settings(more: &str) -> Settings {
    let text = format!("{more}\n[[health.probe]]\nname = \"app\"\ntcp = \"127.0.0.1:8080\"\n");
    config::read(&[(Path::new("test.toml"), &text)]).unwrap().into_settings()
}

fn failing(lines: &[Line]) -> Vec<&'static str> {
    lines.iter().filter(|line| line.level == Level::Failed).map(|line| line.check).collect()
}

/// What is broken, how, which line must fail, and what its fix must say.
struct Case {
    check: &'static str,
    breaks: fn(&mut Bench),
    mends: fn(&mut Bench),
    fix: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |check, breaks, mends, fix| Case { check, breaks, mends, fix };
    vec![
        case(
            "metadata service",
            |bench| bench.world().trouble_metadata(bench.seat(), MetadataFault::Unavailable, Duration::from_secs(60)),
            |bench| bench.world().trouble_metadata(bench.seat(), MetadataFault::Unavailable, Duration::ZERO),
            "modify-instance-metadata-options",
        ),
        case(
            "role",
            |bench| bench.world().set_role(bench.seat(), false),
            |bench| bench.world().set_role(bench.seat(), true),
            "associate-iam-instance-profile",
        ),
        case("disk", |bench| bench.free = 1 << 20, |bench| bench.free = PLENTY, "free at least 512 MiB"),
        case(
            "SSM agent",
            |bench| bench.remove(AGENT_OF_SSM),
            |bench| bench.put(AGENT_OF_SSM, ""),
            "pitcrew ensure ssm",
        ),
        case(
            "SSM agent",
            |bench| bench.run_unit("amazon-ssm-agent", false),
            |bench| bench.run_unit("amazon-ssm-agent", true),
            "systemctl enable --now amazon-ssm-agent",
        ),
        case(
            "SSM agent",
            |bench| bench.remove(IDENTITY_OF_SSM),
            |bench| bench.register_ssm_as(&bench.seat().instance_id),
            "systemctl restart amazon-ssm-agent",
        ),
        case(
            "SSM agent",
            |bench| bench.register_ssm_as("i-0fromtheimage"),
            |bench| bench.register_ssm_as(&bench.seat().instance_id),
            "rm -r /var/lib/amazon/ssm",
        ),
        case(
            "SSM online",
            |bench| bench.world().set_online(bench.seat(), false),
            |bench| bench.world().set_online(bench.seat(), true),
            "AmazonSSMManagedInstanceCore",
        ),
        case(
            "CodeDeploy agent",
            |bench| bench.remove(VERSION_OF_CODEDEPLOY),
            |bench| bench.put(VERSION_OF_CODEDEPLOY, "2.0.1\n"),
            "pitcrew ensure codedeploy",
        ),
        case(
            "CodeDeploy agent",
            |bench| bench.run_unit("codedeploy-agent", false),
            |bench| bench.run_unit("codedeploy-agent", true),
            "systemctl enable --now codedeploy-agent",
        ),
        case(
            "pitcrew",
            |bench| bench.status = Err("nobody listens".to_owned()),
            |bench| bench.status = Ok(json!({ "sentence": "in traffic", "troubles": [] })),
            "systemctl enable --now pitcrew",
        ),
        case(
            "deployment group",
            |bench| bench.world().delete_deployment_group("sample-fleet"),
            |bench| bench.world().put_deployment_group(group()),
            "create-deployment-group --application-name sample --deployment-group-name sample-fleet",
        ),
        case(
            "in place",
            |bench| bench.world().put_deployment_group(DeploymentGroup { in_place: false, ..group() }),
            |bench| bench.world().put_deployment_group(group()),
            "update-deployment-group",
        ),
        case(
            "selected",
            |bench| bench.world().set_tag(bench.seat(), "pitcrew:ready", None),
            |bench| bench.world().set_tag(bench.seat(), "pitcrew:ready", Some("true")),
            "--tags Key=pitcrew:ready,Value=true",
        ),
        case(
            "traffic owner",
            |bench| {
                let controls_traffic = Some(TARGET_GROUP.to_owned());
                bench.world().put_deployment_group(DeploymentGroup { controls_traffic, ..group() });
                bench.settings = settings("[traffic]\nowner = \"pitcrew\"");
            },
            |bench| bench.settings = settings("[traffic]\nowner = \"auto\""),
            "owner = \"auto\"",
        ),
        case(
            "traffic owner",
            |bench| bench.settings = settings("[traffic]\nowner = \"codedeploy\""),
            |bench| bench.settings = settings("[traffic]\nowner = \"auto\""),
            "owner = \"auto\"",
        ),
        case(
            "load balancer",
            |bench| bench.world().set_registered(bench.seat(), TARGET_GROUP, false),
            |bench| bench.world().set_registered(bench.seat(), TARGET_GROUP, true),
            "aws elbv2 register-targets",
        ),
        case(
            "last deployment",
            |bench| bench.status = Ok(json!({ "suspect": { "deployment": "d-1", "how": "dead" } })),
            |bench| bench.status = Ok(json!({ "suspect": null })),
            "deploy again",
        ),
    ]
}

/// Each permission that the doctor can see missing, and the line that says so.
const PERMISSIONS: [(&str, &str); 9] = [
    ("codedeploy:GetDeploymentGroup", "deployment group"),
    ("codedeploy:GetDeploymentTarget", "permissions"),
    ("codedeploy:GetDeployment", "permissions"),
    ("ec2:CreateTags", "permissions"),
    ("autoscaling:DescribeAutoScalingInstances", "permissions"),
    ("elasticloadbalancing:DescribeTargetGroups", "load balancer"),
    ("elasticloadbalancing:DescribeTargetGroupAttributes", "load balancer"),
    ("elasticloadbalancing:DescribeTargetHealth", "load balancer"),
    ("ssm:DescribeInstanceInformation", "SSM online"),
];

#[tokio::test(start_paused = true)]
async fn each_prerequisite_that_is_broken_fails_alone_and_is_green_when_mended() {
    let mut bench = Bench::new().await;
    let lines = bench.look().await;
    assert_eq!(doctor::worst(&lines), Level::Ok, "{}", doctor::lines(&lines, false).join("\n"));
    for Case { check, breaks, mends, fix } in cases() {
        breaks(&mut bench);
        let lines = bench.look().await;
        let text = doctor::lines(&lines, false).join("\n");
        assert_eq!(failing(&lines), [check], "{text}");
        let line = lines.iter().find(|line| line.check == check).unwrap();
        assert!(line.fix.as_ref().unwrap().contains(fix), "{text}");
        mends(&mut bench);
        let lines = bench.look().await;
        assert_eq!(doctor::worst(&lines), Level::Ok, "{check} mended: {}", doctor::lines(&lines, false).join("\n"));
        println!("{check:<20}{}", line.why);
        bench.world().put_deployment_group(group());
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_lacks_is_named_with_the_statement_that_gives_it() {
    let bench = Bench::new().await;
    for (action, check) in PERMISSIONS {
        bench.world().deny(Some(action));
        let lines = bench.look().await;
        assert_eq!(failing(&lines), [check], "{action}: {}", doctor::lines(&lines, false).join("\n"));
        let line = lines.iter().find(|line| line.check == check).unwrap();
        let statement = format!("\"Action\": [\"{action}\"]");
        assert!(line.why.contains(action) && line.fix.as_ref().unwrap().contains(&statement), "{line:#?}");
        bench.world().deny(None);
        assert_eq!(doctor::worst(&bench.look().await), Level::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_hinder_a_deployment_is_a_warning() {
    let mut bench = Bench::new().await;
    bench.clock_in_step = Some(false);
    bench.settings = config::Merged::default().into_settings();
    bench.group_named = false;
    let lines = bench.look().await;
    let warned: Vec<_> = lines.iter().filter(|line| line.level == Level::Warning).map(|line| line.check).collect();
    assert_eq!(warned, ["clock", "deployment group", "health probe"]);
    assert!(failing(&lines).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_elastigroup_made_for_a_new_instance_and_deleted_is_known_for_what_it_is() {
    let mut bench = Bench::new().await;
    bench.group_named = false;
    let gone = json!({ "application": "sample", "name": "sample-fleet-temporary" });
    bench.status = Ok(json!({ "ended": [{ "group": gone }] }));
    let lines = bench.look().await;
    let line = lines.iter().find(|line| line.check == "deployment group").unwrap();
    assert_eq!(line.level, Level::Warning);
    assert!(line.why.contains("Elastigroup makes a group like it"), "{line:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_sees_the_fleet_with_the_shipped_policy() {
    let bench = Bench::new().await;
    let lines = doctor::diagnose_fleet(&bench.look_at_fleet().await);
    assert_eq!(doctor::worst(&lines), Level::Ok, "{}", doctor::lines(&lines, false).join("\n"));

    bench.world().set_online(bench.seat(), false);
    let lines = doctor::diagnose_fleet(&bench.look_at_fleet().await);
    assert_eq!(failing(&lines), ["SSM online"]);
    bench.world().set_online(bench.seat(), true);

    for seat in &bench.world().seats {
        bench.world().set_tag(seat, "pitcrew:ready", None);
    }
    let lines = doctor::diagnose_fleet(&bench.look_at_fleet().await);
    assert_eq!(failing(&lines), ["instances"]);
    for seat in &bench.world().seats {
        bench.world().set_tag(seat, "pitcrew:ready", Some("true"));
    }

    let elsewhere = Some("nowhere".to_owned());
    bench.world().put_deployment_group(DeploymentGroup { controls_traffic: elsewhere, ..group() });
    let lines = doctor::diagnose_fleet(&bench.look_at_fleet().await);
    assert_eq!(failing(&lines), ["load balancer"]);

    bench.world().put_deployment_group(DeploymentGroup { in_place: false, ..group() });
    let lines = doctor::diagnose_fleet(&bench.look_at_fleet().await);
    assert_eq!(failing(&lines), ["in place"]);

    bench.world().delete_deployment_group("sample-fleet");
    let lines = doctor::diagnose_fleet(&bench.look_at_fleet().await);
    assert_eq!(failing(&lines), ["deployment group"]);
}

/// Signals and hold that leave room for a deployment.
fn roomy() -> GroupPlan {
    let seconds = Duration::from_secs;
    GroupPlan {
        ready: Some(seconds(900)),
        shutdown: Some(seconds(360)),
        draining_timeout: seconds(360),
        ..GroupPlan::default()
    }
}

fn line(lines: &[Line], check: &str) -> Line {
    lines.iter().find(|line| line.check == check).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn an_elastigroup_that_answers_and_leaves_room_is_well() {
    let bench = Bench::in_group(roomy()).await;
    let lines = bench.look().await;
    assert_eq!(doctor::worst(&lines), Level::Ok, "{}", doctor::lines(&lines, false).join("\n"));
    assert!(line(&lines, "Elastigroup").why.contains("among its own"));
    assert!(line(&lines, "Elastigroup settings").why.contains("leave room"));
}

#[tokio::test(start_paused = true)]
async fn an_elastigroup_without_a_token_is_named_with_what_is_lost() {
    let mut bench = Bench::in_group(roomy()).await;
    bench.settings = settings("");
    let lines = bench.look().await;
    let told = line(&lines, "Elastigroup");
    assert_eq!(told.level, Level::Warning);
    assert!(told.why.starts_with("sig-0a1b2c3d") && told.fix.unwrap().contains("LoadCredential=elastigroup-token"));
    assert!(failing(&lines).is_empty(), "deployments work all the same");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_or_absent_is_said_and_fails_only_where_standby_moves_traffic() {
    let mut bench = Bench::in_group(roomy()).await;
    let wrong_account = bench.token(TOKEN_PARAMETER).replace("token =", "account = \"act-other\", token =");
    let absent = bench.token("/nobody/wrote/this");
    for (elastigroup, words) in [(wrong_account, "accountId"), (absent, "/nobody/wrote/this")] {
        for (owner, level) in [("auto", Level::Warning), ("elastigroup", Level::Failed)] {
            bench.settings = settings(&format!("traffic.owner = \"{owner}\"\n{elastigroup}"));
            let told = line(&bench.look().await, "Elastigroup");
            assert_eq!(told.level, level, "{told:#?}");
            assert!(told.why.contains(words) && told.fix.is_some(), "{told:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_leaves_no_room_is_named_with_the_rules_that_it_breaks() {
    let plan = GroupPlan { ready: Some(Duration::from_secs(120)), ..roomy() };
    let told = line(&Bench::in_group(plan).await.look().await, "Elastigroup settings");
    assert_eq!(told.level, Level::Warning);
    assert!(told.why.contains("EG003") && told.fix.unwrap().contains("pitcrew lint"), "{}", told.why);
}
