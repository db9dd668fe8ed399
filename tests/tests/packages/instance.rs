//! An instance: this machine's own system under an overlay, booted by its own systemd in a network of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::command::{output, run, text};
use super::namespace::Namespace;

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
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "ssh.service",
];

/// A root to change and boot; nothing of it outlives the test.
pub(crate) struct Instance {
    pub(crate) namespace: Namespace,
    folder: tempfile::TempDir,
    booted: Option<Child>,
}

impl Instance {
    /// A machine that is not booted yet.
    pub(crate) fn new(name: &str) -> Self {
        let namespace = Namespace::new(&format!("pitcrew-{name}"));
        let instance = Self { namespace, folder: tempfile::tempdir().unwrap(), booted: None };
        instance.mount();
        for empty in ["etc/machine-id", "etc/fstab", "etc/resolv.conf", "etc/cloud/cloud-init.disabled"] {
            instance.write(empty, b"");
        }
        instance.write("etc/nsswitch.conf", b"passwd: files\ngroup: files\nshadow: files\nhosts: files\n");
        // Of an image that a container was made of: it forbids packages to start services.
        let _ = fs::remove_file(instance.path("usr/sbin/policy-rc.d"));
        for unit in MASKED {
            let path = instance.path(&format!("etc/systemd/system/{unit}"));
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink("/dev/null", path).unwrap();
        }
        instance
    }

    fn mount(&self) {
        let (memory, root) = (self.folder.path().join("memory"), self.path(""));
        fs::create_dir_all(&memory).unwrap();
        fs::create_dir_all(&root).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", memory.to_str().unwrap()]);
        let (upper, work) = (memory.join("upper"), memory.join("work"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&work).unwrap();
        let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
        run("mount", &["-t", "overlay", "overlay", "-o", &options, root.to_str().unwrap()]);
    }

    /// Where `path`, relative to the machine's root, is to be found from outside.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    /// What differs from the machine underneath.
    pub(crate) fn changes(&self) -> PathBuf {
        self.folder.path().join("memory/upper")
    }

    /// Replaces a file; a link to one is replaced as well.
    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
    }

    /// Runs a command in the machine's root, before it is booted.
    pub(crate) fn prepare(&self, command: &[&str]) -> String {
        let root = self.path("");
        let mut arguments = vec!["netns", "exec", &self.namespace.name, "chroot", root.to_str().unwrap()];
        arguments.extend(command);
        run("ip", &arguments)
    }

    /// Starts systemd as the machine's first process, and waits until all of it is up.
    pub(crate) fn boot(&mut self) {
        let console = fs::File::create(self.folder.path().join("console")).unwrap();
        let child = Command::new("systemd-nspawn")
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .args(["--boot", "--quiet", "--register=no", "--keep-unit", "--console=pipe"])
            .arg(format!("--directory={}", self.path("").display()))
            .arg(format!("--machine={}", self.namespace.name))
            .arg(format!("--network-namespace-path={}", self.namespace.path().display()))
            .arg("systemd.firstboot=off")
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .unwrap();
        self.booted = Some(child);
        self.until("the instance is up", 120, |instance| {
            instance.leader().is_some()
                && matches!(instance.try_run(&["systemctl", "is-system-running"]).trim(), "running" | "degraded")
        });
    }

    /// Runs a command in the booted machine, however it ends.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        let leader = self.leader().expect("the instance is booted");
        let mut arguments = vec!["-t", &leader, "-m", "-u", "-i", "-n", "-p", "-C"];
        arguments.extend(command);
        output("nsenter", &arguments)
    }

    /// Runs a command that must succeed; both its streams.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        assert!(output.status.success(), "{command:?}: {}\n{}\n{}", output.status, text(&output), self.story());
        text(&output)
    }

    /// What a command says, which may fail.
    pub(crate) fn try_run(&self, command: &[&str]) -> String {
        text(&self.output(command))
    }

    /// Waits until `condition` holds, and gives up with all logs after so many seconds.
    pub(crate) fn until(&self, what: &str, seconds: u64, condition: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_secs(seconds);
        while !condition(self) {
            assert!(Instant::now() < limit, "{what}: not within {seconds} s\n{}", self.story());
            sleep(Duration::from_millis(100));
        }
    }

    /// Asks for an end (`reboot`, `poweroff`) and waits until nothing of it runs.
    pub(crate) fn ends_by(&mut self, verb: &str) {
        self.run(&["systemctl", "--no-block", verb]);
        let mut nspawn = self.booted.take().expect("the instance is booted");
        let limit = Instant::now() + Duration::from_secs(150);
        while nspawn.try_wait().unwrap().is_none() {
            if Instant::now() > limit {
                self.booted = Some(nspawn);
                panic!("{verb} takes too long\n{}", self.story());
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn story(&self) -> String {
        let console = fs::read_to_string(self.folder.path().join("console")).unwrap_or_default();
        let inside = match self.leader() {
            Some(_) => ["systemctl --no-pager --failed", "journalctl --no-pager -n 80", "pitcrew status"]
                .map(|command| self.try_run(&command.split(' ').collect::<Vec<_>>()))
                .join("\n---\n"),
            None => "not running".to_owned(),
        };
        format!("--- console\n{console}\n--- inside\n{inside}")
    }

    /// Process id of the machine's systemd: nspawn's only child, once it is through with its preparations.
    fn leader(&self) -> Option<String> {
        let nspawn = self.booted.as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        let leader = children.split_whitespace().next()?;
        let is_systemd = fs::read_to_string(format!("/proc/{leader}/comm")).ok()?.trim() == "systemd";
        is_systemd.then(|| leader.to_owned())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let leader = self.leader();
        if let Some(mut nspawn) = self.booted.take() {
            if let Some(leader) = leader {
                output("kill", &["-KILL", &leader]);
            }
            let _ = nspawn.wait();
        }
        for mounted in [self.path(""), self.folder.path().join("memory")] {
            unmount(&mounted);
        }
    }
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").args(["--lazy", "--recursive"]).arg(path).stderr(Stdio::null()).status();
}
