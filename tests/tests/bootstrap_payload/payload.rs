//! The payload, built once for all tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Architecture of the payload under test, as `uname -m` says it.
pub(crate) fn arch() -> String {
    std::env::var("PITCREW_PAYLOAD_ARCH").unwrap_or_else(|_| std::env::consts::ARCH.to_owned())
}

/// The payload's ELF file.
pub(crate) fn elf() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // `target/debug/deps/this-test`
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bootstrap/payload/build");
        let output = Command::new(build).arg(arch()).env("CARGO_TARGET_DIR", &target).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("payload").join(arch()).join("pitcrew-bootstrap")
    })
}

/// A command that runs the ELF file at `path`, under emulation where it is for another machine.
pub(crate) fn command(path: &Path) -> Command {
    if arch() == std::env::consts::ARCH {
        return Command::new(path);
    }
    let mut command = Command::new(format!("/usr/bin/qemu-{}-static", arch()));
    command.arg(path);
    command
}
