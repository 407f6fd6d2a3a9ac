//! Keys made of arbitrary numbers are refused or usable, and never make anything panic.

use haca_graph::{Graph, Manifest, Op, ParamId, ParamSpec, ValueId};
use haca_wire::{DType, Decode, Encode, Name, Scale, Shape, Tensor, TensorSpec};
use haca_zk::circuit::Circuit;
use haca_zk::field::{Extension, extension};
use haca_zk::registration::RegistrationLayout;
use haca_zk::schedule::Schedule;
use haca_zk::weight::WeightLayout;
use haca_zk::witness::{BatchParameters, WitnessLayout, WitnessParameters};
use haca_zk::{
    Inference, Layouts, ProofRejection, ProtocolParameters, Statement, VerifyingKey, WORK_LIMIT,
    out_of_domain_points, verify, verify_registration,
};
use proptest::prelude::*;

/// A chain of layers 6-5-5-..., each requantised with one of `clamps`.
pub(crate) fn manifest(clamps: &[(i8, i8)]) -> Manifest {
    let (mut params, mut nodes) = (Vec::new(), Vec::new());
    let mut value = ValueId(0);
    for (layer, (low, high)) in clamps.iter().enumerate() {
        let k = if layer == 0 { 6 } else { 5 };
        nodes.push(linear(value, &mut params, [5, k]));
        value = ValueId(nodes.len() as u32);
        nodes.push(Op::Requantise {
            input: value,
            multipliers: vec![61],
            shift: 9,
            low: *low,
            high: *high,
        });
        value = ValueId(nodes.len() as u32);
    }
    let inputs = vec![spec("x", DType::I8, 6)];
    let outputs = vec![(value, spec("y", DType::I8, 5))];
    of_graph(Graph::new(inputs, params, nodes, outputs).unwrap())
}

/// One layer of many inputs, whose accumulators are the output.
fn wide(inputs: u32) -> Manifest {
    let mut params = Vec::new();
    let nodes = vec![linear(ValueId(0), &mut params, [2, inputs])];
    let outputs = vec![(ValueId(1), spec("y", DType::I32, 2))];
    let inputs = vec![spec("x", DType::I8, inputs)];
    of_graph(Graph::new(inputs, params, nodes, outputs).unwrap())
}

fn spec(name: &str, dtype: DType, size: u32) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(vec![size]).unwrap(),
        scale: Scale::ONE,
    }
}

/// A layer of `rows` and `columns`, and its parameters.
fn linear(input: ValueId, params: &mut Vec<ParamSpec>, [rows, columns]: [u32; 2]) -> Op {
    let first = u32::try_from(params.len()).unwrap();
    for (dtype, shape, end) in [
        (DType::I8, vec![rows, columns], 127),
        (DType::I32, vec![rows], 1000),
    ] {
        params.push(ParamSpec {
            dtype,
            shape: Shape::new(shape).unwrap(),
            low: -end,
            high: end,
        });
    }
    Op::Linear {
        input,
        weight: ParamId(first),
        bias: ParamId(first + 1),
    }
}

fn of_graph(graph: Graph) -> Manifest {
    Manifest {
        name: Name::new("test").unwrap(),
        graph,
        render: 1,
        tokenizer: [0; 32],
    }
}

fn schedule(folds: &[u8], rates: &[u8]) -> Schedule {
    Schedule {
        folds: folds.to_vec(),
        log_inverse_rates: rates.to_vec(),
        grinding_bits: 0,
    }
}

/// The schedule of a commitment.
fn fitting(variables: usize) -> Schedule {
    match variables {
        ..=10 => schedule(&[4], &[5]),
        11 | 12 => schedule(&[4, 2], &[5, 6]),
        13 | 14 => schedule(&[4, 4], &[5, 7]),
        _ => schedule(&[4, 4, (variables - 14) as u8], &[3, 6, 8]),
    }
}

/// The schedules of commitments of all sizes.
pub(crate) fn schedules_by_size() -> impl Iterator<Item = Schedule> {
    (5..=18).map(fitting)
}

/// Parameters that fit [`manifest`].
pub(crate) fn parameters(manifest: &Manifest) -> ProtocolParameters {
    let circuit = haca_zk::circuit::Circuit::new(&manifest.graph).unwrap();
    let candidates = (5..15).flat_map(|high_bits| [7, 8, 9].map(|window_bits| (high_bits, window_bits)));
    let mut witnesses = candidates.flat_map(|(high_bits, window_bits)| {
        (6..=14).map(move |variables| WitnessParameters {
            limb_bits: 5,
            limbs: 2,
            window_bits,
            high_bits,
            joined: None,
            schedule: fitting(variables),
        })
    });
    let weights = (5..=14).map(fitting);
    let mut weights = weights.filter(|w| haca_zk::weight::WeightLayout::new(&circuit, 1, w).is_ok());
    let weights = weights.next().unwrap();
    let layout = haca_zk::weight::WeightLayout::new(&circuit, 1, &weights).unwrap();
    let fits = |w: &WitnessParameters| haca_zk::witness::WitnessLayout::new(&circuit, &layout, 0, w).is_ok();
    let witness = witnesses.find(fits);
    let mut registrations = (5..=14).map(fitting);
    let registration = registrations
        .find(|r| RegistrationLayout::new(&layout, r).is_ok())
        .unwrap();
    ProtocolParameters {
        pieces: 1,
        weights,
        registration,
        batches: vec![BatchParameters { witness }],
    }
}

fn key(manifest: &Manifest, parameters: ProtocolParameters) -> Option<VerifyingKey> {
    let tables = Layouts::new(manifest, &parameters).ok()?.weights.tables().len();
    VerifyingKey::new(manifest.clone(), parameters, [3; 32], vec![extension(1); tables]).ok()
}

#[test]
fn fitting_parameters_make_a_key_of_full_security() {
    let manifest = manifest(&[(0, 127), (-128, 127)]);
    let key = key(&manifest, parameters(&manifest)).unwrap();
    assert!(key.security(1).round_by_round_bits >= 128.0);
    assert!(key.security(1).union_bits >= 124.0);
    assert_eq!(VerifyingKey::decode_all(&key.encode()).unwrap(), key);
    assert_eq!((key.max_batch(), key.batch_variables(1)), (1, Ok(0)));
    for found in [0, 2, 3] {
        let expected = 1;
        let refusal = ProofRejection::BatchSize { found, expected };
        assert_eq!(key.batch_variables(found), Err(refusal));
    }
}

/// Without a witness layout nothing would be looked up: every batch size has one, or none does and none is needed.
#[test]
fn every_batch_size_commits_to_a_witness() {
    let manifest = manifest(&[(0, 127), (-128, 127)]);
    let good = parameters(&manifest);
    let tables = Layouts::new(&manifest, &good).unwrap().weights.tables().len();
    let answers = vec![extension(1); tables];
    let sound = VerifyingKey::new(manifest.clone(), good.clone(), [3; 32], answers.clone()).unwrap();
    let (witness, none) = (good.batches[0].clone(), BatchParameters { witness: None });
    let cases = [
        (vec![], "batch sizes"),
        (vec![witness.clone(); 12], "batch sizes"),
        (vec![none.clone()], "witness"),
        (vec![witness, none], "witness"),
    ];
    for (batches, what) in cases {
        let altered = ProtocolParameters {
            batches: batches.clone(),
            ..good.clone()
        };
        let made = VerifyingKey::new(manifest.clone(), altered.clone(), [3; 32], answers.clone());
        assert_eq!(made.err(), Some(ProofRejection::Parameter { what }));
        // The same as bytes.
        let encoded = sound.encode();
        let (before, behind) = (manifest.encode().len() + 5, 32 + 24 * tables);
        let mut bytes = encoded[..before].to_vec();
        bytes.extend(altered.encode());
        bytes.extend(&encoded[encoded.len() - behind..]);
        assert!(VerifyingKey::decode_all(&bytes).is_err(), "{batches:?}");
        // What can be told without a circuit is told before there is one: no answer has been read.
        if batches.len() != 1 {
            bytes.truncate(bytes.len() - 24 * tables);
            let code = VerifyingKey::decode_all(&bytes).unwrap_err().code();
            assert_eq!(
                code,
                if batches.len() > 11 {
                    "wire.too_long"
                } else {
                    "wire.invalid"
                }
            );
            continue;
        }
        if batches.len() == 1 {
            let with_witness = [
                &bytes[..before],
                &good.encode(),
                &encoded[encoded.len() - behind..],
            ]
            .concat();
            assert_eq!(with_witness, encoded);
        }
    }
}

/// Public tensors are weighted one by one, so many inferences of a wide input take long.
#[test]
fn nobody_is_asked_for_more_work_than_the_limit() {
    let manifest = wide(1 << 17);
    let circuit = Circuit::new(&manifest.graph).unwrap();
    let mut weights = (5..=24).map(fitting);
    let weights =
        weights.find_map(|schedule| Some((WeightLayout::new(&circuit, 1, &schedule).ok()?, schedule)));
    let (layout, weights) = weights.unwrap();
    let mut registration = (5..=14).map(fitting);
    let registration = registration.find(|schedule| RegistrationLayout::new(&layout, schedule).is_ok());
    let parameters = ProtocolParameters {
        pieces: 1,
        weights,
        registration: registration.unwrap(),
        batches: vec![BatchParameters { witness: None }; 11],
    };
    let key = key(&manifest, parameters).unwrap();
    let (most, found) = (WORK_LIMIT.0, key.verification_gas(1024).0);
    assert!(key.verification_gas(512).0 <= most && found > most);
    let verdict = |count: usize| {
        let none = Inference {
            inputs: vec![],
            outputs: vec![],
        };
        let inferences = vec![none; count];
        let statement = Statement {
            context: [0; 32],
            inferences: &inferences,
        };
        verify(&key, &statement, &[]).unwrap_err().code()
    };
    // Before anything is looked at.
    assert_eq!((verdict(512), verdict(1024)), ("zk.tensor_shape", "zk.work"));
}

#[test]
fn a_window_or_shift_that_leaves_inputs_without_proof_is_refused() {
    let manifest = manifest(&[(-128, 127)]);
    let good = parameters(&manifest);
    let witness = good.batches[0].witness.clone().unwrap();
    type Change = fn(&mut WitnessParameters);
    let changes: [Change; 7] = [
        |w| w.window_bits = 7,
        |w| w.high_bits -= 1,
        |w| w.limbs = 1,
        |w| w.limbs = 0,
        |w| w.limbs = 13,
        |w| w.limb_bits = 3,
        |w| {
            w.limb_bits = 16;
            w.limbs = 4;
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut witness = witness.clone();
        change(&mut witness);
        let batches = vec![BatchParameters {
            witness: Some(witness),
        }];
        assert!(
            key(
                &manifest,
                ProtocolParameters {
                    batches,
                    ..good.clone()
                }
            )
            .is_none(),
            "{index}"
        );
    }
    let batches = vec![BatchParameters { witness: None }];
    assert!(
        key(
            &manifest,
            ProtocolParameters {
                batches,
                ..good.clone()
            }
        )
        .is_none()
    );
    assert!(
        key(
            &manifest,
            ProtocolParameters {
                batches: vec![],
                ..good
            }
        )
        .is_none()
    );
}

/// What stands in the way of the parameters of a witness.
fn refusal(change: impl Fn(&mut WitnessParameters), batch_variables: usize) -> &'static str {
    let manifest = manifest(&[(-128, 127)]);
    let circuit = Circuit::new(&manifest.graph).unwrap();
    let parameters = parameters(&manifest);
    let weights = WeightLayout::new(&circuit, parameters.pieces, &parameters.weights).unwrap();
    let mut witness = parameters.batches[0].witness.clone().unwrap();
    change(&mut witness);
    match WitnessLayout::new(&circuit, &weights, batch_variables, &witness) {
        Err(ProofRejection::Parameter { what }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_bound_of_a_witness_has_its_refusal() {
    for bits in [3, 17] {
        assert_eq!(refusal(|w| w.limb_bits = bits, 0), "table bits");
        assert_eq!(refusal(|w| w.high_bits = bits, 0), "table bits");
    }
    for bits in [0, 17] {
        assert_eq!(refusal(|w| w.window_bits = bits, 0), "table bits");
    }
    for limbs in [0, 13] {
        assert_eq!(refusal(|w| w.limbs = limbs, 0), "limbs or batch");
    }
    assert_eq!(refusal(|_| {}, 11), "limbs or batch");
    // The clamp -128..=127 in a window of 128 values; quotients beyond the high parts.
    let narrow = |w: &mut WitnessParameters| (w.window_bits, w.high_bits) = (7, w.high_bits + 3);
    assert_eq!(refusal(narrow, 0), "quotient range");
    assert_eq!(refusal(|w| w.high_bits -= 1, 0), "quotient range");
    let wide = |w: &mut WitnessParameters| (w.limb_bits, w.limbs) = (16, 4);
    assert_eq!(refusal(wide, 0), "requantisation identity could wrap");
    // One part only: the window is too small for it.
    let whole = |w: &mut WitnessParameters| (w.window_bits, w.high_bits) = (9, 0);
    assert_eq!(refusal(whole, 0), "quotient range");
    // The high parts alone: the accumulators stay far below.
    let tall = |w: &mut WitnessParameters| (w.limb_bits, w.limbs, w.high_bits) = (5, 8, 16);
    assert_eq!(refusal(tall, 0), "requantisation identity could wrap");
    assert_eq!(refusal(|w| w.limbs = 1, 0), "shift");
    assert_eq!(refusal(|w| w.window_bits = 15, 0), "witness size");
}

#[test]
fn each_bound_of_a_schedule_has_its_refusal() {
    let manifest = manifest(&[(-128, 127), (0, 127)]);
    let circuit = Circuit::new(&manifest.graph).unwrap();
    let refusal = |schedule: Schedule| match WeightLayout::new(&circuit, 1, &schedule) {
        Err(ProofRejection::Parameter { what }) => what,
        other => panic!("{other:?}"),
    };
    // The matrices and the biases fill eight variables.
    assert_eq!(refusal(schedule(&[], &[])), "number of phases");
    assert_eq!(refusal(schedule(&[4], &[5, 5])), "number of phases");
    assert_eq!(refusal(schedule(&[1], &[5])), "number of phases");
    assert_eq!(refusal(schedule(&[0], &[5])), "fold");
    assert_eq!(refusal(schedule(&[9], &[5])), "fold");
    assert_eq!(refusal(schedule(&[4, 0], &[5, 5])), "fold");
    assert_eq!(refusal(schedule(&[4], &[0])), "code rate");
    assert_eq!(refusal(schedule(&[4], &[13])), "code rate");
    assert_eq!(refusal(schedule(&[4, 2], &[5, 5])), "superfluous phase");
    let mut grinding = schedule(&[4], &[5]);
    grinding.grinding_bits = 21;
    assert_eq!(refusal(grinding), "grinding");
}

#[test]
fn a_codeword_longer_than_the_field_allows_is_refused() {
    // One matrix of 2^11 x 2^11 and its biases: 23 variables, and nine more for the rate.
    let size = 1u32 << 11;
    let spec = |name: &str, dtype| TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(vec![size]).unwrap(),
        scale: Scale::ONE,
    };
    let param = |dtype, shape: Vec<u32>| ParamSpec {
        dtype,
        shape: Shape::new(shape).unwrap(),
        low: -127,
        high: 127,
    };
    let params = vec![param(DType::I8, vec![size, size]), param(DType::I32, vec![size])];
    let (input, weight, bias) = (ValueId(0), ParamId(0), ParamId(1));
    let nodes = vec![Op::Linear { input, weight, bias }];
    let outputs = vec![(ValueId(1), spec("y", DType::I32))];
    let graph = Graph::new(vec![spec("x", DType::I8)], params, nodes, outputs).unwrap();
    let circuit = Circuit::new(&graph).unwrap();
    let refusal = WeightLayout::new(&circuit, 1, &schedule(&[8, 8, 3], &[9, 9, 9])).unwrap_err();
    let what = "codeword length";
    assert_eq!(refusal, ProofRejection::Parameter { what });
}

#[test]
fn each_bound_of_a_key_has_its_refusal() {
    let manifest = manifest(&[(-128, 127)]);
    let good = parameters(&manifest);
    let refusal = |parameters: &ProtocolParameters, answers: usize| {
        let answers = vec![extension(1); answers];
        match VerifyingKey::new(manifest.clone(), parameters.clone(), [3; 32], answers) {
            Err(ProofRejection::Parameter { what }) => what,
            other => panic!("{other:?}"),
        }
    };
    for answers in [0, 1, 3] {
        assert_eq!(refusal(&good, answers), "out-of-domain answers");
    }
    let batches = |batches: Vec<BatchParameters>| ProtocolParameters {
        batches,
        ..good.clone()
    };
    assert_eq!(refusal(&batches(vec![]), 2), "batch sizes");
    assert_eq!(
        refusal(&batches(vec![good.batches[0].clone(); 12]), 2),
        "batch sizes"
    );
    assert_eq!(
        refusal(&batches(vec![BatchParameters { witness: None }]), 2),
        "witness"
    );
    let registration = schedule(&[5, 2], &[5, 5]);
    let deep = ProtocolParameters {
        registration,
        ..good.clone()
    };
    assert_eq!(refusal(&deep, 2), "registration schedule");
}

#[test]
fn out_of_domain_points_move_with_all_that_stands_before_them() {
    let manifest = manifest(&[(-128, 127)]);
    let good = parameters(&manifest);
    let points = out_of_domain_points(&manifest, &good, &[3; 32], &[6, 4]);
    assert_eq!(points, out_of_domain_points(&manifest, &good, &[3; 32], &[6, 4]));
    assert_eq!(points[0][2..], points[1]);
    let mut others = vec![out_of_domain_points(&manifest, &good, &[4; 32], &[6, 4])];
    let mut other = manifest.clone();
    other.tokenizer = [1; 32];
    others.push(out_of_domain_points(&other, &good, &[3; 32], &[6, 4]));
    let mut other = good.clone();
    other.registration.grinding_bits += 1;
    others.push(out_of_domain_points(&manifest, &other, &[3; 32], &[6, 4]));
    for other in others {
        assert!(other.iter().zip(&points).all(|(other, point)| other != point));
    }
}

#[test]
fn answers_are_part_of_the_model_id() {
    let manifest = manifest(&[(-128, 127)]);
    let key = |answers: Vec<Extension>| {
        let parameters = parameters(&manifest);
        VerifyingKey::new(manifest.clone(), parameters, [3; 32], answers).unwrap()
    };
    let one = key(vec![extension(1), extension(1)]);
    for answers in [[1, 2], [2, 1]] {
        let other = key(answers.map(extension).to_vec());
        assert_ne!(one.model_id(), other.model_id());
        assert_ne!(one, other);
    }
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let list = |low: u8, high: u8| prop::collection::vec(low..=high, 0..4);
    (list(0, 9), list(0, 13), 0u8..24).prop_map(|(folds, mut rates, grinding_bits)| {
        if !rates.is_empty() {
            rates.resize(folds.len(), rates[0]);
        }
        Schedule {
            folds,
            log_inverse_rates: rates,
            grinding_bits,
        }
    })
}

prop_compose! {
    fn any_witness()(
        limb_bits in 0u8..18,
        limbs in 0u8..14,
        window_bits in 0u8..18,
        high_bits in 0u8..18,
        joined in prop::option::of(0u8..12),
        schedule in any_schedule(),
    ) -> WitnessParameters {
        WitnessParameters { limb_bits, limbs, window_bits, high_bits, joined, schedule }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_numbers_never_panic(
        weights in any_schedule(),
        registration in any_schedule(),
        witness in any_witness(),
        replace in 1u8..8,
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let manifest = manifest(&[(0, 127), (-128, 127)]);
        let mut parameters = parameters(&manifest);
        if replace & 1 != 0 { parameters.weights = weights; }
        if replace & 2 != 0 { parameters.registration = registration; }
        if replace & 4 != 0 { parameters.batches[0].witness = Some(witness); }
        if let Some(key) = key(&manifest, parameters) {
            let _ = (key.security(1), key.registration_security(), key.verification_gas(1), key.registration_gas());
            let tensor = |dtype, n| Tensor::new(dtype, Shape::new(vec![n]).unwrap(), vec![0; n as usize]).unwrap();
            let inference = Inference { inputs: vec![tensor(DType::I8, 6)], outputs: vec![tensor(DType::I8, 5)] };
            let inferences = [inference];
            let statement = Statement { context: [0; 32], inferences: &inferences };
            prop_assert!(verify(&key, &statement, &bytes).is_err());
            let zeros = vec![0; key.proof_bytes_bound(1).min(1 << 20)];
            prop_assert!(verify(&key, &statement, &zeros).is_err());
            prop_assert!(verify_registration(&key, &zeros).is_err());
            prop_assert_eq!(VerifyingKey::decode_all(&key.encode()).unwrap(), key);
        }
    }
}
