//! The AWS CLI from PyPI, and the calls that a script without Pitcrew would make by it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stopwatch::Call;
use crate::world::World;

const AWS_CLI: &str = "awscli==1.46.3";

/// The installed program.
pub(crate) struct AwsCli {
    program: PathBuf,
}

impl AwsCli {
    /// Installs it below the target directory, where it stays for the next run.
    pub(crate) fn installed() -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(target).unwrap();
        let lock = File::create(target.join("awscli.lock")).unwrap();
        lock.lock().unwrap();
        let venv = target.join(AWS_CLI.replace("==", "-"));
        let complete = venv.join("complete");
        if !complete.exists() {
            crate::explain("the AWS CLI is installed");
            let make = ["-m", "venv", "--clear"];
            run(Command::new("python3").args(make).arg(&venv), "install python3-venv (`apt-get install python3-venv`)");
            let pip = ["install", "--quiet", "--disable-pip-version-check", AWS_CLI];
            run(
                Command::new(venv.join("bin/pip")).args(pip),
                "pip must reach PyPI, or a mirror named by PIP_INDEX_URL",
            );
            fs::write(complete, "").unwrap();
        }
        Self { program: venv.join("bin/aws") }
    }

    /// One call of each kind, by name.
    pub(crate) fn each(&self, world: &World) -> [(&'static str, Call); 3] {
        [
            ("aws elbv2 describe-target-health", self.call(world, "describe-target-health")),
            ("aws elbv2 deregister-targets", self.call(world, "deregister-targets")),
            ("aws elbv2 register-targets", self.call(world, "register-targets")),
        ]
    }

    /// The least that a script does: out, a look, in, a look.
    pub(crate) fn script(&self, world: &World) -> [Call; 4] {
        ["deregister-targets", "describe-target-health", "register-targets", "describe-target-health"]
            .map(|operation| self.call(world, operation))
    }

    /// For the instance that has no agent.
    fn call(&self, world: &World, operation: &str) -> Call {
        let port = world.application(3).rsplit(':').next().unwrap();
        let target = format!("Id={},Port={port}", world.value("REHEARSAL_INSTANCE_3"));
        let group = world.value("REHEARSAL_TARGET_GROUP_ARN");
        let call =
            Call::new(&self.program).args(&["elbv2", operation, "--target-group-arn", group, "--targets", &target]);
        // Whatever this machine's user has configured is left alone.
        let call = call.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        world.aws().fold(call, |call, (name, value)| call.env(name, value))
    }
}

/// Runs it; `otherwise` says what to do where that fails.
fn run(command: &mut Command, otherwise: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be run ({error}): {otherwise}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {otherwise}\n{said}");
}
