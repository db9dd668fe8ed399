//! A control group of the test's own. Two machines that begin in the same one share what their systemds make below it:
//! each then removes groups of the other's services, and a service that is about to start in one does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where hierarchies are mounted, by how `/proc/self/cgroup` names them: systemd uses these two.
const HIERARCHIES: [(&str, &[&str]); 2] =
    [("0::", &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]), (":name=systemd:", &["/sys/fs/cgroup/systemd"])];

/// The group, in each hierarchy that systemd uses; it is gone with this.
#[derive(Debug)]
pub struct Cgroup {
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes the group `name` below the test's own.
    pub fn new(name: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let folders = HIERARCHIES.iter().filter_map(|(hierarchy, mounts)| {
            let (_, path) = own.lines().find_map(|line| line.split_once(hierarchy))?;
            let mount = mounts.iter().find(|mount| Path::new(mount).join("cgroup.procs").exists())?;
            Some(Path::new(mount).join(path.trim_start_matches('/')).join(name))
        });
        let group = Self { folders: folders.collect() };
        for folder in &group.folders {
            fs::create_dir_all(folder).unwrap();
        }
        group
    }

    /// A command that begins in the group.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-euc", r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@""#]);
        command.arg("sh").args(&self.folders).args(["--", program]);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.folders.iter().for_each(|folder| remove(folder));
    }
}

/// Groups below first: one that has any cannot be removed, and neither can the files of one.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
