//! AWS as the payload meets it: metadata over plain HTTP, S3 and EC2 over TLS, and a fault in front of them all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pitcrew_tests::aws::{INSTANCE, Role, authority, metadata, signature};
use rustls::{ServerConnection, StreamOwned};

/// A request that somebody made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// A header's value, empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether it goes to EC2.
    pub(crate) fn is_to_ec2(&self) -> bool {
        self.method == "POST"
    }

    /// The parameters of a form.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// How a call is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// In full.
    Full(u16, Vec<u8>),
    /// With the promise of the whole body and half of it.
    Half(Vec<u8>),
    /// Not at all: the connection is closed.
    Nothing,
    /// Not at all: the connection stays open for as long as the caller likes.
    Silence,
}

impl Reply {
    /// An error of the EC2 API.
    pub(crate) fn ec2_error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
             <Message>why</Message></Error></Errors><RequestID>r</RequestID></Response>"
        );
        Self::Full(status, body.into_bytes())
    }
}

/// Answers a call in the world's place, if it wants to.
pub(crate) type Fault = Box<dyn FnMut(&Call) -> Option<Reply> + Send>;

/// What the world holds and has heard.
pub(crate) struct State {
    pub(crate) instance: String,
    pub(crate) role: Role,
    /// Objects by `/bucket/key`.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) fault: Fault,
    pub(crate) heard: Vec<Call>,
    /// Forms of the calls to EC2 that were accepted.
    pub(crate) tagged: Vec<BTreeMap<String, String>>,
    /// Seconds by which AWS's clock is ahead of the machine's.
    pub(crate) ahead_s: u64,
}

/// The running world.
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    pub(crate) metadata: SocketAddr,
    pub(crate) services: SocketAddr,
    /// Certificate of the authority to trust, PEM.
    pub(crate) authority: String,
}

impl World {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            instance: INSTANCE.to_owned(),
            role: Role::default(),
            objects: BTreeMap::new(),
            fault: Box::new(|_| None),
            heard: Vec::new(),
            tagged: Vec::new(),
            ahead_s: 0,
        }));
        let (authority, config) = authority::serving(&["localhost", "127.0.0.1"]);
        let metadata = listen(&state, serve);
        let services = listen(&state, move |stream, state| {
            let Ok(connection) = ServerConnection::new(Arc::clone(&config)) else { return };
            let mut stream = StreamOwned::new(connection, stream);
            serve(&mut stream, state);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        });
        Self { state, metadata, services, authority }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an answer in front of the world's own.
    pub(crate) fn fault(&self, fault: impl FnMut(&Call) -> Option<Reply> + Send + 'static) {
        self.state().fault = Box::new(fault);
    }

    /// Calls to EC2, accepted or not.
    pub(crate) fn calls_to_ec2(&self) -> Vec<Call> {
        self.state().heard.iter().filter(|call| call.is_to_ec2()).cloned().collect()
    }

    /// The tags that the instance has now.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        let state = self.state();
        let tags = state.tagged.iter().flat_map(|form| {
            (1..).map_while(|n| {
                let part = |part: &str| form.get(&format!("Tag.{n}.{part}")).cloned();
                Some((part("Key")?, part("Value").unwrap_or_default()))
            })
        });
        tags.collect()
    }

    /// How often something below `path` was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state().heard.iter().filter(|call| call.path.contains(path)).count()
    }
}

fn listen(state: &Arc<Mutex<State>>, serve: impl Fn(TcpStream, &Mutex<State>) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (state, serve) = (Arc::clone(state), Arc::new(serve));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (state, serve) = (Arc::clone(&state), Arc::clone(&serve));
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                serve(stream, &state);
            });
        }
    });
    address
}

/// Answers one request, then closes, as the metadata service does.
fn serve(mut stream: impl Read + Write, state: &Mutex<State>) {
    let Some(call) = read(&mut stream) else { return };
    let (reply, date) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.heard.push(call.clone());
        let now = now() + state.ahead_s;
        let reply = (state.fault)(&call).unwrap_or_else(|| answer(&mut state, &call, now));
        (reply, httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now)))
    };
    let (status, body, sent) = match reply {
        Reply::Full(status, body) => (status, body.clone(), body),
        Reply::Half(body) => (200, body.clone(), body[..body.len() / 2].to_vec()),
        Reply::Nothing => return,
        Reply::Silence => {
            // Each read ends after its own time limit, which is shorter than a caller's patience may be.
            let _ = (0..4).find(|_| matches!(stream.read(&mut [0; 64]), Ok(0)));
            return;
        }
    };
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nServer: EC2ws\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), &sent].concat());
    let _ = stream.flush();
}

fn read(stream: &mut impl Read) -> Option<Call> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Call { method, path, headers, body })
}

fn answer(state: &mut State, call: &Call, now: u64) -> Reply {
    match (call.method.as_str(), call.path.as_str()) {
        ("PUT", "/latest/api/token") if call.header("x-aws-ec2-metadata-token-ttl-seconds").parse::<u32>().is_ok() => {
            Reply::Full(200, b"a-session-token".to_vec())
        }
        ("POST", "/") => create_tags(state, call, now),
        ("GET", path) => match path.strip_prefix("/latest/") {
            Some(_) if call.header("x-aws-ec2-metadata-token") != "a-session-token" => Reply::Full(401, Vec::new()),
            Some(key) => metadata::text(key, &state.instance, &state.role)
                .map_or(Reply::Full(404, b"<xhtml/>".to_vec()), |text| Reply::Full(200, text.into_bytes())),
            None => {
                state.objects.get(path).map_or(Reply::Full(404, Vec::new()), |object| Reply::Full(200, object.clone()))
            }
        },
        (_, _) => Reply::Full(405, Vec::new()),
    }
}

fn create_tags(state: &mut State, call: &Call, now: u64) -> Reply {
    let signed = signature::Call {
        method: &call.method,
        host: call.header("host"),
        path: &call.path,
        content_type: call.header("content-type"),
        date: call.header("x-amz-date"),
        token: call.header("x-amz-security-token"),
        authorization: call.header("authorization"),
        body: &call.body,
    };
    if signed.token != state.role.token {
        return Reply::ec2_error(400, "ExpiredToken");
    }
    if signed.flaw(&state.role).is_some() {
        return Reply::ec2_error(401, "AuthFailure");
    }
    if signed.signed_at().is_none_or(|signed| signed.abs_diff(now) > 300) {
        return Reply::ec2_error(400, "RequestExpired");
    }
    state.tagged.push(call.form());
    Reply::Full(200, b"<CreateTagsResponse><return>true</return></CreateTagsResponse>".to_vec())
}

#[expect(clippy::disallowed_methods, reason = "the stand-in's clock is the machine's, moved by `ahead_s`")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
