//! Transactions: who signs, who pays, what a fee is.

use haca_wire::*;
use proptest::prelude::*;

use crate::sample::Sample;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sender_and_sponsor_sign_the_same_digest(transaction in Transaction::any(), domain in Domain::any(),
                                               sender in SecretKey::any(), sponsor in SecretKey::any()) {
        let mut transaction = transaction;
        transaction.meta.sponsor = sponsor.address();
        let digest = transaction.digest(&domain);
        let signed = SignedTransaction::sign(transaction, &domain, &sender).unwrap();
        // A sponsor is named: without the second signature it is no transaction.
        prop_assert!(SignedTransaction::decode_all(&signed.encode()).is_err());
        let signed = signed.cosign(&domain, &sponsor).unwrap();
        prop_assert_eq!(signed.signature.recover(&digest), Ok(sender.address()));
        prop_assert_eq!(signed.sponsor_signature.unwrap().recover(&digest), Ok(sponsor.address()));
        prop_assert_eq!(SignedTransaction::decode_all(&signed.encode()), Ok(signed));
    }

    /// Any two transactions that differ in a byte have different digests: nothing stands outside the signature.
    #[test]
    fn every_byte_is_signed(transaction in Transaction::any(), domain in Domain::any(), at: prop::sample::Index,
                            byte in 1u8..=255) {
        let mut bytes = transaction.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        if let Ok(other) = Transaction::decode_all(&bytes) {
            prop_assert_ne!(other.digest(&domain), transaction.digest(&domain), "byte {}", at);
        }
    }

    #[test]
    fn every_byte_of_an_order_and_a_receipt_is_signed(order in Order::any(), receipt in Receipt::any(),
                                                      quote in Quote::any(), domain in Domain::any()) {
        fn check<T: TypedData + Encode + Decode>(value: &T, domain: &Domain) {
            let bytes = value.encode();
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                if let Ok(other) = T::decode_all(&changed) {
                    assert_ne!(other.digest(domain), value.digest(domain), "byte {at}");
                }
            }
        }
        check(&order, &domain);
        check(&receipt, &domain);
        check(&quote, &domain);
        prop_assert_eq!(quote.channel(&domain).0, quote.digest(&domain));
    }

    #[test]
    fn bond_and_unbond_are_not_each_other(asset in AssetId::any(), amount in Amount::any(), meta in TxMeta::any(),
                                          domain in Domain::any()) {
        let bond = Transaction { meta: meta.clone(), message: Message::Bond { asset, amount } };
        let unbond = Transaction { meta, message: Message::Unbond { asset, amount } };
        prop_assert_ne!(bond.digest(&domain), unbond.digest(&domain));
    }

    #[test]
    fn a_fee_is_the_base_and_the_started_part_of_a_million_units(base: u64, unit: u64, units: u64) {
        let offer = Offer {
            model: ModelId::default(),
            evidence: EvidenceKind::Zk,
            asset: AssetId::OPG,
            base_price: Amount(base.into()),
            unit_price: Amount(unit.into()),
        };
        let fee = offer.fee(units).unwrap().0 - u128::from(base);
        let exact = u128::from(unit) * u128::from(units);
        prop_assert!(fee * 1_000_000 >= exact && (fee == 0 || (fee - 1) * 1_000_000 < exact));
    }
}

#[test]
fn a_fee_that_overflows_is_none() {
    let mut offer = Offer {
        model: ModelId::default(),
        evidence: EvidenceKind::Zk,
        asset: AssetId::OPG,
        base_price: Amount(0),
        unit_price: Amount(u128::MAX),
    };
    assert_eq!(offer.fee(1), Some(Amount(u128::MAX.div_ceil(1_000_000))));
    assert_eq!(offer.fee(2), None);
    offer.base_price = Amount(u128::MAX);
    assert_eq!(offer.fee(1), None);
    assert_eq!(offer.fee(0), Some(Amount(u128::MAX)));
}

#[test]
fn the_sponsor_pays_where_one_is_named() {
    let (sender, sponsor) = (Address([1; 20]), Address([2; 20]));
    let mut meta = TxMeta {
        sender,
        expiry: Height(9),
        nonce: Nonce::default(),
        max_base_fee: Amount(1),
        tip: Amount(0),
        sponsor: Address::default(),
    };
    assert_eq!(meta.gas_payer(), sender);
    meta.sponsor = sponsor;
    assert_eq!(meta.gas_payer(), sponsor);
}

#[test]
fn a_transaction_of_more_than_a_mebibyte_is_refused() {
    let key = SecretKey::from_bytes(&[7; 32]).unwrap();
    let domain = Domain {
        chain_id: ChainId(1),
        genesis: GenesisHash([2; 32]),
    };
    let of_proof = |len: usize| {
        let transaction = Transaction {
            meta: TxMeta {
                sender: key.address(),
                expiry: Height(9),
                nonce: Nonce::default(),
                max_base_fee: Amount(1),
                tip: Amount(0),
                sponsor: Address::default(),
            },
            message: Message::RegisterModel {
                verifying_key: vec![],
                proof: vec![0; len],
            },
        };
        SignedTransaction::sign(transaction, &domain, &key)
            .unwrap()
            .encode()
    };
    let rest = of_proof(0).len();
    assert!(SignedTransaction::decode_all(&of_proof(limit::TX_BYTES - rest)).is_ok());
    let (found, expected) = (limit::TX_BYTES + 1, limit::TX_BYTES);
    assert_eq!(
        SignedTransaction::decode_all(&of_proof(limit::TX_BYTES - rest + 1)),
        Err(DecodeError::TooLong {
            what: "transaction",
            found,
            expected
        })
    );
}
