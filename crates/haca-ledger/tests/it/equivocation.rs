//! ClaimEquivocation: two receipts for one sequence cost the stake, once, and can't be made up.

use haca_ledger::{Effect, Refusal, query};
use haca_wire::order::Signed;
use haca_wire::state::ClaimKind;
use haca_wire::{
    Amount, ChannelId, Decode, EvidenceKind, Height, Item, Message, Receipt, ResponseHash, Sequence,
    Signature, TypedData,
};
use k256::Scalar;
use k256::ecdsa::SigningKey;
use k256::ecdsa::hazmat::SignPrimitive;

use crate::world::{
    OPG, RICH, STAKE, USD, VALIDATOR_STAKE, World, alice, bob, node, payout, signer, test_params,
};

/// Another receipt for the same order.
fn second(world: &World, item: &Item) -> Signed<Receipt> {
    let mut receipt = item.receipt.value.clone();
    receipt.response = ResponseHash([0x99; 32]);
    Signed::new(receipt, &world.domain, &signer()).unwrap()
}

fn report(item: &Item, second: Signed<Receipt>) -> Message {
    Message::ClaimEquivocation {
        order: item.order.clone(),
        first: item.receipt.clone(),
        second,
    }
}

fn caught() -> (World, ChannelId, Item, Message) {
    let (world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let message = report(&item, second(&world, &item));
    (world, channel, item, message)
}

#[test]
fn equivocation_pays_the_payer_burns_the_stake_and_jails_the_node() {
    let (mut world, channel, _, message) = caught();
    let burned = world.supply(OPG).burned.0;
    let outcome = world.run(&bob(), message);
    assert_eq!(
        outcome.effects,
        [Effect::EquivocationClaimed {
            channel,
            sequence: Sequence(0),
            node: node().address(),
            paid: Amount(50),
            burned: Amount(STAKE)
        }],
        "anybody may report"
    );
    assert_eq!(world.balance(alice().address(), USD), RICH - 500 + 50);
    assert_eq!(world.supply(OPG).burned.0 - burned, STAKE + outcome.burned.0);
    assert_eq!(world.supply(OPG).stakes, Amount(VALIDATOR_STAKE));
    assert!(world.node().jailed);
}

#[test]
fn rejects_the_same_equivocation_twice() {
    let (mut world, _, _, message) = caught();
    world.ok(&alice(), message.clone());
    assert_eq!(world.refused(&alice(), message.clone()), Refusal::AlreadyClaimed);
    let Message::ClaimEquivocation { order, first, second } = message else {
        unreachable!("built above");
    };
    let swapped = Message::ClaimEquivocation {
        order,
        first: second,
        second: first,
    };
    assert_eq!(world.refused(&bob(), swapped), Refusal::AlreadyClaimed);
    assert_eq!(world.balance(alice().address(), USD), RICH - 450);
}

/// A signature of the receipt key with another nonce than the usual one: as valid, with other bytes.
fn signed_otherwise(world: &World, receipt: &Receipt) -> Signed<Receipt> {
    let digest = receipt.digest(&world.domain);
    let key = SigningKey::from_slice(&signer().to_bytes()).unwrap();
    let (signature, _) = key
        .as_nonzero_scalar()
        .try_sign_prehashed(Scalar::from(12_345u64), &digest.into())
        .unwrap();
    let signature = signature.normalize_s().unwrap_or(signature);
    let both = [27, 28].map(|v| {
        let mut bytes = [v; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        Signature::from_bytes(bytes).unwrap()
    });
    let valid = both
        .into_iter()
        .find(|s| s.check(&digest, signer().address()).is_ok());
    Signed {
        value: receipt.clone(),
        signature: valid.unwrap(),
    }
}

#[test]
fn rejects_one_receipt_with_two_signatures() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let again = signed_otherwise(&world, &item.receipt.value);
    assert_ne!(again.signature, item.receipt.signature);
    for second in [item.receipt.clone(), again] {
        let message = report(&item, second);
        assert_eq!(world.refused(&alice(), message), Refusal::SameReceipt);
    }
    assert!(!world.node().jailed);
}

#[test]
fn a_malleated_signature_does_not_even_decode() {
    let (world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let mut bytes = *item.receipt.signature.as_bytes();
    // s' = n - s, v' flipped: the other signature of the same key over the same digest.
    let order: [u8; 32] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xBA,
        0xAE, 0xDC, 0xE6, 0xAF, 0x48, 0xA0, 0x3B, 0xBF, 0xD2, 0x5E, 0x8C, 0xD0, 0x36, 0x41, 0x41,
    ];
    let mut borrow = 0i32;
    for index in (0..32).rev() {
        let digit = i32::from(order[index]) - i32::from(bytes[32 + index]) - borrow;
        borrow = i32::from(digit < 0);
        bytes[32 + index] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    bytes[64] = 55 - bytes[64];
    assert!(Signature::from_bytes(bytes).is_none());
    assert!(Signature::decode_all(&bytes).is_err());
}

/// What a node signs for a user, it can be held to, whatever block the receipt names: one that does not exist yet, or
/// one before the key was the node's.
#[test]
fn no_block_that_a_receipt_names_keeps_it_out_of_a_claim() {
    for height in [u64::MAX, 0] {
        let (mut world, channel) = World::with_channel();
        let honest = world.item(channel, 0, EvidenceKind::Signed);
        let mut lie = second(&world, &honest).value;
        lie.block_height = Height(height);
        let lie = Signed::new(lie, &world.domain, &signer()).unwrap();
        world.ok(&bob(), report(&honest, lie.clone()));
        assert!(world.node().jailed, "height {height}");

        let (mut world, channel) = World::with_channel();
        let mut item = world.item(channel, 0, EvidenceKind::Signed);
        item.receipt = lie;
        item.receipt.value.order = item.order.value.hash(&world.domain);
        item.receipt = Signed::new(item.receipt.value, &world.domain, &signer()).unwrap();
        world.wait_for_tick(item.order.value.settle_by.0 + test_params().grace + 1);
        let claim = Message::ClaimMissed {
            order: item.order,
            receipt: item.receipt,
        };
        world.ok(&alice(), claim);
    }
}

#[test]
fn rejects_receipts_the_node_did_not_sign() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let mut forged = second(&world, &item);
    forged = Signed::new(forged.value, &world.domain, &alice()).unwrap();
    let message = report(&item, forged.clone());
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::ReceiptSignature { .. }
    ));
    let mut value = forged.value;
    value.signer = alice().address();
    let forged = Signed::new(value, &world.domain, &alice()).unwrap();
    let message = report(&item, forged);
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::SignerInactive { .. }
    ));
    assert!(!world.node().jailed);
}

#[test]
fn rejects_receipts_of_two_sequences_or_two_channels() {
    let (mut world, channel) = World::with_channel();
    let other = world.open(&alice());
    let item = world.item(channel, 0, EvidenceKind::Signed);
    for innocent in [
        world.item(channel, 1, EvidenceKind::Signed),
        world.item(other, 0, EvidenceKind::Signed),
    ] {
        let message = report(&item, innocent.receipt);
        assert_eq!(world.refused(&alice(), message), Refusal::ReceiptMismatch);
    }
}

#[test]
fn rejects_an_order_that_no_receipt_answers() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let second = second(&world, &item);
    let mut order = item.order.value.clone();
    order.warranty = Amount(300);
    let mut dearer = item;
    dearer.order = Signed::new(order, &world.domain, &alice()).unwrap();
    let message = report(&dearer, second);
    assert_eq!(world.refused(&alice(), message), Refusal::ReceiptsUnrelated);
}

#[test]
fn rejects_an_order_the_payer_did_not_sign() {
    let (mut world, channel) = World::with_channel();
    let mut item = world.item(channel, 0, EvidenceKind::Signed);
    let second = second(&world, &item);
    item.order = Signed::new(item.order.value, &world.domain, &bob()).unwrap();
    let message = report(&item, second);
    assert!(matches!(
        world.refused(&bob(), message),
        Refusal::OrderSignature { .. }
    ));
}

#[test]
fn an_equivocated_sequence_is_void() {
    let (mut world, _, item, message) = caught();
    world.ok(&alice(), message);
    let settle = world.settle_one(item.clone());
    assert_eq!(
        world.refused(&node(), settle),
        Refusal::SequenceUsed { found: Sequence(0) }
    );
    let opens = item.order.value.settle_by.0 + test_params().grace;
    world.wait_for_tick(opens + 1);
    let claim = Message::ClaimMissed {
        order: item.order,
        receipt: item.receipt,
    };
    assert_eq!(
        world.refused(&alice(), claim),
        Refusal::SequenceUsed { found: Sequence(0) },
        "one warranty per sequence"
    );
}

#[test]
fn a_settled_sequence_can_still_be_reported() {
    let (mut world, _, item, message) = caught();
    let settle = world.settle_one(item);
    world.ok(&node(), settle);
    world.ok(&alice(), message);
    assert_eq!(world.balance(payout(), USD), 10);
    assert_eq!(world.balance(alice().address(), USD), RICH - 500 + 50);
    assert!(world.node().jailed);
}

#[test]
fn a_claimed_sequence_pays_no_second_warranty() {
    let (mut world, channel, item, message) = caught();
    let opens = item.order.value.settle_by.0 + test_params().grace;
    world.wait_for_tick(opens + 1);
    let claim = Message::ClaimMissed {
        order: item.order,
        receipt: item.receipt,
    };
    world.ok(&alice(), claim);
    let effects = world.ok(&alice(), message);
    assert!(matches!(
        effects[..],
        [Effect::EquivocationClaimed {
            paid: Amount(0),
            burned: Amount(STAKE),
            ..
        }]
    ));
    assert_eq!(world.balance(alice().address(), USD), RICH - 450);
    let record = query::claim(&world.state, channel, Sequence(0)).unwrap().unwrap();
    assert_eq!((record.kind, record.paid), (ClaimKind::Equivocation, Amount(50)));
}

#[test]
fn a_second_equivocation_pays_again_but_there_is_no_second_stake() {
    let (mut world, channel, _, message) = caught();
    world.ok(&alice(), message);
    let item = world.item(channel, 1, EvidenceKind::Signed);
    let message = report(&item, second(&world, &item));
    let effects = world.ok(&alice(), message);
    assert!(matches!(
        effects[..],
        [Effect::EquivocationClaimed {
            paid: Amount(50),
            burned: Amount(0),
            ..
        }]
    ));
}

#[test]
fn a_closed_channel_can_be_reported_but_holds_no_warranty() {
    let (mut world, channel, _, message) = caught();
    let consent = haca_wire::Close {
        channel,
        expires: haca_wire::Height(world.height().0 + 5),
    };
    let consent = Some(Signed::new(consent, &world.domain, &node()).unwrap());
    world.ok(&alice(), Message::CloseChannel { channel, consent });
    let effects = world.ok(&alice(), message);
    assert!(matches!(
        effects[..],
        [Effect::EquivocationClaimed { paid: Amount(0), .. }]
    ));
    assert!(world.node().jailed);
    assert_eq!(world.bond().total, Amount(1_000));
}

#[test]
fn a_jailed_node_opens_nothing_but_what_is_open_still_settles() {
    let (mut world, channel, _, message) = caught();
    let bobs = world.open(&bob());
    let quote = world.quote(&bob());
    let quote = world.sign_quote(quote);
    let honest = world.item(channel, 7, EvidenceKind::Signed);
    world.ok(&alice(), message);
    let jailed = Refusal::NodeJailed {
        node: node().address(),
    };
    assert_eq!(world.refused(&bob(), Message::OpenChannel { quote }), jailed);
    let terms = world.terms();
    assert_eq!(world.refused(&node(), terms), jailed);
    let top_up = Message::TopUp {
        channel: bobs,
        amount: Amount(1),
    };
    assert_eq!(world.refused(&bob(), top_up), jailed);
    let bond = Message::Bond {
        asset: USD,
        amount: Amount(1),
    };
    assert_eq!(world.refused(&node(), bond), jailed);
    let message = world.settle_one(honest);
    world.ok(&node(), message);
    assert_eq!(world.balance(payout(), USD), 10);
    world.ok(
        &node(),
        Message::Unbond {
            asset: USD,
            amount: Amount(world.bond().free().0),
        },
    );
    assert!(matches!(
        world.refused(
            &node(),
            Message::Unbond {
                asset: USD,
                amount: Amount(1)
            }
        ),
        Refusal::InsufficientBond { .. }
    ));
}

#[test]
fn two_orders_on_one_sequence_do_not_excuse_two_receipts() {
    let (mut world, channel) = World::with_channel();
    let first = world.item(channel, 0, EvidenceKind::Signed);
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    order.max_fee = Amount(9);
    let mut receipt = world.receipt(&order);
    receipt.fee = Amount(9);
    let second = world.sign_item(order, receipt);
    let message = report(&first, second.receipt);
    world.ok(&alice(), message);
    assert!(world.node().jailed);
}
