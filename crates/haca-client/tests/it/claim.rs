//! What counts as two receipts for one sequence.

use haca_client::equivocation;
use haca_wire::state::{NodeRecord, SignerEnd, SignerTerm};
use haca_wire::{Amount, Height, Item, Message, OrderHash, SecretKey, Sequence, Signed, Tick};

use crate::network::{Network, secret};

/// A node that has replaced the first of these keys by the second.
fn node(past: &SecretKey, current: &SecretKey) -> NodeRecord {
    let end = SignerEnd {
        height: Height(4),
        tick: Tick(4),
    };
    let term = |key: &SecretKey, from, end| SignerTerm {
        signer: key.address(),
        from: Height(from),
        end,
    };
    NodeRecord {
        endpoint: "http://127.0.0.1:1".into(),
        payout: current.address(),
        offer_version: 1,
        offers: Vec::new(),
        signers: vec![term(past, 1, Some(end)), term(current, 4, None)],
        stake: Amount(1),
        jailed: false,
        registered: Height(1),
    }
}

/// The order with its receipt, and another receipt of the same sequence.
fn pair(network: &Network) -> (Item, Item) {
    let mut other = network.clone();
    other.receipt.seed ^= 1;
    (network.item(), other.item())
}

#[test]
fn two_receipts_of_the_nodes_keys_are_evidence() {
    let network = Network::new();
    let domain = network.domain();
    let (first, second) = pair(&network);
    let stranger = secret(90);
    let payer = network.payer.address();
    let told = |first: &Item, second: &Item, node: &NodeRecord| {
        equivocation(
            &first.order,
            &first.receipt,
            &second.receipt,
            payer,
            node,
            &domain,
        )
    };
    let current = node(&stranger, &network.signer);
    let expected = Message::ClaimEquivocation {
        order: first.order.clone(),
        first: first.receipt.clone(),
        second: second.receipt.clone(),
    };
    assert_eq!(told(&first, &second, &current), Some(expected));
    let replaced = node(&network.signer, &stranger);
    assert!(
        told(&first, &second, &replaced).is_some(),
        "a key that was the node's"
    );
    let mut elsewhere = network.clone();
    elsewhere.receipt.seed ^= 1;
    elsewhere.receipt.order = OrderHash([9; 32]);
    assert!(
        told(&first, &elsewhere.item(), &current).is_some(),
        "one of them answers the order"
    );
}

#[test]
fn what_the_chain_would_refuse_is_no_evidence() {
    let network = Network::new();
    let domain = network.domain();
    let (first, second) = pair(&network);
    let (stranger, payer) = (secret(90), network.payer.address());
    let ours = node(&secret(91), &network.signer);
    let evidence = |item: &Item, second: &Signed<_>, payer, node: &NodeRecord| {
        equivocation(&item.order, &item.receipt, second, payer, node, &domain).is_some()
    };
    assert!(evidence(&first, &second.receipt, payer, &ours));
    assert!(
        !evidence(&first, &first.receipt, payer, &ours),
        "the same receipt"
    );
    assert!(
        !evidence(&first, &second.receipt, stranger.address(), &ours),
        "the order of another payer"
    );
    let foreign = node(&secret(91), &stranger);
    assert!(
        !evidence(&first, &second.receipt, payer, &foreign),
        "keys of another node"
    );
    // In the name of the node's key, and in one's own.
    let forged = Signed::new(second.receipt.value.clone(), &domain, &stranger).unwrap();
    assert!(!evidence(&first, &forged, payer, &ours));
    let item = |receipt| Item {
        order: first.order.clone(),
        receipt,
    };
    assert!(!evidence(&item(forged), &second.receipt, payer, &ours));
    let mut own = second.receipt.value.clone();
    own.signer = stranger.address();
    let own = Signed::new(own, &domain, &stranger).unwrap();
    assert!(!evidence(&first, &own, payer, &ours));
    let mut later = network.clone();
    later.receipt.sequence = Sequence(6);
    assert!(
        !evidence(&first, &later.item().receipt, payer, &ours),
        "another sequence"
    );
    let mut unrelated = network.clone();
    unrelated.receipt.order = OrderHash([9; 32]);
    let first_unrelated = unrelated.item();
    unrelated.receipt.seed ^= 1;
    assert!(
        !evidence(&first_unrelated, &unrelated.item().receipt, payer, &ours),
        "neither answers the order"
    );
}
