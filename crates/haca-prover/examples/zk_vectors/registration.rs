//! Vectors of section G of `spec/zk.md`: keys with registration proofs, most of them of a prover who lies about weights.
//!
//! A single flipped bit is refused for one reason; a prover who commits to weights beyond their ranges and proves the
//! rest honestly is refused only by the step that is there for it.

mod liar;

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId};
use haca_prover::{ProvingKey, Registration};
use haca_wire::{DType, Encode as _, Name};
use haca_zk::block::Block;
use haca_zk::field::Base;
use haca_zk::{VerifyingKey, verify_registration};
use p3_field::PrimeField64 as _;
use serde_json::{Value as Json, json};

use crate::{Failure, Random, shape, spec};
use liar::{Liar, beyond, bias_table, put};

/// Declared ranges of the weights and of the biases of both layers.
const WEIGHTS: [(i64, i64); 2] = [(-20, 100), (-90, 30)];
const BIASES: [(i64, i64); 2] = [(-5000, 6000), (-300, 70_000)];
const LOOKUP: &str = "zk.lookup";
const OPENING: &str = "zk.opening";
const ENCODING: &str = "zk.encoding";
/// Bytes of a proof before its first element, and of an element of the base field.
const ROOT: usize = 32;
const ELEMENT: usize = 8;
/// A place in the opening of the weights, before its last sumcheck.
const BEFORE_END: usize = 600;

/// All vectors.
pub(crate) fn vectors() -> Result<Vec<Json>, Failure> {
    let (sizes, honest) = padded()?;
    let key = &honest.verifying_key;
    let mut out = vec![vector("honest", None, key, &honest.proof)?];
    for (name, code, mut liar) in liar::cases(key) {
        let registration = register(&sizes, &mut liar)?;
        out.push(vector(
            &name,
            code,
            &registration.verifying_key,
            &registration.proof,
        )?);
    }
    out.extend(layers()?);
    out.extend(small()?);
    out.extend(bytes(&sizes, &honest)?);
    Ok(out)
}

/// A model with padding in rows, in columns, in a vector of biases, and in the lookup tree: the first of some sizes.
/// Which have it follows from the parameters that the prover chooses.
fn padded() -> Result<([u32; 2], Registration), Failure> {
    for sizes in (3..20).map(|size| [size, size]) {
        let registration = register(&sizes, &mut Liar::default())?;
        let (weights, layout) = (
            registration.verifying_key.weights(),
            registration.verifying_key.registration(),
        );
        let padding = [
            weights.weights.iter().any(|t| t.rows.len < 1 << t.rows.variables),
            weights
                .weights
                .iter()
                .any(|t| t.columns.len < 1 << t.columns.variables),
            weights
                .biases
                .iter()
                .any(|(param, block)| param.columns < 1 << block.variables),
            end(&layout.lookups) < 1 << layout.lookup_variables,
        ];
        if padding == [true; 4] {
            return Ok((sizes, registration));
        }
    }
    Err("no model has padding everywhere".into())
}

/// The cell behind all blocks.
fn end(blocks: &[Block]) -> usize {
    let ends = blocks.iter().map(|block| block.range().end);
    ends.max().unwrap_or(0)
}

/// A vector, which the verifier has to agree with.
fn vector(
    name: &str,
    code: Option<&'static str>,
    key: &VerifyingKey,
    registration: &[u8],
) -> Result<Json, Failure> {
    let found = verify_registration(key, registration)
        .err()
        .map(|error| error.code());
    if found != code {
        return Err(format!("{name}: {found:?} and not {code:?}").into());
    }
    Ok(json!({
        "name": name,
        "key": hex::encode(key.encode()),
        "registration": hex::encode(registration),
        "code": code,
    }))
}

fn register(sizes: &[u32], liar: &mut Liar<'_>) -> Result<Registration, Failure> {
    Ok(ProvingKey::register_tampered(model(sizes)?, liar)?)
}

/// Dense layers with a requantisation between them.
fn model(sizes: &[u32]) -> Result<ModelFile, Failure> {
    let (mut params, mut nodes, mut value) = (Vec::new(), Vec::new(), 0);
    for (pair, (weights, biases)) in sizes.windows(2).zip(WEIGHTS.into_iter().zip(BIASES)) {
        if value > 0 {
            nodes.push(Op::Requantise {
                input: ValueId(value),
                multipliers: vec![90],
                shift: 14,
                low: 0,
                high: 127,
            });
            value += 1;
        }
        let first = u32::try_from(params.len())?;
        for (dtype, dims, (low, high)) in [
            (DType::I8, vec![pair[1], pair[0]], weights),
            (DType::I32, vec![pair[1]], biases),
        ] {
            params.push(ParamSpec {
                dtype,
                shape: shape(&dims)?,
                low,
                high,
            });
        }
        nodes.push(Op::Linear {
            input: ValueId(value),
            weight: ParamId(first),
            bias: ParamId(first + 1),
        });
        value += 1;
    }
    let [first, .., last] = sizes else {
        return Err("sizes of layers".into());
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let drawn = params
        .iter()
        .map(|p| random.tensor(p.dtype, &p.shape, p.low, p.high));
    let drawn = drawn.collect::<Result<_, _>>()?;
    let inputs = vec![spec("x", DType::I8, &[*first])?];
    let outputs = vec![(ValueId(value), spec("scores", DType::I32, &[*last])?)];
    let graph = Graph::new(inputs, params, nodes, outputs)?;
    let parameters = Parameters::new(&graph, drawn)?;
    let manifest = Manifest {
        name: Name::new("registered").ok_or("a name")?,
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    Ok(ModelFile { manifest, parameters })
}
/// Two layers with ranges of their own.
fn layers() -> Result<Vec<Json>, Failure> {
    let sizes = [8, 6, 3];
    let honest = register(&sizes, &mut Liar::default())?;
    let key = &honest.verifying_key;
    let mut out = vec![vector("layers", None, key, &honest.proof)?];
    let tile = bias_table(key) - 1;
    let (_, block) = key.weights().biases.last().ok_or("biases")?;
    let cases = beyond("second-weight", tile, 0, WEIGHTS[1])
        .into_iter()
        .chain(beyond("second-bias", tile + 1, block.offset, BIASES[1]));
    for (name, code, mut liar) in cases {
        let lie = register(&sizes, &mut liar)?;
        out.push(vector(&name, code, &lie.verifying_key, &lie.proof)?);
    }
    Ok(out)
}

/// A model whose tiles have fewer cells than the first fold: more variables in front, and zeros in their cells.
fn small() -> Result<Vec<Json>, Failure> {
    let sizes = [3, 2];
    let honest = register(&sizes, &mut Liar::default())?;
    let key = &honest.verifying_key;
    let mut out = vec![vector("small", None, key, &honest.proof)?];
    let padded = key
        .weights()
        .weights
        .iter()
        .position(|table| table.rows.variables + table.columns.variables < table.variables);
    let number = padded.ok_or("no tile has fewer cells than the first fold")?;
    let table = &key.weights().weights[number];
    let cell = 1 << (table.rows.variables + table.columns.variables);
    let lie = register(&sizes, &mut put(number, cell, 1))?;
    out.push(vector(
        "weight-in-front",
        Some(LOOKUP),
        &lie.verifying_key,
        &lie.proof,
    )?);
    Ok(out)
}
// ---- bytes --------------------------------------------------------------------------------------------------------------

/// The honest proof in other bytes, and for another key.
fn bytes(sizes: &[u32], honest: &Registration) -> Result<Vec<Json>, Failure> {
    let (key, proof) = (&honest.verifying_key, &honest.proof);
    let mut large = proof.clone();
    large[ROOT..ROOT + ELEMENT].copy_from_slice(&Base::ORDER_U64.to_le_bytes());
    let long = proof.iter().copied().chain([0]).collect();
    let mut out = Vec::new();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("truncated", proof[..proof.len() - 1].to_vec()),
        ("half", proof[..proof.len() / 2].to_vec()),
        ("trailing-byte", long),
        ("element-not-below-the-modulus", large),
    ] {
        out.push(vector(name, Some(ENCODING), key, &bytes)?);
    }
    let another = register(sizes, &mut put(0, 0, 0))?;
    if another.verifying_key.root() == key.root() {
        return Err("the other model has the same weights".into());
    }
    out.push(vector("of-another-model", Some(LOOKUP), key, &another.proof)?);
    let mut tampered = proof.clone();
    tampered[proof.len() - BEFORE_END] ^= 1;
    out.push(vector("opening-tampered", Some(OPENING), key, &tampered)?);
    Ok(out)
}
