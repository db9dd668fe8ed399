//! The sample application as a real process: it starts slowly, serves its file, dies at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this program is a test")]

use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pitcrew_rehearsal::app;
use pitcrew_rehearsal::net::{Net, RealNet, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// The program that this test starts as a child: only the application.
#[derive(Parser)]
enum Program {
    SampleApp(app::Args),
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("sample-app") {
        let Program::SampleApp(args) = Program::parse();
        return match app::main(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}: {}", std::error::Error::source(&error).unwrap());
                ExitCode::FAILURE
            }
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        it_listens_after_its_start_time_and_serves_its_file().await;
        sigterm_ends_it_at_once_with_a_request_in_flight().await;
        what_is_wrong_with_its_file_is_said();
    });
    println!("sample application: 3 situations, all as expected");
    ExitCode::SUCCESS
}

async fn it_listens_after_its_start_time_and_serves_its_file() {
    let file = release("v7 unhealthy\n");
    let began = Instant::now();
    let _application = Application::start(1, file.path(), "0.3");
    let mut connection = connect(1).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());

    let answer = ask(&mut connection, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-version: v7\r\n") && answer.ends_with("\r\n\r\nv7\n"), "{answer}");
    let health = ask(&mut connection, "/health").await;
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    let other = ask(&mut connection, "/other").await;
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
}

async fn sigterm_ends_it_at_once_with_a_request_in_flight() {
    let file = release("v8\n");
    let mut application = Application::start(2, file.path(), "0");
    let mut connection = connect(2).await;
    let health = ask(&mut connection, "/health").await;
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");

    connection.write_all(b"GET /?ms=60000 HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    kill(Pid::from_raw(application.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let rest = timeout(Duration::from_secs(10), connection.read_u8()).await.unwrap();
    assert!(rest.is_err(), "the request in flight was answered");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(application.0.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
}

fn what_is_wrong_with_its_file_is_said() {
    let file = release("v9 sick\n");
    let complaint = complaint(file.path());
    assert!(complaint.contains(&format!("`{}` holds no release", file.path().display())), "{complaint}");
    assert!(complaint.contains("write a version such as `v2`"), "{complaint}");
    let absent = file.path().with_extension("absent");
    assert!(self::complaint(&absent).contains("failed to read the version file"));
}

fn complaint(file: &Path) -> String {
    let output = command(3, file, "0").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// A running application, killed when dropped.
struct Application(Child);

impl Application {
    fn start(number: u8, file: &Path, seconds: &str) -> Self {
        Self(command(number, file, seconds).spawn().unwrap())
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn command(number: u8, file: &Path, seconds: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["sample-app", "--listen", &address(number).to_string()]);
    command.arg("--version-file").arg(file).args(["--start-seconds", seconds]);
    command
}

fn release(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// A loopback address that hardly another process uses.
fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 100 + (process::id() % 100) as u8, 100, number], 8080))
}

async fn connect(number: u8) -> Stream {
    let from: IpAddr = address(254).ip();
    let trying = async {
        loop {
            match RealNet.connect(from, address(number)).await {
                Ok(connection) => return connection,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(Duration::from_secs(30), trying).await.unwrap_or_else(|_| panic!("nobody listens"))
}

/// One request; returns head and body, which these answers hold in one piece.
async fn ask(connection: &mut Stream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = connection.read(&mut answer).await.unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}
