use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers one request with `answer` and hangs up.
async fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await.unwrap();
        connection.write_all(answer).await.unwrap();
    });
    url
}

async fn fetch(answer: &'static [u8]) -> (Result<Vec<u8>, FetchError>, Vec<Progress>) {
    let mut heard = Vec::new();
    let url = server(answer).await;
    let file = Https::new().unwrap().fetch(&url, &mut |progress| heard.push(progress)).await;
    (file, heard)
}

#[tokio::test]
async fn file_arrives_whole_and_its_progress_is_told() {
    let (file, heard) = fetch(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(file.unwrap(), b"hello");
    assert_eq!(heard.last(), Some(&Progress { received: 5, total: Some(5) }));
}

#[tokio::test]
async fn error_page_is_no_file() {
    let (file, heard) = fetch(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nhello").await;
    assert!(matches!(file.unwrap_err(), FetchError::Status { status: 403, .. }));
    assert_eq!(heard, []);
}

#[tokio::test]
async fn half_a_file_is_an_error() {
    let (file, _) = fetch(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    assert!(matches!(file.unwrap_err(), FetchError::Broken { .. }));
}

#[tokio::test]
async fn file_larger_than_any_package_is_not_even_begun() {
    let (file, heard) = fetch(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\nhello").await;
    assert!(matches!(file.unwrap_err(), FetchError::TooLarge { .. }));
    assert_eq!(heard, []);
}
