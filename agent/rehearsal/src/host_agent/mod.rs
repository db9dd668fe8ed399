//! CodeDeploy's host agent: carries out one lifecycle event of a deployment on one instance.
//!
//! Scripts of `ApplicationStop` (and of the two events around BlockTraffic) come from the revision that was installed
//! last, all others from the new one; "installed last" is written at the end of Install, not of the deployment. The
//! first script that fails ends the event, and nothing more runs.

mod disk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::bundle::{Bundle, Script};
use crate::crew::{Crew, ScriptCode, ScriptJob, ScriptOutcome, Services, Transcript};
use crate::death::Generation;
use crate::lifecycle::LifecycleEvent;
use crate::lock::lock;
use crate::seat::Seat;
use crate::timeline::{Happening, ScriptEnd};
use crate::world::World;
use crate::world::codedeploy::{DeploymentGroup, Diagnostics};

use disk::Disk;

/// What the service tells a host agent to deploy.
#[derive(Debug, Clone)]
pub struct Order {
    /// `d-` and nine characters.
    pub deployment: String,
    /// The deployment group.
    pub group: DeploymentGroup,
    /// The new revision.
    pub revision: Arc<Bundle>,
    /// `ignoreApplicationStopFailures`: the events that run from the previous revision may fail.
    pub ignores_stop_failures: bool,
}

/// The host agent of one instance.
pub struct HostAgent {
    seat: Seat,
    world: Arc<World>,
    crew: Arc<dyn Crew>,
    services: Services,
    disk: Option<Disk>,
    generation: Generation,
    /// Counts its deaths: a script that outlives its agent is the last of its event.
    deaths: AtomicU32,
    /// By deployment group id: the deployment whose Install succeeded last, and its revision.
    installed: Mutex<BTreeMap<String, Installed>>,
}

#[derive(Clone)]
struct Installed {
    deployment: String,
    revision: Arc<Bundle>,
}

impl HostAgent {
    /// A host agent that has installed nothing yet.
    pub fn new(seat: Seat, world: Arc<World>, crew: Arc<dyn Crew>, services: Services, generation: Generation) -> Self {
        let disk = seat.dirs.clone().map(Disk::new);
        let deaths = AtomicU32::new(0);
        Self { seat, world, crew, services, disk, generation, deaths, installed: Mutex::default() }
    }

    /// Of which generation it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Puts a revision on the instance as an earlier deployment had, without running its scripts.
    pub async fn preinstall(&self, order: &Order) -> Result<(), Diagnostics> {
        self.download(order).await?;
        self.install(order, true).await
    }

    /// Carries out one event; the error is what goes to the service.
    pub async fn execute(&self, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
        self.begin(order, event)?;
        let done = self.work(order, event).await;
        self.end(order, event)?;
        self.world.event_ended(&self.seat, &order.deployment, event, done.clone().err());
        done
    }

    /// Whether anything is carried out on the instance in this event: only then is there a tracking file.
    pub(crate) fn executes(&self, order: &Order, event: LifecycleEvent) -> bool {
        match event {
            LifecycleEvent::DownloadBundle | LifecycleEvent::Install => true,
            _ => self.source(order, event).is_some_and(|source| !source.revision.appspec.scripts(event).is_empty()),
        }
    }

    /// The event begins, with its tracking file where it has one.
    pub(crate) fn begin(&self, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
        if self.executes(order, event) {
            if let Some(disk) = &self.disk {
                disk.command_began(order, event).map_err(|error| broken(&error))?;
            }
            self.world.command_began(&self.seat, &order.deployment);
        }
        self.world.event_began(&self.seat, &order.deployment, event);
        Ok(())
    }

    fn end(&self, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
        if self.executes(order, event) {
            if let Some(disk) = &self.disk {
                disk.command_ended(order).map_err(|error| broken(&error))?;
            }
            self.world.command_ended(&self.seat, &order.deployment);
        }
        Ok(())
    }

    /// It is killed: what runs goes on alone, and nothing follows it.
    pub(crate) fn die(&self) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
    }

    /// It starts again, and finds nothing worth keeping in its directory.
    pub(crate) fn come_back(&self) -> Result<(), Diagnostics> {
        if let Some(disk) = &self.disk {
            disk.forget_commands().map_err(|error| broken(&error))?;
        }
        for deployment in self.world.ongoing(&self.seat).into_keys() {
            self.world.command_ended(&self.seat, &deployment);
        }
        Ok(())
    }

    /// What is done in this event, without its report.
    pub(crate) async fn work(&self, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
        match event {
            LifecycleEvent::DownloadBundle => {
                self.tell(order, event);
                self.download(order).await
            }
            LifecycleEvent::Install => {
                self.tell(order, event);
                self.install(order, false).await
            }
            // The service itself plays these; nothing executes on the instance.
            LifecycleEvent::Start
            | LifecycleEvent::End
            | LifecycleEvent::BlockTraffic
            | LifecycleEvent::AllowTraffic => Ok(()),
            LifecycleEvent::BeforeBlockTraffic
            | LifecycleEvent::AfterBlockTraffic
            | LifecycleEvent::ApplicationStop
            | LifecycleEvent::BeforeInstall
            | LifecycleEvent::AfterInstall
            | LifecycleEvent::ApplicationStart
            | LifecycleEvent::ValidateService
            | LifecycleEvent::BeforeAllowTraffic
            | LifecycleEvent::AfterAllowTraffic => self.hook(order, event).await,
        }
    }

    /// The revision whose scripts run in this event; `None`: no revision was installed before.
    fn source(&self, order: &Order, event: LifecycleEvent) -> Option<Installed> {
        if event.runs_previous_revision() {
            lock(&self.installed).get(&order.group.id).cloned()
        } else {
            Some(Installed { deployment: order.deployment.clone(), revision: Arc::clone(&order.revision) })
        }
    }

    fn tell(&self, order: &Order, event: LifecycleEvent) {
        let deployment = order.deployment.clone();
        self.services.happened(Happening::EventStarted { deployment, event });
    }

    async fn download(&self, order: &Order) -> Result<(), Diagnostics> {
        let Some(disk) = self.disk.clone() else {
            return Ok(());
        };
        let order = order.clone();
        off_the_runtime(move || disk.unpack(&order)).await
    }

    async fn install(&self, order: &Order, quietly: bool) -> Result<(), Diagnostics> {
        if let Some(disk) = self.disk.clone() {
            let order = order.clone();
            off_the_runtime(move || disk.install(&order)).await?;
        }
        let version = order.revision.release();
        if order.revision.is_application {
            self.services.install(version.clone());
        }
        lock(&self.installed).insert(
            order.group.id.clone(),
            Installed { deployment: order.deployment.clone(), revision: Arc::clone(&order.revision) },
        );
        if !quietly {
            self.services.happened(Happening::Installed {
                deployment: order.deployment.clone(),
                version,
                files: order.revision.installs().len(),
            });
        }
        Ok(())
    }

    async fn hook(&self, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
        let skipped = |why: &str| {
            self.services.happened(Happening::EventSkipped {
                deployment: order.deployment.clone(),
                event,
                why: why.to_owned(),
            });
            Ok(())
        };
        let Some(source) = self.source(order, event) else {
            return skipped("no revision was installed before");
        };
        let scripts = source.revision.appspec.scripts(event);
        if scripts.is_empty() {
            return skipped("the revision has no script for it");
        }
        self.tell(order, event);
        let deaths = self.deaths.load(Ordering::Relaxed);
        for script in scripts {
            let outcome = self.run(order, &source, event, script).await;
            if self.deaths.load(Ordering::Relaxed) != deaths {
                return Ok(());
            }
            if outcome.code != ScriptCode::Success {
                return Err(Diagnostics {
                    code: outcome.code,
                    script: script.location.clone(),
                    message: failure(script, &outcome),
                    log_tail: outcome.output,
                });
            }
        }
        Ok(())
    }

    async fn run(&self, order: &Order, source: &Installed, event: LifecycleEvent, script: &Script) -> ScriptOutcome {
        let revision = &source.revision;
        let path = |disk: &Disk| disk.archive(&order.group.id, &source.deployment).join(&script.location);
        let transcript = Transcript::begin();
        let job = ScriptJob {
            seat: self.seat.clone(),
            event,
            location: script.location.clone(),
            path: self.disk.as_ref().map(path),
            text: revision.text(&script.location),
            environment: environment(order, event),
            timeout: script.timeout,
            host_agent: self.generation,
            run_as: script.run_as.clone(),
            sudo: script.sudo,
            services: self.services.clone(),
            transcript: transcript.clone(),
        };
        let told = ScriptEnd {
            deployment: order.deployment.clone(),
            event,
            location: script.location.clone(),
            revision: revision.revision.clone(),
            shim: revision.is_shim(&script.location),
            code: ScriptCode::UnknownError,
            exit: None,
            took: Duration::ZERO,
            timeout: script.timeout,
            said: String::new(),
            settled: None,
        };
        let mut running =
            Running { services: self.services.clone(), began: Instant::now(), transcript, told: Some(told) };
        let outcome = match revision.file(&script.location) {
            Some(_) => self.crew.run_script(job).await,
            None => ScriptOutcome {
                code: ScriptCode::ScriptMissing,
                exit: None,
                output: String::new(),
                took: Duration::ZERO,
            },
        };
        if let Some(disk) = &self.disk {
            disk.log(order, event, &script.location, &outcome.output);
        }
        if let Some(told) = running.told.take() {
            self.services.happened(Happening::ScriptEnded(ScriptEnd {
                code: outcome.code,
                exit: outcome.exit,
                took: outcome.took,
                said: outcome.output.lines().last().unwrap_or_default().trim().to_owned(),
                settled: running.transcript.settled(),
                ..told
            }));
        }
        outcome
    }
}

/// A script that runs. Dropped before it has ended, its instance was taken away.
struct Running {
    services: Services,
    began: Instant,
    transcript: Transcript,
    told: Option<ScriptEnd>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            let took = self.began.elapsed();
            let settled = self.transcript.settled();
            self.services.happened(Happening::ScriptCut(ScriptEnd { took, settled, ..told }));
        }
    }
}

/// The variables that CodeDeploy sets for a script, of a revision that came from S3.
fn environment(order: &Order, event: LifecycleEvent) -> BTreeMap<String, String> {
    let group = &order.group;
    [
        ("LIFECYCLE_EVENT", event.name().to_owned()),
        ("DEPLOYMENT_ID", order.deployment.clone()),
        ("APPLICATION_NAME", group.application.clone()),
        ("DEPLOYMENT_GROUP_NAME", group.name.clone()),
        ("DEPLOYMENT_GROUP_ID", group.id.clone()),
        ("BUNDLE_BUCKET", "sample-revisions".to_owned()),
        ("BUNDLE_KEY", format!("{}.tgz", order.revision.revision)),
        ("BUNDLE_ETAG", "0123456789abcdef0123456789abcdef".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn failure(script: &Script, outcome: &ScriptOutcome) -> String {
    let location = &script.location;
    match outcome.code {
        ScriptCode::Success => format!("Script at specified location: {location} succeeded"),
        ScriptCode::ScriptMissing => {
            format!("Script does not exist at specified location: {location}")
        }
        ScriptCode::ScriptNotExecutable => {
            format!("Unable to set script at specified location: {location} as executable")
        }
        ScriptCode::ScriptTimedOut => format!(
            "Script at specified location: {location} failed to complete in {} seconds",
            script.timeout.as_secs()
        ),
        ScriptCode::ScriptFailed => {
            format!("Script at specified location: {location} failed with exit code {}", outcome.exit.unwrap_or(-1))
        }
        ScriptCode::OutputsLeftOpen => format!(
            "Script at specified location: {location} failed to close STDOUT and STDERR in {} seconds",
            script.timeout.as_secs()
        ),
        ScriptCode::UnknownError | ScriptCode::FailedAfterRestart => {
            format!("Script at specified location: {location} failed to run: {}", outcome.output)
        }
    }
}

async fn off_the_runtime(work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Result<(), Diagnostics> {
    match spawn_blocking(work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(broken(&error)),
        Err(error) => Err(broken(&anyhow::Error::new(error))),
    }
}

fn broken(error: &anyhow::Error) -> Diagnostics {
    Diagnostics {
        code: ScriptCode::UnknownError,
        script: String::new(),
        message: format!("{error:#}"),
        log_tail: String::new(),
    }
}

/// Where a revision lies on an instance: `<root>/<deployment group id>/<deployment id>`.
fn deployment_directory(root: &std::path::Path, group: &str, deployment: &str) -> PathBuf {
    root.join(group).join(deployment)
}
