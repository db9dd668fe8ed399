//! A machine of the test's own: a root directory, a `PATH` of doubles, and the payload run on it.
//!
//! A package here is a shell script that does what installing it would do; the doubles of the package managers run
//! it, that of systemctl keeps units as files. Each double notes its call, and can kill the payload at a given one.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pitcrew_plan::journal::{Entry, Failure, Outcome, latest_run};
use pitcrew_tests::aws::{INSTANCE, REGION};
use ring::digest;

use super::payload;
use super::world::World;

pub(crate) const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\n";
/// What can speak TLS.
pub(crate) const TOOLS: [&str; 3] = ["curl", "wget", "python3"];
const STATE: &str = "var/lib/pitcrew-bootstrap";

/// What every double begins with.
const NOTE: &str = r#"
echo "$(basename "$0") $*" >> $ROOT/calls
if [ "$(wc -l < $ROOT/calls)" = "$(cat $ROOT/kill-at 2>/dev/null)" ]; then
    # The payload runs lines of a shell under a timeout, which stand between it and this program.
    payload=$PPID
    while read -r _ name _ parent _ < /proc/$payload/stat; do
        case $name in
        "(sh)" | "(timeout)" | "(env)") payload=$parent ;;
        *) break ;;
        esac
    done
    kill -9 $payload
fi
for last; do :; done
"#;

const MANAGER: &str = r#"
name=$(basename "$0")
if [ -e $ROOT/broken/$name ]; then echo "E: $name: broken" >&2; exit 100; fi
case "$*" in
*update*) exit 0 ;;
esac
locked=$(cat $ROOT/locked 2>/dev/null || echo 0)
if [ "$locked" -gt 0 ]; then
    echo $((locked - 1)) > $ROOT/locked
    echo "E: Could not get lock /var/lib/dpkg/lock-frontend" >&2
    exit 100
fi
. "$last"
"#;

const SYSTEMCTL: &str = r#"
unit=$2.service
case $1 in
cat) [ -e $ROOT/units/$unit ] ;;
is-active) [ -e $ROOT/active/$unit ] ;;
enable) : ;;
restart)
    if [ -e $ROOT/broken/$unit ]; then echo "Job for $unit failed" >&2; exit 1; fi
    [ -e $ROOT/units/$unit ] || exit 5
    touch $ROOT/active/$unit
    case $2 in
    *ssm*)
        mkdir -p $ROOT/var/lib/amazon/ssm/runtimeconfig
        [ -e $ROOT/deaf ] || printf '{"SchemaVersion":"1.1","InstanceId":"%s","CredentialsRetrievedAt":"%s"}' \
            "$(cat $ROOT/instance)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
            > $ROOT/var/lib/amazon/ssm/runtimeconfig/identity_config.json
        ;;
    esac
    ;;
esac
"#;

const SNAP: &str = r#"
case $1 in
wait) : ;;
install) touch $ROOT/units/snap.amazon-ssm-agent.amazon-ssm-agent.service ;;
esac
"#;

/// The machine, and the world around it.
pub(crate) struct Host {
    pub(crate) world: World,
    folder: tempfile::TempDir,
    /// Lines of the request, without the first one.
    pub(crate) request: Vec<String>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) output: Output,
    /// Steps with their outcomes, and `end`.
    pub(crate) steps: Vec<(String, Outcome)>,
    /// What the failing step said.
    pub(crate) detail: String,
}

impl Run {
    /// How a step ended; `None` when it was not taken.
    pub(crate) fn step(&self, name: &str) -> Option<Outcome> {
        self.steps.iter().find(|(step, _)| step == name).map(|(_, outcome)| *outcome)
    }

    /// Whether a step was taken and has not failed.
    pub(crate) fn has_done(&self, name: &str) -> bool {
        matches!(self.step(name), Some(Outcome::Done | Outcome::Already))
    }

    /// Whether the whole run, and this step first of all, failed in this way.
    #[track_caller]
    pub(crate) fn assert_failed(&self, step: &str, failure: Failure) {
        assert_eq!(self.step(step), Some(Outcome::Failed(failure)), "{self:?}");
        assert_eq!(self.step("end"), Some(Outcome::Failed(failure)), "{self:?}");
        assert_eq!(self.output.status.code(), Some(1), "{self:?}");
    }

    /// Whether every step succeeded.
    #[track_caller]
    pub(crate) fn assert_ended_well(&self) {
        assert_eq!(self.output.status.code(), Some(0), "{self:?}");
        assert!(self.steps.iter().all(|(_, outcome)| !matches!(outcome, Outcome::Failed(_))), "{self:?}");
        assert!(self.step("end").is_some(), "{self:?}");
    }
}

impl Host {
    /// A fresh Debian, and a request for everything.
    pub(crate) fn new() -> Self {
        let host = Self { world: World::start(), folder: tempfile::tempdir().unwrap(), request: Vec::new() };
        for folder in ["bin", "etc", "units", "active", "broken", "usr/bin"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        host.write("etc/os-release", DEBIAN);
        host.write("instance", INSTANCE);
        host.write("calls", "");
        host.write("ca.pem", &host.world.authority);
        for name in ["apt-get", "dnf", "yum", "zypper", "rpm"] {
            host.double(name, MANAGER);
        }
        host.double("systemctl", SYSTEMCTL);
        for tool in TOOLS {
            host.double(tool, &format!("exec /usr/bin/{tool} \"$@\""));
        }
        for name in ["sh", "basename", "cat", "cp", "date", "mkdir", "timeout", "touch", "wc"] {
            symlink(Path::new("/usr/bin").join(name), host.path("bin").join(name)).unwrap();
        }
        host.asking_for_everything()
    }

    fn asking_for_everything(mut self) -> Self {
        let root = self.root();
        let pitcrew = self.pitcrew();
        let ssm = format!("touch {root}/units/amazon-ssm-agent.service\n");
        let installer = format!(
            "[ \"$1\" = auto ] || exit 2\ncp {root}/etc/codedeploy-agent/conf/codedeployagent.yml {root}/config-at-install\n\
             echo $AWS_REGION > {root}/region-at-install\ntouch {root}/units/codedeploy-agent.service\n"
        );
        let mut request = vec!["deadline 30".to_owned(), "pace 20".to_owned()];
        for (kind, bits) in [("deb", "debian"), ("rpm", "linux")] {
            let arch = payload::arch();
            let platform = format!("{bits}_{}", if arch == "x86_64" { "amd64" } else { "arm64" });
            self.put(&format!("/pitcrew.{kind}"), &pitcrew);
            self.put(&format!("/amazon-ssm-{REGION}/3.3.1.0/{platform}/amazon-ssm-agent.{kind}"), &ssm);
            request.push(format!("package {arch} {kind} {}/pitcrew.{kind} {}", self.services(), sha256(&pitcrew)));
            request.push(format!("pin {platform}/amazon-ssm-agent.{kind} {}", sha256(&ssm)));
        }
        self.put(&format!("/aws-codedeploy-{REGION}/latestv2/install"), &installer);
        let services = self.services();
        request.extend([
            "ssm 3.3.1.0".to_owned(),
            "codedeploy 2".to_owned(),
            "config ---".to_owned(),
            "config :max_revisions: 2".to_owned(),
            "tag pitcrew%3Aready true".to_owned(),
            "tag Name a%20name".to_owned(),
            format!("imds {}", self.world.metadata),
            format!("s3 {services}"),
            format!("ec2 {services}"),
            format!("ca {root}/ca.pem"),
            format!("root {root}"),
        ]);
        self.request = request;
        self
    }

    /// The package of Pitcrew.
    pub(crate) fn pitcrew(&self) -> String {
        format!("touch {}/usr/bin/pitcrew\n", self.root())
    }

    pub(crate) fn services(&self) -> String {
        format!("https://{}", self.world.services)
    }

    /// The root directory of the machine.
    pub(crate) fn root(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// The text of a file; empty when it is not there.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read(self.path(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Puts a program of this name into the `PATH`.
    pub(crate) fn double(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\nROOT={}{NOTE}{script}", self.root())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Adds the double of snap, which only Ubuntu has.
    pub(crate) fn with_snap(&self) {
        self.double("snap", SNAP);
    }

    /// Takes a program out of the `PATH`.
    pub(crate) fn without(&self, name: &str) {
        fs::remove_file(self.path("bin").join(name)).unwrap();
    }

    /// Leaves one of [`TOOLS`].
    pub(crate) fn with_only(&self, tool: &str) {
        for other in TOOLS.into_iter().filter(|other| *other != tool) {
            self.without(other);
        }
    }

    /// Puts an object into the S3 layout, `/bucket/key`.
    pub(crate) fn put(&self, key: &str, text: &str) {
        self.world.state().objects.insert(key.to_owned(), text.as_bytes().to_vec());
    }

    /// Says the line of the request that begins with the same word in another way, or adds it.
    pub(crate) fn ask(&mut self, line: &str) {
        let key = line.split_inclusive(' ').next().unwrap();
        self.request.retain(|known| !known.starts_with(key));
        self.request.push(line.to_owned());
    }

    /// Takes all lines that begin with `key` out of the request.
    pub(crate) fn ask_not(&mut self, key: &str) {
        self.request.retain(|line| line.split(' ').next() != Some(key));
    }

    /// The request's text.
    pub(crate) fn request(&self) -> String {
        format!("pitcrew-bootstrap 1\n{}\n", self.request.join("\n"))
    }

    /// Calls of doubles so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// The journal, as it stands there.
    pub(crate) fn journal(&self) -> String {
        // One that a test has led to a device can only be written.
        let is_file = fs::symlink_metadata(self.path(&format!("{STATE}/journal"))).is_ok_and(|about| about.is_file());
        if is_file { self.read(&format!("{STATE}/journal")) } else { String::new() }
    }

    /// Everything that the payload has written down, anywhere.
    pub(crate) fn written(&self) -> String {
        let kept = fs::read_dir(self.path(STATE)).unwrap().flatten();
        kept.map(|entry| String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned()).collect()
    }

    /// Runs the payload, the request in a file of its own.
    pub(crate) fn run(&self) -> Run {
        self.write("request", &self.request());
        self.run_file(payload::elf(), Some("request"))
    }

    /// Runs the payload with its state on a disk of this size, in a mount namespace of its own; the answer is what
    /// the console shows.
    pub(crate) fn run_with_disk_of(&self, size: &str) -> String {
        self.write("request", &self.request());
        fs::create_dir_all(self.path(STATE)).unwrap();
        let script = format!("/usr/bin/mount -t tmpfs -o size={size} none \"$1\" && shift && exec \"$@\"");
        let payload = payload::command(payload::elf());
        let output = Command::new("/usr/bin/unshare")
            .args(["--map-root-user", "--mount", "/bin/sh", "-c", &script, "sh"])
            .arg(self.path(STATE))
            .arg(payload.get_program())
            .args(payload.get_args())
            .arg(self.path("request"))
            .env_clear()
            .env("PATH", self.path("bin"))
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the ELF file at `elf`.
    pub(crate) fn run_file(&self, elf: &Path, request: Option<&str>) -> Run {
        let mut command = payload::command(elf);
        command.args(request.map(|request| self.path(request)));
        let output = command.env_clear().env("PATH", self.path("bin")).output().unwrap();
        let journal = self.journal();
        let (mut steps, mut detail) = (Vec::new(), String::new());
        for entry in latest_run(journal.as_bytes()) {
            match entry {
                Entry::Run { .. } => {}
                Entry::Step { name, outcome, detail: said, .. } => {
                    steps.push((name.to_owned(), outcome));
                    if detail.is_empty() {
                        said.clone_into(&mut detail);
                    }
                }
                Entry::End { outcome, .. } => steps.push(("end".to_owned(), outcome)),
            }
        }
        Run { output, steps, detail }
    }
}

/// SHA-256 of a text, in hexadecimal.
pub(crate) fn sha256(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
