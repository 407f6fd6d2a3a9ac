//! Mempool and proposals: one rule for proposer and voter, and no free work.

use haca_ledger::{
    CheckMode, EvidenceJob, ProposalRefusal, Refusal, check_proposal, check_tx, evidence_job,
    evidence_places, select_proposal,
};
use haca_wire::{
    Address, Amount, Encode, Evidence, EvidenceKind, Gas, Height, Message, SecretKey, Signed,
    SignedTransaction, Transaction, TxMeta,
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
fn what_waits_already_is_reserved() {
    let (mut world, channel) = World::with_channel();
    let group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    let message = Message::SettleBatch { groups: vec![group] };
    let poor = world.signed(&pauper(), message.clone());
    assert!(matches!(check(&world, &poor), Err(Refusal::CannotPayGas { .. })));
    let rich = world.signed(&node(), message);
    let admission = check(&world, &rich).unwrap();
    let with = |reserved: u128| {
        let reserved = |account: Address| Amount(if account == node().address() { reserved } else { 0 });
        check_tx(
            &world.state,
            &rich.encode(),
            CheckMode::New,
            &reserved,
            &world.script,
        )
        .unwrap()
    };
    let most = admission.funds.0 - admission.reserve.0;
    assert_eq!(with(most), Ok(admission));
    assert!(matches!(with(most + 1), Err(Refusal::CannotPayGas { .. })));
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
fn no_key_is_decoded_before_it_is_paid_for() {
    let mut world = World::new();
    for (code, tx) in worthless(&mut world) {
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
        let before = world.script.decoded();
        let state = world.state.clone();
        let outcome = world.block(&txs).txs.remove(0);
        world.state = state;
        assert_eq!(outcome.refusal.unwrap().code(), code);
        assert_eq!(world.script.decoded(), before, "{code}: a key was decoded");
    }
    let tx = world.signed(&alice(), registration());
    check(&world, &tx).unwrap();
    assert_eq!(propose(&world, &[tx.encode()]), Ok(()));
    let before = world.script.decoded();
    let outcome = world.block(&[tx.encode()]);
    assert!(world.script.decoded() > before, "in a block it is");
    assert_eq!(
        outcome.gas_used,
        check(&World::new(), &tx).unwrap().gas,
        "known before"
    );
}

#[test]
fn who_can_pay_all_but_the_evidence_is_refused() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Zk);
    let message = world.settle(vec![world.zk_group(vec![item])]);
    let tx = world.signed(&node(), message.clone());
    let whole = u128::from(check(&world, &tx).unwrap().gas.0);
    let found = Amount(world.balance(node().address(), OPG));
    let mut meta = world.meta(&node());
    // What is left pays for everything without the proof's gas, which is 100, and for half of that.
    meta.tip = Amount(found.0 - whole + 50);
    let tx = world.sign(&node(), Transaction { meta, message });
    let expected = Amount(found.0 + 50);
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
fn a_recheck_sees_the_new_state() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Zk);
    let message = Message::SettleBatch {
        groups: vec![world.zk_group(vec![item])],
    };
    let tx = world.signed(&node(), message.clone());
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
    world.ok(&node(), message);
    assert!(matches!(recheck(&world), Err(Refusal::SequenceUsed { .. })));
}

/// The mempool looks at no signature inside a message either: a thousand of them would be a tenth of a second for a
/// refusal that costs nothing.
#[test]
fn bad_signatures_enter_the_mempool_so_that_they_pay_for_their_recovery() {
    let (mut world, channel) = World::with_channel();
    let mut item = world.item(channel, 0, EvidenceKind::Signed);
    item.order = Signed::new(item.order.value.clone(), &world.domain, &bob()).unwrap();
    let message = world.settle_one(item);
    let tx = world.signed(&node(), message.clone());
    assert!(check(&world, &tx).is_ok());
    assert_eq!(propose(&world, &[tx.encode()]), Ok(()));
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::OrderSignature { .. }
    ));
    let mut quote = world.quote(&alice());
    quote.warranty = Amount(1);
    let forged = Signed::new(quote, &world.domain, &bob()).unwrap();
    let open = Message::OpenChannel { quote: forged };
    let tx = world.signed(&alice(), open.clone());
    assert!(check(&world, &tx).is_ok());
    assert!(matches!(
        world.refused(&alice(), open),
        Refusal::QuoteSignature { .. }
    ));
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
    params.tx_gas = Gas(1_000);
    let mut world = World::under(params);
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
    params.block_bytes = 3_495_254;
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
    let txs = [(); 3].map(|()| world.tx(&alice(), big.clone()));
    assert_eq!(propose(&world, &txs[..2]), Ok(()));
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
    let jobs = |world: &World, tx: &SignedTransaction| -> Vec<EvidenceJob> {
        let places = 0..evidence_places(tx) + 1;
        places
            .filter_map(|index| evidence_job(&world.state, tx, index).unwrap())
            .collect()
    };
    let group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    let signed_only = world.signed_group(vec![world.item(channel, 1, EvidenceKind::Signed)]);
    let message = Message::SettleBatch {
        groups: vec![group, signed_only],
    };
    let tx = world.signed(&node(), message);
    let found = jobs(&world, &tx);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].run(&world.script), Ok(()));
    let items = (10..15)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Zk))
        .collect();
    let group = world.zk_group(items);
    let oversized = world.signed(&node(), Message::SettleBatch { groups: vec![group] });
    assert_eq!(jobs(&world, &oversized), [], "without price, never verified");
    let transfer = world.signed(&alice(), pay_bob());
    assert_eq!(jobs(&world, &transfer), []);
    let before = world.script.count();
    let registration = world.signed(&alice(), registration());
    let found = jobs(&world, &registration);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].run(&world.script), Ok(()));
    let mut dear = Key::new(61);
    dear.gas = Gas(world.params().gas_registration.0 + 1);
    let dear = Message::RegisterModel {
        verifying_key: dear.encode(),
        proof: dear.registration_proof(),
    };
    let dear = world.signed(&alice(), dear);
    assert!(jobs(&world, &dear)[0].run(&world.script).is_err());
    assert_eq!(
        world.script.count(),
        before + 1,
        "what takes more than a registration may is not begun"
    );
}
