//! Documents that nobody wrote like that: every one leads to a start, and what is odd is said.

use std::fs;

use super::Host;

#[test]
fn whatever_lies_in_the_state_directory_the_agent_starts_and_says_what_is_odd() {
    let table: [(&str, &[u8], &str); 8] = [
        ("empty", b"", "was damaged (EOF while parsing"),
        ("a newline", b"\n", "was damaged (EOF while parsing"),
        ("zeros, as a journal that was not replayed leaves them", &[0; 4096], "was damaged"),
        ("garbage", b"\x7fELF\x02\x01\x01\xff\xfe", "was damaged"),
        ("torn", br#"{"pitcrew_ledger":1,"crc32":"00000000","body":{"generation":1,"inst"#, "was damaged"),
        ("newer", br#"{"pitcrew_ledger":2,"zstd":"KLUv/Q=="}"#, "has format 2, which this version (format 1)"),
        ("older", br#"{"pitcrew_ledger":0,"memory":{}}"#, "has format 0, which this version (format 1)"),
        ("no ledger at all", br#"{"hello":"world"}"#, "missing field `pitcrew_ledger`"),
    ];
    for (name, document, said) in table {
        for places in [&["ledger.json"][..], &["ledger.json", "ledger.previous.json"], &["ledger.previous.json"]] {
            let host = Host::new();
            for place in places {
                fs::write(host.state().join(place), document).unwrap();
            }
            let _agent = host.ready(&[]);
            let log = host.log();
            assert!(log.contains(said), "{name} in {places:?}: {log}");
            assert!(!log.contains("panicked"), "{name} in {places:?}: {log}");
            assert_eq!(log.matches("is kept as").count(), places.len(), "{name} in {places:?}: {log}");
            assert!(!host.is_held());
        }
    }
}

#[test]
fn a_good_older_document_is_used_where_the_newest_is_torn() {
    let host = Host::new();
    let agent = host.ready(&[]);
    // Each makes a generation.
    host.out();
    host.out();
    assert!(host.is_held());
    drop(agent);
    let current = host.state().join("ledger.json");
    let whole = fs::read(&current).unwrap();
    for kept in [0, 1, whole.len() / 2, whole.len() - 2] {
        fs::write(&current, &whole[..kept]).unwrap();
        let agent = host.ready(&[]);
        assert!(host.is_held(), "after {kept} bytes: {}", host.log());
        drop(agent);
        fs::write(&current, &whole).unwrap();
    }
}

#[test]
fn a_directory_in_the_ledgers_place_is_refused_with_a_sentence() {
    let host = Host::new();
    fs::create_dir(host.state().join("ledger.json")).unwrap();
    let (mut agent, _manager) = host.start(&[]);
    assert_eq!(agent.0.wait().unwrap().code(), Some(1));
    assert!(host.log().contains("failed to read"), "{}", host.log());
}
