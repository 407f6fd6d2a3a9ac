//! OpenChannel and TopUp.

use haca_ledger::{Effect, Refusal};
use haca_wire::order::Signed;
use haca_wire::state::ChannelState;
use haca_wire::{Amount, AssetId, ChannelId, Height, Message, Quote};

use crate::world::{RICH, USD, World, alice, bob, node, other_node, signer, test_params};

fn open(quote: Signed<Quote>) -> Message {
    Message::OpenChannel { quote }
}

fn changed(world: &mut World, change: impl Fn(&mut Quote)) -> Message {
    let mut quote = world.quote(&alice());
    change(&mut quote);
    open(world.sign_quote(quote))
}

#[test]
fn opening_escrows_the_deposit_and_reserves_the_warranty() {
    let (world, channel) = World::with_channel();
    assert_eq!(world.balance(alice().address(), USD), RICH - 500);
    assert_eq!(world.supply(USD).escrow, Amount(500));
    assert_eq!(
        (world.bond().total, world.bond().reserved),
        (Amount(1_000), Amount(300))
    );
    let record = world.channel(channel);
    assert_eq!((record.deposit, record.reserve), (Amount(500), Amount(300)));
    assert_eq!(record.state, ChannelState::Open);
}

#[test]
fn rejects_a_quote_the_node_did_not_sign() {
    let mut world = World::with_node();
    let quote = world.quote(&alice());
    for forger in [alice(), signer(), other_node()] {
        let forged = Signed::new(quote.clone(), &world.domain, &forger).unwrap();
        assert_eq!(
            world.refused(&alice(), open(forged)),
            Refusal::QuoteSignature {
                found: forger.address(),
                expected: node().address()
            },
            "nobody ties up a node's bond uninvited"
        );
    }
    let mut bent = world.sign_quote(quote);
    bent.value.warranty = Amount(999);
    assert!(matches!(
        world.refused(&alice(), open(bent)),
        Refusal::QuoteSignature { .. }
    ));
}

#[test]
fn rejects_a_quote_for_another_payer() {
    let mut world = World::with_node();
    let quote = world.quote(&alice());
    let quote = world.sign_quote(quote);
    assert_eq!(
        world.refused(&bob(), open(quote)),
        Refusal::QuotePayer {
            found: alice().address(),
            expected: bob().address()
        }
    );
}

#[test]
fn rejects_a_quote_after_its_last_height_and_one_that_lives_too_long() {
    let mut world = World::with_node();
    let next = world.height().0 + 1;
    let message = changed(&mut world, |quote| quote.expires = Height(next));
    let late = message.clone();
    world.block(&[]);
    assert!(matches!(
        world.refused(&alice(), late),
        Refusal::QuoteExpired { .. }
    ));
    let last = world.height().0 + 1 + test_params().quote_lifetime;
    let message = changed(&mut world, |quote| quote.expires = Height(last + 2));
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::QuoteTooLong { .. }
    ));
    let next = world.height().0 + 1;
    let message = changed(&mut world, |quote| quote.expires = Height(next));
    world.ok(&alice(), message);
}

#[test]
fn rejects_a_quote_twice_even_after_its_channel_closed() {
    let mut world = World::with_node();
    let quote = world.quote(&alice());
    let quote = world.sign_quote(quote);
    let channel = quote.value.channel(&world.domain);
    world.ok(&alice(), open(quote.clone()));
    assert_eq!(
        world.refused(&alice(), open(quote.clone())),
        Refusal::QuoteUsed { channel }
    );
    let consent = haca_wire::Close {
        channel,
        expires: Height(world.height().0 + 10),
    };
    let consent = Signed::new(consent, &world.domain, &node()).unwrap();
    world.ok(
        &alice(),
        Message::CloseChannel {
            channel,
            consent: Some(consent),
        },
    );
    assert_eq!(
        world.refused(&alice(), open(quote)),
        Refusal::QuoteUsed { channel },
        "a second life would settle every order again"
    );
}

#[test]
fn rejects_two_quotes_on_one_bond() {
    let mut world = World::with_node();
    let big = |world: &mut World, payer| {
        let mut quote = world.quote(payer);
        quote.warranty = Amount(600);
        open(world.sign_quote(quote))
    };
    let (first, second) = (big(&mut world, &alice()), big(&mut world, &bob()));
    world.ok(&alice(), first);
    assert!(matches!(
        world.refused(&bob(), second),
        Refusal::InsufficientBond {
            found: Amount(400),
            ..
        }
    ));
}

#[test]
fn a_channel_draws_only_on_bond_in_its_own_asset() {
    let mut world = World::with_node();
    let message = changed(&mut world, |quote| quote.asset = AssetId::OPG);
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::InsufficientBond { .. }
    ));
    let message = changed(&mut world, |quote| quote.asset = AssetId(7));
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::UnknownAsset { .. }
    ));
}

#[test]
fn rejects_a_quote_on_offers_that_have_changed() {
    let mut world = World::with_node();
    let quote = world.quote(&alice());
    let quote = world.sign_quote(quote);
    let terms = world.terms();
    world.ok(&node(), terms);
    assert_eq!(
        world.refused(&alice(), open(quote)),
        Refusal::OfferVersion {
            found: 1,
            expected: 2
        }
    );
}

#[test]
fn rejects_a_deposit_the_payer_does_not_have_and_one_of_nothing() {
    let mut world = World::with_node();
    let message = changed(&mut world, |quote| quote.deposit = Amount(RICH + 1));
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::InsufficientBalance { asset: USD, .. }
    ));
    let message = changed(&mut world, |quote| quote.deposit = Amount(0));
    assert_eq!(world.refused(&alice(), message), Refusal::ZeroAmount);
    assert_eq!(
        world.bond().reserved,
        Amount(0),
        "a refused opening reserves nothing"
    );
}

#[test]
fn rejects_a_quote_of_an_unregistered_node() {
    let mut world = World::with_node();
    let mut quote = world.quote(&alice());
    quote.node = other_node().address();
    let quote = Signed::new(quote, &world.domain, &other_node()).unwrap();
    assert!(matches!(
        world.refused(&alice(), open(quote)),
        Refusal::UnknownNode { .. }
    ));
}

#[test]
fn a_channel_without_warranty_reserves_nothing() {
    let mut world = World::with_node();
    let message = changed(&mut world, |quote| quote.warranty = Amount(0));
    let effects = world.ok(&alice(), message);
    assert!(matches!(effects[..], [Effect::ChannelOpened { .. }]));
    assert_eq!(world.bond().reserved, Amount(0));
}

#[test]
fn only_the_payer_tops_up_and_only_an_open_channel() {
    let (mut world, channel) = World::with_channel();
    let top_up = |channel, amount| Message::TopUp {
        channel,
        amount: Amount(amount),
    };
    world.ok(&alice(), top_up(channel, 30));
    assert_eq!(world.channel(channel).deposit, Amount(530));
    assert!(matches!(
        world.refused(&bob(), top_up(channel, 30)),
        Refusal::NotThePayer { .. }
    ));
    assert_eq!(world.refused(&alice(), top_up(channel, 0)), Refusal::ZeroAmount);
    assert!(matches!(
        world.refused(&alice(), top_up(channel, RICH)),
        Refusal::InsufficientBalance { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), top_up(ChannelId([1; 32]), 30)),
        Refusal::UnknownChannel { .. }
    ));
    world.ok(
        &alice(),
        Message::CloseChannel {
            channel,
            consent: None,
        },
    );
    assert_eq!(
        world.refused(&alice(), top_up(channel, 30)),
        Refusal::ChannelClosing { channel }
    );
}
