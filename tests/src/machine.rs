//! An instance: this machine's own system under an overlay, booted by its own systemd in a network of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use crate::cgroup::Cgroup;
use crate::command::{output, run, text};
use crate::namespace::Namespace;

/// A root to change and boot; nothing of it outlives the test.
pub struct Machine {
    /// Its network.
    pub namespace: Namespace,
    cgroup: Cgroup,
    folder: tempfile::TempDir,
    booted: Option<Child>,
}

/// Units of the machine underneath that would only get in the way.
const MASKED: [&str; 12] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "e2scrub_reap.service",
    "getty.target",
    "man-db.timer",
    "networking.service",
    "postgresql.service",
    "ssh.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
];

/// The journal outlives the boot that it tells of.
const JOURNAL: &[u8] = b"[Journal]\nStorage=persistent\n";

/// cloud-init as on EC2, with nothing to do but to run user data. In a container it finds no hardware that says
/// EC2, hence the one data source and `strict_id`.
const CLOUD_CONFIG: &str = r#"
datasource_list: [Ec2]
datasource:
  Ec2: {metadata_urls: ["http://169.254.169.254"], strict_id: false, timeout: 5, max_wait: 20}
network: {config: disabled}
cloud_init_modules: []
cloud_config_modules: []
cloud_final_modules: [scripts-user]
"#;

/// How often is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(50);

impl Machine {
    /// A machine that is not booted yet, and does nothing but what its tests ask of it.
    pub fn new(name: &str) -> Self {
        let machine = Self {
            namespace: Namespace::new(&format!("pitcrew-{name}")),
            cgroup: Cgroup::new(&format!("pitcrew-{name}")),
            folder: tempfile::tempdir().unwrap(),
            booted: None,
        };
        machine.mount();
        for empty in ["etc/machine-id", "etc/fstab", "etc/resolv.conf", "etc/cloud/cloud-init.disabled"] {
            machine.write(empty, b"");
        }
        machine.write("etc/nsswitch.conf", b"passwd: files\ngroup: files\nshadow: files\nhosts: files\n");
        machine.write("etc/systemd/journald.conf.d/test.conf", JOURNAL);
        // Of an image that a container was made of: it forbids packages to start services.
        let _ = fs::remove_file(machine.path("usr/sbin/policy-rc.d"));
        for unit in MASKED {
            let path = machine.path(&format!("etc/systemd/system/{unit}"));
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink("/dev/null", path).unwrap();
        }
        machine
    }

    /// A machine that says of itself `os_release`, and runs its user data when it boots.
    pub fn with_user_data(name: &str, os_release: &str) -> Self {
        let machine = Self::new(name);
        machine.write("etc/os-release", os_release.as_bytes());
        machine.write("etc/cloud/cloud.cfg.d/99-pitcrew-test.cfg", CLOUD_CONFIG.as_bytes());
        fs::remove_file(machine.path("etc/cloud/cloud-init.disabled")).unwrap();
        machine
    }

    /// `/` below, a file system in memory above. `/run` of the machine underneath stays out of sight.
    fn mount(&self) {
        let (memory, root) = (self.folder.path().join("memory"), self.root());
        fs::create_dir_all(&memory).unwrap();
        fs::create_dir_all(&root).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", memory.to_str().unwrap()]);
        let (upper, work) = (self.changes(), memory.join("work"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&work).unwrap();
        let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
        run("mount", &["-t", "overlay", "overlay", "-o", &options, root.to_str().unwrap()]);
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Where `path`, relative to the machine's root, is to be found from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// The folder that holds what differs from the machine underneath.
    pub fn changes(&self) -> PathBuf {
        self.folder.path().join("memory/upper")
    }

    /// Replaces a file; a link to one is replaced as well.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
    }

    /// A file of the machine, empty where there is none.
    pub fn read(&self, path: &str) -> String {
        fs::read(self.path(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Listens in the machine's network.
    pub fn listen(&self, address: &str) -> TcpListener {
        self.namespace.listen(address.parse::<SocketAddr>().unwrap())
    }

    /// Runs a command in the machine's root and network, before it is booted.
    pub fn prepare(&self, command: &[&str]) -> String {
        let root = self.root();
        let mut arguments = vec!["netns", "exec", &self.namespace.name, "chroot", root.to_str().unwrap()];
        arguments.extend(command);
        run("ip", &arguments)
    }

    /// Starts systemd as the machine's first process.
    pub fn start(&mut self) {
        let console = fs::File::create(self.folder.path().join("console")).unwrap();
        let child = self
            .cgroup
            .command("systemd-nspawn")
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .args(["--boot", "--quiet", "--register=no", "--keep-unit", "--console=pipe"])
            .arg(format!("--directory={}", self.root().display()))
            .arg(format!("--machine={}", self.namespace.name))
            .arg(format!("--network-namespace-path={}", self.namespace.path().display()))
            .arg("systemd.firstboot=off")
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .unwrap();
        self.booted = Some(child);
    }

    /// Starts systemd, and waits until all that it starts is up.
    pub fn boot(&mut self) {
        self.start();
        self.until("the machine is up", Duration::from_secs(120), || {
            self.is_up() && matches!(self.said(&["systemctl", "is-system-running"]).trim(), "running" | "degraded")
        });
    }

    /// Runs a command in the booted machine, however it ends.
    pub fn output(&self, command: &[&str]) -> Output {
        let leader = self.leader().expect("the machine is booted");
        let mut arguments = vec!["-t", &leader, "-m", "-u", "-i", "-n", "-p", "-C"];
        arguments.extend(command);
        output("nsenter", &arguments)
    }

    /// Runs a command that must succeed; all that it said.
    pub fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        assert!(output.status.success(), "{command:?}: {}\n{}\n{}", output.status, text(&output), self.story());
        text(&output)
    }

    /// What a command says, which may fail.
    pub fn said(&self, command: &[&str]) -> String {
        text(&self.output(command))
    }

    /// Whether a command succeeds.
    pub fn succeeds(&self, command: &[&str]) -> bool {
        self.output(command).status.success()
    }

    /// Whether systemd holds `unit` active.
    pub fn is_active(&self, unit: &str) -> bool {
        self.succeeds(&["systemctl", "is-active", "--quiet", unit])
    }

    /// Waits until `condition` holds, and gives up with all logs after `limit`.
    pub fn until(&self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !condition() {
            assert!(Instant::now() < end, "{what}: not within {limit:?}\n{}", self.story());
            sleep(LOOK);
        }
    }

    /// Everything that helps to see what went wrong.
    pub fn story(&self) -> String {
        let console = fs::read_to_string(self.folder.path().join("console")).unwrap_or_default();
        let mut story = format!("--- console\n{console}");
        story.push_str("\n--- journal\n");
        story.push_str(&match self.leader() {
            Some(_) => self.said(&["journalctl", "--no-pager", "-n", "120"]),
            None => {
                let journal = format!("--directory={}", self.path("var/log/journal").display());
                text(&output("journalctl", &["--no-pager", "-n", "120", &journal]))
            }
        });
        for log in [
            "var/log/cloud-init-output.log",
            "var/lib/pitcrew-bootstrap/journal",
            "var/lib/pitcrew-bootstrap/output.log",
        ] {
            story.push_str(&format!("\n--- {log}\n{}", self.read(log)));
        }
        story
    }

    /// Whether the machine's systemd runs.
    pub fn is_up(&self) -> bool {
        self.leader().is_some()
    }

    /// Process id of the machine's systemd: nspawn's only child, once it is through with its preparations.
    fn leader(&self) -> Option<String> {
        let nspawn = self.booted.as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        let leader = children.split_whitespace().next()?;
        let is_systemd = fs::read_to_string(format!("/proc/{leader}/comm")).ok()?.trim() == "systemd";
        is_systemd.then(|| leader.to_owned())
    }

    /// Asks systemd for an end (`reboot`, `poweroff`) and waits until nothing of it runs.
    pub fn ends_by(&mut self, verb: &str) {
        self.run(&["systemctl", "--no-block", verb]);
        let mut nspawn = self.booted.take().expect("the machine is booted");
        let end = Instant::now() + Duration::from_secs(150);
        while nspawn.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                self.booted = Some(nspawn);
                panic!("{verb} takes too long\n{}", self.story());
            }
            sleep(LOOK);
        }
    }

    /// Takes the power away; what is on disk stays.
    pub fn power_off(&mut self) {
        let leader = self.leader();
        if let Some(mut nspawn) = self.booted.take() {
            if let Some(leader) = leader {
                output("kill", &["-KILL", &leader]);
            }
            let _ = nspawn.wait();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
        for mounted in [self.root(), self.folder.path().join("memory")] {
            unmount(&mounted);
        }
    }
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").args(["--lazy", "--recursive"]).arg(path).stderr(Stdio::null()).status();
}
