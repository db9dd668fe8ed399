//! Every state in which a crash or a power failure can leave the directory: each operation of a save done or not, the
//! draft torn at any block, renames on disk or not yet.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a disk that cannot be laid out is a failed test")]

use std::fs;
use std::path::Path;

use pitcrew::ledger::{DirStore, Ledger, Opened};
use pitcrew_core::time::Now;
use tempfile::TempDir;

type Notes = Vec<u64>;

/// Larger than some blocks.
fn notes(generation: u64) -> Notes {
    (0..3_000).map(|n| generation * 1_000_000 + n).collect()
}

fn open(dir: &Path) -> (Ledger<Notes>, Opened<Notes>) {
    Ledger::open(Box::new(DirStore::open(dir).unwrap()), "i-1".into(), "boot-1".into()).unwrap()
}

/// The documents of generations 1, 2 and 3 as they lie on disk.
fn documents() -> [Vec<u8>; 3] {
    let dir = TempDir::new().unwrap();
    let (mut ledger, _) = open(dir.path());
    [1, 2, 3].map(|generation| {
        ledger.save(Now::default(), &notes(generation)).unwrap();
        fs::read(dir.path().join("ledger.json")).unwrap()
    })
}

/// What lies in the three places: current, previous, draft.
type Lies<'a> = [Option<&'a [u8]>; 3];

fn remembered(lies: Lies<'_>) -> (Option<Notes>, usize) {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in ["ledger.json", "ledger.previous.json", "ledger.json.new"].iter().zip(lies) {
        if let Some(bytes) = bytes {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
    }
    let (mut ledger, opened) = open(dir.path());
    // Whatever was found, the next save is the newest for whoever comes after.
    ledger.save(Now::default(), &notes(9)).unwrap();
    drop(ledger);
    assert_eq!(open(dir.path()).1.remembered.map(|found| found.memory), Some(notes(9)));
    (opened.remembered.map(|found| found.memory), opened.findings.len())
}

#[test]
fn a_save_that_was_cut_off_anywhere_leaves_the_last_one_or_itself() {
    let [one, two, three] = documents();
    let mut states = 0;
    let mut check = |lies: Lies<'_>, promised: &[u64], may_also: Option<u64>| {
        let (memory, findings) = remembered(lies);
        let good = promised.iter().copied().chain(may_also).any(|generation| memory == Some(notes(generation)));
        assert!(good && findings == 0, "{findings} findings");
        states += 1;
    };
    // The draft of the third generation, torn at every block of 512 bytes, before any rename.
    let blocks = (0..three.len()).step_by(512).chain([three.len()]);
    for block in blocks {
        check([Some(&two), Some(&one), Some(&three[..block])], &[2], None);
    }
    // It is whole; the first rename was done, the second not.
    check([None, Some(&two), Some(&three)], &[2], None);
    // The second rename reached the disk, the first did not: both names are of the draft's directory, in any order.
    check([Some(&three), Some(&one), None], &[3], None);
    check([Some(&three), Some(&two), None], &[3], None);
    // The first save of all.
    for block in (0..one.len()).step_by(512) {
        let dir = [None, None, Some(&one[..block])];
        assert_eq!(remembered(dir), (None, 0));
        states += 1;
    }
    println!("{states} states of the directory");
    assert!(states > 50);
}

#[test]
fn a_file_system_that_renames_before_it_writes_costs_one_generation_and_says_so() {
    let [_, two, three] = documents();
    for block in (0..three.len()).step_by(512) {
        // What was not written reads as nothing, or as zeros.
        let mut zeros = three[..block].to_vec();
        zeros.resize(three.len(), 0);
        for torn in [&three[..block], &zeros] {
            assert_eq!(remembered([Some(torn), Some(&two), None]), (Some(notes(2)), 1), "torn at {block}");
        }
    }
}
