//! Random values of every type with an encoding.

use haca_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A type that the codec tests cover.
pub(crate) trait Sample: Sized + std::fmt::Debug {
    fn any() -> BoxedStrategy<Self>;

    /// One value, drawn by its type alone.
    fn draw(runner: &mut TestRunner) -> Self {
        Self::any().new_tree(runner).unwrap().current()
    }
}

macro_rules! wrapped {
    ($($t:ident($inner:ty)),* $(,)?) => {$(
        impl Sample for $t {
            fn any() -> BoxedStrategy<Self> { any::<$inner>().prop_map($t).boxed() }
        }
    )*};
}
wrapped!(
    GenesisHash([u8; 32]),
    ModelId([u8; 32]),
    ChannelId([u8; 32]),
    OrderHash([u8; 32]),
    ReceiptHash([u8; 32]),
    RequestHash([u8; 32]),
    ResponseHash([u8; 32]),
    TensorRoot([u8; 32]),
    TxHash([u8; 32]),
    BlockHash([u8; 32]),
    Nonce([u8; 32]),
    ConsensusKey([u8; 32]),
    ConsensusAddress([u8; 20]),
    Address([u8; 20]),
    AssetId(u32),
    Amount(u128),
    ChainId(u64),
    Height(u64),
    Sequence(u64),
    Tick(u64),
    Gas(u64),
    ProposalId(u64),
    RenderId(u16),
);

/// A struct whose fields are all samples.
macro_rules! record {
    ($t:ident { $($field:ident),* $(,)? }) => {
        impl Sample for $t {
            fn any() -> BoxedStrategy<Self> {
                // One seed for all fields: a tuple strategy ends at twelve.
                any::<[u8; 32]>().prop_map(|seed| {
                    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
                    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
                    $(let $field = Sample::draw(&mut runner);)*
                    $t { $($field),* }
                }).boxed()
            }
        }
    };
}

macro_rules! plain {
    ($($t:ty),*) => {$(
        impl Sample for $t {
            fn any() -> BoxedStrategy<Self> { proptest::prelude::any::<$t>().boxed() }
        }
    )*};
}
plain!(u8, u16, u32, u64, u128, bool, [u8; 32]);

impl Sample for DType {
    fn any() -> BoxedStrategy<Self> {
        select(vec![Self::I8, Self::I16, Self::I32, Self::I64]).boxed()
    }
}

impl Sample for Shape {
    fn any() -> BoxedStrategy<Self> {
        vec(1u32..4, 0..=4)
            .prop_map(|dims| Self::new(dims).unwrap())
            .boxed()
    }
}

impl Sample for Tensor {
    fn any() -> BoxedStrategy<Self> {
        (DType::any(), Shape::any())
            .prop_flat_map(|(dtype, shape)| {
                let (low, high) = dtype.range();
                vec(
                    prop_oneof![low..=high, Just(low), Just(high), Just(-1)],
                    shape.elements(),
                )
                .prop_map(move |values| Self::new(dtype, shape.clone(), values).unwrap())
            })
            .boxed()
    }
}

impl Sample for Scale {
    fn any() -> BoxedStrategy<Self> {
        (1u32.., 0..=Self::MAX_SHIFT)
            .prop_map(|(mantissa, shift)| Self::new(mantissa, shift).unwrap())
            .boxed()
    }
}

impl Sample for Name {
    fn any() -> BoxedStrategy<Self> {
        "[!#-\\[\\]-~]{1,64}"
            .prop_map(|text| Self::new(&text).unwrap())
            .boxed()
    }
}

impl Sample for EvidenceKind {
    fn any() -> BoxedStrategy<Self> {
        select(vec![Self::Signed, Self::Zk, Self::Tee, Self::Optimistic]).boxed()
    }
}

impl Sample for Proposal {
    fn any() -> BoxedStrategy<Self> {
        let changes = prop::sample::subsequence(Parameter::ALL, 1..=Parameter::ALL.len())
            .prop_flat_map(|chosen| {
                let count = chosen.len();
                (Just(chosen), vec(any::<u128>(), count))
            })
            .prop_map(|(chosen, values)| {
                let pairs = chosen.into_iter().zip(values);
                let changes = pairs.map(|(parameter, value)| ParamChange { parameter, value });
                Self::Parameters(changes.collect())
            });
        prop_oneof![
            changes,
            (any::<u64>(), Height::any()).prop_map(|(version, height)| Self::Upgrade { version, height }),
            ProposalId::any().prop_map(Self::Cancel),
        ]
        .boxed()
    }
}

impl Sample for SecretKey {
    fn any() -> BoxedStrategy<Self> {
        any::<[u8; 32]>()
            .prop_filter_map("a scalar", |bytes| Self::from_bytes(&bytes))
            .boxed()
    }
}

impl Sample for Signature {
    fn any() -> BoxedStrategy<Self> {
        (SecretKey::any(), any::<[u8; 32]>())
            .prop_map(|(key, digest)| key.sign(&digest).unwrap())
            .boxed()
    }
}

impl<T: Sample + Clone + 'static> Sample for Signed<T> {
    fn any() -> BoxedStrategy<Self> {
        (T::any(), Signature::any())
            .prop_map(|(value, signature)| Self { value, signature })
            .boxed()
    }
}

impl<T: Sample + Clone + 'static> Sample for Option<T> {
    fn any() -> BoxedStrategy<Self> {
        proptest::option::of(T::any()).boxed()
    }
}

record!(Domain { chain_id, genesis });
record!(TensorSpec {
    name,
    dtype,
    shape,
    scale
});
record!(Quote {
    node,
    payer,
    asset,
    deposit,
    warranty,
    offer_version,
    expires,
    nonce
});
record!(Order {
    channel,
    sequence,
    request,
    input_root,
    model,
    evidence,
    offer_version,
    max_fee,
    warranty,
    settle_by
});
record!(Close { channel, expires });
record!(Receipt {
    channel,
    sequence,
    order,
    input_root,
    output_root,
    response,
    render,
    parameters,
    seed,
    units,
    fee,
    block_height,
    block_hash,
    signer
});
record!(Settlement {
    channel,
    sequence,
    order,
    receipt,
    model,
    evidence,
    payer,
    node,
    payout,
    asset,
    fee,
    tx
});
record!(Item { order, receipt });
record!(Answer { first, receipt });
record!(Voucher {
    channel,
    first,
    count,
    root,
    model,
    evidence,
    total,
    warranty,
    settle_by
});
record!(ReceiptRoot {
    channel,
    first,
    count,
    root,
    block_height,
    block_hash,
    signer
});
record!(Coverage { voucher, root });
record!(TxMeta {
    sender,
    expiry,
    nonce,
    max_base_fee,
    tip,
    sponsor
});
record!(Offer {
    model,
    evidence,
    asset,
    base_price,
    unit_price
});

impl Sample for Inference {
    fn any() -> BoxedStrategy<Self> {
        (vec(Tensor::any(), 0..3), vec(Tensor::any(), 0..3))
            .prop_map(|(inputs, outputs)| Self { inputs, outputs })
            .boxed()
    }
}

impl Sample for Evidence {
    fn any() -> BoxedStrategy<Self> {
        prop_oneof![
            Just(Self::Signed),
            Just(Self::Optimistic),
            (vec(Inference::any(), 0..3), vec(any::<u8>(), 0..99))
                .prop_map(|(inferences, proof)| Self::Zk { inferences, proof }),
        ]
        .boxed()
    }
}

impl Sample for Group {
    fn any() -> BoxedStrategy<Self> {
        (vec(Item::any(), 1..3), Evidence::any())
            .prop_map(|(items, evidence)| Self { items, evidence })
            .boxed()
    }
}

impl Sample for Message {
    fn any() -> BoxedStrategy<Self> {
        let blob = || vec(any::<u8>(), 0..40);
        prop_oneof![
            (Address::any(), AssetId::any(), Amount::any()).prop_map(|(to, asset, amount)| Self::Transfer {
                to,
                asset,
                amount
            }),
            (blob(), blob()).prop_map(|(verifying_key, proof)| Self::RegisterModel { verifying_key, proof }),
            (
                "\\PC{0,40}",
                Address::any(),
                Address::any(),
                vec(Offer::any(), 0..4)
            )
                .prop_map(|(endpoint, payout, signer, offers)| Self::RegisterNode {
                    endpoint,
                    payout,
                    signer,
                    offers
                }),
            (AssetId::any(), Amount::any()).prop_map(|(asset, amount)| Self::Bond { asset, amount }),
            (AssetId::any(), Amount::any()).prop_map(|(asset, amount)| Self::Unbond { asset, amount }),
            Signed::any().prop_map(|quote| Self::OpenChannel { quote }),
            (ChannelId::any(), Amount::any()).prop_map(|(channel, amount)| Self::TopUp { channel, amount }),
            (ChannelId::any(), Option::any())
                .prop_map(|(channel, consent)| Self::CloseChannel { channel, consent }),
            vec(Group::any(), 1..3).prop_map(|groups| Self::SettleBatch { groups }),
            (Signed::any(), Signed::any()).prop_map(|(order, receipt)| Self::ClaimMissed { order, receipt }),
            (Signed::any(), Signed::any(), Signed::any())
                .prop_map(|(order, first, second)| Self::ClaimEquivocation { order, first, second }),
            (ConsensusKey::any(), any::<[u8; 32]>(), Amount::any()).prop_map(|(key, half, amount)| {
                let mut possession = [7; 64];
                possession[..32].copy_from_slice(&half);
                Self::Stake {
                    key,
                    possession,
                    amount,
                }
            }),
            (ConsensusKey::any(), Amount::any()).prop_map(|(key, amount)| Self::Unstake { key, amount }),
            ConsensusKey::any().prop_map(|key| Self::Unjail { key }),
            (ConsensusKey::any(), Proposal::any())
                .prop_map(|(key, proposal)| Self::Propose { key, proposal }),
            (ConsensusKey::any(), ProposalId::any(), any::<bool>()).prop_map(|(key, proposal, approve)| {
                Self::Vote {
                    key,
                    proposal,
                    approve,
                }
            }),
            (
                ChannelId::any(),
                Sequence::any(),
                Sequence::any(),
                ReceiptHash::any(),
                vec(any::<[u8; 32]>(), 0..4)
            )
                .prop_map(|(channel, first, sequence, receipt, path)| Self::Demand {
                    channel,
                    first,
                    sequence,
                    receipt,
                    path
                }),
            (vec(Answer::any(), 1..3), vec(Inference::any(), 0..3), blob()).prop_map(
                |(answers, inferences, proof)| Self::Respond {
                    answers,
                    inferences,
                    proof
                }
            ),
            vec(Coverage::any(), 1..3).prop_map(|coverages| Self::SettleVouchers { coverages }),
            (
                Signed::any(),
                Signed::any(),
                Signed::any(),
                Option::any(),
                vec(any::<[u8; 32]>(), 0..4)
            )
                .prop_map(|(order, receipt, root, leaf, path)| Self::ClaimFalseLeaf {
                    order,
                    receipt,
                    root,
                    leaf,
                    path
                }),
        ]
        .boxed()
    }
}

record!(Transaction { meta, message });

impl Sample for SignedTransaction {
    fn any() -> BoxedStrategy<Self> {
        (Transaction::any(), Signature::any(), Option::<Signature>::any())
            .prop_map(|(mut transaction, signature, sponsor_signature)| {
                if sponsor_signature.is_none() {
                    transaction.meta.sponsor = Address([0; 20]);
                }
                Self {
                    transaction,
                    signature,
                    sponsor_signature,
                }
            })
            .boxed()
    }
}
