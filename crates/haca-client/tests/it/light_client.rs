//! The light client against nodes that are honest, mistaken, stale or lying, over real HTTP.

use haca_client::{ClientError, LightClient, NodeClient, Proof, TrustStore, Witness, attack_checkpoint};
use haca_verify::{AttackKind, Checkpoint, Outcome, Policy, check_id, verify_attack, verify_state};
use haca_wire::bundle::LightBlock;
use haca_wire::merkle::InclusionPath;
use haca_wire::state::{Entry, key};
use haca_wire::{
    Address, Amount, AssetId, Encode as _, Evidence, Group, Height, Message, Nonce, SignedTransaction,
    Transaction, TxMeta,
};
use serde_json::json;

use crate::bundle::validator_set_hex;
use crate::chain::{BlockSpec, Member, Part};
use crate::network::{NOW_S, Network, SETTLED, START_S, checkpoint};
use crate::server::Server;

/// A node of a network whose validators change by one at each height, from `1..=4` on: at height 12 none is left of those
/// at height 4.
struct Chain {
    network: Network,
    server: Server,
    node: NodeClient,
}

/// The height whose state is served; the header above it proves it.
const TIP: u64 = 30;

fn members(height: u64) -> &'static [Member] {
    let first = height.div_ceil(2) as u8;
    four(first)
}

/// For as long as the tests run, so that any block may hold them.
fn four(first: u8) -> &'static [Member] {
    let members: Vec<Member> = (first..first + 4).map(|seed| Member::new(seed, 10)).collect();
    members.leak()
}

fn account() -> Vec<u8> {
    key::balance(Address([7; 20]), AssetId(0))
}

fn network() -> Network {
    Network {
        members: members(1).to_vec(),
        ..Network::new()
    }
}

/// A transaction of the inference node's.
fn settling(network: &Network, message: Message) -> SignedTransaction {
    let meta = TxMeta {
        sender: network.signer.address(),
        expiry: Height(50),
        nonce: Nonce([1; 32]),
        max_base_fee: Amount(1),
        tip: Amount(0),
        sponsor: Address::default(),
    };
    SignedTransaction::sign(Transaction { meta, message }, &network.domain(), &network.signer).unwrap()
}

impl Chain {
    fn start() -> Self {
        Self::of(network())
    }

    fn of(network: Network) -> Self {
        let server = Server::start();
        let chain = Self {
            network,
            node: NodeClient::new(&server.url),
            server,
        };
        chain.server.page("/v1/genesis", 200, chain.network.genesis());
        for height in 1..=TIP + 1 {
            chain.serve(height, |_| {});
        }
        chain.prove(TIP);
        chain
    }

    /// The chain's state is that of the network's helper at every height above the first.
    fn app_hash(&self, height: u64) -> Vec<u8> {
        match height {
            1 => vec![0; 32],
            _ => self.network.tree().root,
        }
    }

    fn serve<'a>(&'a self, height: u64, alter: impl FnOnce(&mut BlockSpec<'a>)) -> LightBlock {
        let mut block = self.network.block(height, self.app_hash(height));
        (block.validators, block.next_validators) = (members(height), members(height + 1));
        alter(&mut block);
        let built = block.build();
        self.page(height, &built, &block);
        built
    }

    fn page(&self, height: u64, built: &LightBlock, block: &BlockSpec<'_>) {
        self.server.json(
            &format!("/v1/light_block/{height}"),
            &json!({
                "signed_header": hex::encode(&built.signed_header),
                "validators": validator_set_hex(block.validators),
                "next_validators": validator_set_hex(block.next_validators),
            }),
        );
    }

    /// Answers for the account with the state of a height.
    fn prove(&self, height: u64) {
        self.answer(&account(), self.network.tree().prove(&account()), height);
    }

    fn answer(&self, key: &[u8], proof: Vec<u8>, height: u64) {
        self.server.json(
            &format!("/v1/state/{}", hex::encode(key)),
            &json!({"value": null, "proof": hex::encode(proof), "height": height}),
        );
    }

    fn light(&self) -> LightClient {
        LightClient::new(self.network.trust(), Policy::default())
    }

    fn proven(&self, light: &LightClient) -> Proof {
        let proof = light.prove(&self.node, &account(), NOW_S).unwrap();
        assert_eq!(
            proof.report.outcome(),
            Outcome::Verified,
            "{:#?}",
            proof.report.checks()
        );
        proof
    }

    fn compare(&self, light: &LightClient, witness: &Chain, proof: &Proof) -> Witness {
        light.compare(&self.node, &witness.node, proof, NOW_S).unwrap()
    }
}

#[test]
fn a_balance_is_proven_over_changes_of_the_whole_set() {
    let chain = Chain::start();
    let proof = chain.proven(&chain.light());
    let amount = Amount(u128::from_le_bytes([7; 16]));
    let proven = proof.report.verified().unwrap().get();
    assert_eq!(
        proven.entry,
        Some(Entry::Balance(Address([7; 20]), AssetId(0), amount))
    );
    assert_eq!(proven.header_height, Height(TIP + 1));
    let steps = proof.file.light_blocks.len();
    assert!(
        (4..=12).contains(&steps),
        "{steps} light blocks: skipping, with stops between"
    );
    // The file convinces whoever has the genesis hash, without a network.
    let again = verify_state(
        &proof.file.encode(),
        chain.network.trust(),
        NOW_S,
        &Policy::default(),
    );
    assert_eq!(again.outcome(), Outcome::Verified);
}

#[test]
fn absence_and_settled_receipts_are_proven() {
    let chain = Chain::of(Network {
        alter_settlement: |record| {
            let network = network();
            let group = Group {
                items: vec![network.item()],
                evidence: Evidence::Signed,
            };
            record.tx = settling(&network, Message::SettleBatch { groups: vec![group] }).hash();
        },
        ..network()
    });
    let tree = chain.network.tree();
    let nobody = key::balance(Address([99; 20]), AssetId(0));
    chain.answer(&nobody, tree.prove(&nobody), TIP);
    let proof = chain.light().prove(&chain.node, &nobody, NOW_S).unwrap();
    assert_eq!(proof.report.verified().unwrap().get().entry, None);

    let receipt = chain.network.settlement().receipt;
    assert!(
        chain
            .light()
            .prove_receipt(&chain.node, receipt, NOW_S)
            .unwrap()
            .is_none()
    );
    let (leaves, index) = chain.network.leaves();
    let path = InclusionPath::new(&leaves, index).unwrap();
    let page = |receipt| {
        chain.server.json(
            &format!("/v1/receipts/{receipt}"),
            &json!({
                "settlement": hex::encode(chain.network.settlement().encode()),
                "height": SETTLED,
                "index": path.index,
                "leaves": path.leaves,
                "path": path.siblings.iter().map(hex::encode).collect::<Vec<_>>(),
            }),
        );
    };
    page(receipt);
    let path = format!("/v1/tx/{}/bytes", chain.network.settlement().tx);
    let group = Group {
        items: vec![chain.network.item()],
        evidence: Evidence::Signed,
    };
    let groups = vec![group];
    let settled_by = settling(
        &chain.network,
        Message::SettleBatch {
            groups: groups.clone(),
        },
    );
    chain.server.page(&path, 200, settled_by.encode());
    let root = key::receipts(Height(SETTLED));
    chain.answer(&root, tree.prove(&root), TIP);
    let proof = chain
        .light()
        .prove_receipt(&chain.node, receipt, NOW_S)
        .unwrap()
        .unwrap();
    let proven = proof.report.verified().unwrap().get();
    assert_eq!(proven.settlement, Some(chain.network.settlement()));
    // Nor is the record of a voucher with this root, whose transaction has no receipts, or of which another is shown.
    let coverages = Vec::new();
    let groups = [groups.clone(), groups].concat();
    for message in [
        Message::SettleVouchers { coverages },
        Message::SettleBatch { groups },
    ] {
        chain
            .server
            .page(&path, 200, settling(&chain.network, message).encode());
        let error = chain.light().prove_receipt(&chain.node, receipt, NOW_S);
        assert_eq!(error.unwrap_err().code(), "client.malformed");
    }
    // Another receipt's settlement is no answer.
    let other = haca_wire::ReceiptHash([9; 32]);
    page(other);
    let error = chain
        .light()
        .prove_receipt(&chain.node, other, NOW_S)
        .unwrap_err();
    assert_eq!(error.code(), "client.malformed");
}

#[test]
fn lies_about_the_state_are_caught() {
    let chain = Chain::start();
    let outcome = |id: &str| {
        let proof = chain.light().prove(&chain.node, &account(), NOW_S).unwrap();
        assert_eq!(
            proof.report.outcome(),
            Outcome::Rejected,
            "{:#?}",
            proof.report.checks()
        );
        assert_eq!(proof.report.failures().next().unwrap().id, id);
    };
    // Another value, in a state that nobody signed.
    let mut richer = chain.network.clone();
    richer.state = vec![(key::balance(Address([9; 20]), AssetId(1)), vec![9; 16])];
    chain.answer(&account(), richer.tree().prove(&account()), TIP);
    outcome(check_id::STATE_PROOF);
    // Another account's value.
    let other = key::balance(Address([8; 20]), AssetId(0));
    chain.answer(&account(), chain.network.tree().prove(&other), TIP);
    outcome(check_id::STATE_PROOF);
    // The state of another height than the header's.
    chain.prove(0);
    outcome(check_id::STATE_PROOF);
    // A header that too few signed.
    chain.prove(TIP);
    chain.serve(TIP + 1, |block| {
        block.parts = vec![Part::Commit, Part::Commit, Part::Absent, Part::Nil];
    });
    outcome(check_id::CHAIN_HEADER);
    // The validators of another height beside an honest header.
    let honest = chain.serve(TIP + 1, |_| {});
    let old = members(1);
    let mut block = chain.network.block(TIP + 1, vec![0; 32]);
    (block.validators, block.next_validators) = (old, old);
    chain.page(TIP + 1, &honest, &block);
    outcome(check_id::CHAIN_BLOCKS);
    // No header at all, and a node of another network.
    chain
        .server
        .page(&format!("/v1/light_block/{}", TIP + 1), 404, "");
    assert!(chain.light().prove(&chain.node, &account(), NOW_S).is_err());
    chain.server.page("/v1/genesis", 200, "{}");
    let error = chain.light().prove(&chain.node, &account(), NOW_S).unwrap_err();
    assert_eq!(error.code(), "client.other_network");
}

#[test]
fn a_store_starts_where_the_last_proof_ended() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust");
    let open = || chain.light().with_store(&path).unwrap();
    for height in [5, 11, 12, 17, 30] {
        chain.prove(height);
        let mut light = open();
        let proof = chain.proven(&light);
        let start = light.policy().checkpoint;
        assert_eq!(
            start.map(|start| start.height),
            proof
                .file
                .light_blocks
                .first()
                .map(|block| checkpoint(block).height)
                .filter(|height| height.0 > 1)
        );
        light.remember(&proof).unwrap();
    }
    let head = open().policy().checkpoint.unwrap();
    assert_eq!(head.height, Height(31));
    // From the head itself, one header is enough.
    let light = open();
    assert_eq!(chain.proven(&light).file.light_blocks.len(), 1);

    // An older state is stale, also where the node calls it new.
    chain.prove(17);
    let error = light.prove(&chain.node, &account(), NOW_S).unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Stale {
                found: Height(18),
                expected: Height(31),
                ..
            }
        ),
        "{error}"
    );
    chain.prove(TIP + 1);
    let old = chain.serve(18, |_| {});
    let mut block = chain.network.block(18, chain.app_hash(18));
    (block.validators, block.next_validators) = (members(18), members(19));
    chain.page(TIP + 2, &old, &block);
    let proof = light.prove(&chain.node, &account(), NOW_S).unwrap();
    assert_ne!(
        proof.report.outcome(),
        Outcome::Verified,
        "an old header under a new number"
    );
}

#[test]
fn a_store_is_bounded_and_refused_when_damaged_or_foreign() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust");
    let trust = chain.network.trust();
    let mut store = TrustStore::open(&path, trust).unwrap();
    for height in 1..=TIP {
        store.remember(&chain.serve(height, |_| {})).unwrap();
    }
    assert_eq!(TrustStore::open(&path, trust).unwrap(), store);
    assert_eq!(store.blocks().len(), 8);
    store.remember(&chain.serve(3, |_| {})).unwrap();
    assert_eq!(store.head().unwrap().height, Height(TIP), "never backwards");

    let code = |found: Result<LightClient, ClientError>| found.unwrap_err().code();
    let mut other = trust;
    other.0[0] ^= 1;
    assert_eq!(
        TrustStore::open(&path, other).unwrap_err().code(),
        "client.trust_store"
    );
    let pin = Checkpoint {
        hash: haca_wire::BlockHash([1; 32]),
        ..store.head().unwrap()
    };
    let policy = Policy {
        checkpoint: Some(pin),
        ..Policy::default()
    };
    assert_eq!(
        code(LightClient::new(trust, policy).with_store(&path)),
        "client.trust_store"
    );
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 7, 40, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert_eq!(
            code(chain.light().with_store(&path)),
            "client.trust_store",
            "{cut}"
        );
    }
}

#[test]
fn a_checkpoint_above_the_store_is_where_trust_starts() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust");
    let mut store = TrustStore::open(&path, chain.network.trust()).unwrap();
    store.remember(&chain.serve(9, |_| {})).unwrap();
    for (height, start) in [(20, 20), (4, 9)] {
        let policy = Policy {
            checkpoint: Some(checkpoint(&chain.serve(height, |_| {}))),
            ..Policy::default()
        };
        let light = LightClient::new(chain.network.trust(), policy)
            .with_store(&path)
            .unwrap();
        let proof = chain.proven(&light);
        assert_eq!(checkpoint(&proof.file.light_blocks[0]).height, Height(start));
    }
}

#[test]
fn an_expired_store_verifies_nothing_new() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust");
    let mut store = TrustStore::open(&path, chain.network.trust()).unwrap();
    store.remember(&chain.serve(9, |_| {})).unwrap();
    let light = chain.light().with_store(&path).unwrap();
    let late = START_S as u64 + 15 * 24 * 3600;
    let proof = light.prove(&chain.node, &account(), late).unwrap();
    assert_eq!(proof.report.outcome(), Outcome::Unverifiable);
    assert_eq!(
        light
            .prove(&chain.node, &account(), NOW_S)
            .unwrap()
            .report
            .outcome(),
        Outcome::Verified
    );
}

#[test]
fn witnesses_agree_lag_or_are_nobodys() {
    let (chain, witness) = (Chain::start(), Chain::start());
    let light = chain.light();
    let proof = chain.proven(&light);
    assert!(matches!(chain.compare(&light, &witness, &proof), Witness::Agrees));
    witness
        .server
        .page(&format!("/v1/light_block/{}", TIP + 1), 404, "");
    assert!(matches!(chain.compare(&light, &witness, &proof), Witness::Behind));
    // A header of strangers: the witness lies, and nobody who could be punished signed for it.
    let strangers = four(90);
    witness.serve(TIP + 1, |block| {
        block.validators = strangers;
        block.next_validators = strangers;
    });
    let Witness::Unproven(report) = chain.compare(&light, &witness, &proof) else {
        panic!("strangers are believed");
    };
    assert_eq!(
        report.check(check_id::ATTACK_FIRST).unwrap().state,
        haca_verify::CheckState::Pass
    );
    assert_ne!(
        report.check(check_id::ATTACK_SECOND).unwrap().state,
        haca_verify::CheckState::Pass
    );
    for height in 1..=TIP + 1 {
        witness.serve(height, |block| block.data = 66);
    }
    assert!(
        matches!(chain.compare(&light, &witness, &proof), Witness::Apart),
        "nothing in common"
    );
}

/// From height 20 on the witness serves another chain, signed by the same validators.
fn forked() -> (Chain, Chain) {
    let (chain, witness) = (Chain::start(), Chain::start());
    for height in 20..=TIP + 1 {
        witness.serve(height, |block| block.data = 66);
    }
    (chain, witness)
}

#[test]
fn a_fork_is_proven_with_those_who_signed_both_sides() {
    let (chain, witness) = forked();
    let light = chain.light();
    let proof = chain.proven(&light);
    let Witness::Attack(attack, report) = chain.compare(&light, &witness, &proof) else {
        panic!("the fork is not found");
    };
    let proven = report.verified().unwrap().get();
    assert_eq!(proven.kind, AttackKind::Equivocation);
    assert!(proven.common_height < Height(20) && proven.height >= Height(20));
    assert_eq!(proven.double_signed.len(), 4);
    // The file proves it to whoever has the genesis hash.
    assert_eq!(attack_checkpoint(&attack), None);
    let again = verify_attack(&attack.encode(), chain.network.trust(), NOW_S, &Policy::default());
    assert_eq!(again.outcome(), Outcome::Verified);
}

/// Validators that left long ago sign a state of their own. A light client that skips from them believes it; a witness
/// shows what they did.
#[test]
fn old_validators_that_sign_a_state_of_their_own_are_accused() {
    let (chain, witness) = (Chain::start(), Chain::start());
    let mut lie = chain.network.clone();
    lie.state = vec![(key::balance(Address([200; 20]), AssetId(0)), vec![1; 16])];
    let tree = lie.tree();
    let old = members(1);
    chain.serve(TIP + 1, |block| {
        block.app_hash = tree.root.clone();
        (block.validators, block.next_validators) = (old, old);
    });
    chain.answer(&account(), tree.prove(&account()), TIP);
    let light = chain.light();
    let proof = chain.proven(&light);
    assert_eq!(proof.file.light_blocks.len(), 2, "one step, from the first block");
    let Witness::Attack(_, report) = chain.compare(&light, &witness, &proof) else {
        panic!("the lie is not found");
    };
    let attack = report.verified().unwrap().get();
    assert_eq!(
        (attack.kind, attack.common_height),
        (AttackKind::Lunatic, Height(1))
    );
    assert_eq!(attack.sides[0].accused.len(), 4);
    assert!(
        attack.sides[0].evidence.is_some(),
        "CometBFT's evidence, against those who lied"
    );
    assert!(attack.double_signed.is_empty());
}

#[test]
fn a_fork_below_the_store_is_traced_to_an_older_header() {
    let (chain, witness) = forked();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust");
    let mut store = TrustStore::open(&path, chain.network.trust()).unwrap();
    for height in [16, 19, 22, 25] {
        store.remember(&chain.serve(height, |_| {})).unwrap();
    }
    let light = chain.light().with_store(&path).unwrap();
    let proof = chain.proven(&light);
    let Witness::Attack(attack, report) = chain.compare(&light, &witness, &proof) else {
        panic!("the fork is not found");
    };
    assert_eq!(report.verified().unwrap().get().common_height, Height(19));
    let policy = Policy {
        checkpoint: attack_checkpoint(&attack),
        ..Policy::default()
    };
    assert_eq!(policy.checkpoint.unwrap().height, Height(19));
    let again = verify_attack(&attack.encode(), chain.network.trust(), NOW_S, &policy);
    assert_eq!(again.outcome(), Outcome::Verified);
}
