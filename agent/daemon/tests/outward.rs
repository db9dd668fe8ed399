//! What AWS services are told about this instance, unasked: by the SDK and by our own signed calls, over a script.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use pitcrew::config::{CloudWatch as Settings, VersionFrom};
use pitcrew::doors::TokioClock;
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{AutoScaling, CloudWatch, GroupHealth, Tags, aws};
use pitcrew::intake::host_agents::{CodeDeploySeen, Seen};
use pitcrew::report::inventory::Inventory;
use pitcrew::report::labels::Labels;
use pitcrew_core::Core;
use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::{Ended, Ending};
use pitcrew_core::revision::Revision;
use pitcrew_core::settings::Thresholds;
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::view::View;
use pitcrew_core::wire::{Action, Event, FailureKind, OperatorRequest};
use scripted::{Scripted, answer};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const START: Now = Now { at: Instant(1_000), wall: WallTime(1_795_392_000_000) };

fn sdk(transport: &Arc<Scripted>) -> (aws_config::SdkConfig, aws::Doors) {
    let doors = aws::Doors { transport: transport.clone(), clock: Arc::new(TokioClock::starting_at(START)) };
    let credentials = SharedCredentialsProvider::new(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"));
    let config = aws::fixed("eu-central-1", "http://aws.test", Duration::from_secs(5), credentials, &doors);
    (config, doors)
}

/// A core with one probe, and what it shows.
struct Instance {
    core: Core,
    view: watch::Sender<Option<Arc<View>>>,
}

impl Instance {
    fn new() -> Self {
        let thresholds = Thresholds { healthy: 1, unhealthy: 1, ..Thresholds::default() };
        let probes = BTreeMap::from([("app".into(), thresholds)]);
        let settings = pitcrew_core::settings::Settings { probes, ..Default::default() };
        Self { core: Core::new(settings, Default::default(), START), view: watch::channel(None).0 }
    }

    fn hears(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let asked = self.core.step(START, event).contains(&Action::DiscoverGroups);
            events.extend(asked.then(|| Event::GroupsDiscovered { answer: Ok(Vec::new()) }));
        }
        self.view.send_replace(Some(Arc::new(self.core.view(START))));
    }

    fn shows(&mut self, change: impl FnOnce(&mut View)) {
        let mut view = self.core.view(START);
        change(&mut view);
        self.view.send_replace(Some(Arc::new(view)));
    }

    fn probe(&mut self, well: bool) {
        let answer = if well { Ok(()) } else { Err("status 500".to_owned()) };
        self.hears(Event::ProbeAnswered { probe: "app".into(), answer });
    }
}

fn succeeded(deployment: &str, revision: &Revision) -> Ended {
    Ended {
        deployment: deployment.into(),
        group: DeploymentGroup { application: "shop".to_owned(), name: "web".to_owned() },
        how: Ending::Succeeded,
        last_event: LifecycleEvent::ValidateService,
        opened: START.wall,
        at: START.wall,
        revision: revision.clone(),
    }
}

fn fields(body: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

#[tokio::test(start_paused = true)]
async fn cloudwatch_is_told_once_a_period() {
    let transport = Scripted::new(|_| async { answer(200, "<PutMetricDataResponse/>") });
    let (config, doors) = sdk(&transport);
    let settings = Settings { namespace: "Pitcrew".into(), period: Duration::from_secs(60) };
    let mut instance = Instance::new();
    let cloudwatch = CloudWatch::new(settings, config, doors, "i-0abc".into(), "amazonaws.com");
    let telling = tokio::spawn(cloudwatch.run(instance.view.subscribe()));
    sleep(Duration::from_secs(1)).await;
    assert!(transport.seen().is_empty(), "nothing is known yet");
    instance.probe(true);
    sleep(Duration::from_secs(60)).await;
    instance.probe(false);
    sleep(Duration::from_secs(60)).await;
    telling.abort();
    let seen = transport.seen();
    assert_eq!(seen.len(), 2);
    let authorization = seen[0].headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("/eu-central-1/monitoring/aws4_request"), "{authorization}");
    let values = |body: &str| -> BTreeMap<String, String> {
        let fields = fields(body);
        assert_eq!((fields["Action"].as_str(), fields["Namespace"].as_str()), ("PutMetricData", "Pitcrew"));
        (1..=6)
            .map(|number| {
                let field = |key: &str| fields[&format!("MetricData.member.{number}.{key}")].clone();
                assert_eq!(field("Dimensions.member.1.Value"), "i-0abc");
                (field("MetricName"), field("Value"))
            })
            .collect()
    };
    let (well, unwell) = (values(&seen[0].body), values(&seen[1].body));
    assert_eq!((well["Ready"].as_str(), well["InService"].as_str(), well["Blind"].as_str()), ("1", "1", "0"));
    assert_eq!((unwell["Ready"].as_str(), unwell["Healthy"].as_str()), ("0", "0"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_cloudwatch_names_the_permission() {
    let refusal = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    let transport = Scripted::new(move |_| async move { answer(403, refusal) });
    let (config, doors) = sdk(&transport);
    let settings = Settings { namespace: "Pitcrew".into(), period: Duration::from_secs(60) };
    let mut instance = Instance::new();
    instance.probe(true);
    let view = instance.view.borrow().clone().unwrap();
    let failure =
        CloudWatch::new(settings, config, doors, "i-0abc".into(), "amazonaws.com").tell(&view).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.sentence.contains("allow cloudwatch:PutMetricData"), "{}", failure.sentence);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_told_of_what_lasts_and_of_its_end() {
    let transport = Scripted::new(|_| async {
        answer(
            200,
            "<SetInstanceHealthResponse><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></SetInstanceHealthResponse>",
        )
    });
    let (config, doors) = sdk(&transport);
    let mut instance = Instance::new();
    let group = AutoScaling::new(config, doors, "i-0abc".into(), "amazonaws.com");
    let group = GroupHealth::new(group, Duration::from_secs(600));
    let telling = tokio::spawn(group.run(instance.view.subscribe()));
    instance.probe(true);
    for _ in 0..5 {
        instance.probe(false);
        sleep(Duration::from_secs(500)).await;
        instance.probe(true);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(transport.seen().is_empty(), "never unwell for long enough");
    instance.probe(false);
    instance.hears(Event::OperatorAsked {
        call: pitcrew_core::ids::CallId(1),
        request: OperatorRequest::Out { ttl: None, patience: Duration::from_secs(1) },
    });
    sleep(Duration::from_secs(1000)).await;
    assert!(transport.seen().is_empty(), "an operator's hold explains it");
    instance.hears(Event::OperatorAsked {
        call: pitcrew_core::ids::CallId(2),
        request: OperatorRequest::In { patience: Duration::from_secs(1) },
    });
    instance.probe(false);
    sleep(Duration::from_secs(599)).await;
    assert!(transport.seen().is_empty());
    let told = timeout(Duration::from_secs(5), async {
        while transport.seen().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    told.await.expect("the group is told");
    sleep(Duration::from_secs(5000)).await;
    instance.probe(true);
    sleep(Duration::from_secs(1)).await;
    telling.abort();
    let said: Vec<_> = transport.seen().iter().map(|seen| fields(&seen.body)["HealthStatus"].clone()).collect();
    assert_eq!(said, ["Unhealthy", "Healthy"], "once each");
}

#[tokio::test(start_paused = true)]
async fn the_inventory_is_told_on_change_and_daily() {
    const HOUR: Duration = Duration::from_secs(3600);
    let transport = Scripted::new(|_| async { answer(200, "{}") });
    let (config, doors) = sdk(&transport);
    let mut instance = Instance::new();
    let agents = watch::Sender::new(Seen::default());
    let inventory = Inventory { config, instance: "i-0abc".into(), clock: doors.clock };
    let telling = tokio::spawn(inventory.run(instance.view.subscribe(), agents.subscribe()));
    instance.probe(true);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(transport.seen().len(), 1);
    instance.probe(true);
    sleep(HOUR).await;
    assert_eq!(transport.seen().len(), 1, "nothing has changed");
    let codedeploy = CodeDeploySeen { version: Some("2.0.1".to_owned()), ..CodeDeploySeen::default() };
    agents.send_replace(Seen { codedeploy, ..Seen::default() });
    sleep(Duration::from_secs(60)).await;
    let seen = transport.seen();
    assert_eq!(seen.len(), 2, "on change");
    assert!(seen[1].body.contains("\"CodeDeployAgentVersion\":\"2.0.1\""), "{}", seen[1].body);
    sleep(23 * HOUR).await;
    assert_eq!(transport.seen().len(), 2);
    sleep(2 * HOUR).await;
    assert_eq!(transport.seen().len(), 3, "daily");
    telling.abort();
}

#[tokio::test(start_paused = true)]
async fn the_instance_is_tagged_with_what_was_deployed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("VERSION");
    std::fs::write(&file, "8.0\nbuilt by hand\n").unwrap();
    let s3 = Revision { etag: Some("\"9b2c\"".into()), version: Some("3sL4k".into()), ..Revision::default() };
    let unversioned = Revision { version: None, ..s3.clone() };
    let commit = Revision { commit: Some("0d1f2c3".into()), ..Revision::default() };
    let article = [("version".to_owned(), "8.0".to_owned())];
    let named = |version: &'static str| vec![("pitcrew:deployment", "d-1"), ("pitcrew:version", version)];
    for (revision, version, also, expected) in [
        (&s3, VersionFrom::Revision, &article[..0], named("3sL4k")),
        (&unversioned, VersionFrom::Revision, &article[..0], named("9b2c")),
        (&commit, VersionFrom::Revision, &article[..0], named("0d1f2c3")),
        (&s3, VersionFrom::File(file.clone()), &article[..0], named("8.0")),
        (&s3, VersionFrom::File(directory.path().join("absent")), &article[..0], vec![]),
        (&s3, VersionFrom::Nothing, &article[..], vec![("version", "8.0")]),
    ] {
        let transport = Scripted::new(|_| async { answer(200, "<CreateTagsResponse/>") });
        let (config, doors) = sdk(&transport);
        let mut instance = Instance::new();
        let owner = Owner { partition: "aws", account: "123456789012", domain: "amazonaws.com" };
        let tags = Arc::new(Tags::new(config, doors, "i-0abc".into(), &owner));
        let labels = Labels { tags, version, also: also.iter().cloned().collect() };
        let labelling = tokio::spawn(labels.run(instance.view.subscribe()));
        instance.shows(|view| view.ended.push(succeeded("d-1", revision)));
        sleep(Duration::from_secs(60)).await;
        instance.shows(|view| view.ended.push(succeeded("d-1", revision)));
        sleep(Duration::from_secs(60)).await;
        labelling.abort();
        let seen = transport.seen();
        assert_eq!(seen.len(), usize::from(!expected.is_empty()), "once a deployment: {expected:?}");
        for call in &seen {
            let said = fields(&call.body);
            let tag = |n: usize| {
                Some((said.get(&format!("Tag.{n}.Key"))?.as_str(), said[&format!("Tag.{n}.Value")].as_str()))
            };
            let mut tags: Vec<_> = (1..).map_while(tag).collect();
            tags.sort_unstable();
            assert_eq!(tags, expected);
            assert_eq!(said["ResourceId.1"], "i-0abc");
        }
    }
}
