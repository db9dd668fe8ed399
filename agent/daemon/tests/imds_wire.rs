//! IMDS over real sockets: the manners of servers that no scripted answer has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use pitcrew::doors::{HostTransport, TransportError};
use pitcrew::intake::imds::{Endpoint, Imds, Trouble};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TOKEN: &[u8] =
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nConnection: close\r\nServer: EC2ws\r\n\r\nAQAEAtoken==";

/// What the stand-in does with the question, once it has given a token.
#[derive(Clone, Copy)]
enum Manner {
    /// Writes this and closes.
    Say(&'static [u8]),
    /// Writes nothing and keeps the connection.
    Hang,
    /// Closes with a reset.
    Reset,
    /// Writes a body that never ends.
    Flood,
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn serve(listener: TcpListener, manner: Manner) {
    let mut kept = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        if head.starts_with("PUT /latest/api/token ") {
            stream.write_all(TOKEN).await.unwrap();
            continue;
        }
        assert!(head.starts_with("GET /latest/meta-data/x "), "{head}");
        assert!(head.contains("x-aws-ec2-metadata-token: AQAEAtoken==\r\n"), "{head}");
        match manner {
            Manner::Say(answer) => stream.write_all(answer).await.unwrap(),
            Manner::Hang => kept.push(stream),
            Manner::Reset => stream.set_zero_linger().unwrap(),
            Manner::Flood => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let block = vec![b'x'; 64 * 1024];
                while stream.write_all(&block).await.is_ok() {}
            }
        }
    }
}

async fn ask(manner: Manner, patience: Duration) -> Result<Option<String>, Trouble> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(serve(listener, manner));
    let endpoint = Endpoint::at(&at.parse().unwrap()).unwrap();
    let imds = Imds::new(Arc::new(HostTransport::default()), endpoint, patience);
    let answer = imds.get("meta-data/x").await;
    if serving.is_finished() {
        serving.await.unwrap();
    } else {
        serving.abort();
    }
    answer.map(|bytes| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_in_http_1_0_that_ends_with_its_connection_is_whole() {
    let answer = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\neu-central-1a";
    let said = ask(Manner::Say(answer), PATIENT).await.unwrap();
    assert_eq!(said.as_deref(), Some("eu-central-1a"));
}

#[tokio::test]
async fn a_404_with_a_page_in_it_is_absence() {
    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>";
    assert_eq!(ask(Manner::Say(answer), PATIENT).await.unwrap(), None);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let answer =
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let trouble = ask(Manner::Say(answer), PATIENT).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Status(status) if status == 302), "{trouble:?}");
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"action\":\"term";
    let trouble = ask(Manner::Say(answer), PATIENT).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unanswered(TransportError::Broken { .. })), "{trouble:?}");
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let trouble = ask(Manner::Say(b"SSH-2.0-OpenSSH_9.2\r\n"), PATIENT).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unanswered(TransportError::Broken { .. })), "{trouble:?}");
}

#[tokio::test]
async fn a_reset_is_no_answer() {
    let trouble = ask(Manner::Reset, PATIENT).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unanswered(TransportError::Broken { .. })), "{trouble:?}");
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let trouble = ask(Manner::Flood, PATIENT).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unanswered(TransportError::TooLong { .. })), "{trouble:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let trouble = ask(Manner::Hang, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unanswered(TransportError::TimedOut { .. })), "{trouble:?}");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let endpoint = Endpoint::at(&at.parse().unwrap()).unwrap();
    let imds = Imds::new(Arc::new(HostTransport::default()), endpoint, PATIENT);
    let trouble = imds.get("meta-data/x").await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unanswered(TransportError::NotConnected { .. })), "{trouble:?}");
}
