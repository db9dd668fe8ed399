//! The installer as it is shipped, and user data rendered around it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pitcrew_render::Arch;
use pitcrew_render::appended::Appended;
use pitcrew_render::elf::Installer;
use pitcrew_render::fetch::{Fetch, FetchError, Progress};
use pitcrew_render::settings::Settings;
use pitcrew_render::user_data::{self, Contents, UserData};
use pitcrew_render::{payloads, pins, request};

use pitcrew_tests::command::text;

/// The architecture of this machine.
pub(crate) const ARCH: Arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };

/// The folder of built installers: `PITCREW_PAYLOAD_DIR`, else the build's, where the one for this machine is built
/// at the first call.
pub(crate) fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("PITCREW_PAYLOAD_DIR") {
            return PathBuf::from(folder);
        }
        let target = target();
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bootstrap/payload/build");
        let output =
            Command::new(&build).arg(std::env::consts::ARCH).env("CARGO_TARGET_DIR", &target).output().unwrap();
        assert!(output.status.success(), "{}: {}", build.display(), text(&output));
        target.join("payload")
    })
}

/// The build's target directory: `target/debug/deps/this-test`.
pub(crate) fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The installer for this machine.
pub(crate) fn installer() -> Installer {
    payloads::find(ARCH, Some(folder())).unwrap()
}

/// User data for this machine; `settings` must give every digest.
pub(crate) async fn user_data(settings: &str, appended: Option<&str>) -> UserData {
    let (installer, request) = (installer(), request(settings).await);
    let appended = appended.map(|text| Appended::new(text.to_owned(), Path::new("appended")).unwrap());
    user_data::build(Contents { installers: &[installer], request: &request, appended: appended.as_ref() }).unwrap()
}

/// The request's text for this machine.
pub(crate) async fn request(settings: &str) -> Vec<u8> {
    let settings = Settings::parse(settings, Path::new("bootstrap.toml")).unwrap();
    let pinned = pins::pin(&settings, &[ARCH], true, &Nowhere, &mut |_| ()).await.unwrap();
    request::text(&settings, &pinned).unwrap()
}

/// Nothing is fetched: rendering is offline.
struct Nowhere;

impl Fetch for Nowhere {
    async fn fetch(&self, url: &str, _: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Status { url: url.to_owned(), status: 404 })
    }
}
