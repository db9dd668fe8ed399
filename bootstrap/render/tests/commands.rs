//! The commands as an operator gives them, without a network.
#![allow(clippy::unwrap_used, reason = "helpers of tests stop at the first surprise")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use pitcrew_render::cli::{self, BootstrapArgs, CliError, UserDataArgs};
use pitcrew_render::fetch::{Fetch, FetchError, Progress};

#[derive(Parser)]
enum Pitcrew {
    UserData(UserDataArgs),
    Bootstrap(BootstrapArgs),
}

/// A network without anything in it.
struct Nowhere;

impl Fetch for Nowhere {
    async fn fetch(&self, url: &str, _: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Status { url: url.to_owned(), status: 404 })
    }
}

const REQUEST: &str = r#"
systems = ["al2023"]
[[package]]
arch = "x86_64"
url = "https://packages.example.com/pitcrew.rpm"
sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
[ssm]
version = "3.3.3050.0"
sha256 = { "linux_amd64/amazon-ssm-agent.rpm" = "e258d248fda94c63753607f7c4494ee0fcbe92f1a76bfdac795c9d84101eb317" }
[codedeploy]
version = "2"
[tags]
"pitcrew:ready" = "true"
"#;

/// A folder with `bootstrap.toml` and an installer for x86_64.
fn folder(request: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bootstrap.toml"), request).unwrap();
    fs::create_dir(folder.path().join("x86_64")).unwrap();
    fs::write(folder.path().join("x86_64/pitcrew-bootstrap"), installer()).unwrap();
    folder
}

/// The smallest file that is an x86_64 executable: its one segment is the ELF header, the segment's own and `code`.
fn installer() -> Vec<u8> {
    let mut elf = vec![0; 0x78];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[0x12] = 62;
    elf[0x20] = 0x40;
    elf[0x36] = 0x38;
    elf[0x38] = 1;
    elf[0x60] = 0x7c;
    elf.extend_from_slice(b"code");
    elf
}

async fn pitcrew(folder: &Path, line: &str) -> Result<Vec<u8>, CliError> {
    let line = line.replace("DIR", folder.to_str().unwrap());
    let (mut out, mut news) = (Vec::new(), Vec::new());
    match Pitcrew::parse_from(["pitcrew"].into_iter().chain(line.split(' '))) {
        Pitcrew::UserData(args) => cli::user_data(&args, &Nowhere, &mut out, &mut news).await?,
        Pitcrew::Bootstrap(args) => cli::bootstrap(&args, &mut out)?,
    }
    Ok(out)
}

/// What a tool of this machine makes of `input`.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

/// The installer and the request, out of the blob by gzip, base64 and xz as they are on this machine.
fn unpacked(blob: &[u8]) -> Vec<u8> {
    let script = String::from_utf8(through("gzip", &["-dc"], blob)).unwrap();
    let line = script.lines().max_by_key(|line| line.len()).unwrap();
    through("xz", &["-dc"], &through("base64", &["-d"], line.as_bytes()))
}

#[tokio::test]
async fn blob_holds_the_installer_and_right_behind_it_the_request() {
    let folder = folder(REQUEST);
    let line = "user-data DIR/bootstrap.toml --offline --payload-dir DIR --format raw -o DIR/blob";
    assert_eq!(pitcrew(folder.path(), line).await.unwrap(), b"");
    let unpacked = unpacked(&fs::read(folder.path().join("blob")).unwrap());
    let (elf, request) = unpacked.split_at(installer().len());
    assert_eq!(elf, installer());
    assert_eq!(
        String::from_utf8_lossy(request),
        "pitcrew-bootstrap 1\n\
         package x86_64 rpm https://packages.example.com/pitcrew.rpm 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n\
         ssm 3.3.3050.0\n\
         codedeploy 2\n\
         pin linux_amd64/amazon-ssm-agent.rpm e258d248fda94c63753607f7c4494ee0fcbe92f1a76bfdac795c9d84101eb317\n\
         tag pitcrew%3Aready true\n"
    );
}

#[tokio::test]
async fn rendering_twice_prints_the_same() {
    let folder = folder(REQUEST);
    let line = "user-data DIR/bootstrap.toml --offline --payload-dir DIR";
    let first = pitcrew(folder.path(), line).await.unwrap();
    assert_eq!(pitcrew(folder.path(), line).await.unwrap(), first);
    assert!(first.starts_with(b"H4sI"), "base64 of gzip");
}

#[tokio::test]
async fn size_is_a_table_that_sums_up_to_the_blob() {
    let folder = folder(REQUEST);
    let line = "user-data DIR/bootstrap.toml --offline --payload-dir DIR";
    let table = String::from_utf8(pitcrew(folder.path(), &format!("{line} --size")).await.unwrap()).unwrap();
    let blob = pitcrew(folder.path(), &format!("{line} --format raw -o DIR/blob")).await;
    blob.unwrap();
    let size = fs::metadata(folder.path().join("blob")).unwrap().len();
    let total = table.lines().find(|line| line.starts_with("user data")).unwrap();
    assert!(total.ends_with(&format!(" {size}")), "{table}");
}

#[tokio::test]
async fn cloud_config_travels_along_as_mime() {
    let folder = folder(REQUEST);
    fs::write(folder.path().join("mine"), "#cloud-config\ntimezone: Asia/Seoul\n").unwrap();
    let line = "user-data DIR/bootstrap.toml --offline --payload-dir DIR --append DIR/mine";
    let mime = String::from_utf8(pitcrew(folder.path(), &format!("{line} --format mime")).await.unwrap()).unwrap();
    assert!(mime.contains("Content-Type: text/cloud-config\n") && mime.contains("\ntimezone: Asia/Seoul\n"), "{mime}");
    let blob = through("base64", &["-d"], &pitcrew(folder.path(), line).await.unwrap());
    assert_eq!(String::from_utf8(through("gzip", &["-dc"], &blob)).unwrap(), mime);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_named() {
    let folder =
        folder(&REQUEST.replace("sha256 = \"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"", ""));
    let error = pitcrew(folder.path(), "user-data DIR/bootstrap.toml --payload-dir DIR").await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "fetching https://packages.example.com/pitcrew.rpm: the server answered 404");
}

#[tokio::test]
async fn missing_installer_is_said_before_anything_is_fetched() {
    let folder = folder(REQUEST);
    let error =
        pitcrew(folder.path(), "user-data DIR/bootstrap.toml --arch aarch64 --payload-dir DIR").await.unwrap_err();
    assert!(error.to_string().contains("build it with bootstrap/payload/build aarch64"), "{error}");
}

#[tokio::test]
async fn plan_prints_numbered_steps_for_another_machine() {
    let folder = folder(REQUEST);
    let line = "bootstrap plan DIR/bootstrap.toml --as al2023/x86_64/cn-north-1";
    let steps = String::from_utf8(pitcrew(folder.path(), line).await.unwrap()).unwrap();
    let numbers: Vec<_> = steps.lines().map(|line| line.split('.').next().unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7"], "{steps}");
    assert!(
        steps.contains("https://s3.cn-north-1.amazonaws.com.cn/amazon-ssm-cn-north-1/3.3.3050.0/linux_amd64/"),
        "{steps}"
    );
    assert!(steps.lines().last().unwrap().contains("pitcrew%3Aready=true"), "tags are last: {steps}");
}

#[tokio::test]
async fn plan_for_a_machine_without_a_package_says_so() {
    let folder = folder(REQUEST);
    let error = pitcrew(folder.path(), "bootstrap plan DIR/bootstrap.toml --as debian12/x86_64").await.unwrap_err();
    assert_eq!(error.to_string(), "none of the [[package]]s is a .deb for x86_64");
}
