//! State records, Merkle paths and bundles: what decodes is canonical and decodes from nothing shorter or longer.

use haca_wire::bundle::{Bundle, LightBlock, MAGIC, Validator};
use haca_wire::light_file::{ATTACK_MAGIC, AttackFile, STATE_MAGIC, StateFile};
use haca_wire::merkle::{Branch, InclusionPath, Step};
use haca_wire::state::*;
use haca_wire::{Decode, Encode};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::codec::check_round_trip;

/// Bytes of which many decode: small counts, tags and flags, and long enough for every record.
fn bytes(prefix: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let prefix = prefix.to_vec();
    let byte = || prop_oneof![12 => Just(0u8), 2 => 0u8..4, 1 => any::<u8>()];
    let sparse = prop::collection::vec(byte(), 1500);
    let empty = (prop::collection::vec(any::<u8>(), 0..12), Just(vec![0; 1500]));
    prop_oneof![sparse, empty.prop_map(|(head, tail)| [head, tail].concat())]
        .prop_map(move |rest| [prefix.clone(), rest].concat())
}

/// Decodes what the bytes start with, and checks what decoded. How many did.
fn check<T: Encode + Decode + PartialEq + std::fmt::Debug>(prefix: &[u8]) -> usize {
    let mut runner = TestRunner::deterministic();
    let strategy = bytes(prefix);
    (0..400)
        .filter(|_| {
            let bytes = strategy.new_tree(&mut runner).unwrap().current();
            let mut reader = haca_wire::Reader::new(&bytes);
            let Ok(value) = T::decode(&mut reader) else {
                return false;
            };
            assert_eq!(value.encode(), bytes[..bytes.len() - reader.remaining()]);
            check_round_trip(&value);
            true
        })
        .count()
}

macro_rules! records {
    ($($name:ident: $t:ty, $prefix:expr);* $(;)?) => {$(
        #[test]
        fn $name() {
            let decoded = check::<$t>($prefix);
            assert!(decoded >= 10, "only {decoded} of 400 inputs decoded");
        }
    )*};
}
records! {
    attack_files: AttackFile, &ATTACK_MAGIC;
    assets: AssetRecord, &[3, 0, 0, 0, b'O', b'P', b'G'];
    bonds: BondRecord, &[];
    branches: Branch, &[];
    chains: ChainRecord, &[];
    channels: ChannelRecord, &[];
    claims: ClaimRecord, &[];
    clocks: Clock, &[];
    calendars: Calendar, &[];
    demands: DemandRecord, &[];
    dockets: DocketRecord, &[];
    governance: GovernanceRecord, &[];
    held: HeldRecord, &[];
    held_keys: HeldKey, &[];
    inclusion_paths: InclusionPath, &[];
    light_blocks: LightBlock, &[];
    models: ModelRecord, &[];
    nodes: NodeRecord, &[];
    params: Params, &[];
    proposals: ProposalRecord, &[[0; 20].as_slice(), &[2]].concat();
    queues: Queue, &[];
    ranges: RangesRecord, &[];
    state_files: StateFile, &STATE_MAGIC;
    spent: Spent, &[];
    spent_nonces: SpentNonces, &[];
    steps: Step, &[];
    supplies: Supply, &[];
    unbondings: UnbondingRecord, &[];
    unstakings: UnstakingRecord, &[];
    validators: Validator, &[];
    validator_records: ValidatorRecord, &[[0; 68].as_slice(), &[1]].concat();
    validator_sets: ValidatorSetRecord, &[];
    windows: SequenceWindow, &[];
}

/// Files of the light client are told apart by their first bytes.
#[test]
fn files_of_another_kind_are_refused() {
    assert_eq!(
        check::<StateFile>(&ATTACK_MAGIC) + check::<AttackFile>(&STATE_MAGIC),
        0
    );
    assert_eq!(check::<StateFile>(&MAGIC) + check::<AttackFile>(b"HACALCA2"), 0);
}

/// A bundle holds signatures, which bytes at random do not contain: nothing decodes, and nothing panics.
#[test]
fn random_bundles_are_refused() {
    assert_eq!(check::<Bundle>(&[]) + check::<Bundle>(&MAGIC), 0);
}
