//! Who may act, once, until when, and who pays for it.

use haca_ledger::{BlockContext, LedgerError, Refusal, execute_block, query};
use haca_wire::state::key;
use haca_wire::{Amount, Encode, Height, Message, Nonce, SecretKey, SignedTransaction, Transaction, TxMeta};

use crate::world::{OPG, PROPOSER, RICH, USD, World, alice, bob, pauper, sponsor, test_params, validator};

fn pay_bob(amount: u128) -> Message {
    Message::Transfer {
        to: bob().address(),
        asset: USD,
        amount: Amount(amount),
    }
}

fn refusal_of(world: &mut World, tx: &SignedTransaction) -> Refusal {
    let outcome = world.block(&[tx.encode()]).txs.remove(0);
    assert_eq!(outcome.gas_used.0, 0, "not admitted, so not charged");
    assert_eq!(outcome.burned.0, 0);
    outcome.refusal.unwrap()
}

fn with_meta(world: &mut World, change: impl Fn(&mut TxMeta)) -> SignedTransaction {
    let mut meta = world.meta(&alice());
    change(&mut meta);
    let message = pay_bob(1);
    world.sign(&alice(), Transaction { meta, message })
}

#[test]
fn gas_is_burned_in_opg_by_the_sender() {
    let mut world = World::new();
    let outcome = world.run(&alice(), pay_bob(1));
    assert_eq!(
        outcome.burned.0,
        u128::from(outcome.gas_used.0) * outcome.base_fee.0
    );
    assert_eq!(world.balance(alice().address(), OPG), RICH - outcome.burned.0);
    assert_eq!(world.supply(OPG).burned, outcome.burned);
}

#[test]
fn rejects_the_same_transaction_twice() {
    let mut world = World::new();
    let tx = world.tx(&alice(), pay_bob(10));
    let outcome = world.block(&[tx.clone(), tx.clone()]);
    assert_eq!(outcome.txs[0].refusal, None);
    let height = world.height();
    assert_eq!(
        outcome.txs[1].refusal,
        Some(Refusal::NonceUsed { height }),
        "in one block"
    );
    let outcome = world.block(&[tx]);
    assert_eq!(
        outcome.txs[0].refusal,
        Some(Refusal::NonceUsed { height }),
        "in the next"
    );
    assert_eq!(world.balance(bob().address(), USD), RICH + 10);
}

#[test]
fn rejects_a_replay_until_expiry_by_nonce_and_after_it_by_height() {
    let mut world = World::new();
    let signed = world.signed(&alice(), pay_bob(10));
    let (tx, expiry) = (signed.encode(), signed.transaction.meta.expiry);
    world.block(std::slice::from_ref(&tx));
    while world.height() < expiry {
        let refusal = world.block(std::slice::from_ref(&tx)).txs.remove(0).refusal;
        assert!(matches!(refusal, Some(Refusal::NonceUsed { .. })), "{refusal:?}");
    }
    for _ in 0..40 {
        let refusal = world.block(std::slice::from_ref(&tx)).txs.remove(0).refusal;
        assert!(matches!(refusal, Some(Refusal::Expired { .. })), "{refusal:?}");
    }
}

#[test]
fn nonces_are_forgotten_when_no_transaction_can_use_them() {
    let mut world = World::new();
    let mut meta = world.meta(&alice());
    meta.expiry = Height(1 + test_params().tx_lifetime);
    let nonce = meta.nonce;
    let tx = world
        .sign(
            &alice(),
            Transaction {
                meta,
                message: pay_bob(1),
            },
        )
        .encode();
    world.block(std::slice::from_ref(&tx));
    let known = |world: &World| query::nonce(&world.state, alice().address(), nonce).unwrap();
    assert_eq!(known(&world), Some(Height(1)));
    world.wait(test_params().tx_lifetime - 1);
    let refusal = world.block(std::slice::from_ref(&tx)).txs.remove(0).refusal;
    assert_eq!(
        refusal,
        Some(Refusal::NonceUsed { height: Height(1) }),
        "its last height"
    );
    world.wait(1);
    assert_eq!(known(&world), None);
    let left = world.state.keys().filter(|k| k.starts_with(key::SPENT)).count();
    assert_eq!(left, 0, "no list of nonces is left");
}

#[test]
fn rejects_an_expiry_beyond_the_memory_of_nonces() {
    let mut world = World::new();
    let far = Height(1 + test_params().tx_lifetime + 1);
    let tx = with_meta(&mut world, |meta| meta.expiry = far);
    assert!(matches!(
        refusal_of(&mut world, &tx),
        Refusal::ExpiryTooFar { .. }
    ));
    let tx = with_meta(&mut world, |meta| meta.expiry = Height(u64::MAX));
    assert!(matches!(
        refusal_of(&mut world, &tx),
        Refusal::ExpiryTooFar { .. }
    ));
}

#[test]
fn two_senders_may_choose_the_same_nonce() {
    let mut world = World::new();
    for sender in [alice(), bob()] {
        let mut meta = world.meta(&sender);
        meta.nonce = Nonce([5; 32]);
        let message = pay_bob(1);
        let tx = world.sign(&sender, Transaction { meta, message });
        assert_eq!(world.block(&[tx.encode()]).txs[0].refusal, None);
    }
}

#[test]
fn rejects_a_transaction_that_another_key_signed() {
    let mut world = World::new();
    let meta = world.meta(&alice());
    let tx = world.sign(
        &bob(),
        Transaction {
            meta,
            message: pay_bob(1_000),
        },
    );
    assert_eq!(
        refusal_of(&mut world, &tx),
        Refusal::SenderSignature {
            found: bob().address(),
            expected: alice().address()
        }
    );
}

#[test]
fn rejects_a_transaction_of_a_chain_with_another_genesis() {
    let mut world = World::new();
    let mut twin = World::on_genesis(test_params(), haca_wire::GenesisHash([10; 32]));
    let tx = twin.signed(&alice(), pay_bob(1));
    assert!(matches!(
        refusal_of(&mut world, &tx),
        Refusal::SenderSignature { .. }
    ));
}

#[test]
fn rejects_a_changed_message_under_an_old_signature() {
    let mut world = World::new();
    let mut tx = world.signed(&alice(), pay_bob(1));
    tx.transaction.message = pay_bob(1_000_000);
    assert!(matches!(
        refusal_of(&mut world, &tx),
        Refusal::SenderSignature { .. }
    ));
}

#[test]
fn rejects_gas_above_the_accepted_base_fee() {
    let mut world = World::new();
    let tx = with_meta(&mut world, |meta| meta.max_base_fee = Amount(0));
    assert_eq!(
        refusal_of(&mut world, &tx),
        Refusal::BaseFee {
            found: Amount(1),
            expected: Amount(0)
        }
    );
}

#[test]
fn rejects_a_payer_who_cannot_afford_gas_and_tip_before_anything_runs() {
    let mut world = World::new();
    let meta = world.meta(&pauper());
    let tx = world.sign(
        &pauper(),
        Transaction {
            meta,
            message: pay_bob(1),
        },
    );
    assert!(matches!(
        refusal_of(&mut world, &tx),
        Refusal::CannotPayGas { .. }
    ));
    for tip in [RICH, u128::MAX] {
        let tx = with_meta(&mut world, |meta| meta.tip = Amount(tip));
        assert!(matches!(
            refusal_of(&mut world, &tx),
            Refusal::CannotPayGas { .. }
        ));
    }
    assert_eq!(world.script.count(), 0);
}

fn sponsored(world: &mut World, sender: &SecretKey, message: Message) -> Transaction {
    let mut meta = world.meta(sender);
    meta.sponsor = sponsor().address();
    meta.tip = Amount(3);
    Transaction { meta, message }
}

#[test]
fn a_sponsor_pays_gas_and_tip_and_nothing_else() {
    let mut world = World::new();
    world.ok(
        &alice(),
        Message::Transfer {
            to: pauper().address(),
            asset: USD,
            amount: Amount(9),
        },
    );
    let transaction = sponsored(&mut world, &pauper(), pay_bob(9));
    let tx = world
        .sign(&pauper(), transaction)
        .cosign(&world.domain, &sponsor())
        .unwrap();
    let outcome = world.block(&[tx.encode()]).txs.remove(0);
    assert_eq!(outcome.refusal, None);
    assert_eq!(
        world.balance(sponsor().address(), OPG),
        RICH - outcome.burned.0 - 3
    );
    assert_eq!(world.balance(sponsor().address(), USD), RICH);
    assert_eq!(world.balance(pauper().address(), USD), 0);
}

#[test]
fn rejects_a_sponsor_who_did_not_sign_this_transaction() {
    let mut world = World::new();
    let transaction = sponsored(&mut world, &alice(), pay_bob(1));
    let forged = world
        .sign(&alice(), transaction)
        .cosign(&world.domain, &bob())
        .unwrap();
    assert_eq!(
        refusal_of(&mut world, &forged),
        Refusal::SponsorSignature {
            found: bob().address(),
            expected: sponsor().address()
        }
    );
    let transaction = sponsored(&mut world, &alice(), pay_bob(1));
    let honest = world
        .sign(&alice(), transaction)
        .cosign(&world.domain, &sponsor())
        .unwrap();
    let mut drained = sponsored(&mut world, &alice(), pay_bob(1));
    drained.meta.tip = Amount(RICH / 2);
    let mut drained = world.sign(&alice(), drained);
    drained.sponsor_signature = honest.sponsor_signature;
    assert!(matches!(
        refusal_of(&mut world, &drained),
        Refusal::SponsorSignature { .. }
    ));
    assert_eq!(world.balance(sponsor().address(), OPG), RICH);
}

#[test]
fn rejects_the_same_sponsored_transaction_twice() {
    let mut world = World::new();
    let transaction = sponsored(&mut world, &alice(), pay_bob(1));
    let tx = world
        .sign(&alice(), transaction)
        .cosign(&world.domain, &sponsor())
        .unwrap();
    world.block(&[tx.encode()]);
    let left = world.balance(sponsor().address(), OPG);
    assert!(matches!(refusal_of(&mut world, &tx), Refusal::NonceUsed { .. }));
    assert_eq!(world.balance(sponsor().address(), OPG), left);
}

#[test]
fn the_tip_goes_to_the_proposer_or_to_the_pool() {
    let mut world = World::new();
    let pool = world.supply(OPG).pool.0;
    let tx = with_meta(&mut world, |meta| meta.tip = Amount(70));
    world.block(&[tx.encode()]);
    assert_eq!(world.supply(OPG).pool.0, pool + 70, "nobody known proposed");
    world.proposer = PROPOSER;
    let tx = with_meta(&mut world, |meta| meta.tip = Amount(70));
    let outcome = world.block(&[tx.encode()]);
    assert_eq!(world.balance(validator(), OPG), outcome.reward.0 + 70);
    assert_eq!(
        outcome.reward.0,
        (pool + 70) / u128::from(test_params().reward_divisor)
    );
}

#[test]
fn a_failed_transaction_pays_gas_and_tip_and_keeps_its_nonce() {
    let mut world = World::new();
    let mut meta = world.meta(&alice());
    meta.tip = Amount(70);
    let pool = world.supply(OPG).pool.0;
    let tx = world
        .sign(
            &alice(),
            Transaction {
                meta,
                message: pay_bob(RICH + 1),
            },
        )
        .encode();
    let outcome = world.block(std::slice::from_ref(&tx)).txs.remove(0);
    assert!(matches!(
        outcome.refusal,
        Some(Refusal::InsufficientBalance { .. })
    ));
    assert_eq!(
        world.balance(alice().address(), OPG),
        RICH - outcome.burned.0 - 70
    );
    assert_eq!(world.supply(OPG).pool.0, pool + 70);
    let again = world.block(&[tx]).txs.remove(0);
    assert!(matches!(again.refusal, Some(Refusal::NonceUsed { .. })));
}

#[test]
fn rewards_decay_with_the_pool_and_never_mint() {
    let mut world = World::new();
    world.proposer = PROPOSER;
    let issued = world.supply(OPG).issued;
    let mut last = u128::MAX;
    for _ in 0..50 {
        let reward = world.block(&[]).reward.0;
        assert!(reward <= last && reward > 0);
        last = reward;
    }
    assert_eq!(world.supply(OPG).issued, issued);
    assert_eq!(
        world.supply(OPG).pool.0 + world.balance(validator(), OPG),
        1_000_000
    );
}

#[test]
fn bytes_that_are_no_transaction_change_nothing() {
    let mut world = World::new();
    let good = world.tx(&alice(), pay_bob(1));
    let mut long = good.clone();
    long.push(0);
    let huge = vec![0u8; haca_wire::limit::TX_BYTES + 1];
    let before = world.state.clone();
    let outcome = world.block(&[Vec::new(), vec![0xff; 100], long, huge]);
    for tx in outcome.txs {
        assert_eq!(tx.code(), 1);
        assert_eq!(tx.codespace(), "haca");
    }
    world.state.remove(key::CLOCK);
    let mut before = before;
    before.remove(key::CLOCK);
    assert_eq!(world.state, before);
}

#[test]
fn a_transaction_with_any_byte_changed_never_moves_the_money() {
    let mut world = World::new();
    let tx = world.tx(&alice(), pay_bob(123));
    let state = world.state.clone();
    for index in 0..tx.len() {
        let mut bent = tx.clone();
        bent[index] ^= 1;
        world.block(&[bent]);
        assert_eq!(world.balance(bob().address(), USD), RICH, "byte {index}");
        assert_eq!(world.balance(alice().address(), OPG), RICH, "byte {index}");
        world.state = state.clone();
    }
}

#[test]
fn a_block_of_the_wrong_height_is_not_executed() {
    let world = World::new();
    for height in [0, 2, u64::MAX] {
        let context = BlockContext {
            height: Height(height),
            proposer: PROPOSER,
            ..BlockContext::default()
        };
        let error = execute_block(&world.state, &context, &[], &world.script).unwrap_err();
        assert!(matches!(error, LedgerError::WrongHeight { .. }));
    }
}

#[test]
fn a_damaged_state_stops_the_block_and_names_the_entry() {
    let mut world = World::new();
    let tx = world.tx(&alice(), pay_bob(1));
    let context = BlockContext {
        height: Height(1),
        proposer: PROPOSER,
        ..BlockContext::default()
    };
    world
        .state
        .insert(key::balance(alice().address(), OPG), vec![1, 2, 3]);
    let error = execute_block(&world.state, &context, std::slice::from_ref(&tx), &world.script).unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }));
    assert!(error.to_string().contains("balance/"), "{error}");
    world.state.remove(&key::supply(OPG));
    let error = execute_block(&world.state, &context, &[tx], &world.script).unwrap_err();
    assert_eq!(error.code(), "ledger.state_missing");
}

#[test]
fn money_from_nowhere_stops_the_chain() {
    let mut world = World::new();
    let mut supply = world.supply(USD);
    supply.balances = Amount(supply.balances.0 + 1);
    world.state.insert(key::supply(USD), supply.encode());
    let context = BlockContext {
        height: Height(1),
        proposer: PROPOSER,
        ..BlockContext::default()
    };
    let error = execute_block(&world.state, &context, &[], &world.script).unwrap_err();
    assert!(matches!(error, LedgerError::Unbalanced { asset: USD, .. }));
}

#[test]
fn logs_name_code_message_and_hint() {
    let mut world = World::new();
    let outcome = world.run(&alice(), pay_bob(0));
    let log: serde_json::Value = serde_json::from_str(&outcome.log()).unwrap();
    assert_eq!(log["code"], "ledger.zero_amount");
    assert!(log["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    let outcome = world.run(&alice(), pay_bob(1));
    assert_eq!((outcome.code(), outcome.codespace()), (0, ""));
    assert_eq!(outcome.log(), r#"{"code":"ok"}"#);
}
