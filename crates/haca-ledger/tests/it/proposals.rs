//! Mempool and proposals: one rule for proposer and voter, and no free work.

use haca_ledger::{
    CheckMode, ProposalRefusal, Refusal, check_proposal, check_tx, evidence_jobs, select_proposal,
};
use haca_wire::{
    Address, Amount, Encode, Evidence, EvidenceKind, Gas, Height, Message, SecretKey, SignedTransaction,
    Transaction, TxMeta,
};

use crate::script::Key;
use crate::world::{OPG, RICH, USD, World, alice, bob, node, pauper, sponsor, test_params};

fn pay_bob() -> Message {
    Message::Transfer {
        to: bob().address(),
        asset: USD,
        amount: Amount(1),
    }
}

fn nothing(_: Address) -> Amount {
    Amount(0)
}

fn check(world: &World, tx: &SignedTransaction) -> Result<haca_ledger::Admission, Refusal> {
    check_tx(
        &world.state,
        &tx.encode(),
        CheckMode::New,
        &nothing,
        &world.script,
    )
    .unwrap()
}

fn propose(world: &World, txs: &[Vec<u8>]) -> Result<(), ProposalRefusal> {
    check_proposal(&world.state, txs, &world.script).unwrap()
}

fn tipped(world: &mut World, tip: u128) -> Vec<u8> {
    let mut meta = world.meta(&alice());
    meta.tip = Amount(tip);
    let message = pay_bob();
    world.sign(&alice(), Transaction { meta, message }).encode()
}

#[test]
fn the_mempool_takes_what_the_next_block_would() {
    let mut world = World::new();
    let tx = world.signed(&alice(), pay_bob());
    let admission = check(&world, &tx).unwrap();
    assert_eq!(admission.gas_payer, alice().address());
    assert_eq!(admission.reserve.0, u128::from(admission.gas.0));
    let outcome = world.block(&[tx.encode()]).txs.remove(0);
    assert_eq!(outcome.hash, admission.hash);
    assert_eq!(outcome.gas_used, admission.gas);
    assert!(matches!(check(&world, &tx), Err(Refusal::NonceUsed { .. })));
}

#[test]
fn the_mempool_refuses_a_forged_sender() {
    let mut world = World::new();
    let mut tx = world.signed(&alice(), pay_bob());
    tx.transaction.meta.tip = Amount(5);
    assert!(matches!(check(&world, &tx), Err(Refusal::SenderSignature { .. })));
}

#[test]
fn the_mempool_verifies_evidence_only_for_who_can_pay() {
    let (mut world, channel) = World::with_channel();
    let group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    let before = world.script.count();
    let message = Message::SettleBatch { groups: vec![group] };
    let poor = world.signed(&pauper(), message.clone());
    assert!(matches!(check(&world, &poor), Err(Refusal::CannotPayGas { .. })));
    let rich = world.signed(&node(), message);
    let reserved = |account: Address| {
        if account == node().address() {
            Amount(RICH)
        } else {
            Amount(0)
        }
    };
    let refused = check_tx(
        &world.state,
        &rich.encode(),
        CheckMode::New,
        &reserved,
        &world.script,
    );
    assert!(
        matches!(refused, Ok(Err(Refusal::CannotPayGas { .. }))),
        "what waits already is reserved"
    );
    assert_eq!(world.script.count(), before);
    check(&world, &rich).unwrap();
    assert_eq!(world.script.count(), before + 1);
}

fn registration() -> Message {
    let key = Key::new(60);
    Message::RegisterModel {
        verifying_key: key.encode(),
        proof: key.registration_proof(),
    }
}

/// Registrations that nobody would pay for, each with the code of its refusal.
fn worthless(world: &mut World) -> Vec<(&'static str, Vec<u8>)> {
    let with = |world: &mut World, sender: &SecretKey, change: &dyn Fn(&mut TxMeta)| {
        let mut meta = world.meta(sender);
        change(&mut meta);
        let message = registration();
        world.sign(sender, Transaction { meta, message })
    };
    let mut forged = world.signed(&alice(), registration());
    forged.transaction.meta.tip = Amount(5);
    let mut unsponsored = world.meta(&pauper());
    unsponsored.sponsor = sponsor().address();
    let unsponsored = Transaction {
        meta: unsponsored,
        message: registration(),
    };
    let unsponsored = world.sign(&pauper(), unsponsored).cosign(&world.domain, &bob());
    let used = world.meta(&alice());
    let nonce = used.nonce;
    let first = Transaction {
        meta: used,
        message: pay_bob(),
    };
    let first = world.sign(&alice(), first).encode();
    assert_eq!(world.block(&[first]).txs[0].refusal, None);
    let height = world.height().0;
    let mut txs = vec![
        ("ledger.sender_signature", forged),
        ("ledger.sponsor_signature", unsponsored.unwrap()),
        ("ledger.cannot_pay_gas", world.signed(&pauper(), registration())),
    ];
    let mut changed = |code, change: &dyn Fn(&mut TxMeta)| txs.push((code, with(world, &alice(), change)));
    changed("ledger.cannot_pay_gas", &|meta| meta.tip = Amount(RICH));
    changed("ledger.expired", &|meta| meta.expiry = Height(height));
    changed("ledger.expiry_too_far", &|meta| meta.expiry = Height(u64::MAX));
    changed("ledger.base_fee", &|meta| meta.max_base_fee = Amount(0));
    changed("ledger.nonce_used", &|meta| meta.nonce = nonce);
    txs.into_iter().map(|(code, tx)| (code, tx.encode())).collect()
}

#[test]
fn nobody_has_a_key_decoded_who_could_not_be_made_to_pay() {
    let mut world = World::new();
    for (code, tx) in worthless(&mut world) {
        let before = world.script.decoded();
        for mode in [CheckMode::New, CheckMode::Again] {
            // A transaction is checked again only after its signatures were.
            if mode == CheckMode::New || !code.ends_with("signature") {
                let found = check_tx(&world.state, &tx, mode, &nothing, &world.script).unwrap();
                assert_eq!(found.unwrap_err().code(), code);
            }
        }
        let txs = [tx];
        let Err(ProposalRefusal::Transaction { index: 0, refusal }) = propose(&world, &txs) else {
            panic!("{code}: the proposal stands");
        };
        assert_eq!(refusal.code(), code);
        let chosen = select_proposal(&world.state, &txs, u64::MAX, &world.script).unwrap();
        assert_eq!(chosen, Vec::<usize>::new(), "{code}");
        let state = world.state.clone();
        let outcome = world.block(&txs).txs.remove(0);
        world.state = state;
        assert_eq!(outcome.refusal.unwrap().code(), code);
        assert_eq!(world.script.decoded(), before, "{code}: a key was decoded");
    }
    let tx = world.signed(&alice(), registration());
    check(&world, &tx).unwrap();
    assert!(world.script.decoded() > 0, "for who pays it is");
}

#[test]
fn who_can_pay_all_but_the_evidence_is_refused() {
    let mut world = World::new();
    let gas = |world: &World, tx: &SignedTransaction| u128::from(check(world, tx).unwrap().gas.0);
    let tx = world.signed(&alice(), registration());
    let whole = gas(&world, &tx);
    let mut meta = world.meta(&alice());
    // What is left pays for everything without the key's gas, which is 100, and for half of that.
    meta.tip = Amount(RICH - whole + 50);
    let message = registration();
    let tx = world.sign(&alice(), Transaction { meta, message });
    let expected = Amount(RICH + 50);
    let found = Amount(RICH);
    let refusal = Refusal::CannotPayGas { found, expected };
    assert_eq!(check(&world, &tx), Err(refusal.clone()));
    let index = 0;
    assert_eq!(
        propose(&world, &[tx.encode()]),
        Err(ProposalRefusal::Transaction {
            index,
            refusal: refusal.clone()
        })
    );
    let outcome = world.block(&[tx.encode()]).txs.remove(0);
    assert_eq!(outcome.refusal, Some(refusal));
    assert_eq!(outcome.gas_used, Gas(0));
}

#[test]
fn a_recheck_verifies_no_evidence_but_sees_the_new_state() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Zk);
    let message = Message::SettleBatch {
        groups: vec![world.zk_group(vec![item])],
    };
    let tx = world.signed(&node(), message.clone());
    let before = world.script.count();
    let recheck = |world: &World| {
        check_tx(
            &world.state,
            &tx.encode(),
            CheckMode::Again,
            &nothing,
            &world.script,
        )
        .unwrap()
    };
    recheck(&world).unwrap();
    assert_eq!(world.script.count(), before);
    world.ok(&node(), message);
    assert!(matches!(recheck(&world), Err(Refusal::SequenceUsed { .. })));
}

#[test]
fn bad_evidence_enters_the_mempool_so_that_it_pays_for_its_verification() {
    let (mut world, channel) = World::with_channel();
    let mut group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    if let Evidence::Zk { proof, .. } = &mut group.evidence {
        proof[0] ^= 1;
    }
    let message = Message::SettleBatch { groups: vec![group] };
    let tx = world.signed(&node(), message.clone());
    assert!(check(&world, &tx).is_ok());
    let registration = Message::RegisterModel {
        verifying_key: Key::new(40).encode(),
        proof: vec![0; 32],
    };
    let other = world.signed(&node(), registration);
    assert!(check(&world, &other).is_ok());
    assert_eq!(
        propose(&world, &[tx.encode()]),
        Ok(()),
        "a proposal with it is executed and burns"
    );
    let burned = world.supply(OPG).burned;
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::Evidence { .. }
    ));
    assert!(world.supply(OPG).burned > burned);
}

#[test]
fn proposals_are_ordered_by_tip_and_accepted_by_the_same_rule() {
    let mut world = World::new();
    let txs: Vec<_> = [5, 900, 40].map(|tip| tipped(&mut world, tip)).into();
    let chosen = select_proposal(&world.state, &txs, u64::MAX, &world.script).unwrap();
    assert_eq!(chosen, [1, 2, 0]);
    let block: Vec<_> = chosen.iter().map(|index| txs[*index].clone()).collect();
    assert_eq!(propose(&world, &block), Ok(()));
    let outcome = world.block(&block);
    assert!(outcome.txs.iter().all(|tx| tx.refusal.is_none()));
}

#[test]
fn selection_leaves_out_what_cannot_be_admitted() {
    let mut world = World::new();
    let good = tipped(&mut world, 1);
    let message = pay_bob();
    let poor = world.tx(&pauper(), message);
    let mut forged = world.signed(&alice(), pay_bob());
    forged.transaction.meta.tip = Amount(1_000_000);
    let candidates = [vec![1, 2, 3], poor, forged.encode(), good.clone(), good];
    let chosen = select_proposal(&world.state, &candidates, u64::MAX, &world.script).unwrap();
    assert_eq!(
        chosen,
        [3],
        "malformed, unpaid, unsigned and doubled are left out"
    );
}

#[test]
fn selection_keeps_within_bytes_and_gas() {
    let mut params = test_params();
    params.block_gas = Gas(5_000);
    params.tx_gas = Gas(2_000);
    let mut world = World::with_params(params);
    let txs: Vec<_> = (0..40).map(|_| tipped(&mut world, 0)).collect();
    let chosen = select_proposal(&world.state, &txs, u64::MAX, &world.script).unwrap();
    assert!(!chosen.is_empty() && chosen.len() < 40);
    let block: Vec<_> = chosen.iter().map(|index| txs[*index].clone()).collect();
    assert_eq!(propose(&world, &block), Ok(()));
    let mut fuller = block.clone();
    fuller.push(txs[39].clone());
    assert!(matches!(
        propose(&world, &fuller),
        Err(ProposalRefusal::Gas { .. })
    ));
    let small = select_proposal(&world.state, &txs, txs[0].len() as u64 * 2, &world.script).unwrap();
    assert_eq!(small.len(), 2);
}

#[test]
fn rejects_a_proposal_of_too_many_bytes() {
    let mut params = test_params();
    params.block_bytes = 1 << 20;
    params.gas_byte = Gas(0);
    let (mut world, bytes) = (World::with_params(params), 1 << 20);
    let each = tipped(&mut world, 0).len();
    let txs: Vec<_> = (0..bytes / each + 1).map(|_| vec![0; each]).collect();
    assert!(matches!(
        propose(&world, &txs),
        Err(ProposalRefusal::Transaction { index: 0, .. })
    ));
    let model = crate::script::Key::new(1);
    let big = Message::RegisterModel {
        verifying_key: model.encode(),
        proof: vec![0; (1 << 20) - 1_000],
    };
    let txs = [world.tx(&alice(), big.clone()), world.tx(&bob(), big)];
    assert!(matches!(
        propose(&world, &txs),
        Err(ProposalRefusal::Bytes { .. })
    ));
}

#[test]
fn rejects_a_proposal_with_a_transaction_nobody_pays_for() {
    let mut world = World::new();
    let good = tipped(&mut world, 0);
    let poor = world.tx(&pauper(), pay_bob());
    let mut forged = world.signed(&alice(), pay_bob());
    forged.transaction.message = Message::Transfer {
        to: bob().address(),
        asset: USD,
        amount: Amount(2),
    };
    for bad in [poor, forged.encode(), good.clone(), vec![9]] {
        let refusal = propose(&world, &[good.clone(), bad]).unwrap_err();
        assert!(
            matches!(refusal, ProposalRefusal::Transaction { index: 1, .. }),
            "{refusal}"
        );
    }
}

#[test]
fn rejects_a_proposal_that_spends_one_gas_budget_twice() {
    let mut world = World::new();
    world.ok(
        &alice(),
        Message::Transfer {
            to: pauper().address(),
            asset: haca_wire::AssetId::OPG,
            amount: Amount(300),
        },
    );
    let txs = [world.tx(&pauper(), pay_bob()), world.tx(&pauper(), pay_bob())];
    assert_eq!(propose(&world, &txs[..1]), Ok(()));
    assert!(matches!(
        propose(&world, &txs),
        Err(ProposalRefusal::Transaction {
            index: 1,
            refusal: Refusal::CannotPayGas { .. }
        })
    ));
    let chosen = select_proposal(&world.state, &txs, u64::MAX, &world.script).unwrap();
    assert_eq!(chosen, [0]);
}

#[test]
fn emptying_the_account_does_not_make_later_transactions_free() {
    let mut world = World::new();
    let rest = world.balance(alice().address(), haca_wire::AssetId::OPG) - 1_000;
    let empty = Message::Transfer {
        to: bob().address(),
        asset: haca_wire::AssetId::OPG,
        amount: Amount(rest),
    };
    let mut txs = vec![world.tx(&alice(), empty)];
    txs.extend((0..10).map(|_| world.tx(&alice(), pay_bob())));
    assert_eq!(propose(&world, &txs), Ok(()));
    let outcome = world.block(&txs);
    assert!(
        outcome.txs.iter().all(|tx| tx.burned.0 > 0),
        "all are charged first"
    );
    assert!(matches!(
        outcome.txs[0].refusal,
        Some(Refusal::InsufficientBalance { .. })
    ));
}

#[test]
fn a_sponsor_reserves_for_all_it_signs() {
    let mut world = World::new();
    let mut meta = world.meta(&pauper());
    meta.sponsor = sponsor().address();
    let message = pay_bob();
    let tx = world
        .sign(&pauper(), Transaction { meta, message })
        .cosign(&world.domain, &sponsor())
        .unwrap();
    assert!(
        matches!(
            check(&world, &tx),
            Err(Refusal::InsufficientBalance { asset: USD, .. })
        ),
        "the sponsor pays gas, not the transfer"
    );
    assert_eq!(propose(&world, &[tx.encode()]), Ok(()));
}

#[test]
fn evidence_can_be_verified_ahead_of_the_block() {
    let (mut world, channel) = World::with_channel();
    let group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    let signed_only = world.signed_group(vec![world.item(channel, 1, EvidenceKind::Signed)]);
    let message = Message::SettleBatch {
        groups: vec![group, signed_only],
    };
    let tx = world.signed(&node(), message);
    let jobs = evidence_jobs(&world.state, &tx).unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].run(&world.script), Ok(()));
    let items = (10..15)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Zk))
        .collect();
    let group = world.zk_group(items);
    let oversized = world.signed(&node(), Message::SettleBatch { groups: vec![group] });
    assert_eq!(
        evidence_jobs(&world.state, &oversized).unwrap(),
        [],
        "without price, never verified"
    );
    let transfer = world.signed(&alice(), pay_bob());
    assert_eq!(evidence_jobs(&world.state, &transfer).unwrap(), []);
}
