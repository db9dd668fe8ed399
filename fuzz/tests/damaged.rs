//! Everything in the corpus, and what is shipped, as it is and damaged at random: the same cases at every run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a case that panics is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use pitcrew_fuzz::{TARGETS, case};

/// Damaged inputs of each target, over all that are good.
const CASES: usize = 2_000;

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let folder = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What a target reads without complaint, and what it was once found to stumble over.
fn known(target: &str) -> Vec<Vec<u8>> {
    let shipped = match target {
        "agent-configuration" => {
            files(&house().join("packaging/config.d")).iter().map(|text| uncommented(text)).collect()
        }
        "bundle-appspec" | "bundle-appspec-init" => {
            vec![fs::read(house().join("packaging/appspec/sample/appspec.yml")).unwrap()]
        }
        "elastigroup-export" => files(&house().join("packaging/elastigroup")),
        _ => Vec::new(),
    };
    [files(&house().join("fuzz/corpus").join(target)), shipped].concat()
}

/// Shipped fragments are mostly comments: uncommented, they are all settings.
fn uncommented(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line).trim());
    lines.filter(|line| line.contains(" = ") || line.starts_with('[')).collect::<Vec<_>>().join("\n").into_bytes()
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, known: &[Vec<u8>]) {
    if bytes.is_empty() {
        return bytes.extend([rng.u8(..), rng.u8(..)]);
    }
    let at = rng.usize(..bytes.len());
    match rng.u8(..9) {
        0 => bytes[at] = rng.u8(..),
        1 => bytes[at] ^= 1 << rng.u8(..8),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..(at + rng.usize(1..20)).min(bytes.len()))),
        4 => bytes.insert(at, *rng.choice(b"{}[]<>\"'\\/&;:,=0-9 \n\0\xff").unwrap()),
        5 => {
            let piece = bytes[at..(at + rng.usize(1..40)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece.repeat(rng.usize(1..30)));
        }
        6 => {
            let other = rng.choice(known).unwrap();
            bytes.truncate(at);
            bytes.extend(&other[rng.usize(..other.len().max(1)).min(other.len())..]);
        }
        7 => {
            let number =
                *rng.choice(&["0", "-1", "1e999", "18446744073709551616", "0.1", "null", "\"\"", "{}"]).unwrap();
            bytes.splice(at..at, number.bytes());
        }
        _ => bytes.splice(at..at, "äöü\u{202e}\u{0}".bytes()).for_each(drop),
    }
}

/// Puts all that is known, and damaged copies of it, through the case of `target`.
fn survives(target: &str) {
    let case = case(target).unwrap();
    let known = known(target);
    let mut rng = Rng::with_seed(1);
    case(b"");
    for good in &known {
        case(good);
        for _ in 0..CASES / known.len() {
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..6) {
                damage(&mut rng, &mut bytes, &known);
            }
            case(&bytes);
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let folders: BTreeSet<_> =
        fs::read_dir(house().join("fuzz/corpus")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| name.into()).collect();
    assert_eq!(folders, targets);
}

#[test]
fn what_the_agent_reads_of_its_own() {
    ["agent-socket", "agent-configuration", "agent-ledger"].into_iter().for_each(survives);
}

#[test]
fn requests_to_the_agent() {
    survives("agent-http");
}

#[test]
fn answers_of_the_metadata_service() {
    survives("answers-metadata");
}

#[test]
fn answers_of_aws() {
    survives("answers-aws");
}

#[test]
fn answers_of_elastigroup() {
    survives("answers-elastigroup");
}

#[test]
fn what_deployments_and_operators_bring_along() {
    ["bundle-appspec", "bundle-appspec-init", "elastigroup-export"].into_iter().for_each(survives);
}

#[test]
fn what_the_bootstrap_reads() {
    let targets = TARGETS.iter().map(|(name, _)| *name).filter(|name| name.starts_with("bootstrap-"));
    targets.for_each(survives);
}
