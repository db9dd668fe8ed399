use std::path::Path;
use std::process::Command;

use super::*;
use crate::pack;

fn packed(bytes: &[u8]) -> Packed {
    pack::smallest(bytes).unwrap()
}

fn own(text: &str) -> Appended {
    Appended::new(text.to_owned(), Path::new("mine")).unwrap()
}

/// Runs a document as cloud-init would, but with its files in a folder of the test's.
fn run(document: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("part-001");
    let state = folder.path().join("state");
    std::fs::write(&script, document.replace(STATE_DIRECTORY, state.to_str().unwrap())).unwrap();
    let output = Command::new("sh").arg(&script).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn script_unpacks_and_runs_the_installer_and_ends_with_its_status() {
    let installer = packed(b"#!/bin/sh\necho installing\nexit 7\n");
    assert_eq!(run(&document(&[(Arch::X86_64, installer)], None)), (7, "installing\n".to_owned()));
}

#[test]
fn every_form_is_unpacked_by_the_machines_own_tools() {
    // Long and regular enough that each form is worth its headers.
    let installer = format!("#!/bin/sh\necho installing\nexit 0\n{}", "# padding\n".repeat(200));
    for form in [Form::XzX86, Form::Lzma, Form::Gzip] {
        let packed = pack::pack_as(form, installer.as_bytes()).unwrap();
        assert_eq!(run(&document(&[(Arch::X86_64, packed)], None)), (0, "installing\n".to_owned()), "{form:?}");
    }
}

#[test]
fn python_unpacks_where_xz_is_not_installed() {
    let installer = format!("#!/bin/sh\necho installing\nexit 0\n{}", "# padding\n".repeat(200));
    for form in [Form::XzX86, Form::Lzma] {
        let packed = pack::pack_as(form, installer.as_bytes()).unwrap();
        let document = document(&[(Arch::X86_64, packed)], None);
        let (status, text) = run(&document.replace("(xz -dc", "(no-such-program -dc"));
        assert_eq!(status, 0, "{form:?}: {text}");
        assert!(text.contains("no-such-program") && text.contains("installing\n"), "{form:?}: {text}");
    }
}

#[test]
fn damaged_installer_is_not_run() {
    let mut installer = packed(format!("#!/bin/sh\necho run\n{}", "# padding\n".repeat(50)).as_bytes());
    installer.bytes.truncate(installer.bytes.len() / 2);
    let (status, text) = run(&document(&[(Arch::X86_64, installer)], None));
    assert_ne!(status, 0, "{text}");
    assert!(!text.contains("run\n"), "{text}");
}

#[test]
fn blob_for_both_runs_the_machines_own_installer() {
    let installers =
        [(Arch::X86_64, packed(b"#!/bin/sh\necho x86_64\n")), (Arch::Aarch64, packed(b"#!/bin/sh\necho aarch64\n"))];
    assert_eq!(run(&document(&installers, None)), (0, format!("{}\n", std::env::consts::ARCH)));
}

#[test]
fn own_script_runs_after_the_installer_and_learns_its_status() {
    let failing = || packed(b"#!/bin/sh\necho installing\nexit 3\n");
    let own_script = own("#!/bin/sh\necho \"END\n$0 status $PITCREW_BOOTSTRAP_STATUS\"\n");
    let (status, text) = run(&document(&[(Arch::X86_64, failing())], Some(&own_script)));
    assert_eq!(status, 3, "the installer's failure is not covered up");
    assert!(text.starts_with("installing\nEND\n") && text.ends_with(" status 3\n"), "{text}");

    let fine = packed(b"#!/bin/sh\nexit 0\n");
    assert_eq!(run(&document(&[(Arch::X86_64, fine)], Some(&own("#!/bin/sh\nexit 9\n")))).0, 9);
}

#[test]
fn own_script_beyond_ascii_arrives_unharmed() {
    let installer = packed(b"#!/bin/sh\nexit 0\n");
    let document = document(&[(Arch::X86_64, installer)], Some(&own("#!/bin/sh\necho 준비됨\n")));
    assert!(document.is_ascii());
    assert_eq!(run(&document), (0, "준비됨\n".to_owned()));
}

#[test]
fn own_cloud_config_makes_it_mime_with_two_parts() {
    let installers = [(Arch::X86_64, packed(b"#!/bin/sh\n"))];
    let document = document(&installers, Some(&own("#cloud-config\nhostname: ==pitcrew\n")));
    assert!(document.starts_with("MIME-Version: 1.0\n"));
    assert_eq!(document.matches("\n--==pitcrew=\n").count(), 2, "the boundary avoids the text:\n{document}");
    assert!(document.ends_with("--==pitcrew=--\n"));
    assert_eq!(check(&document, &installers), Ok(()));
}

#[test]
fn documents_that_cloud_init_would_drop_are_refused() {
    let installers = [(Arch::X86_64, packed(b"#!/bin/sh\n"))];
    let good = document(&installers, None);
    assert_eq!(check(&good, &installers), Ok(()));
    assert_eq!(check(&good.replace("Pitcrew", "Pitcräw"), &installers), Err(RuleBroken::NotAscii));
    assert_eq!(check(&format!("\n{good}"), &installers), Err(RuleBroken::UnknownStart));
    let looks_like_mime = document(&installers, Some(&own("#!/bin/sh\necho MIME-Version: 1.0\n")));
    assert_eq!(check(&looks_like_mime, &installers), Err(RuleBroken::LooksLikeMime));
    let line = STANDARD.encode(&installers[0].1.bytes);
    let wrapped = good.replace(&line, &format!("{}\n{}", &line[..4], &line[4..]));
    assert_eq!(check(&wrapped, &installers), Err(RuleBroken::WrappedBase64));
}
