//! Random changes to the bytes of a bundle: none is verified, none panics.

use haca_verify::{Outcome, verify_bundle};
use haca_wire::Encode as _;

use crate::network::{NOW_S, Network, assert_verified, signed};

/// A small generator (splitmix64), so that a failure can be repeated from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound
    }
}

/// Every kind of change, one at a time.
pub(crate) fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    match random.below(8) {
        0 => changed.truncate(random.below(bytes.len())),
        1 => changed.extend((0..=random.below(40)).map(|_| random.below(256) as u8)),
        2 => {
            let at = random.below(bytes.len());
            changed.remove(at);
        }
        3 => {
            let at = random.below(bytes.len());
            changed.insert(at, random.below(256) as u8);
        }
        _ => {
            let at = random.below(bytes.len());
            changed[at] ^= 1 << random.below(8);
        }
    }
    changed
}

#[test]
fn two_thousand_random_changes_are_never_verified() {
    for network in [Network::new(), Network::covered()] {
        let bytes = network.bundle().encode();
        assert_verified(&verify_bundle(&bytes, network.trust(), NOW_S, &signed()));
        let mut random = Random(1);
        for round in 0..2000 {
            let changed = mutate(&bytes, &mut random);
            if changed == bytes {
                continue;
            }
            let report = verify_bundle(&changed, network.trust(), NOW_S, &signed());
            assert_ne!(report.outcome(), Outcome::Verified, "round {round}");
        }
    }
}

/// Not by sampling: every byte of a bundle is bound.
#[test]
fn no_byte_of_a_bundle_can_change_unnoticed() {
    for network in [Network::new(), Network::covered()] {
        let bytes = network.bundle().encode();
        let mut random = Random(2);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.below(8);
            let report = verify_bundle(&changed, network.trust(), NOW_S, &signed());
            assert_ne!(report.outcome(), Outcome::Verified, "byte {at}");
        }
    }
}
