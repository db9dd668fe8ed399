//! The `drain.d` of a world in which no process runs: one script that takes a moment and is seen by the world.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use pitcrew_core::wire::Event;
use pitcrew_rehearsal::crew::DRAIN_SCRIPT;
use pitcrew_rehearsal::timeline::Happening;
use pitcrew_rehearsal::world::World;
use tokio::time::sleep;

use crate::effect::scripts::{DrainScripts, Order};

/// How long the script takes.
const TAKES: Duration = Duration::from_millis(500);

/// `drain.d` of one instance.
pub(super) struct WorldScripts {
    pub(super) instance: u8,
    pub(super) world: Arc<World>,
}

impl DrainScripts for WorldScripts {
    fn run(&self, order: Order) -> BoxStream<'static, Event> {
        let (instance, world) = (self.instance, self.world.clone());
        let left = (!order.ended.iter().any(|name| name == DRAIN_SCRIPT)).then_some(());
        let runs = stream::iter(left).then(move |()| {
            let (world, why) = (world.clone(), order.why.word().to_owned());
            async move {
                sleep(TAKES).await;
                world.happened(Some(instance), Happening::DrainScriptRan { name: DRAIN_SCRIPT.to_owned(), why });
                Event::DrainScriptEnded { name: DRAIN_SCRIPT.to_owned(), how: Ok("exited 0 after 0.5 s".to_owned()) }
            }
        });
        runs.chain(stream::iter([Event::DrainScriptsEnded { answer: Ok(()) }])).boxed()
    }

    fn names(&self) -> Result<Vec<String>, String> {
        Ok(vec![DRAIN_SCRIPT.to_owned()])
    }
}
