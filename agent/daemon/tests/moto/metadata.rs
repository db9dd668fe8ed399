//! The metadata service of one of moto's instances: the rehearsal's, which tells this instance's identity.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pitcrew_rehearsal::clock::WorldClock;
use pitcrew_rehearsal::net::{Net as _, RealNet, serve, whole};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::{Origin, Plan, World};
use tokio::task::JoinSet;

/// IMDSv2 on a port of its own; ends when it is dropped.
pub(crate) struct Metadata {
    pub(crate) url: String,
    _server: JoinSet<io::Error>,
}

impl Metadata {
    pub(crate) async fn of(instance: &str) -> Self {
        let plan = Plan {
            seed: 1,
            district: 0,
            instances: 1,
            deregistration_delay: Duration::ZERO,
            fault: None,
            elastigroup: None,
            ask_after: None,
            denied: None,
        };
        let world = Arc::new(World::new(&plan, WorldClock::real(), None, Timeline::default()));
        let played = world.seats[0].instance_id.clone();
        let instance = instance.to_owned();
        let listener = RealNet.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.address());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, move |_, request| {
            let (world, played, instance) = (world.clone(), played.clone(), instance.clone());
            async move {
                // Nothing that is asked here has a body.
                let answer = world.router(Origin::Imds(1), request.map(|_| Bytes::new())).await;
                answer.map(|body| whole(String::from_utf8_lossy(&body).replace(&played, &instance)))
            }
        }));
        Self { url, _server: server }
    }
}
