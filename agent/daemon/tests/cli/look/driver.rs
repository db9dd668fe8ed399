//! Chromium, driven over WebDriver: JSON over HTTP to `chromedriver`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use pitcrew::doors::{HostTransport, Transport as _};
use serde_json::{Value, json};

/// A browser, ended with its driver.
pub(super) struct Browser {
    driver: Child,
    base: String,
    transport: HostTransport,
}

/// Beside tests that hold thousands of connections a driver may end before it listens; another one is started then.
const TRIES: usize = 10;

/// Starts a driver and gives its port; the error is what it said before it ended.
fn start() -> Result<(Child, String), String> {
    let mut driver =
        Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = String::new();
    for line in lines.by_ref() {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            let port = port.trim_end_matches('.').to_owned();
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((driver, port));
        }
        said = format!("{said}{line}\n");
    }
    Err(format!("{said}chromedriver ended: {}", driver.wait().unwrap()))
}

/// Starts drivers until one listens.
async fn listening() -> (Child, String) {
    for _ in 1..TRIES {
        match start() {
            Ok(driver) => return driver,
            Err(said) => eprintln!("{said}; starting another"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    start().unwrap()
}

impl Browser {
    /// Opens one whose window has this size; `scripts`: whether pages may run any.
    pub(super) async fn open((width, height): (u32, u32), scripts: bool) -> Self {
        let (driver, port) = listening().await;
        let profile = format!(
            "--user-data-dir={}",
            std::env::temp_dir().join(format!("pitcrew-chromium-{}-{width}-{scripts}", driver.id())).display()
        );
        let window = format!("--window-size={width},{height}");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &profile,
            &window,
        ];
        let scripts = if scripts { 1 } else { 2 };
        let preferences = json!({ "profile.managed_default_content_settings.javascript": scripts });
        let options = json!({ "args": arguments, "prefs": preferences });
        let mut browser =
            Self { driver, base: format!("http://127.0.0.1:{port}/session"), transport: HostTransport::default() };
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = browser.call("POST", "", &wanted).await;
        browser.base = format!("{}/{}", browser.base, session["sessionId"].as_str().unwrap());
        browser
    }

    pub(super) async fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url })).await;
    }

    /// The value of a script's `return`.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    pub(super) async fn source(&self) -> String {
        self.call("GET", "/source", &Value::Null).await.as_str().unwrap().to_owned()
    }

    /// The window as PNG, in Base64.
    pub(super) async fn screenshot(&self) -> String {
        self.call("GET", "/screenshot", &Value::Null).await.as_str().unwrap().to_owned()
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let uri = format!("{}{path}", self.base);
        let request = Request::builder().method(method).uri(&uri).header("content-type", "application/json");
        let answer = self.transport.send(request.body(body).unwrap(), Duration::from_secs(120)).await.unwrap();
        let document: Value = serde_json::from_slice(answer.body()).unwrap();
        assert!(answer.status().is_success(), "{method} {uri}: {document:#}");
        document["value"].clone()
    }

    pub(super) async fn close(self) {
        self.call("DELETE", "", &Value::Null).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
