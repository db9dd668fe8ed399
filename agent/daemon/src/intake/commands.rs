//! Commands of CodeDeploy's host agent: tells what its directory shows, at first and with every change.

use std::sync::Arc;
use std::time::Duration;

use pitcrew_core::wire::Event;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::doors::Commands;

/// Between a change and the look at it: a command that creates its file also writes it.
const CALM: Duration = Duration::from_millis(20);

/// Tells what `commands` shows until the receiver is gone.
pub async fn run<I>(commands: Arc<dyn Commands>, heard: mpsc::Sender<I>)
where
    I: From<Event>,
{
    let mut told = None;
    loop {
        let executing = commands.look();
        // Ages grow by themselves: which deployments execute is what changes.
        let which = executing.as_ref().map(|executing| executing.keys().cloned().collect::<Vec<_>>());
        if told.as_ref() != Some(&which) {
            told = Some(which);
            if heard.send(Event::CommandsSeen { executing }.into()).await.is_err() {
                return;
            }
        }
        tokio::select! {
            biased;
            () = heard.closed() => return,
            () = commands.changed() => {}
        }
        sleep(CALM).await;
    }
}
