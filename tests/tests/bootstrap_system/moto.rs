//! The tagging call as somebody else's stand-in for AWS judges it: moto checks the signature, the session token and
//! the role's policy by its own code.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use pitcrew_tests::aws::authority;

use super::installer;
use super::world::{Role, World};
use pitcrew_tests::command::{output, text};
use pitcrew_tests::needs::{self, Program};

const HELPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bootstrap_system/moto.py");

#[tokio::test(flavor = "multi_thread")]
async fn moto_accepts_the_signed_tags_of_a_role_that_may_set_them() {
    let Some(moto) = Moto::start("ec2:CreateTags").await else { return };
    let ended = moto.tag().await;
    assert!(ended.status.success(), "{}", text(&ended));
    let expected = [("pitcrew:ready", "true"), ("Team", "blue&green/준비됨")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(moto.tags(), BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_refuses_a_role_that_may_not_and_the_journal_says_so() {
    let Some(moto) = Moto::start("ec2:DescribeTags").await else { return };
    let ended = moto.tag().await;
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended));
    let journal = fs::read_to_string(moto.folder.path().join("root/var/lib/pitcrew-bootstrap/journal")).unwrap();
    let tags = journal.lines().find(|line| line.starts_with("tags ")).unwrap_or_default();
    assert!(tags.starts_with("tags failed ") && tags.ends_with(" AccessDenied"), "{journal}");
    assert_eq!(moto.tags(), BTreeMap::new());
}

/// moto, and an instance in it whose role may do one thing.
struct Moto {
    server: Child,
    endpoint: String,
    folder: tempfile::TempDir,
    python: PathBuf,
    instance: String,
    world: World,
    metadata: String,
}

impl Moto {
    /// Starts moto on a free port with TLS; `None` where it is missing and may be.
    async fn start(allowed: &str) -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (authority, certificate, key) = authority::issue(&["127.0.0.1"]);
        fs::write(file("authority.pem"), authority).unwrap();
        fs::write(file("certificate.pem"), certificate.pem()).unwrap();
        fs::write(file("key.pem"), key.serialize_pem()).unwrap();
        let port = free_port();
        let server = Command::new(python.with_file_name("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string(), "--ssl-cert"])
            .arg(file("certificate.pem"))
            .arg("--ssl-key")
            .arg(file("key.pem"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(file("moto.log")).unwrap())
            .spawn()
            .unwrap();
        let (metadata, services) = (listener(), listener());
        let address = metadata.local_addr().unwrap().to_string();
        let mut moto = Self {
            server,
            endpoint: format!("https://127.0.0.1:{port}"),
            folder,
            python,
            instance: String::new(),
            world: World::start(metadata, services),
            metadata: address,
        };
        moto.until_it_listens(port).await;
        let prepared: BTreeMap<String, String> = serde_json::from_str(&moto.ask("prepare", allowed)).unwrap();
        moto.instance = prepared["instance"].clone();
        moto.world.with(|state| {
            state.instance = moto.instance.clone();
            state.role = Role {
                key_id: prepared["AccessKeyId"].clone(),
                secret: prepared["SecretAccessKey"].clone(),
                token: prepared["SessionToken"].clone(),
            };
        });
        Some(moto)
    }

    async fn until_it_listens(&mut self, port: u16) {
        let listening = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), listening).await;
        let log = fs::read_to_string(self.folder.path().join("moto.log")).unwrap_or_default();
        assert!(waited.is_ok(), "moto does not listen: {log}");
    }

    fn ask(&self, command: &str, argument: &str) -> String {
        let authority = self.folder.path().join("authority.pem");
        let arguments = [HELPER, &self.endpoint, authority.to_str().unwrap(), command, argument];
        let answer = output(self.python.to_str().unwrap(), &arguments);
        let log = fs::read_to_string(self.folder.path().join("moto.log")).unwrap_or_default();
        assert!(answer.status.success(), "{}\n{log}", text(&answer));
        String::from_utf8(answer.stdout).unwrap()
    }

    /// The instance's tags, as moto holds them.
    fn tags(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.ask("tags", &self.instance)).unwrap()
    }

    /// Runs the installer with nothing to do but to tag. No value has a space: moto does not check the bytes of the
    /// form but writes the form anew, a space as a plus sign.
    async fn tag(&self) -> Output {
        let root = self.folder.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/os-release"), "ID=debian\nVERSION_ID=\"12\"\n").unwrap();
        let settings = format!(
            r#"
            [run]
            root = "{root}"
            pace = "50ms"
            [tags]
            "pitcrew:ready" = "true"
            "Team" = "blue&green/준비됨"
            [endpoints]
            imds = "{metadata}"
            ec2 = "{endpoint}"
            ca = "{authority}"
            "#,
            root = root.display(),
            metadata = self.metadata,
            endpoint = self.endpoint,
            authority = self.folder.path().join("authority.pem").display(),
        );
        let (program, request) = (self.folder.path().join("installer"), self.folder.path().join("request"));
        fs::write(&request, installer::request(&settings).await).unwrap();
        fs::write(&program, installer::installer().bytes).unwrap();
        output("chmod", &["755", program.to_str().unwrap()]);
        output(program.to_str().unwrap(), &[request.to_str().unwrap()])
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Python with moto in a folder of the build's; installed there at the first call.
fn python() -> Option<PathBuf> {
    const PROGRAMS: &[Program] = &[Program { name: "python3", package: "python3-venv" }];
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    if !needs::are_there("tags judged by moto", &[PROGRAMS]) {
        return None;
    }
    let _alone = ONE_AT_A_TIME.lock();
    let folder = installer::target().join("moto");
    let python = folder.join("bin/python");
    if !folder.join("bin/moto_server").exists() {
        let made = output("python3", &["-m", "venv", folder.to_str().unwrap()]);
        let install = ["-m", "pip", "install", "--quiet", "moto[server,ec2,iam]"];
        let installed = if made.status.success() { output(python.to_str().unwrap(), &install) } else { made };
        if !installed.status.success() {
            needs::missing("tags judged by moto", &format!("PyPI's moto: {}", text(&installed)));
            return None;
        }
    }
    Some(Path::new(&folder).join("bin/python"))
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
