//! A short run of the fuzzer; `cargo xtask fuzz` runs a long one.

use std::collections::BTreeMap;

use crate::fuzz::{Corpus, check};

const SEED: u64 = 1;
const CASES: u64 = 1000;

#[test]
fn altered_cases_are_refused() {
    let corpus = Corpus::read();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for index in 0..CASES {
        let (case, honest) = corpus.altered(SEED, index, u32::MAX);
        let verdict = check(&case, honest);
        for found in [verdict.proof, verdict.registration].into_iter().flatten() {
            *codes
                .entry(found.map_or_else(|refusal| refusal.code(), |()| "accepted"))
                .or_default() += 1;
        }
        *codes
            .entry(if verdict.has_key { "key" } else { "no key" })
            .or_default() += 1;
    }
    // Cases that only fail to decode would test little.
    for reached in [
        "zk.lookup",
        "zk.sumcheck",
        "zk.opening",
        "zk.encoding",
        "zk.tensor_shape",
        "key",
        "no key",
    ] {
        assert!(codes.get(reached).is_some_and(|count| *count >= 10), "{codes:?}");
    }
}
