use super::{PublicKey, SignatureError, verify};

const PACKAGE: &[u8] = include_bytes!("testdata/package");

fn signer() -> Vec<PublicKey> {
    vec![PublicKey::parse(include_bytes!("testdata/signer.asc")).unwrap()]
}

#[test]
fn signature_within_the_keys_life_holds_binary_or_armoured() {
    for signature in [
        include_bytes!("testdata/in-life.sig").as_slice(),
        include_bytes!("testdata/in-life.asc").as_slice(),
        include_bytes!("testdata/sha512.sig").as_slice(),
    ] {
        let verified = verify(&signer(), signature, PACKAGE).unwrap();
        assert_eq!(verified.signed_at, 1_748_736_000);
        assert_eq!(verified.user_id, "Signer <signer@example.org>");
        assert!(!verified.weak_hash);
    }
}

#[test]
fn signature_over_sha1_holds_and_says_so() {
    assert!(verify(&signer(), include_bytes!("testdata/sha1.sig"), PACKAGE).unwrap().weak_hash);
}

#[test]
fn one_changed_byte_of_the_package_is_seen() {
    let error = verify(&signer(), include_bytes!("testdata/in-life.sig"), b"b package\n").unwrap_err();
    assert!(matches!(error, SignatureError::Mismatch { .. }), "{error}");
}

#[test]
fn signature_by_a_stranger_names_both_keys() {
    let error = verify(&signer(), include_bytes!("testdata/stranger.sig"), PACKAGE).unwrap_err();
    let SignatureError::UnknownKey { signer: stranger, trusted } = &error else { panic!("{error}") };
    assert_ne!(stranger, trusted);
    assert_eq!(*trusted, signer()[0].fingerprint());
}

#[test]
fn signature_made_after_the_key_expired_is_refused() {
    let error = verify(&signer(), include_bytes!("testdata/after-expiry.sig"), PACKAGE).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "signed on 2026-06-01, but the key {} is valid from 2025-01-01 to 2026-01-01",
            signer()[0].fingerprint()
        )
    );
}

#[test]
fn signature_that_runs_out_is_refused() {
    let error = verify(&signer(), include_bytes!("testdata/expiring.sig"), PACKAGE).unwrap_err();
    assert!(matches!(error, SignatureError::Malformed(_)), "{error}");
}

/// Every truncation and every flipped bit ends in an error, none in a panic or in acceptance.
#[test]
fn damaged_signatures_and_keys_are_refused() {
    let good = include_bytes!("testdata/in-life.sig");
    let keys = signer();
    for end in 0..good.len() {
        verify(&keys, &good[..end], PACKAGE).unwrap_err();
    }
    // The unhashed area is not signed; it holds the issuer's id, and the hash's first two bytes follow it.
    let unprotected = good.len() - 2 - 256 - 2 - 12..good.len() - 2 - 256;
    for at in (0..good.len()).filter(|at| !unprotected.contains(at)) {
        let mut bad = good.to_vec();
        bad[at] ^= 0x20;
        assert!(verify(&keys, &bad, PACKAGE).is_err(), "byte {at}");
    }
    let key = include_bytes!("testdata/signer.asc");
    for end in 0..key.len() {
        let _ = PublicKey::parse(&key[..end]);
    }
}

#[test]
fn shipped_key_is_the_one_that_amazon_documents() {
    let key = PublicKey::parse(include_bytes!("../../keys/amazon-ssm-agent.asc")).unwrap();
    assert_eq!(key.fingerprint(), "1C5B395CBE5E74E2F1CA21592784DBF388D19D46");
    assert_eq!(key.user_id, "SSM Agent <ssm-agent-signer@amazon.com>");
    assert_eq!(crate::time::calendar_date(key.created), "2026-06-04");
    assert_eq!(key.expires.map(crate::time::calendar_date).as_deref(), Some("2027-11-25"));
}

proptest::proptest! {
    /// A key file or a signature comes from a network: no bytes make the reader panic, none are taken for good.
    #[test]
    fn no_bytes_are_too_strange_to_be_refused(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
        tag in proptest::sample::select(vec![0x88u8, 0x89, 0x98, 0x99, 0xb4, 0xc2, 0xc6]),
    ) {
        let framed: Vec<u8> = [tag].into_iter().chain(bytes).collect();
        proptest::prop_assert!(PublicKey::parse(&framed).is_err());
        proptest::prop_assert!(verify(&signer(), &framed, PACKAGE).is_err());
    }
}
