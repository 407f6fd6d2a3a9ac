//! Bundles fetched from a node that is honest, mistaken or lying.

use std::time::Duration;

use haca_client::{
    ClientError, CoveredRange, Inferred, NodeClient, Settleable, VoucherStore, build_bundle, fetch_bundle,
    verify_online,
};
use haca_verify::{Outcome, Policy, check_id};
use haca_wire::bundle::LightBlock;
use haca_wire::merkle::InclusionPath;
use haca_wire::state::key;
use haca_wire::{
    Address, Amount, Encode as _, Evidence, Group, Height, Message, Nonce, ReceiptHash, Signed,
    SignedTransaction, Tick, Transaction, TxHash, TxMeta,
};
use prost::Message as _;
use serde_json::json;
use tendermint_proto::v0_38::types as raw;

use crate::chain::{Member, ordered, set};
use crate::network::{NOW_S, Network, SETTLED, checkpoint, signed};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_millis(1);

/// As CometBFT has validator sets: with addresses, priorities and a proposer.
pub(crate) fn validator_set_hex(members: &[Member]) -> String {
    let mut set = raw::ValidatorSet::from(set(&ordered(members)));
    for (priority, validator) in set.validators.iter_mut().enumerate() {
        validator.proposer_priority = priority as i64 - 1;
    }
    set.proposer = set.validators.first().cloned();
    hex::encode(set.encode_to_vec())
}

/// A network, what its node serves, and the receipt in question.
struct Scene {
    network: Network,
    server: Server,
    node: NodeClient,
    receipt: ReceiptHash,
}

impl Scene {
    fn new() -> Self {
        Self::of(Network::new())
    }

    fn of(network: Network) -> Self {
        let server = Server::start();
        let node = NodeClient::new(&server.url);
        let receipt = network.item().receipt.value.hash(&network.domain());
        let scene = Self {
            network,
            server,
            node,
            receipt,
        };
        scene.serve();
        scene
    }

    /// Serves everything that an honest node would.
    fn serve(&self) {
        let (network, server) = (&self.network, &self.server);
        let tree = network.tree();
        server.page("/v1/genesis", 200, network.genesis());
        let members = &network.members;
        self.serve_light_block(1, &network.block(1, vec![0; 32]).build(), members, members);
        let last = network.block(SETTLED + 1, tree.root.clone()).build();
        self.serve_light_block(SETTLED + 1, &last, members, members);
        let key = key::receipts(Height(SETTLED));
        server.json(
            &format!("/v1/state/{}", hex::encode(&key)),
            &json!({"value": null, "proof": hex::encode(tree.prove(&key)), "height": SETTLED}),
        );
        let bytes = self.transaction().encode();
        server.page(&format!("/v1/tx/{}/bytes", TxHash([10; 32])), 200, bytes);
        let (leaves, index) = network.leaves();
        let path = InclusionPath::new(&leaves, index).unwrap();
        server.json(
            &format!("/v1/receipts/{}", self.receipt),
            &json!({
                "settlement": hex::encode(network.settlement().encode()),
                "height": SETTLED,
                "index": path.index,
                "leaves": path.leaves,
                "path": path.siblings.iter().map(hex::encode).collect::<Vec<_>>(),
            }),
        );
    }

    fn serve_light_block(&self, height: u64, block: &LightBlock, members: &[Member], next: &[Member]) {
        self.server.json(
            &format!("/v1/light_block/{height}"),
            &json!({
                "signed_header": hex::encode(&block.signed_header),
                "validators": validator_set_hex(members),
                "next_validators": validator_set_hex(next),
            }),
        );
    }

    fn transaction(&self) -> SignedTransaction {
        let network = &self.network;
        let domain = network.domain();
        let mut other = network.item();
        other.receipt = Signed::new(
            haca_wire::Receipt {
                fee: Amount(1),
                ..other.receipt.value
            },
            &domain,
            &network.signer,
        )
        .unwrap();
        let group = Group {
            items: vec![other, network.item()],
            evidence: Evidence::Signed,
        };
        let meta = TxMeta {
            sender: network.signer.address(),
            expiry: Height(50),
            nonce: Nonce([1; 32]),
            max_base_fee: Amount(1),
            tip: Amount(0),
            sponsor: Address::default(),
        };
        let message = Message::SettleBatch { groups: vec![group] };
        SignedTransaction::sign(Transaction { meta, message }, &domain, &network.signer).unwrap()
    }

    fn inferred(&self) -> Inferred<'_> {
        Inferred {
            receipt: self.receipt,
            request: &self.network.request,
            response: &self.network.response,
        }
    }

    fn verify(&self, policy: &Policy) -> Result<Outcome, ClientError> {
        verify_online(
            &self.node,
            self.network.trust(),
            &self.inferred(),
            NOW_S,
            policy,
            PATIENCE,
        )
        .map(|(_, report)| report.outcome())
    }
}

#[test]
fn an_honest_node_leads_to_a_verified_inference() {
    let scene = Scene::new();
    assert_eq!(scene.verify(&signed()).unwrap(), Outcome::Verified);
}

#[test]
fn what_is_fetched_is_what_the_network_says() {
    let scene = Scene::new();
    let fetched = fetch_bundle(
        &scene.node,
        scene.network.trust(),
        &scene.inferred(),
        None,
        PATIENCE,
    )
    .unwrap();
    assert_eq!(fetched, scene.network.bundle());
    let settled = scene.node.settled(scene.receipt).unwrap().unwrap();
    let built = build_bundle(
        &scene.node,
        scene.network.trust(),
        &scene.network.item(),
        &settled,
        &scene.network.request,
        &scene.network.response,
    )
    .unwrap();
    assert_eq!(built, scene.network.bundle().encode());
}

#[test]
fn a_checkpoint_shortens_the_way() {
    let scene = Scene::new();
    let pin = checkpoint(&scene.network.bundle().light_blocks[1]);
    let policy = Policy {
        checkpoint: Some(pin),
        ..signed()
    };
    assert_eq!(scene.verify(&policy).unwrap(), Outcome::Verified);
    let fetched = fetch_bundle(
        &scene.node,
        scene.network.trust(),
        &scene.inferred(),
        Some(pin),
        PATIENCE,
    )
    .unwrap();
    assert_eq!(fetched.light_blocks.len(), 1);
}

#[test]
fn blocks_between_are_fetched_where_validators_change() {
    let old = Network::new().members;
    let mut network = Network::new();
    let app_hash = network.tree().root;
    let middle: Vec<Member> = vec![
        old[2].clone(),
        old[3].clone(),
        Member::new(15, 10),
        Member::new(16, 10),
    ];
    let new: Vec<Member> = vec![Member::new(15, 10), Member::new(16, 10), Member::new(17, 10)];
    network.members = old;
    let scene = Scene::of(network);
    let network = &scene.network;
    let mut between = network.block((SETTLED + 2) / 2, vec![1; 32]);
    between.validators = &middle;
    between.next_validators = &new;
    let mut last = network.block(SETTLED + 1, app_hash);
    last.validators = &new;
    last.next_validators = &new;
    scene.serve_light_block(between.height, &between.build(), &middle, &new);
    scene.serve_light_block(last.height, &last.build(), &new, &new);
    assert_eq!(scene.verify(&signed()).unwrap(), Outcome::Verified);
    let fetched = fetch_bundle(&scene.node, network.trust(), &scene.inferred(), None, PATIENCE).unwrap();
    assert_eq!(fetched.light_blocks.len(), 3);
}

#[test]
fn a_receipt_that_is_not_settled_is_pending_not_refused() {
    let scene = Scene::new();
    let path = format!("/v1/receipts/{}", scene.receipt);
    scene.server.page(&path, 404, "{}");
    let error = scene.verify(&signed()).unwrap_err();
    assert_eq!(error.code(), "client.pending");
}

#[test]
fn a_node_of_another_network_is_named() {
    let scene = Scene::new();
    let other = Network {
        number: 99,
        ..Network::new()
    };
    scene.server.page("/v1/genesis", 200, other.genesis());
    let error = scene.verify(&signed()).unwrap_err();
    assert_eq!(error.code(), "client.other_network");
}

#[test]
fn a_node_that_lies_about_the_settlement_is_rejected() {
    let scene = Scene::new();
    let mut settlement = scene.network.settlement();
    settlement.payout.0[0] ^= 1;
    let path = format!("/v1/receipts/{}", scene.receipt);
    scene.server.json(
        &path,
        &json!({"settlement": hex::encode(settlement.encode()), "height": SETTLED, "index": 0, "leaves": 1, "path": []}),
    );
    assert_eq!(scene.verify(&signed()).unwrap(), Outcome::Rejected);
}

#[test]
fn a_node_with_validators_of_its_own_is_not_believed() {
    let mut forger = Network::new();
    forger.members = (11..=14).map(|seed| Member::new(seed, 10)).collect();
    let scene = Scene::new();
    let app_hash = scene.network.tree().root;
    for (height, hash) in [(1, vec![0; 32]), (SETTLED + 1, app_hash)] {
        let block = forger.block(height, hash).build();
        scene.serve_light_block(height, &block, &forger.members, &forger.members);
    }
    let (_, report) = verify_online(
        &scene.node,
        scene.network.trust(),
        &scene.inferred(),
        NOW_S,
        &signed(),
        PATIENCE,
    )
    .unwrap();
    assert_eq!(report.failures().next().unwrap().id, check_id::CHAIN_FIRST_BLOCK);
}

#[test]
fn answers_that_make_no_sense_are_malformed() {
    let break_page = |path: &str, body: &str| {
        let scene = Scene::new();
        scene.server.page(path, 200, body);
        scene.verify(&signed()).unwrap_err().code()
    };
    let tx = format!("/v1/tx/{}/bytes", TxHash([10; 32]));
    let receipts = format!("/v1/state/{}", hex::encode(key::receipts(Height(SETTLED))));
    let receipt = format!("/v1/receipts/{}", Scene::new().receipt);
    for (path, body) in [
        (tx.as_str(), "no transaction"),
        ("/v1/light_block/1", "{}"),
        (
            "/v1/light_block/1",
            r#"{"signed_header":"zz","validators":"","next_validators":""}"#,
        ),
        (
            "/v1/light_block/8",
            r#"{"signed_header":"00","validators":"00","next_validators":"00"}"#,
        ),
        (receipts.as_str(), r#"{"value":null,"proof":"ff","height":7}"#),
        (
            receipt.as_str(),
            r#"{"settlement":"00","height":7,"index":0,"leaves":1,"path":[]}"#,
        ),
        (receipt.as_str(), "[]"),
    ] {
        assert_eq!(break_page(path, body), "client.malformed", "{path}: {body}");
    }
}

/// The tree of a range is made of receipts: a payer that lacks one, or has another, has no path.
#[test]
fn a_range_is_fetched_for_exactly_the_receipts_under_its_root() {
    let scene = Scene::of(Network::covered());
    let (network, voucher) = (&scene.network, scene.network.voucher());
    let zk = haca_wire::Voucher {
        evidence: haca_wire::EvidenceKind::Zk,
        ..voucher.clone()
    };
    for (voucher, reason) in [
        (&voucher, "these are not the receipts under its root"),
        (&zk, "vouchers cover no receipts with proofs"),
    ] {
        let leaves = haca_client::leaves(&vec![network.item(); 7], &network.domain());
        let found = CoveredRange::fetch(&scene.node, network.trust(), voucher, leaves, None, PATIENCE);
        assert!(
            matches!(found, Err(ClientError::Voucher { reason: found }) if found == reason),
            "{reason}"
        );
    }
}

#[test]
fn a_range_that_no_block_has_settled_is_pending() {
    let scene = Scene::of(Network::covered());
    let network = &scene.network;
    let voucher = haca_client::voucher(&two_in_a_row(network), &network.domain(), Tick(50)).unwrap();
    scene.server.page(
        &format!("/v1/receipts/{}", voucher.hash(&network.domain())),
        404,
        Vec::new(),
    );
    let leaves = haca_client::leaves(&two_in_a_row(network), &network.domain());
    let found = CoveredRange::fetch(&scene.node, network.trust(), &voucher, leaves, None, PATIENCE);
    assert!(matches!(found, Err(ClientError::Pending { .. })), "{found:?}");
}

/// A full node that answers with the record of another channel's voucher, whose root is the receipt's digest or the
/// voucher's root.
#[test]
fn a_record_that_only_has_the_hash_is_not_the_settlement() {
    let scene = Scene::new();
    let (network, domain) = (&scene.network, scene.network.domain());
    let items = two_in_a_row(network);
    let voucher = haca_client::voucher(&items, &domain, Tick(50)).unwrap();
    let serve = |name: ReceiptHash, record: &haca_wire::Settlement| {
        scene.server.json(
            &format!("/v1/receipts/{name}"),
            &json!({"settlement": hex::encode(record.encode()), "height": SETTLED, "index": 0, "leaves": 1, "path": []}),
        );
    };
    let receipt = network.item().receipt.value;
    let honest = network.settlement();
    let of_voucher = haca_wire::Settlement {
        sequence: voucher.first,
        order: voucher.hash(&domain),
        receipt: ReceiptHash(voucher.root),
        ..honest.clone()
    };
    for (wanted, honest) in [
        (Settleable::receipt(&receipt, &domain), honest),
        (Settleable::voucher(&voucher, &domain), of_voucher),
    ] {
        serve(wanted.known_as(), &honest);
        assert!(scene.node.settlement_of(&wanted).unwrap().is_some());
        let alterations: [fn(&mut haca_wire::Settlement); 4] = [
            |record| record.channel.0[0] ^= 1,
            |record| record.sequence.0 += 1,
            |record| record.order.0[0] ^= 1,
            |record| record.receipt.0[0] ^= 1,
        ];
        for alter in alterations {
            let mut shadow = honest.clone();
            alter(&mut shadow);
            serve(wanted.known_as(), &shadow);
            assert!(scene.node.settlement_of(&wanted).unwrap().is_none(), "{shadow:?}");
        }
    }
    let trust = network.trust();
    let leaves = haca_client::leaves(&items, &domain);
    let found = CoveredRange::fetch(&scene.node, trust, &voucher, leaves, None, PATIENCE);
    assert!(matches!(found, Err(ClientError::Pending { .. })), "{found:?}");
}

/// Two vouchers over one range differ in what they settle up to, and the node may settle either. The store also reads files
/// of the name and form that have the voucher alone.
#[test]
fn every_voucher_is_kept_with_its_leaves() {
    let network = Network::covered();
    let (items, domain) = (two_in_a_row(&network), network.domain());
    let leaves = haca_client::leaves(&items, &domain);
    let dir = tempfile::tempdir().unwrap();
    let store = VoucherStore::new(dir.path());
    let signed = [30, 40, 50].map(|settle_by| {
        let voucher = haca_client::voucher(&items, &domain, Tick(settle_by)).unwrap();
        Signed::new(voucher, &domain, &network.payer).unwrap()
    });
    let [first, second, old] = &signed;
    store.keep(first, &leaves, &domain).unwrap();
    store.keep(second, &leaves, &domain).unwrap();
    std::fs::write(dir.path().join("9-0-2.voucher"), old.encode()).unwrap();
    let kept = store.all().unwrap();
    assert!(kept.unreadable.is_empty(), "{:?}", kept.unreadable);
    for (voucher, leaves) in [(first, Some(&leaves)), (second, Some(&leaves)), (old, None)] {
        let found = kept.vouchers.iter().find(|kept| kept.signed == *voucher).unwrap();
        assert_eq!(found.leaves.as_ref(), leaves);
    }
    // Damaged leaves are named, and the voucher counts without them.
    for bytes in [leaves[1].0[..31].to_vec(), [leaves[1].0, leaves[0].0].concat()] {
        let damaged = [old.encode(), bytes].concat();
        std::fs::write(dir.path().join("9-0-2.voucher"), damaged).unwrap();
        let kept = store.all().unwrap();
        assert_eq!((kept.vouchers.len(), kept.unreadable.len()), (3, 1));
        assert!(kept.unreadable[0].to_string().contains("9-0-2.voucher"));
        let found = kept.vouchers.iter().find(|kept| kept.signed == *old).unwrap();
        assert_eq!(found.leaves, None);
    }
}

fn two_in_a_row(network: &Network) -> Vec<haca_wire::Item> {
    let mut second = network.clone();
    second.order.sequence.0 += 1;
    second.receipt.sequence.0 += 1;
    vec![network.item(), second.item()]
}
