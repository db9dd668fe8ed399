//! What a complete request takes of the 16,384 bytes of user data.

use std::path::Path;

use pitcrew_render::Arch;
use pitcrew_render::fetch::{Fetch, FetchError, Progress};
use pitcrew_render::settings::Settings;
use pitcrew_render::user_data::{self, Contents};
use pitcrew_render::{payloads, pins, request};

use super::host::sha256;
use super::payload;

/// What one architecture may take, so that a quarter of the user data is left for the operator's own.
const MOST: usize = 12_288;

/// SSM, CodeDeploy, Pitcrew's package in each of `kinds`, and five tags.
fn complete(systems: &str, kinds: &[(&str, &str)]) -> String {
    let arch = payload::arch();
    let bits = if arch == "x86_64" { "amd64" } else { "arm64" };
    let (mut packages, mut digests) = (String::new(), String::new());
    for (kind, platform) in kinds {
        let name = format!("pitcrew-0.1.0-1.{arch}.{kind}");
        packages += &format!(
            "[[package]]\narch = \"{arch}\"\nurl = \"https://packages.example.com/{name}\"\nsha256 = \"{}\"\n",
            sha256(&name)
        );
        let agent = format!("{platform}_{bits}/amazon-ssm-agent.{kind}");
        digests += &format!("\"{agent}\" = \"{}\"\n", sha256(&agent));
    }
    format!(
        r#"
        systems = [{systems}]
        {packages}
        [ssm]
        version = "3.3.3050.0"
        [ssm.sha256]
        {digests}
        [codedeploy]
        version = "2"
        config = {{ max_revisions = 2, wait_between_runs = 1 }}
        [tags]
        "pitcrew:ready" = "true"
        Name = "web"
        Team = "storefront"
        Environment = "production"
        CostCenter = "4711"
        "#
    )
}

/// The table that `pitcrew user-data --size` prints, and the bytes of the blob.
async fn sizes(settings: &str) -> (String, usize) {
    let arch = if payload::arch() == "x86_64" { Arch::X86_64 } else { Arch::Aarch64 };
    let folder = payload::elf().ancestors().nth(2).unwrap();
    let installers = [payloads::find(arch, Some(folder)).unwrap()];
    let settings = Settings::parse(settings, Path::new("bootstrap.toml")).unwrap();
    let pinned = pins::pin(&settings, &[arch], true, &Nowhere, &mut |_| ()).await.unwrap();
    let request = request::text(&settings, &pinned).unwrap();
    let sizes = user_data::sizes(Contents { installers: &installers, request: &request, appended: None }).unwrap();
    (sizes.to_string(), sizes.total())
}

/// Nothing is fetched: every digest is given.
struct Nowhere;

impl Fetch for Nowhere {
    async fn fetch(&self, url: &str, _: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Status { url: url.to_owned(), status: 404 })
    }
}

#[tokio::test]
async fn a_complete_request_leaves_a_quarter_of_the_user_data_to_the_operator() {
    let (table, total) = sizes(&complete("\"al2023\"", &[("rpm", "linux")])).await;
    println!("{table}");
    assert!(total <= MOST, "{} bytes over {MOST}:\n{table}", total - MOST);
}

#[tokio::test]
async fn a_group_of_two_package_formats_fits_as_well() {
    let settings = complete("\"al2023\", \"ubuntu24.04\"", &[("rpm", "linux"), ("deb", "debian")]);
    let (table, total) = sizes(&settings).await;
    println!("{table}");
    assert!(total <= MOST, "{} bytes over {MOST}:\n{table}", total - MOST);
}
