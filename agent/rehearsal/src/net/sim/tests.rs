//! The simulated network behaves as sockets do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 77, 0, number], 8080))
}

/// A connection from one host to another: its two ends, and the listener.
async fn connected(net: &SimNet) -> (Stream, Stream, Box<dyn Listener>) {
    let mut listener = net.listen(address(1)).await.unwrap();
    let near = net.connect(address(2).ip(), address(1)).await.unwrap();
    let (far, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), address(2).ip());
    (near, far, listener)
}

#[tokio::test(start_paused = true)]
async fn what_is_written_arrives_in_order_and_then_the_end() {
    let (mut near, mut far, _) = connected(&SimNet::new(1)).await;
    for part in ["one ", "two ", "three"] {
        near.write_all(part.as_bytes()).await.unwrap();
    }
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "one two three");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_dropped_resets_after_what_it_had_written() {
    let (mut near, mut far, _) = connected(&SimNet::new(2)).await;
    far.write_all(b"last words").await.unwrap();
    drop(far);
    let mut heard = [0; 10];
    near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"last words");
    assert_eq!(near.read(&mut heard).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(near.write(b"?").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_slow_reader() {
    let (mut near, mut far, _) = connected(&SimNet::new(3)).await;
    let sent = vec![7; 1024 * 1024];
    let mut heard = Vec::new();
    let (wrote, read) = tokio::join!(
        async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            tokio::time::Instant::now()
        },
        async {
            sleep(Duration::from_secs(1)).await;
            let began = tokio::time::Instant::now();
            far.read_to_end(&mut heard).await.unwrap();
            began
        }
    );
    assert_eq!(heard.len(), sent.len());
    assert!(wrote >= read, "all was written before anything was read");
}

#[tokio::test(start_paused = true)]
async fn nobody_listening_is_a_refusal() {
    let net = SimNet::new(4);
    let refused =
        |net: SimNet| async move { net.connect(address(2).ip(), address(1)).await.err().map(|error| error.kind()) };
    assert_eq!(refused(net.clone()).await, Some(io::ErrorKind::ConnectionRefused));
    let listener = net.listen(address(1)).await.unwrap();
    assert_eq!(refused(net.clone()).await, None);
    drop(listener);
    assert_eq!(refused(net.clone()).await, Some(io::ErrorKind::ConnectionRefused));
}

#[tokio::test(start_paused = true)]
async fn an_address_has_one_listener_and_port_zero_takes_a_free_port() {
    let net = SimNet::new(5);
    let listener = net.listen(address(1)).await.unwrap();
    let taken = net.listen(address(1)).await.err().map(|error| error.kind());
    assert_eq!(taken, Some(io::ErrorKind::AddrInUse));
    drop(listener);
    net.listen(address(1)).await.unwrap();

    let any = SocketAddr::new(address(1).ip(), 0);
    let (one, two) = (net.listen(any).await.unwrap(), net.listen(any).await.unwrap());
    assert!(one.address().port() != 0 && one.address() != two.address());
}

#[tokio::test(start_paused = true)]
async fn connections_of_other_hosts_are_counted_until_either_end_closes() {
    let net = SimNet::new(6);
    let (near, far, mut listener) = connected(&net).await;
    let own = net.connect(address(1).ip(), address(1)).await.unwrap();
    assert_eq!(net.established(address(1)), 1);
    let waiting = net.connect(address(3).ip(), address(1)).await.unwrap();
    assert_eq!(net.established(address(1)), 2, "one that waits to be accepted is open");
    drop(near);
    assert_eq!(net.established(address(1)), 1);
    let (_own, _) = listener.accept().await.unwrap();
    let (mut accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(net.established(peer), 1, "seen from the other side");
    accepted.shutdown().await.unwrap();
    assert_eq!(net.established(address(1)), 0);
    drop((far, own, waiting));
    assert_eq!(net.established(address(1)), 0);
}

#[tokio::test(start_paused = true)]
async fn latency_is_drawn_from_the_seed() {
    let arrival = async |seed| {
        let began = tokio::time::Instant::now();
        let (mut near, mut far, _) = connected(&SimNet::new(seed)).await;
        near.write_all(b"x").await.unwrap();
        far.read_u8().await.unwrap();
        began.elapsed()
    };
    let first = arrival(7).await;
    assert!(first > Duration::ZERO && first <= Duration::from_millis(4), "{first:?}");
    assert_eq!(arrival(7).await, first);
}
