//! Wires one run of the agent: doors, ledger, intake, engine. Everything ends when the future is dropped.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use aws_config::SdkConfig;
use futures_util::future::{OptionFuture, join_all};
use pitcrew_core::Core;
use pitcrew_core::ids::BootId;
use pitcrew_core::memory::Memory;
use pitcrew_core::time::Now;
use pitcrew_core::view::View;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::config::Settings;
use crate::doors::{Clock, Commands, Connections, Credentials, Transport};
use crate::effect::scripts::DrainScripts;
use crate::effect::tags::Owner;
use crate::effect::{
    Announcer, AutoScaling, Balancer, CloudWatch, Deployments, Elastigroup, GroupHealth, OwnIds, Release, Replace,
    Tags, aws, elastigroup,
};
use crate::engine::{Engine, Hands, Input, Keeper, OnStop};
use crate::history::History;
use crate::intake::commands;
use crate::intake::host_agents::Seen;
use crate::intake::imds::{Calendar, Endpoint, Identity, Imds, NoticePoller};
use crate::intake::probe;
use crate::intake::socket::{Access, Limits, Listener, Server};
use crate::ledger::{self, Ledger, Store};
use crate::report::chronicle::Chronicle;
use crate::report::inventory::Inventory;
use crate::report::labels::Labels;
use crate::report::metrics::{Metered, Metrics};
use crate::supervise;

/// Room for what is heard while the engine thinks; a full inbox only makes its sources wait.
const INBOX: usize = 256;

/// Every way out of this process that a run uses.
pub struct Doors {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// HTTP.
    pub transport: Arc<dyn Transport>,
    /// This host's connections.
    pub connections: Arc<dyn Connections>,
    /// What CodeDeploy's host agent is doing.
    pub commands: Arc<dyn Commands>,
    /// Where the ledger lies.
    pub store: Box<dyn Store>,
    /// Which boot this is.
    pub boot: BootId,
    /// Where IMDS answers.
    pub imds: Endpoint,
    /// How the AWS SDK finds credentials.
    pub aws: AwsAccess,
    /// Who runs `drain.d`.
    pub scripts: Arc<dyn DrainScripts>,
    /// The agents of AWS on this host; `None`: nobody looks after them.
    pub host: Option<supervise::Host>,
    /// Where the webhook's secrets are.
    pub credentials: Credentials,
    /// Where it is said who this instance is, as soon as that is known.
    pub identity: Arc<OnceLock<Identity>>,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Remembers what happened.
    pub history: History,
    /// Spreads a fleet's questions; the same seed asks at the same moments.
    pub seed: u64,
}

/// How the AWS SDK is set up.
pub enum AwsAccess {
    /// As this host asks for it: settings, environment, profile, the instance's role.
    Host,
    /// Of the instance's role, and nothing else of this host: for a simulated run.
    Role {
        /// Of all services.
        endpoint_url: String,
        /// Of the metadata service.
        imds_url: String,
    },
}

/// What the ledger holds: the core's memory, and who this instance is, so that a restart needs no metadata service.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Notebook {
    identity: Identity,
    memory: Memory,
}

/// Runs the agent until `stop` ends and it has left, or stays as told. `view` is told of every change that people can
/// see, the first time when hooks and notices are heard. Fails only before that, where the ledger cannot be read.
pub async fn run<L: Listener>(
    settings: Settings,
    doors: Doors,
    listener: L,
    on_stop: OnStop,
    view: watch::Sender<Option<Arc<View>>>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let transport: Arc<dyn Transport> = Arc::new(Metered { inner: doors.transport, metrics: doors.metrics.clone() });
    let imds = Arc::new(Imds::new(transport.clone(), doors.imds.clone(), settings.imds.timeout));
    let mut stop = pin!(stop);
    let mut store = doors.store;
    let identity = match ledger::written_in::<Notebook>(store.as_mut(), &doors.boot) {
        Some(notebook) => notebook.identity,
        None => tokio::select! {
            biased;
            () = stop.as_mut() => return Ok(()),
            identity = imds.identity_when_known(doors.seed) => identity,
        },
    };
    // Said once: whoever listens has it from here on.
    let _ = doors.identity.set(identity.clone());
    info!(instance = %identity.instance, region = identity.region, "this is the instance");

    let (ledger, opened) =
        Ledger::<Notebook>::open(store, identity.instance.clone(), doors.boot.clone()).context("opening the ledger")?;
    for finding in &opened.findings {
        warn!("{finding}");
    }
    let now = doors.clock.now();
    let memory = opened.remembered.map_or_else(Memory::default, |found| {
        let mut memory = found.memory.memory;
        if found.boot != doors.boot {
            memory.rebase(found.written, now);
        }
        memory
    });

    let sdk_doors = aws::Doors { transport: transport.clone(), clock: doors.clock.clone() };
    let sdk = match &doors.aws {
        AwsAccess::Host => aws::from_host(&settings.aws, Some(&identity.region), &sdk_doors).await,
        AwsAccess::Role { endpoint_url, imds_url } => {
            let credentials = aws::of_role(imds_url, &sdk_doors)?;
            aws::fixed(&identity.region, endpoint_url, settings.aws.timeout, credentials, &sdk_doors)
        }
    };
    let tags = Arc::new(Tags::new(sdk.clone(), sdk_doors.clone(), identity.instance.clone(), &Owner::of(&identity)));
    let elastigroup = Elastigroup::new(
        &settings.elastigroup,
        identity.instance.clone(),
        elastigroup::Doors {
            transport: transport.clone(),
            credentials: doors.credentials.clone(),
            sdk: sdk.clone(),
            imds: imds.clone(),
            tags: tags.clone(),
            seed: doors.seed,
        },
    );
    let group = auto_scaling(&sdk, &sdk_doors, &identity);
    let hands = Hands {
        balancer: Balancer::new(
            sdk.clone(),
            sdk_doors.clone(),
            OwnIds { instance: identity.instance.clone(), address: identity.private_address.clone() },
            &identity.domain,
        ),
        deployments: Deployments::new(sdk.clone(), identity.instance.clone()),
        connections: doors.connections,
        scripts: doors.scripts,
        tags: tags.clone(),
        elastigroup,
        replace: Replace::new(group.clone()),
        release: Release::new(group, settings.leave.lifecycle_hook.clone()),
        announcer: Announcer {
            webhook: settings.leave.webhook.clone(),
            commands: settings.leave.commands.clone(),
            credentials: doors.credentials,
            identity: identity.clone(),
            transport: transport.clone(),
            clock: doors.clock.clone(),
            seed: doors.seed,
        },
        identity: identity.clone(),
        remove_tags: settings.leave.remove_tags.clone(),
        target_groups: settings.target_groups.clone(),
    };
    let outward = tell_outward(&settings, &sdk, sdk_doors, &identity, view.subscribe());
    let standing = memory.leaving.as_ref().map(|leaving| leaving.notices.clone()).unwrap_or_default();
    let mut core_settings = settings.core.clone();
    core_settings.seed = doors.seed;
    let core = Core::new(core_settings, memory, now);
    let (saw, seen) = watch::channel(Seen::default());
    let inventory = Inventory { config: sdk.clone(), instance: identity.instance.clone(), clock: doors.clock.clone() };
    let inventory = {
        let (shown, wanted) = (view.subscribe(), settings.agents.inventory);
        async move {
            match wanted {
                true => inventory.run(shown, seen).await,
                false => std::future::pending().await,
            }
        }
    };
    let supervision = (settings.agents.clone(), identity.instance.clone());
    let (host, shown, time) = (doors.host, view.subscribe(), doors.clock.clone());
    let labels = Labels { tags, version: settings.tags.version.clone(), also: settings.tags.after_success.clone() };
    let labels = labels.run(view.subscribe());
    let keeper = Box::new(NotebookKeeper { ledger, identity });
    let clock = doors.clock;
    let chronicle = Chronicle::new(doors.metrics, doors.history);
    let engine = Engine::new(core, clock.clone(), hands, keeper, on_stop, view, chronicle);

    let (heard, inbox) = mpsc::channel(INBOX);
    let server = Server {
        access: Access::members_of(settings.socket_group.clone()),
        limits: Limits::default(),
        patience: settings.hook_timeout,
        engine: heard.clone(),
    };
    let calendar = Calendar { clock: clock.clone(), scheduled: settings.leave.scheduled.clone() };
    let notices = NoticePoller::new(imds, settings.imds.poll, doors.seed, calendar, &standing);
    let notices = if settings.core.elastigroup.is_some() { notices.in_elastigroup() } else { notices };
    let probes: Vec<_> = settings
        .probes
        .iter()
        .zip(1..)
        .map(|(probe, number)| {
            let seed = doors.seed.wrapping_add(number);
            probe::run::<Input>(probe.clone(), transport.clone(), seed, heard.clone())
        })
        .collect();
    let supervised = {
        let heard = heard.clone();
        async move {
            match host {
                Some(host) => supervise::run::<Input>(host, supervision, time, shown, saw, heard).await,
                None => std::future::pending().await,
            }
        }
    };
    let commands = commands::run::<Input>(doors.commands, heard.clone());
    let stopped = {
        let heard = heard.clone();
        async move {
            stop.await;
            // The engine is gone already: then there is nothing to stop.
            let _ = heard.send(Input::StopAsked).await;
        }
    };

    let mut engine = pin!(engine.run(inbox));
    let mut intake = pin!(async {
        tokio::join!(
            server.serve(listener),
            notices.run::<Input>(heard),
            join_all(probes),
            commands,
            stopped,
            labels,
            inventory,
            supervised,
            outward
        );
    });
    tokio::select! {
        biased;
        () = engine.as_mut() => {}
        () = intake.as_mut() => engine.await,
    }
    Ok(())
}

/// Tells AWS services how the instance is, as far as the operator asked for it.
fn tell_outward(
    settings: &Settings,
    sdk: &SdkConfig,
    doors: aws::Doors,
    identity: &Identity,
    shown: watch::Receiver<Option<Arc<View>>>,
) -> impl Future<Output = ()> + use<> {
    let group = settings.report_unhealthy_after;
    let group = group.map(|after| GroupHealth::new(auto_scaling(sdk, &doors, identity), after).run(shown.clone()));
    let cloudwatch = settings.cloudwatch.clone();
    let cloudwatch = cloudwatch.map(|wanted| {
        CloudWatch::new(wanted, sdk.clone(), doors, identity.instance.clone(), &identity.domain).run(shown)
    });
    async {
        tokio::join!(OptionFuture::from(cloudwatch), OptionFuture::from(group));
    }
}

fn auto_scaling(sdk: &SdkConfig, doors: &aws::Doors, identity: &Identity) -> AutoScaling {
    AutoScaling::new(sdk.clone(), doors.clone(), identity.instance.clone(), &identity.domain)
}

struct NotebookKeeper {
    ledger: Ledger<Notebook>,
    identity: Identity,
}

impl Keeper for NotebookKeeper {
    fn keep(&mut self, memory: &Memory, now: Now) -> Result<(), String> {
        let notebook = Notebook { identity: self.identity.clone(), memory: memory.clone() };
        self.ledger.save(now, &notebook).map_err(|error| {
            format!("{}; no target is taken out for a deployment until it can be", crate::doors::with_causes(&error))
        })
    }
}
