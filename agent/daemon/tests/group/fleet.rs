//! A thousand instances of one organization: each a core and a client of its own, all under one allowance.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{Request, Response};
use pitcrew::config;
use pitcrew::doors::{Credentials, TokioClock, Transport, TransportError};
use pitcrew::effect::tags::Owner as TagOwner;
use pitcrew::effect::{Elastigroup, Tags, aws, elastigroup};
use pitcrew::intake::imds::{Endpoint, Imds};
use pitcrew_core::Core;
use pitcrew_core::elastigroup::{Process, Settings as ElastigroupSettings};
use pitcrew_core::ids::{CallId, DeploymentGroup};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now, WallTime, millis};
use pitcrew_core::wire::{Action, Event, HookCall, Owner};
use tokio::time::{sleep, sleep_until};

const INSTANCES: u64 = 1000;
/// Requests a minute for each route and method, of the whole organization.
const LIMIT: usize = 600;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// An organization's API: counts, and says what is left.
#[derive(Default)]
struct Organization {
    routes: Mutex<BTreeMap<String, Route>>,
}

#[derive(Default)]
struct Route {
    recent: VecDeque<tokio::time::Instant>,
    all: usize,
    busiest: usize,
    refused: usize,
}

impl Transport for Organization {
    fn send(&self, request: Request<Bytes>, _: Duration) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let answer = self.answer(&request);
        Box::pin(async move {
            sleep(Duration::from_millis(80)).await;
            Ok(answer)
        })
    }
}

impl Organization {
    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        let parts =
            path.split('/').map(|part| if part.starts_with("i-") || part.starts_with("sig-") { "{}" } else { part });
        let name = format!("{} {}", request.method(), parts.collect::<Vec<_>>().join("/"));
        let now = tokio::time::Instant::now();
        let mut routes = self.routes.lock().unwrap();
        let route = routes.entry(name).or_default();
        route.recent.retain(|at| now.duration_since(*at) < MINUTE);
        route.recent.push_back(now);
        route.all += 1;
        route.busiest = route.busiest.max(route.recent.len());
        let refused = route.recent.len() > LIMIT;
        route.refused += usize::from(refused);
        let reset = MINUTE - now.duration_since(route.recent[0]);
        let (status, body) = if refused {
            (429, r#"{"response":{"status":{"code":429},"data":"Rate limit exceeded"}}"#.to_owned())
        } else {
            let item = r#"{"lifeCycleState":"ACTIVE","strategy":{"signals":[{"name":"INSTANCE_READY","timeout":900}]},"suspensions":[]}"#;
            (200, format!(r#"{{"response":{{"status":{{"code":200}},"items":[{item}]}}}}"#))
        };
        Response::builder()
            .status(status)
            .header("X-RateLimit-Limit", LIMIT)
            .header("X-RateLimit-Remaining", LIMIT.saturating_sub(route.recent.len()))
            .header("X-RateLimit-Reset", reset.as_secs())
            .body(body.into())
            .unwrap()
    }

    fn table(&self) -> String {
        let mut text = format!("{:<48}{:>10}{:>16}{:>10}", "route", "requests", "busiest minute", "refused");
        for (name, route) in self.routes.lock().unwrap().iter() {
            let _ = write!(text, "\n{name:<48}{:>10}{:>16}{:>10}", route.all, route.busiest, route.refused);
        }
        text
    }
}

/// The client of one instance, whose place and token need no questions.
fn client(number: u64, organization: &Arc<Organization>, token: &Path) -> Elastigroup {
    let text = format!(
        "elastigroup = {{ token = \"{}\", account = \"act-1\", group = \"sig-1\", base_url = \"http://spot\" }}",
        token.display()
    );
    let settings = config::read(&[(Path::new("a.toml"), &text)]).unwrap().into_settings();
    let clock = Arc::new(TokioClock::starting_at(Now { at: Instant(0), wall: WallTime(0) }));
    let transport: Arc<dyn Transport> = organization.clone();
    let doors = aws::Doors { transport: transport.clone(), clock };
    let credentials = SharedCredentialsProvider::new(AwsCredentials::new("AKID", "secret", None, None, "test"));
    let sdk = aws::fixed("eu-central-1", "http://aws", MINUTE, credentials, &doors);
    let instance: pitcrew_core::ids::InstanceId = format!("i-{number}").as_str().into();
    let owner = TagOwner { partition: "aws", account: "1", domain: "amazonaws.com" };
    let tags = Tags::new(sdk.clone(), doors, instance.clone(), &owner);
    let imds = Imds::new(transport.clone(), Endpoint::at(&"http://imds".parse().unwrap()).unwrap(), MINUTE);
    let doors = elastigroup::Doors {
        transport,
        credentials: Credentials::default(),
        sdk,
        imds: Arc::new(imds),
        tags: Arc::new(tags),
        seed: number,
    };
    Elastigroup::new(&settings.elastigroup, instance, doors).unwrap()
}

/// When an instance's hooks call.
type Hooks = Vec<(Duration, &'static str, LifecycleEvent)>;

/// One instance: its core, its client, and hooks at their times. Ends after the hour; says whether it still holds a lock.
async fn instance(number: u64, client: Elastigroup, mut hooks: Hooks) -> bool {
    let began = tokio::time::Instant::now();
    let now = || {
        let since = millis(began.elapsed());
        Now { at: Instant(since), wall: WallTime(1_795_392_000_000 + since) }
    };
    let settings = Settings {
        owner: Some(Owner::Pitcrew),
        elastigroup: Some(ElastigroupSettings {
            suspend: [Process::PreventiveReplacement].into(),
            ..Default::default()
        }),
        seed: number,
        ..Settings::default()
    };
    let mut core = Core::new(settings, Memory::default(), now());
    let client = Arc::new(client);
    let mut under_way: FuturesUnordered<BoxFuture<'static, Event>> = FuturesUnordered::new();
    let mut event = Event::Started;
    let mut calls = 0;
    hooks.reverse();
    loop {
        for action in core.step(now(), event) {
            match action {
                Action::Elastigroup(order) => {
                    let client = client.clone();
                    under_way.push(Box::pin(async move {
                        let answer = client.carry_out(&order).await;
                        Event::ElastigroupReplied { order, answer }
                    }));
                }
                Action::DiscoverGroups => {
                    under_way.push(Box::pin(async { Event::GroupsDiscovered { answer: Ok(Vec::new()) } }));
                }
                _ => {}
            }
        }
        let hook_at = hooks.last().map_or(HOUR, |(at, ..)| *at);
        let wake = core.wake_at().map_or(HOUR, |at| Duration::from_millis(at.0 + 1));
        event = tokio::select! {
            biased;
            Some(event) = under_way.next() => event,
            () = sleep_until(began + hook_at.min(wake).min(HOUR)) => match hooks.pop_if(|(at, ..)| began.elapsed() >= *at) {
                Some((_, deployment, event)) => {
                    calls += 1;
                    let group = DeploymentGroup { application: "web".into(), name: "prod".into() };
                    let hook = HookCall { event, deployment: deployment.into(), group, revision: Default::default(), patience: HOUR };
                    Event::HookArrived { call: CallId(calls), hook }
                }
                None => Event::TimerElapsed,
            },
        };
        if began.elapsed() >= HOUR {
            return core.memory().elastigroup.lock.is_some();
        }
    }
}

/// All of them start together; later they are deployed to, a quarter at once.
#[test]
fn a_thousand_instances_stay_within_the_allowance_of_their_organization() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let organization = Arc::new(Organization::default());
    let mut token = tempfile::NamedTempFile::new().unwrap();
    write!(token, "token").unwrap();
    let locked = runtime.block_on(async {
        let fleet: FuturesUnordered<_> = (0..INSTANCES)
            .map(|number| {
                let client = client(number, &organization, token.path());
                let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
                let begins = minutes(15 + 8 * (number % 4));
                let hooks = vec![
                    (begins, "d-1", LifecycleEvent::BeforeInstall),
                    (begins + minutes(2), "d-1", LifecycleEvent::ValidateService),
                ];
                tokio::spawn(instance(number, client, hooks))
            })
            .collect();
        fleet.filter(|locked| std::future::ready(*locked.as_ref().unwrap())).count().await
    });
    let table = organization.table();
    println!("{INSTANCES} instances for an hour, {LIMIT} requests a minute allowed for each route\n{table}");
    assert_eq!(locked, 0);
    let routes = organization.routes.lock().unwrap();
    assert!(routes.len() >= 5, "{table}");
    for (name, route) in routes.iter() {
        assert!(route.busiest <= LIMIT && route.refused == 0, "{name}\n{table}");
    }
    let polls = &routes["GET /aws/ec2/instance/{}"];
    assert!(polls.all >= 5_000, "each is looked after\n{table}");
}
