//! The host agent's part of an instance's disk: archives, instructions, ongoing deployments, logs, and Install.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{Order, deployment_directory};
use crate::bundle::FileExistsBehavior;
use crate::lifecycle::LifecycleEvent;
use crate::seat::Dirs;

/// The deployment root and the instance's `/`.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    dirs: Dirs,
}

impl Disk {
    pub(super) fn new(dirs: Dirs) -> Self {
        Self { dirs }
    }

    /// Where scripts of a deployment are run from.
    pub(super) fn archive(&self, group: &str, deployment: &str) -> PathBuf {
        deployment_directory(&self.dirs.deployments, group, deployment).join("deployment-archive")
    }

    /// The tracking file exists from now on.
    pub(super) fn command_began(&self, order: &Order, event: LifecycleEvent) -> anyhow::Result<()> {
        write(&self.ongoing(order), format!("{}:{event}", order.deployment).as_bytes())
    }

    /// A host agent that starts again reports what was under way as failed, and forgets it.
    pub(super) fn forget_commands(&self) -> anyhow::Result<()> {
        let path = self.dirs.deployments.join("ongoing-deployment");
        let Ok(files) = fs::read_dir(&path) else {
            return Ok(());
        };
        for file in files {
            let file = file.with_context(|| format!("reading `{}`", path.display()))?.path();
            fs::remove_file(&file).with_context(|| format!("removing `{}`", file.display()))?;
        }
        Ok(())
    }

    /// The tracking file is gone from now on.
    pub(super) fn command_ended(&self, order: &Order) -> anyhow::Result<()> {
        let path = self.ongoing(order);
        fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))
    }

    /// DownloadBundle: the archive of the new revision.
    pub(super) fn unpack(&self, order: &Order) -> anyhow::Result<()> {
        let archive = self.archive(&order.group.id, &order.deployment);
        for (path, file) in order.revision.files() {
            let path = archive.join(path);
            write(&path, &file.bytes)?;
            set_mode(&path, file.mode)?;
        }
        self.instruct(order, "most_recent_install", archive_root(&archive).as_bytes())
    }

    /// Install: removes what the previous revision installed, then copies `files:` below the instance's root.
    pub(super) fn install(&self, order: &Order) -> anyhow::Result<()> {
        let cleanup = self.instructions().join(format!("{}-cleanup", order.group.id));
        let previous = fs::read_to_string(&cleanup).unwrap_or_default();
        for path in previous.lines() {
            // What an operator has removed since needs no removing.
            let _ = fs::remove_file(path);
        }
        let mut installed = String::new();
        for (source, destination) in order.revision.installs() {
            let path = below(&self.dirs.root, &destination);
            let Some(file) = order.revision.file(&source) else {
                continue;
            };
            match (path.exists(), order.revision.appspec.file_exists) {
                (true, FileExistsBehavior::Disallow) => bail!(
                    "The deployment failed because a specified file already exists at this location: {}",
                    destination.display()
                ),
                (true, FileExistsBehavior::Retain) => continue,
                (true, FileExistsBehavior::Overwrite) | (false, _) => {}
            }
            write(&path, &file.bytes)?;
            set_mode(&path, file.mode)?;
            installed.push_str(&format!("{}\n", path.display()));
        }
        write(&cleanup, installed.as_bytes())?;
        let archive = self.archive(&order.group.id, &order.deployment);
        self.instruct(order, "last_successful_install", archive_root(&archive).as_bytes())
    }

    /// Adds a script's output to the deployment's log and to the common one. Losing a log fails no deployment.
    pub(super) fn log(&self, order: &Order, event: LifecycleEvent, script: &str, output: &str) {
        let own =
            deployment_directory(&self.dirs.deployments, &order.group.id, &order.deployment).join("logs/scripts.log");
        let common = self.dirs.deployments.join("deployment-logs/codedeploy-agent-deployments.log");
        for path in [own, common] {
            let Some(parent) = path.parent() else { continue };
            let written = fs::create_dir_all(parent)
                .and_then(|()| File::options().create(true).append(true).open(&path))
                .and_then(|mut log| {
                    writeln!(log, "LifecycleEvent - {event}\nScript - {script}")?;
                    for line in output.lines() {
                        writeln!(log, "[stdout]{line}")?;
                    }
                    Ok(())
                });
            written.ok();
        }
    }

    fn ongoing(&self, order: &Order) -> PathBuf {
        self.dirs.deployments.join("ongoing-deployment").join(&order.deployment)
    }

    fn instructions(&self) -> PathBuf {
        self.dirs.deployments.join("deployment-instructions")
    }

    fn instruct(&self, order: &Order, what: &str, content: &[u8]) -> anyhow::Result<()> {
        write(&self.instructions().join(format!("{}_{what}", order.group.id)), content)
    }
}

fn archive_root(archive: &Path) -> String {
    archive.parent().unwrap_or(archive).display().to_string()
}

/// `path` of the instance, below the directory that stands for its `/`; `..` does not lead out.
fn below(root: &Path, path: &Path) -> PathBuf {
    use std::path::Component;
    let mut full = root.to_owned();
    for component in path.components() {
        match component {
            Component::Normal(name) => full.push(name),
            Component::ParentDir | Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    full
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("creating `{}`", parent.display()))?;
    }
    fs::write(path, content).with_context(|| format!("writing `{}`", path.display()))
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of `{}`", path.display()))
}
