//! A small world around the data plane: applications by name, routes by hand, a load.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pitcrew_rehearsal::app;
use pitcrew_rehearsal::balancer::routing::{CheckPlan, CheckResult, Route, Routing, Stance};
use pitcrew_rehearsal::balancer::{Balancer, IdleOnDrain, Settings};
use pitcrew_rehearsal::load::{Load, Outcome, Plan, Report, Slow};
use pitcrew_rehearsal::net::Net;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Routes that a test sets by hand, and the checks that came back.
#[derive(Default)]
pub(crate) struct Board {
    routes: Mutex<BTreeMap<SocketAddr, Stance>>,
    checks: Mutex<Vec<(SocketAddr, CheckResult)>>,
}

impl Board {
    pub(crate) fn set(&self, endpoint: SocketAddr, stance: Stance) {
        self.routes.lock().unwrap().insert(endpoint, stance);
    }

    pub(crate) fn remove(&self, endpoint: SocketAddr) {
        self.routes.lock().unwrap().remove(&endpoint);
    }

    pub(crate) fn checks(&self, endpoint: SocketAddr) -> Vec<CheckResult> {
        let checks = self.checks.lock().unwrap();
        checks.iter().filter(|(of, _)| *of == endpoint).map(|(_, result)| result.clone()).collect()
    }
}

impl Routing for Board {
    fn routes(&self) -> Vec<Route> {
        let routes = self.routes.lock().unwrap();
        routes.iter().map(|(&endpoint, &stance)| Route { endpoint, stance }).collect()
    }

    fn check_plan(&self) -> CheckPlan {
        CheckPlan {
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(400),
            path: "/health".to_owned(),
            matcher: 200..=299,
        }
    }

    fn checked(&self, endpoint: SocketAddr, result: CheckResult) {
        self.checks.lock().unwrap().push((endpoint, result));
    }
}

/// What a test may choose about the balancer.
pub(crate) struct Options {
    pub(crate) keep_alive: bool,
    pub(crate) idle_on_drain: IdleOnDrain,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep_alive: true, idle_on_drain: IdleOnDrain::Closed }
    }
}

/// A balancer on its board, and applications that can be started and killed.
pub(crate) struct Stage {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) board: Arc<Board>,
    pub(crate) front: SocketAddr,
    block: [u8; 2],
    applications: BTreeMap<SocketAddr, JoinSet<()>>,
    _balancer: JoinSet<()>,
}

impl Stage {
    /// Sets up on the addresses 127.`block`.0/24.
    pub(crate) async fn new(net: Arc<dyn Net>, block: [u8; 2], options: Options) -> Self {
        let board = Arc::new(Board::default());
        let from = address(block, 255).ip();
        let settings = Settings {
            listen: SocketAddr::new(from, 0),
            from,
            keep_alive: options.keep_alive,
            idle_on_drain: options.idle_on_drain,
        };
        let balancer = Balancer::bind(net.clone(), board.clone(), settings).await.unwrap();
        let front = balancer.address();
        let mut running = JoinSet::new();
        running.spawn(async move { panic!("the balancer ended: {}", balancer.run().await) });
        let applications = BTreeMap::new();
        Self { net, board, front, block, applications, _balancer: running }
    }

    pub(crate) fn endpoint(&self, number: u8) -> SocketAddr {
        address(self.block, number)
    }

    /// Starts a release and puts it in service once it answers.
    pub(crate) async fn serve(&mut self, number: u8, release: &str) -> SocketAddr {
        let endpoint = self.start(number, release).await;
        self.board.set(endpoint, Stance::Serving);
        endpoint
    }

    /// Starts a release, out of service.
    pub(crate) async fn start(&mut self, number: u8, release: &str) -> SocketAddr {
        let listen = self.endpoint(number);
        let start = Duration::from_millis(50);
        let settings = app::Settings { listen, release: release.parse().unwrap(), start };
        let net = self.net.clone();
        let mut running = JoinSet::new();
        running.spawn(async move { panic!("the application ended: {}", app::run(net, settings).await) });
        self.applications.insert(listen, running);
        let here = listen.ip();
        wait_for("the application to listen", async || self.net.connect(here, listen).await.is_ok()).await;
        listen
    }

    /// Kills an application as SIGKILL does.
    pub(crate) async fn kill(&mut self, endpoint: SocketAddr) {
        self.applications.remove(&endpoint).unwrap().shutdown().await;
    }

    pub(crate) fn plan(&self, seed: u64) -> Plan {
        Plan {
            from: self.endpoint(254).ip(),
            to: self.front,
            path: "/".to_owned(),
            rate: 200.0,
            slow: None,
            timeout: Duration::from_secs(20),
            seed,
            by_second: true,
        }
    }

    /// Starts a load and keeps what it says about each request.
    pub(crate) fn load(&self, plan: Plan) -> (Load, Arc<Mutex<Vec<Outcome>>>) {
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let kept = outcomes.clone();
        let observe = move |outcome: &Outcome| kept.lock().unwrap().push(outcome.clone());
        (Load::start(self.net.clone(), plan, observe).unwrap(), outcomes)
    }

    /// One request to the balancer.
    pub(crate) async fn ask(&self, path: &str) -> Response<Bytes> {
        ask(&*self.net, self.endpoint(253).ip(), self.front, path).await
    }
}

/// 127.`block`.`number`:8080.
pub(crate) fn address(block: [u8; 2], number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, block[0], block[1], number)), 8080)
}

/// A tenth of the requests take up to this long.
pub(crate) fn slow(up_to: Duration) -> Option<Slow> {
    Some(Slow { share: 0.1, up_to })
}

/// One request on a connection of its own.
pub(crate) async fn ask(net: &dyn Net, from: IpAddr, to: SocketAddr, path: &str) -> Response<Bytes> {
    let stream = net.connect(from, to).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request = Request::get(path).header("host", "stage").body(Empty::<Bytes>::new()).unwrap();
    let answer = async move {
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

/// Waits until something holds, and fails loudly when it does not come.
pub(crate) async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

pub(crate) fn draining_for(delay: Duration) -> Stance {
    Stance::Draining { until: Instant::now() + delay }
}

/// How many requests a version answered.
pub(crate) fn served(report: &Report, version: &str) -> u64 {
    report.served.iter().filter(|served| served.version == version).map(|served| served.requests).sum()
}
