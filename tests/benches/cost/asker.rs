//! A program that asks the metadata service as often as an idle agent does, and does nothing else: what asking alone costs
//! on this machine, whoever asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The argument that makes this program an asker.
const WORD: &str = "asker";

/// A running asker; killed when dropped.
pub(crate) struct Asker(Child);

impl Asker {
    /// Asks the service at `metadata` so often.
    pub(crate) fn start(metadata: &str, per_minute: f64) -> Self {
        let address = metadata.trim_start_matches("http://").trim_end_matches('/');
        let period = Duration::from_secs_f64(60.0 / per_minute).as_micros().to_string();
        let own = std::env::current_exe().unwrap();
        Self(Command::new(own).args([WORD, address, &period]).stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn is_wanted(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|first| first == WORD)
}

/// What the asker itself does: a connection, a request and its answer at a time, by calls that block.
pub(crate) fn main(arguments: &[String]) {
    let (address, period) = (&arguments[1], Duration::from_micros(arguments[2].parse().unwrap()));
    let renew = "PUT /latest/api/token HTTP/1.1\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n";
    let answer = ask(address, renew);
    let token = answer.rsplit("\r\n\r\n").next().unwrap().trim();
    let question =
        format!("GET /latest/meta-data/spot/instance-action HTTP/1.1\r\nx-aws-ec2-metadata-token: {token}\r\n");
    loop {
        let answer = ask(address, &question);
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        sleep(period);
    }
}

fn ask(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    let rest = format!("host: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(format!("{request}{rest}").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}
