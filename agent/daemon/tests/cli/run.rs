//! `pitcrew run` on this host, with a metadata service on loopback and without AWS.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stand_in::Place;
use crate::{outcome, pitcrew};

const IDENTITY: &str = r#"{"instanceId":"i-0abc","region":"eu-central-1","accountId":"123456789012","privateIp":"10.0.0.7","availabilityZone":"eu-central-1a","architecture":"x86_64","imageId":"ami-1","instanceType":"t3.nano","version":"2017-09-30","pendingTime":"2026-11-23T05:00:00Z"}"#;

/// IMDSv2 as far as this needs it: a token, the identity, and nothing else.
pub(crate) fn metadata_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    for header in lines.map_while(Result::ok) {
        if header.is_empty() {
            break;
        }
    }
    let (status, body) = match request.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["PUT", "/latest/api/token"] => ("200 OK", "token"),
        ["GET", "/latest/dynamic/instance-identity/document"] => ("200 OK", IDENTITY),
        ["GET", "/latest/meta-data/services/partition"] => ("200 OK", "aws"),
        ["GET", "/latest/meta-data/services/domain"] => ("200 OK", "amazonaws.com"),
        _ => ("404 Not Found", ""),
    };
    let head = "Content-Type: text/plain\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nConnection: close";
    let mut stream = stream;
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
}

/// What systemd hears.
pub(crate) struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    pub(crate) fn at(place: &Place) -> (Self, String) {
        let path = place.socket().with_file_name("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (Self { socket }, path.display().to_string())
    }

    /// Waits for a message with `word` in it, or for the end of the process that would say it.
    pub(crate) fn hears_or_ends(&self, word: &str, child: &mut Child) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = self.socket.recv(&mut buffer)
                && String::from_utf8_lossy(&buffer[..length]).contains(word)
            {
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
        }
    }

    /// Waits for a message with `word` in it, and gives it whole.
    pub(crate) fn hears(&self, word: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("never heard {word}: {error}"));
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.contains(word) {
                return message;
            }
        }
    }
}

/// The agent with a state directory of this name.
pub(crate) fn agent(place: &Place, metadata: &str, state: &str) -> Command {
    let (config, state) = (place.socket().with_file_name("config.d"), place.socket().with_file_name(state));
    std::fs::create_dir_all(&config).unwrap();
    std::fs::create_dir_all(&state).unwrap();
    // There is no balancer to leave; without this the agent would look for one until its time is over.
    std::fs::write(config.join("stay.toml"), "leave.on_stop = \"stay\"").unwrap();
    let mut command = pitcrew(&["run", &place.option()]);
    command
        .arg(format!("--config-dir={}", config.display()))
        .arg(format!("--state-dir={}", state.display()))
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)
        // Nobody listens there: what is asked of AWS fails at once, and never leaves this machine.
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    command
}

/// Kills what a failed test leaves behind.
pub(crate) struct Started(pub(crate) Child);

impl Started {
    /// What the process holds for itself. Its text is left out: how much of that is resident says which code has run, and in
    /// a debug build it alone is more than 32 MB.
    pub(crate) fn held_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn systemd_hears_ready_and_a_heartbeat_and_the_end() {
    let place = Place::new();
    let (manager, notify) = Manager::at(&place);
    let metadata = metadata_service();
    let mut command = agent(&place, &metadata, "state");
    command.env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", "200000");
    let mut started = Started(command.stderr(Stdio::null()).spawn().unwrap());

    assert!(manager.hears("READY=1").contains("STATUS="));
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");

    let (status, stdout, stderr) = outcome(&mut pitcrew(&["status", &place.option()]));
    assert_eq!(status, 0, "{stderr}");
    assert!(!stdout.is_empty());

    for (state, said) in [("state", "another agent is running"), ("other", "another agent listens on")] {
        let (status, _, stderr) = outcome(&mut agent(&place, &metadata, state));
        assert_eq!(status, 1);
        assert!(stderr.contains(said), "{stderr}");
    }

    kill(Pid::from_raw(started.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    manager.hears("STOPPING=1");
    assert_eq!(started.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_killed_agent_is_replaced_by_the_next() {
    let place = Place::new();
    let metadata = metadata_service();
    for _ in 0..2 {
        let notify = place.socket().with_file_name("notify");
        let _ = std::fs::remove_file(notify);
        let (manager, notify) = Manager::at(&place);
        let mut command = agent(&place, &metadata, "state");
        let started = Started(command.env("NOTIFY_SOCKET", notify).stderr(Stdio::null()).spawn().unwrap());
        manager.hears("READY=1");
        // SIGKILL: the socket stays behind.
        drop(started);
        assert!(place.socket().exists());
    }
}

#[test]
fn an_agent_that_does_not_know_who_it_is_yet_stops_at_once() {
    let place = Place::new();
    let (manager, notify) = Manager::at(&place);
    let mut command = agent(&place, "http://127.0.0.1:9", "state");
    let mut started = Started(command.env("NOTIFY_SOCKET", notify).stderr(Stdio::null()).spawn().unwrap());
    manager.hears("waiting for the instance metadata service");
    kill(Pid::from_raw(started.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    manager.hears("STOPPING=1");
    assert_eq!(started.0.wait().unwrap().code(), Some(0));
}
