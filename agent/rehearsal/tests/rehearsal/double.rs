//! A crew whose agent is a dozen lines: it takes its instance out for a leaving hook and back for the last one, and
//! knows nothing of leases, crashes or dead deployments. Enough to see that the world and the verdict do their part.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use pitcrew_rehearsal::app::{self, Release};
use pitcrew_rehearsal::bundle::{Step, read_script};
use pitcrew_rehearsal::crew::{Crew, ScriptCode, ScriptJob, ScriptOutcome, Verb};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::net::{BoxFuture, SimNet};
use pitcrew_rehearsal::rehearsal::Stage;
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::world::{Origin, TARGET_GROUP, World};
use serde_json::json;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

pub(crate) struct Double {
    world: Arc<World>,
    net: SimNet,
    applications: Mutex<BTreeMap<u8, AbortHandle>>,
}

impl Double {
    pub(crate) fn on(stage: &Stage) -> Arc<dyn Crew> {
        let net = stage.sim.clone().unwrap();
        Arc::new(Self { world: Arc::clone(&stage.world), net, applications: Mutex::default() })
    }

    /// Reads what becomes of the instance, and cares nothing for it.
    async fn read_notice(&self, seat: &Seat) {
        let token = Request::put("/latest/api/token").header("x-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = self.metadata(seat, token).await;
        let path = Request::get("/latest/meta-data/spot/instance-action").header("x-aws-ec2-metadata-token", &token);
        self.world.router(Origin::Imds(seat.number), path.body(Bytes::new()).unwrap()).await;
    }

    async fn metadata(&self, seat: &Seat, request: http::request::Builder) -> String {
        let request = request.body(Bytes::new()).unwrap();
        let response = self.world.router(Origin::Imds(seat.number), request).await;
        assert_eq!(response.status(), 200);
        String::from_utf8(response.body().to_vec()).unwrap()
    }

    async fn call(&self, seat: &Seat, action: &str, fields: &str) -> String {
        let token = Request::put("/latest/api/token").header("x-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = self.metadata(seat, token).await;
        let roles = "/latest/meta-data/iam/security-credentials/";
        let role = self.metadata(seat, Request::get(roles).header("x-aws-ec2-metadata-token", &token)).await;
        let keys = Request::get(format!("{roles}{role}")).header("x-aws-ec2-metadata-token", &token);
        let keys: serde_json::Value = serde_json::from_str(&self.metadata(seat, keys).await).unwrap();
        let arn = self.world.target_group_arn(TARGET_GROUP).unwrap();
        let body = format!("Action={action}&Version=2015-12-01&TargetGroupArn={arn}&{fields}");
        let key = keys["AccessKeyId"].as_str().unwrap();
        let request = Request::post("/")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-west-2/elb/aws4_request"))
            .header("x-amz-security-token", keys["Token"].as_str().unwrap())
            .body(Bytes::from(body))
            .unwrap();
        let response = self.world.router(Origin::Aws, request).await;
        String::from_utf8(response.body().to_vec()).unwrap()
    }

    async fn hook(&self, seat: &Seat, event: LifecycleEvent) {
        self.read_notice(seat).await;
        let port = seat.application.port();
        let own = format!("Targets.member.1.Id={}&Targets.member.1.Port={port}", seat.instance_id);
        match event {
            LifecycleEvent::ApplicationStop | LifecycleEvent::BeforeInstall => {
                self.call(seat, "DeregisterTargets", &own).await;
                let mut quiet = Instant::now();
                while quiet.elapsed() < Duration::from_secs(5) {
                    sleep(Duration::from_millis(250)).await;
                    if self.net.established(seat.application) > 0 {
                        quiet = Instant::now();
                    }
                }
            }
            LifecycleEvent::ValidateService => {
                self.call(seat, "RegisterTargets", &own).await;
                while !self.call(seat, "DescribeTargetHealth", &own).await.contains("<State>healthy</State>") {
                    sleep(Duration::from_millis(250)).await;
                }
            }
            _ => {}
        }
    }

    async fn script(&self, job: &ScriptJob) -> i32 {
        for step in read_script(&job.text).unwrap() {
            match step {
                Step::Hook => self.hook(&job.seat, job.event).await,
                Step::Systemctl(words) => match job.services.systemctl(&words).await.exit {
                    0 => {}
                    failed => return i32::from(failed),
                },
                Step::Sleep(time) => sleep(time).await,
                Step::IgnoreTerm => {}
                Step::Exit(status) => return status,
            }
        }
        0
    }
}

impl Crew for Double {
    fn start_agent<'a>(&'a self, _: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn kill_agent<'a>(&'a self, _: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn stop_agent<'a>(&'a self, _: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn agent_status<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<serde_json::Value>> {
        let running = self.applications.lock().unwrap().contains_key(&seat.number);
        Box::pin(async move { Ok(json!({ "healthy": running })) })
    }

    fn run_script(&self, job: ScriptJob) -> BoxFuture<'_, ScriptOutcome> {
        Box::pin(async move {
            let started = Instant::now();
            let exit = self.script(&job).await;
            let code = if exit == 0 { ScriptCode::Success } else { ScriptCode::ScriptFailed };
            ScriptOutcome { code, exit: Some(exit), output: String::new(), took: started.elapsed() }
        })
    }

    fn application<'a>(&'a self, seat: &'a Seat, verb: Verb) -> BoxFuture<'a, anyhow::Result<()>> {
        let mut applications = self.applications.lock().unwrap();
        if let Some(running) = applications.remove(&seat.number) {
            running.abort();
        }
        if let Verb::Start { release, warm_up } = verb {
            let release: Release = release.parse().unwrap();
            let listen: SocketAddr = seat.application;
            let settings = app::Settings { listen, release, start: warm_up };
            let task = tokio::spawn(app::run(Arc::new(self.net.clone()), settings));
            applications.insert(seat.number, task.abort_handle());
        }
        Box::pin(async { Ok(()) })
    }
}
