use std::fs;

use pitcrew_core::time::WallTime;
use proptest::prelude::*;

use super::*;

fn record(number: u64) -> Record {
    Record { at: WallTime(number), what: What::AgentStarted { version: format!("0.{number}") } }
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.at.0).collect()
}

#[test]
fn a_restart_knows_what_happened_before() {
    let directory = tempfile::tempdir().unwrap();
    let (history, torn) = History::open(directory.path(), 10);
    assert_eq!((history.records(), torn), (vec![], 0));
    (1..=3).for_each(|number| history.add(record(number)));
    let (history, torn) = History::open(directory.path(), 10);
    assert_eq!((numbers(&history.records()), torn), (vec![1, 2, 3], 0));
}

#[test]
fn at_least_so_many_are_kept_and_at_most_twice_as_many() {
    let directory = tempfile::tempdir().unwrap();
    let (history, _) = History::open(directory.path(), 10);
    for number in 1..=95 {
        history.add(record(number));
        let (kept, torn) = History::read(directory.path());
        let least = usize::try_from(number).unwrap().min(10);
        assert!((least..=20).contains(&kept.len()) && torn == 0, "{} after {number}", kept.len());
        assert_eq!(kept.last(), Some(&record(number)));
    }
    assert_eq!(numbers(&history.records()), (86..=95).collect::<Vec<_>>());
    let (again, _) = History::open(directory.path(), 10);
    assert_eq!(again.records(), history.records());
}

#[test]
fn a_disk_that_refuses_costs_nothing_but_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (history, _) = History::open(&directory.path().join("nowhere"), 10);
    history.add(record(1));
    assert_eq!(numbers(&history.records()), [1]);
}

proptest! {
    /// Whatever a crash or a disk does to the end of the file, every line before it is read, and the next record too.
    #[test]
    fn a_torn_end_costs_the_torn_lines_alone(cut in 0_usize..400, noise in proptest::collection::vec(any::<u8>(), 0..20)) {
        let directory = tempfile::tempdir().unwrap();
        let (history, _) = History::open(directory.path(), 100);
        (1..=5).for_each(|number| history.add(record(number)));
        let path = directory.path().join("history.jsonl");
        let mut bytes = fs::read(&path).unwrap();
        let cut = cut.min(bytes.len());
        bytes.truncate(bytes.len() - cut);
        let whole = bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
        bytes.extend(&noise);
        fs::write(&path, bytes).unwrap();

        let (history, _) = History::open(directory.path(), 100);
        history.add(record(9));
        let (found, _) = History::read(directory.path());
        let found = numbers(&found);
        prop_assert!(found.starts_with(&(1..=whole).collect::<Vec<_>>()), "{found:?} of {whole}");
        prop_assert_eq!(found.last(), Some(&9));
    }
}
