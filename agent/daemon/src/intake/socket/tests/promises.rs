//! What a caller was promised, and what becomes of it when the agent goes away, hangs or takes it back.

use super::*;

/// A hook whose call the agent has taken and not answered.
struct Arrived {
    stage: Stage,
    task: JoinHandle<Result<client::End, CallError>>,
    said: Progress,
    replies: Replies,
    start: Instant,
}

async fn a_hook() -> Arrived {
    let mut stage = stage();
    let (task, said) = client(&stage.dialer, ROOT, before_install(), pending());
    let (_, _, replies) = stage.arrival().await;
    Arrived { stage, task, said, replies, start: Instant::now() }
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_promised_stands_when_it_goes_away() {
    let Arrived { stage, task, said, replies, start } = a_hook().await;
    replies.promise(done("leaving: not returned to traffic"), Duration::from_secs(30));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*said.lock().unwrap(), ["leaving: not returned to traffic"], "told at once");
    stage.server.abort();
    drop(replies);
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("leaving: not returned to traffic")));
    assert_eq!(start.elapsed(), Duration::from_secs(30), "and no sooner: the application still has requests");
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_promised_ends_with_its_answer() {
    let Arrived { stage: _stage, task, replies, start, .. } = a_hook().await;
    replies.promise(done("leaving"), Duration::from_secs(30));
    sleep(Duration::from_secs(7)).await;
    replies.answer(done("drained"));
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("drained")));
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_promised_stands_when_it_hangs() {
    let Arrived { stage: _stage, task, replies, start, .. } = a_hook().await;
    replies.promise(done("leaving"), Duration::from_secs(30));
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("leaving")));
    assert_eq!(start.elapsed(), Duration::from_secs(35), "with a moment more for an agent that is merely slow");
}

#[tokio::test(start_paused = true)]
async fn a_later_promise_takes_the_place_of_an_earlier_one() {
    let Arrived { stage, task, replies, start, .. } = a_hook().await;
    replies.promise(done("leaving"), Duration::from_secs(30));
    sleep(Duration::from_secs(10)).await;
    replies.promise(done("leaving"), Duration::from_secs(60));
    sleep(Duration::from_secs(1)).await;
    stage.server.abort();
    drop(replies);
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("leaving")));
    assert_eq!(start.elapsed(), Duration::from_secs(70));
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_took_back_no_longer_stands_when_it_goes_away() {
    let Arrived { stage, task, replies, start, .. } = a_hook().await;
    replies.promise(done("leaving"), Duration::from_secs(30));
    replies.retract();
    sleep(Duration::from_secs(20)).await;
    stage.server.abort();
    drop(replies);
    assert_eq!(task.await.unwrap().unwrap_err().exit_status(), 69, "the application must not stop: it has requests");
    assert_eq!(start.elapsed(), Duration::from_secs(35), "waited for another agent as always");
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_took_back_ends_with_its_answer() {
    let Arrived { stage: _stage, task, replies, start, .. } = a_hook().await;
    replies.promise(done("leaving"), Duration::from_secs(30));
    replies.retract();
    sleep(Duration::from_secs(40)).await;
    replies.answer(done("out of traffic"));
    assert_eq!(task.await.unwrap().unwrap(), client::End::Answer(done("out of traffic")));
    assert_eq!(start.elapsed(), Duration::from_secs(40), "later than was promised");
}

/// The notice is withdrawn while no agent is there: the next one knows nothing of the promise.
#[tokio::test(start_paused = true)]
async fn an_agent_that_promises_nothing_takes_back_what_the_one_before_promised() {
    let (mut first, mut second) = (stage(), stage());
    let address = RefCell::new(first.dialer.clone());
    let connect = || {
        let dialer = address.borrow().clone();
        async move { dialer.connect(ROOT).await }
    };
    let mut progress = |_: &str| {};
    let call = call(connect, before_install(), Waiting::default(), pending(), &mut progress);
    let agents = async {
        let (_, _, replies) = first.arrival().await;
        replies.promise(done("leaving"), Duration::from_secs(30));
        sleep(Duration::from_secs(1)).await;
        address.replace(second.dialer.clone());
        first.server.abort();
        drop(replies);
        let (_, _, replies) = second.arrival().await;
        replies.progress("leaving traffic: 1 connection left");
        sleep(Duration::from_secs(1)).await;
        second.server.abort();
        drop(replies);
    };
    let (end, ()) = tokio::join!(call, agents);
    assert_eq!(end.unwrap_err().exit_status(), 69);
}
