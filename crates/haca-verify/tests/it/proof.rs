//! Bundles with a proof, made by the real prover: honest ones, and every transplant.

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId};
use haca_prover::{Execution, ProvingKey};
use haca_verify::{Outcome, Policy, Report, SettledInference, ZkChecker, check_id, verify_bundle};
use haca_wire::bundle::Bundle;
use haca_wire::state::{ModelRecord, key};
use haca_wire::{
    Address, DType, Encode as _, Evidence, EvidenceKind, Height, Inference, ModelId, Name, ReceiptHash,
    Scale, Sequence, Shape, Tensor, TensorSpec, proof_context, render, tensor_root,
};

use crate::mutation::{Random, mutate};
use crate::network::{NOW_S, Network, assert_rejected, assert_verified};
use crate::spec::spec;

fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims.to_vec()).unwrap()
}

fn tensor_spec(name: &str, dtype: DType, dims: &[u32]) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: shape(dims),
        scale: Scale::new(1, 7).unwrap(),
    }
}

/// A network of two layers, 16-8-4. Models of different seeds have equal shapes and other weights.
pub(crate) fn model_file(seed: u64) -> ModelFile {
    let weight = |dims: &[u32]| ParamSpec {
        dtype: DType::I8,
        shape: shape(dims),
        low: -127,
        high: 127,
    };
    let bias = |n: u32| ParamSpec {
        dtype: DType::I32,
        shape: shape(&[n]),
        low: -4096,
        high: 4095,
    };
    let linear = |input, weight, bias| Op::Linear {
        input: ValueId(input),
        weight: ParamId(weight),
        bias: ParamId(bias),
    };
    let params = vec![weight(&[8, 16]), bias(8), weight(&[4, 8]), bias(4)];
    let nodes = vec![
        linear(0, 0, 1),
        Op::Requantise {
            input: ValueId(1),
            multipliers: vec![1 << 20],
            shift: 30,
            low: 0,
            high: 127,
        },
        linear(2, 2, 3),
        Op::ArgMax { input: ValueId(3) },
    ];
    let outputs = vec![
        (ValueId(3), tensor_spec("logits", DType::I32, &[4])),
        (ValueId(4), tensor_spec("class", DType::I32, &[])),
    ];
    let mut random = Random(seed);
    let tensors = params
        .iter()
        .map(|param: &ParamSpec| {
            let values = (0..param.shape.elements())
                .map(|_| random.below(255) as i64 - 127)
                .collect();
            Tensor::new(param.dtype, param.shape.clone(), values).unwrap()
        })
        .collect();
    let graph = Graph::new(vec![tensor_spec("x", DType::I8, &[16])], params, nodes, outputs).unwrap();
    let parameters = Parameters::new(&graph, tensors).unwrap();
    let manifest = Manifest {
        name: Name::new("two-layers").unwrap(),
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    ModelFile { manifest, parameters }
}

/// A registered model and three answered orders for it, the second of which is the bundle's.
struct Proven {
    model: ProvingKey,
    registration: Vec<u8>,
    network: Network,
    group: Vec<ReceiptHash>,
    executions: Vec<Execution>,
    proof: Vec<u8>,
}

const OURS: usize = 1;

/// A change of our network's receipt before it is signed.
type Alteration = fn(&mut Network);

impl Proven {
    fn new(seed: u64) -> Self {
        let registration = ProvingKey::register(model_file(seed)).unwrap();
        Self::of(registration.proving_key, registration.proof, |_| {})
    }

    /// `alter` changes our receipt before it is signed.
    fn of(model: ProvingKey, registration: Vec<u8>, alter: Alteration) -> Self {
        let answered: Vec<(Network, Execution)> = (0..3).map(|n| answer(&model, n)).collect();
        let (mut networks, executions): (Vec<Network>, Vec<Execution>) = answered.into_iter().unzip();
        alter(&mut networks[OURS]);
        let domain = networks[OURS].domain();
        let group: Vec<ReceiptHash> = networks
            .iter()
            .map(|network| network.item().receipt.value.hash(&domain))
            .collect();
        let (proof, _) = model.prove(proof_context(&domain, &group), &executions).unwrap();
        Self {
            registration,
            network: networks.swap_remove(OURS),
            group,
            executions,
            proof,
            model,
        }
    }

    fn inferences(&self) -> Vec<Inference> {
        self.executions
            .iter()
            .map(|execution| execution.inference.clone())
            .collect()
    }

    fn bundle(&self) -> Bundle {
        let mut bundle = self.network.bundle();
        bundle.group = self.group.clone();
        bundle.index = OURS as u32;
        bundle.evidence = Evidence::Zk {
            inferences: self.inferences(),
            proof: self.proof.clone(),
        };
        bundle
    }

    fn verify(&self, bundle: &Bundle) -> Report<SettledInference> {
        verify_bundle(&bundle.encode(), self.network.trust(), NOW_S, &Policy::default())
    }
}

fn record(model: &ProvingKey) -> ModelRecord {
    ModelRecord {
        owner: Address([1; 20]),
        units: model.manifest().graph.macs(),
        max_batch: model.verifying_key().max_batch() as u32,
        registered: Height(2),
        batch_gas: Vec::new(),
        outputs: Vec::new(),
        verifying_key: model.verifying_key().encode(),
    }
}

/// The n-th order: request, execution, response, receipt.
fn answer(model: &ProvingKey, n: u64) -> (Network, Execution) {
    let id = model.verifying_key().model_id();
    let graph = &model.manifest().graph;
    let mut random = Random(1000 + n);
    let data: Vec<String> = (0..16).map(|_| format!("0.{:02}", random.below(100))).collect();
    let mut network = Network::new();
    network.request = format!(
        r#"{{"model":"{id}","inputs":[{{"name":"x","data":[{}]}}]}}"#,
        data.join(", ")
    )
    .into_bytes();
    let request = render::parse_request(&network.request).unwrap();
    let inputs = render::to_tensors(&request, graph.inputs()).unwrap();
    let execution = model.infer(&inputs).unwrap();
    let specs: Vec<TensorSpec> = graph.outputs().iter().map(|(_, spec)| spec.clone()).collect();
    network.response = render::response(id, &specs, &execution.inference.outputs);
    network.order.sequence = Sequence(n);
    network.order.request = render::request_hash(&network.request);
    network.order.model = id;
    network.order.evidence = EvidenceKind::Zk;
    network.receipt.sequence = Sequence(n);
    network.order.input_root = tensor_root(&inputs);
    network.receipt.input_root = tensor_root(&inputs);
    network.receipt.output_root = tensor_root(&execution.inference.outputs);
    network.receipt.response = render::response_hash(&network.response);
    network.receipt.units = graph.macs();
    network.state = vec![(key::model(id), record(model).encode())];
    (network, execution)
}

#[test]
fn a_proven_inference_verifies_without_model_and_network() {
    let proven = Proven::new(1);
    let report = proven.verify(&proven.bundle());
    assert_verified(&report);
    let security = report.check(check_id::EVIDENCE_SECURITY).unwrap();
    assert!(security.found.as_ref().unwrap().contains("bits"));
    assert_eq!(report.verified().unwrap().get().response, proven.network.response);
}

/// A bundle with a proof as it was made once: what verifies today verifies with every later version of this format.
#[test]
fn the_committed_bundle_with_a_proof_verifies() {
    let path = spec("vectors/verify/proven.bundle.hex");
    if std::env::var_os("HACA_WRITE_VECTORS").is_some() {
        let bytes = Proven::new(1).bundle().encode();
        std::fs::write(&path, format!("{}\n", hex::encode(bytes))).unwrap();
    }
    let bytes = hex::decode(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
    let report = verify_bundle(&bytes, Network::new().trust(), NOW_S, &Policy::default());
    assert_verified(&report);
}

#[test]
fn rejects_the_proof_of_other_receipts_with_the_same_outputs() {
    let proven = Proven::new(1);
    // The same tensors, answered under other sequences.
    let mut bundle = proven.bundle();
    bundle.group[0].0[0] ^= 1;
    assert_rejected(&proven.verify(&bundle), check_id::EVIDENCE_PROOF);
    // The same receipts, each in another's place.
    let mut bundle = proven.bundle();
    bundle.group.swap(0, 2);
    assert_rejected(&proven.verify(&bundle), check_id::EVIDENCE_PROOF);
}

#[test]
fn rejects_another_place_in_the_group() {
    let proven = Proven::new(1);
    for index in [0, 2, 3] {
        let mut bundle = proven.bundle();
        bundle.index = index;
        assert_rejected(&proven.verify(&bundle), check_id::EVIDENCE_GROUP);
    }
}

#[test]
fn rejects_the_proof_of_another_model_of_the_same_shape() {
    let (proven, other) = (Proven::new(1), Proven::new(2));
    assert_ne!(
        proven.model.verifying_key().model_id(),
        other.model.verifying_key().model_id()
    );
    let context = proof_context(&proven.network.domain(), &proven.group);
    let inputs: Vec<_> = proven
        .executions
        .iter()
        .map(|execution| other.model.infer(&execution.inference.inputs).unwrap())
        .collect();
    let (proof, _) = other.model.prove(context, &inputs).unwrap();
    let mut bundle = proven.bundle();
    bundle.evidence = Evidence::Zk {
        inferences: proven.inferences(),
        proof,
    };
    assert_rejected(&proven.verify(&bundle), check_id::EVIDENCE_PROOF);
}

#[test]
fn rejects_the_verifying_key_of_another_model() {
    let registered = ProvingKey::register(model_file(1)).unwrap();
    let proven = Proven::of(registered.proving_key, registered.proof, |network| {
        let other = ProvingKey::load(&model_file(2)).unwrap();
        network.state = vec![(key::model(network.order.model), record(&other).encode())];
    });
    assert_rejected(&proven.verify(&proven.bundle()), check_id::MODEL_ID);
}

#[test]
fn rejects_a_proof_for_another_network() {
    let mut proven = Proven::new(1);
    let elsewhere = Network {
        number: 99,
        ..proven.network.clone()
    };
    let context = proof_context(&elsewhere.domain(), &proven.group);
    (proven.proof, _) = proven.model.prove(context, &proven.executions).unwrap();
    assert_rejected(&proven.verify(&proven.bundle()), check_id::EVIDENCE_PROOF);
}

#[test]
fn rejects_a_response_that_the_outputs_do_not_render_to() {
    let registered = ProvingKey::register(model_file(1)).unwrap();
    let proven = Proven::of(registered.proving_key, registered.proof, |network| {
        network.response.push(b' ');
        network.receipt.response = render::response_hash(&network.response);
    });
    assert_rejected(&proven.verify(&proven.bundle()), check_id::RENDER_RESPONSE);
}

#[test]
fn rejects_roots_of_other_tensors() {
    let alterations: [(Alteration, &str); 2] = [
        (
            |network| {
                network.order.input_root.0[0] ^= 1;
                network.receipt.input_root = network.order.input_root;
            },
            check_id::RENDER_INPUTS,
        ),
        (
            |network| network.receipt.output_root.0[0] ^= 1,
            check_id::RENDER_OUTPUTS,
        ),
    ];
    for (alter, id) in alterations {
        let registered = ProvingKey::register(model_file(1)).unwrap();
        let proven = Proven::of(registered.proving_key, registered.proof, alter);
        assert_rejected(&proven.verify(&proven.bundle()), id);
    }
}

#[test]
fn rejects_units_that_are_not_the_graphs() {
    let registered = ProvingKey::register(model_file(1)).unwrap();
    let proven = Proven::of(registered.proving_key, registered.proof, |network| {
        network.receipt.units += 1;
    });
    assert_rejected(&proven.verify(&proven.bundle()), check_id::MODEL_UNITS);
}

#[test]
fn rejects_a_request_for_another_model() {
    let registered = ProvingKey::register(model_file(1)).unwrap();
    let proven = Proven::of(registered.proving_key, registered.proof, |network| {
        let (ours, other) = (network.order.model.to_string(), ModelId([7; 32]).to_string());
        let text = String::from_utf8(network.request.clone()).unwrap();
        network.request = text.replace(&ours, &other).into_bytes();
        network.order.request = render::request_hash(&network.request);
    });
    assert_rejected(&proven.verify(&proven.bundle()), check_id::RENDER_INPUTS);
}

#[test]
fn rejects_outputs_other_than_the_proven_ones() {
    let proven = Proven::new(1);
    let mut inferences = proven.inferences();
    let logits = &inferences[0].outputs[0];
    let mut values = logits.values().to_vec();
    values[0] += 1;
    inferences[0].outputs[0] = Tensor::new(logits.dtype(), logits.shape().clone(), values).unwrap();
    let mut bundle = proven.bundle();
    bundle.evidence = Evidence::Zk {
        inferences,
        proof: proven.proof.clone(),
    };
    assert_rejected(&proven.verify(&bundle), check_id::EVIDENCE_PROOF);

    let mut fewer = proven.bundle();
    fewer.evidence = Evidence::Zk {
        inferences: proven.inferences()[..2].to_vec(),
        proof: proven.proof.clone(),
    };
    assert_rejected(&proven.verify(&fewer), check_id::EVIDENCE_PROOF);
}

#[test]
fn a_bundle_without_the_models_record_is_unverifiable() {
    let proven = Proven::new(1);
    let mut bundle = proven.bundle();
    bundle.model_proof = None;
    assert_eq!(proven.verify(&bundle).outcome(), Outcome::Unverifiable);
}

#[test]
fn more_security_than_the_proof_has_can_be_asked_for() {
    let proven = Proven::new(1);
    let policy = Policy {
        security_bits: 1000,
        ..Policy::default()
    };
    let report = verify_bundle(&proven.bundle().encode(), proven.network.trust(), NOW_S, &policy);
    assert_rejected(&report, check_id::EVIDENCE_SECURITY);
}

#[test]
fn two_thousand_random_changes_of_a_proven_bundle_are_never_verified() {
    let proven = Proven::new(1);
    let bytes = proven.bundle().encode();
    let verify =
        |bytes: &[u8]| verify_bundle(bytes, proven.network.trust(), NOW_S, &Policy::default()).outcome();
    assert_eq!(verify(&bytes), Outcome::Verified);
    let mut random = Random(3);
    for round in 0..2000 {
        let changed = mutate(&bytes, &mut random);
        if changed != bytes {
            assert_ne!(verify(&changed), Outcome::Verified, "round {round}");
        }
    }
}

#[test]
fn the_checker_answers_from_its_arguments_alone() {
    let proven = Proven::new(1);
    let key = proven.model.verifying_key();
    let bytes = key.encode();
    let facts = ZkChecker.facts(&bytes).unwrap();
    assert_eq!(facts.model, key.model_id());
    assert_eq!(facts.units, 16 * 8 + 8 * 4);
    assert_eq!(facts.inputs, proven.model.manifest().graph.inputs());
    assert_eq!(1 << (facts.batch_gas.len() - 1), facts.max_batch);
    assert!(facts.batch_gas[0].0 > 0 && facts.batch_gas.is_sorted());
    let tensors = proven.inferences()[0].encode().len() - 8;
    let most = tensors + key.proof_bytes_bound(1);
    assert_eq!(facts.answer_bytes, most as u64);
    assert!(ZkChecker.registration_gas(&bytes).unwrap().0 > 0);
    assert_eq!(ZkChecker.registration(&bytes, &proven.registration), Ok(()));
    assert!(ZkChecker.registration(&bytes, &proven.proof).is_err());
    let context = proof_context(&proven.network.domain(), &proven.group);
    let inferences = proven.inferences();
    assert_eq!(
        ZkChecker.settlement(&bytes, &context, &inferences, &proven.proof),
        Ok(())
    );
    assert!(
        ZkChecker
            .settlement(&bytes, &[0; 32], &inferences, &proven.proof)
            .is_err()
    );
    for broken in [&bytes[1..], &bytes[..bytes.len() - 1], b""] {
        assert!(ZkChecker.facts(broken).is_err());
        assert!(ZkChecker.registration_gas(broken).is_err());
        assert!(ZkChecker.registration(broken, &proven.registration).is_err());
    }
}
