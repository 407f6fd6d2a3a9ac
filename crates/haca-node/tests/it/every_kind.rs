//! A chain with every kind of message: taken, refused, with proofs that hold and proofs that do not, among empty blocks.

use std::collections::BTreeSet;

use haca_ledger::{CommitVote, query};
use haca_node::Genesis;
use haca_wire::{state::Jail, voucher::receipt_path, *};

use crate::{
    chain_log::{ChainLog, start},
    script::Key,
    world::{USD, World, alice, bob, consensus_id, node, pauper, signer, sponsor},
};

/// The chain. `proposer` proposes every block.
pub(crate) fn every_kind(genesis: Genesis, proposer: [u8; 20]) -> ChainLog {
    let mut world = start(&genesis, proposer).furnished();
    validators(&mut world);
    traffic(genesis, world)
}

/// The same without validators that come and go: what they do depends on votes and on time, which are a real engine's own.
pub(crate) fn every_kind_of_traffic(genesis: Genesis, proposer: [u8; 20]) -> ChainLog {
    let world = start(&genesis, proposer).furnished();
    traffic(genesis, world)
}

fn traffic(genesis: Genesis, mut world: World) -> ChainLog {
    let channel = world.open(&alice());
    transfers(&mut world);
    settlements(&mut world, channel);
    doubts(&mut world, channel);
    vouchers(&mut world, channel);
    let other = world.open(&bob());
    let consent = Close {
        channel: other,
        expires: Height(world.height().0 + 5),
    };
    let consent = Some(Signed::new(consent, &world.domain, &node()).unwrap());
    let close = Message::CloseChannel {
        channel: other,
        consent,
    };
    world.ok(&bob(), close);
    // Last, for it ends with the node in jail.
    claims(&mut world, channel);
    world.wait(1);
    ChainLog::of(genesis, world)
}

/// Money, keys, bytes that are no transaction, and a transaction that comes twice.
fn transfers(world: &mut World) {
    let transfer = |amount| Message::Transfer {
        to: bob().address(),
        asset: USD,
        amount: Amount(amount),
    };
    let (asset, amount) = (USD, Amount(50));
    let proof = Key::new(2).registration_proof();
    let model = |tag: u8, proof: Vec<u8>| Message::RegisterModel {
        verifying_key: Key::new(tag).encode(),
        proof,
    };
    let mut sponsored = world.signed(&pauper(), transfer(0)).transaction;
    sponsored.meta.sponsor = sponsor().address();
    let sponsored = SignedTransaction::sign(sponsored, &world.domain, &pauper())
        .unwrap()
        .cosign(&world.domain, &sponsor());
    let once = world.tx(&alice(), transfer(7));
    let mut txs = vec![
        once.clone(),
        once,
        b"no transaction".to_vec(),
        Vec::new(),
        world.tx(&alice(), transfer(u128::MAX)),
        world.tx(&pauper(), transfer(1)),
        world.tx(&bob(), model(2, proof.clone())),
        world.tx(&bob(), model(3, proof)),
        world.tx(&bob(), model(3, Key::new(3).registration_proof())),
        world.tx(&node(), Message::Bond { asset, amount }),
        world.tx(&node(), Message::Unbond { asset, amount }),
    ];
    txs.push(sponsored.unwrap().encode());
    let mut bent = txs[0].clone();
    bent[40] ^= 1;
    txs.push(bent);
    world.block(&txs);
    let terms = world.terms();
    world.ok(&node(), terms);
}

/// Receipts with signatures and with proofs, alone and together, and a proof that fails.
fn settlements(world: &mut World, channel: ChannelId) {
    let amount = Amount(100);
    world.ok(&alice(), Message::TopUp { channel, amount });
    let item = |world: &World, sequence, kind| world.item(channel, sequence, kind);
    let signed: Vec<_> = (0..3).map(|s| item(world, s, EvidenceKind::Signed)).collect();
    let proven: Vec<_> = (3..6).map(|s| item(world, s, EvidenceKind::Zk)).collect();
    let groups = vec![world.signed_group(signed), world.zk_group(proven)];
    world.ok(
        &node(),
        Message::SettleBatch {
            groups: groups.clone(),
        },
    );
    // The same receipts with a false proof and with the right one, in either order; then a proof that holds, under
    // receipts that it was not made for.
    let batch = |group: &Group| Message::SettleBatch {
        groups: vec![group.clone()],
    };
    let good = [6, 7, 8].map(|sequence| world.zk_group(vec![item(world, sequence, EvidenceKind::Zk)]));
    let bad = good.clone().map(|mut group| {
        if let Evidence::Zk { proof, .. } = &mut group.evidence {
            proof[0] ^= 1;
        }
        group
    });
    let mut moved = good[0].clone();
    moved.items = vec![item(world, 106, EvidenceKind::Zk)];
    let both = Message::SettleBatch {
        groups: vec![good[2].clone(), bad[1].clone()],
    };
    let txs = [
        world.tx(&node(), Message::SettleBatch { groups }),
        world.tx(&node(), batch(&bad[0])),
        world.tx(&node(), batch(&good[0])),
        world.tx(&node(), both),
        world.tx(&node(), batch(&good[1])),
        world.tx(&node(), batch(&bad[2])),
    ];
    world.block(&txs);
    let txs = [
        world.tx(&node(), batch(&good[2])),
        world.tx(&node(), batch(&moved)),
    ];
    world.block(&txs);
}

/// Receipts without a proof, which the payer doubts and the node proves, after a proof of something else.
fn doubts(world: &mut World, channel: ChannelId) {
    let items = [10, 11].map(|sequence| world.item(channel, sequence, EvidenceKind::Optimistic));
    let groups = vec![Group {
        items: items.to_vec(),
        evidence: Evidence::Optimistic,
    }];
    world.ok(&node(), Message::SettleBatch { groups });
    let hashes = items
        .each_ref()
        .map(|item| item.receipt.value.hash(&world.domain));
    for (item, receipt) in items.iter().zip(hashes) {
        let sequence = item.order.value.sequence;
        let demand = Message::Demand {
            channel,
            first: sequence,
            sequence,
            receipt,
            path: Vec::new(),
        };
        world.ok(&alice(), demand);
    }
    let inferences: Vec<_> = [10, 11].map(|sequence| world.inference(sequence)).to_vec();
    let answers: Vec<_> = items
        .iter()
        .map(|item| Answer {
            first: item.order.value.sequence,
            receipt: item.receipt.value.clone(),
        })
        .collect();
    let respond = |context: &[u8; 32]| Message::Respond {
        answers: answers.clone(),
        inferences: inferences.clone(),
        proof: Key::new(1).settlement_proof(context, &inferences),
    };
    let txs = [
        world.tx(&node(), respond(&[0; 32])),
        world.tx(&node(), respond(&proof_context(&world.domain, &hashes))),
    ];
    world.block(&txs);
}

/// A range under one voucher, twice.
fn vouchers(world: &mut World, channel: ChannelId) {
    let leaves: Vec<_> = (30..34)
        .map(|sequence| {
            let item = world.item(channel, sequence, EvidenceKind::Signed);
            Some(item.receipt.value.hash(&world.domain))
        })
        .collect();
    let voucher = Voucher {
        channel,
        first: Sequence(30),
        count: 4,
        root: receipt_root(&leaves),
        model: Key::new(1).model,
        evidence: EvidenceKind::Signed,
        total: Amount(40),
        warranty: Amount(50),
        settle_by: Tick(world.tick().0 + 15),
    };
    let coverages = vec![Coverage {
        voucher: Signed::new(voucher, &world.domain, &alice()).unwrap(),
        root: root(world, channel, &leaves),
    }];
    world.ok(
        &node(),
        Message::SettleVouchers {
            coverages: coverages.clone(),
        },
    );
    let again = world.tx(&node(), Message::SettleVouchers { coverages });
    world.block(&[again]);
}

/// What the node signs over sequences 30 to 33.
fn root(world: &World, channel: ChannelId, leaves: &[Option<ReceiptHash>]) -> Signed<ReceiptRoot> {
    let root = ReceiptRoot {
        channel,
        first: Sequence(30),
        count: 4,
        root: receipt_root(leaves),
        block_height: world.height(),
        block_hash: BlockHash([3; 32]),
        signer: signer().address(),
    };
    Signed::new(root, &world.domain, &signer()).unwrap()
}

/// A validator comes, is absent until it is jailed, is freed, decides over a parameter, and leaves with a part of its stake.
fn validators(world: &mut World) {
    const TAG: u8 = 20;
    let key = consensus_id(TAG);
    let stake = world.stake_message(&bob(), TAG, 3_000);
    world.ok(&bob(), stake);
    world.wait(2);
    while query::validator(&world.state, key).unwrap().unwrap().jail == Jail::Free {
        world.votes = vec![CommitVote {
            validator: key.address().0,
            signed: false,
        }];
        world.block(&[]);
    }
    world.wait(world.params().validators.jail_blocks);
    world.ok(&bob(), Message::Unjail { key });
    for (tag, amount) in [(TAG, 30_000), (TAG + 1, 30_000)] {
        let stake = world.stake_message(&bob(), tag, amount);
        world.ok(&bob(), stake);
    }
    let change = ParamChange {
        parameter: Parameter::NodeStake,
        value: 5_001,
    };
    let proposal = Proposal::Parameters(vec![change]);
    world.ok(&bob(), Message::Propose { key, proposal });
    let vote = Message::Vote {
        key: consensus_id(TAG + 1),
        proposal: ProposalId(1),
        approve: true,
    };
    world.ok(&bob(), vote.clone());
    assert!(world.run(&bob(), vote).refusal.is_some(), "it has passed");
    let amount = Amount(20_000);
    world.ok(&bob(), Message::Unstake { key, amount });
}

/// A settlement that was missed, and a receipt that its root has not, and two receipts for one order.
fn claims(world: &mut World, channel: ChannelId) {
    let missed = world.item(channel, 20, EvidenceKind::Signed);
    let (order, receipt) = (missed.order, missed.receipt);
    let claim = Message::ClaimMissed { order, receipt };
    assert!(world.run(&alice(), claim.clone()).refusal.is_some(), "too early");
    world.wait(22);
    world.ok(&alice(), claim);
    let item = world.item(channel, 31, EvidenceKind::Signed);
    let leaves = [Some(ReceiptHash([8; 32])); 4];
    let message = Message::ClaimFalseLeaf {
        order: item.order,
        receipt: item.receipt,
        root: root(world, channel, &leaves),
        leaf: leaves[1],
        path: receipt_path(&leaves, 1).unwrap(),
    };
    world.ok(&bob(), message);
    let item = world.item(channel, 21, EvidenceKind::Signed);
    let mut second = item.receipt.value.clone();
    second.response = ResponseHash([0x99; 32]);
    let second = Signed::new(second, &world.domain, &signer()).unwrap();
    let (order, first) = (item.order, item.receipt);
    world.ok(&bob(), Message::ClaimEquivocation { order, first, second });
    world.ok(
        &alice(),
        Message::CloseChannel {
            channel,
            consent: None,
        },
    );
}

/// The names of the messages that took effect in a log.
fn effective(log: &ChainLog) -> BTreeSet<&'static str> {
    let blocks = log.blocks.iter();
    let txs = blocks.flat_map(|block| block.txs.iter().zip(&block.outcome.txs));
    txs.filter(|(_, outcome)| outcome.refusal.is_none())
        .map(|(tx, _)| {
            SignedTransaction::decode_all(tx)
                .unwrap()
                .transaction
                .message
                .name()
        })
        .collect()
}

#[test]
fn every_kind_of_message_is_there_and_so_is_every_way_to_fail() {
    let (genesis, _) = crate::chain_log::network();
    let log = every_kind(genesis, crate::world::PROPOSER);
    let expected = [
        "Bond",
        "ClaimEquivocation",
        "ClaimFalseLeaf",
        "ClaimMissed",
        "CloseChannel",
        "Demand",
        "OpenChannel",
        "Propose",
        "RegisterModel",
        "RegisterNode",
        "Respond",
        "SettleBatch",
        "SettleVouchers",
        "Stake",
        "TopUp",
        "Transfer",
        "Unbond",
        "Unjail",
        "Unstake",
        "Vote",
    ];
    assert_eq!(effective(&log), BTreeSet::from(expected));
    let refusals: BTreeSet<_> = log
        .blocks
        .iter()
        .flat_map(|block| &block.outcome.txs)
        .filter_map(|tx| Some(tx.refusal.as_ref()?.code()))
        .collect();
    for code in [
        "ledger.malformed",
        "ledger.nonce_used",
        "ledger.evidence",
        "ledger.registration_proof",
    ] {
        assert!(refusals.contains(code), "{code} is not among {refusals:?}");
    }
    assert!(log.blocks.iter().any(|block| block.txs.is_empty()));
    let charged = |refused: bool| {
        let txs = log.blocks.iter().flat_map(|block| &block.outcome.txs);
        txs.filter(|tx| tx.refusal.is_some() == refused && tx.gas_used.0 > 0)
            .count()
    };
    assert!(charged(true) > 3 && charged(false) > 10);
}
