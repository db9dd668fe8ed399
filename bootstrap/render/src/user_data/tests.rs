use std::path::Path;

use super::*;
use crate::elf::tests::executable;

/// Bytes that no compressor makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(next).collect()
}

fn installer(arch: Arch, length: usize) -> Installer {
    Installer::new(arch, &executable(arch, &noise(length))).unwrap()
}

const REQUEST: &[u8] = b"pitcrew-bootstrap 1\ntag pitcrew%3Aready true\n";

#[test]
fn same_contents_make_the_same_bytes() {
    let installers = [installer(Arch::X86_64, 3000)];
    let contents = Contents { installers: &installers, request: REQUEST, appended: None };
    assert_eq!(build(contents).unwrap(), build(contents).unwrap());
}

#[test]
fn sizes_sum_up_to_the_blob_and_name_each_part() {
    let installers = [installer(Arch::X86_64, 3000), installer(Arch::Aarch64, 3000)];
    let own = Appended::new("#!/bin/sh\necho hello\n".to_owned(), Path::new("mine")).unwrap();
    let contents = Contents { installers: &installers, request: REQUEST, appended: Some(&own) };
    let sizes = sizes(contents).unwrap();
    assert_eq!(sizes.total(), build(contents).unwrap().bytes.len());
    let names: Vec<_> = sizes.parts.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["unpacking script", "installer for x86_64", "installer for aarch64", "request", "appended file"]
    );
    assert!(sizes.parts.iter().all(|(_, raw, packed)| *raw > 0 && *packed > 0), "{sizes}");
}

#[test]
fn too_large_says_by_how_much_and_which_parts() {
    let installers = [installer(Arch::X86_64, 17_000)];
    let error = build(Contents { installers: &installers, request: REQUEST, appended: None }).unwrap_err();
    let UserDataError::TooLarge { sizes } = &error else { panic!("{error}") };
    let over = sizes.total() - LIMIT;
    let text = error.to_string();
    assert!(text.starts_with(&format!("the user data is {over} bytes too large")), "{text}");
    assert!(text.contains("installer for x86_64"), "{text}");
    let last = text.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("over 16384 by ") && last.ends_with(&format!(" {over}")), "{text}");
}

/// Incompressible bytes grow by base64's alphabet alone: the whole envelope costs less than three in a hundred.
#[test]
fn envelope_costs_little() {
    let installers = [installer(Arch::X86_64, 15_000)];
    let blob = build(Contents { installers: &installers, request: REQUEST, appended: None }).unwrap();
    assert!(blob.bytes.len() < 15_000 + 15_000 * 3 / 100, "{} bytes", blob.bytes.len());
}
