//! Genesis: what it must say, and that nothing is issued after it.

use haca_ledger::{GenesisError, init_genesis, query, standard_params};
use haca_wire::{Address, Amount, GenesisHash};
use serde_json::{Value, json};

use crate::world::{OPG, RICH, USD, VALIDATOR_STAKE, World, alice, genesis_json, test_params};

fn refuse(change: impl Fn(&mut Value)) -> GenesisError {
    let mut document = genesis_json(test_params());
    change(&mut document);
    init_genesis(document.to_string().as_bytes(), GenesisHash([9; 32])).unwrap_err()
}

#[test]
fn genesis_puts_everything_where_it_says() {
    let world = World::new();
    assert_eq!(world.balance(alice().address(), USD), RICH);
    let supply = world.supply(OPG);
    assert_eq!(supply.issued, Amount(RICH * 5 + 1_000_000 + VALIDATOR_STAKE));
    assert_eq!(supply.pool, Amount(1_000_000));
    assert_eq!(supply.total(), Some(supply.issued));
    let chain = query::chain(&world.state).unwrap();
    assert_eq!((chain.chain_id.0, chain.genesis), (77, GenesisHash([9; 32])));
    let clock = query::clock(&world.state).unwrap();
    assert_eq!((clock.height.0, clock.tick.0, clock.base_fee.0), (0, 0, 1));
    assert_eq!(query::assets(&world.state).unwrap().len(), 2);
    assert_eq!(query::params(&world.state).unwrap(), test_params());
}

#[test]
fn rejects_a_genesis_that_does_not_add_up() {
    let error = refuse(|document| document["pool"] = json!("1000001"));
    assert!(
        matches!(error, GenesisError::Unbalanced { asset: OPG, .. }),
        "{error}"
    );
    let error = refuse(|document| document["assets"][1]["issued"] = json!("1"));
    assert!(matches!(error, GenesisError::Unbalanced { asset: USD, .. }));
    let error = refuse(|document| document["balances"][1]["amount"] = json!(u128::MAX.to_string()));
    assert!(matches!(error, GenesisError::Overflow { asset: USD }));
}

#[test]
fn rejects_what_stands_twice_or_for_nothing() {
    let error = refuse(|document| document["balances"][2] = document["balances"][0].clone());
    assert!(matches!(error, GenesisError::Duplicate { .. }));
    let error = refuse(|document| document["balances"][0]["amount"] = json!("0"));
    assert!(matches!(error, GenesisError::Zero { .. }));
    let error = refuse(|document| document["balances"][0]["account"] = json!(Address::default().to_string()));
    assert!(matches!(error, GenesisError::Zero { .. }));
    let error = refuse(|document| {
        let mut twin = document["validators"][0].clone();
        twin["stake"] = json!((VALIDATOR_STAKE / 2).to_string());
        document["validators"] = json!([twin.clone(), twin]);
    });
    assert!(matches!(error, GenesisError::Duplicate { .. }));
    let error =
        refuse(|document| document["validators"][0]["account"] = json!(Address::default().to_string()));
    assert!(matches!(error, GenesisError::Zero { .. }));
}

#[test]
fn rejects_unknown_assets_gaps_and_bad_symbols() {
    let error = refuse(|document| document["balances"][0]["asset"] = json!(5));
    assert!(matches!(error, GenesisError::UnknownAsset { .. }));
    let error = refuse(|document| document["assets"][1]["id"] = json!(2));
    assert!(matches!(
        error,
        GenesisError::UnknownAsset { .. } | GenesisError::AssetOrder { .. }
    ));
    let error = refuse(|document| document["assets"][0]["symbol"] = json!("two words"));
    assert!(matches!(error, GenesisError::Symbol { .. }));
    let error = refuse(|document| {
        document["assets"] = json!([]);
        document["balances"] = json!([]);
    });
    assert!(matches!(error, GenesisError::AssetCount { found: 0, .. }));
}

#[test]
fn rejects_json_of_another_form() {
    for text in ["", "{}", "[]", "null", "{\"chain_id\": 1}"] {
        let error = init_genesis(text.as_bytes(), GenesisHash([9; 32])).unwrap_err();
        assert!(matches!(error, GenesisError::Json(_)), "{text}");
        assert_eq!(error.code(), "genesis.json");
        assert!(!error.hint().is_empty());
    }
    let error = refuse(|document| document["surprise"] = json!(1));
    assert!(error.to_string().contains("surprise"), "{error}");
    let error = refuse(|document| document["pool"] = json!(1_000_000));
    assert!(matches!(error, GenesisError::Json(_)), "amounts are strings");
    let error = refuse(|document| document["pool"] = json!("-1"));
    assert!(matches!(error, GenesisError::Json(_)));
    let error = refuse(|document| document["validators"][0]["key"] = json!("abcd"));
    assert!(matches!(error, GenesisError::Json(_)));
}

#[test]
fn rejects_parameters_under_which_a_rule_would_not_hold() {
    let cases = [
        ("tx_gas", json!(0)),
        ("tx_gas", json!(4_000_001)),
        ("block_gas", json!((1u64 << 33) + 1)),
        ("prove_price", json!("1000000001")),
        ("block_bytes", json!(1_000)),
        ("gas_flat", json!(0)),
        ("node_stake", json!("0")),
        ("quote_lifetime", json!(0)),
        ("tx_lifetime", json!(0)),
        ("tx_lifetime", json!(u64::MAX)),
        ("settle_horizon", json!(0)),
        ("grace", json!(0)),
        ("claim_window", json!(0)),
        ("block_bytes", json!(1_310_719)),
        ("block_bytes", json!(3_495_253)),
        ("demand_window", json!(0)),
        ("respond_window", json!(0)),
        ("respond_step", json!(0)),
        ("signer_grace", json!(0)),
        ("gas_registration", json!(0)),
        ("signer_grace", json!(19)),
        ("unbonding", json!(34)),
    ];
    for (name, value) in cases {
        let error = refuse(|document| document["params"][name] = value.clone());
        assert!(
            matches!(error, GenesisError::Param { name: found, .. } if found == name),
            "{name}: {error}"
        );
    }
}

/// A proposal weighs ten signatures with a sponsor. Where a transaction can't have as much gas, nothing is ever changed.
#[test]
fn rejects_prices_at_which_nobody_could_propose() {
    let priced = |name: &str, gas: u64| {
        let mut document = genesis_json(standard_params());
        document["params"][name] = json!(gas);
        init_genesis(document.to_string().as_bytes(), GenesisHash([9; 32]))
    };
    for (name, most) in [
        ("gas_flat", 400_000_000 - 163_840 - 3_000_000),
        ("gas_byte", (400_000_000 - 50_000 - 3_000_000) / 16_384),
        ("gas_signature", (400_000_000 - 50_000 - 163_840) / 10),
    ] {
        assert!(priced(name, most).is_ok(), "{name}");
        for gas in [most + 1, 400_000_001, u64::MAX] {
            let error = priced(name, gas).unwrap_err();
            assert!(
                matches!(
                    error,
                    GenesisError::Param {
                        name: "tx_gas",
                        found: 400_000_000,
                        ..
                    }
                ),
                "{name} {gas}: {error}"
            );
            assert!(error.to_string().contains("10 gas_signature"), "{error}");
            assert!(error.hint().contains("L2"));
        }
    }
    let error = priced("gas_signature", 45_000_000).unwrap_err();
    assert_eq!(error.code(), "genesis.param");
}

#[test]
fn the_standard_parameters_are_accepted() {
    let world = World::with_params(standard_params());
    assert_eq!(world.params(), standard_params());
}
