//! Writes the vectors of `spec/zk.md`: what a verifier of proofs accepts, and what it refuses with which code.
//!
//! `cargo run -p haca-prover --example zk_vectors -- spec/vectors/zk [GRAPH ...]`
//!
//! The graphs are those of `spec/vectors/graph/accept.json`, with random parameters and inputs, and a few wider ones;
//! naming some writes those alone. Vectors of registration alone are those of [`registration`]. The files are JSON,
//! compressed by gzip.

mod registration;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use haca_graph::{
    Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId, Window, WindowAxis,
};
use haca_prover::adversary::{Joining, Tamper};
use haca_prover::{Execution, ProvingKey, Registration};
use haca_wire::codec::put_list;
use haca_wire::{DType, Decode as _, Encode as _, Inference, Name, Scale, Shape, Tensor, TensorSpec};
use haca_zk::proof::InferenceProof;
use haca_zk::witness::{WitnessLayout, WitnessParameters};
use haca_zk::{SecurityBudget, Statement, VerifyingKey, registration_price, verify, verify_registration};
use p3_whir::QueryOpenings;
use serde_json::{Value as Json, json};

type Failure = Box<dyn Error>;

const GRAPHS: &str = include_str!("../../../../spec/vectors/graph/accept.json");

/// Bytes of a verifying key before its manifest: version and catalogue.
const PREFIX: usize = 5;

/// Graphs of the specification, and how many inferences are proven at once.
const CHOSEN: [(&str, usize); 31] = [
    ("mlp", 3),
    ("multiplier-ends", 1),
    ("two-inputs", 2),
    ("shared-weights", 2),
    ("linear-leading-axes", 33),
    ("reshape", 1),
    ("argmax-ties", 3),
    ("convolve", 1),
    ("convolve-everything", 2),
    ("convolve-groups", 1),
    ("convolve-depthwise-twice", 1),
    ("padding-in-ranges", 2),
    ("window-sum", 1),
    ("window-max", 2),
    ("cnn", 1),
    ("residual-gate", 2),
    ("two-branches", 3),
    ("pad-cut-convolve", 1),
    ("sum", 2),
    ("product", 3),
    ("scalars", 1),
    ("transpose", 1),
    ("slice", 1),
    ("concat", 2),
    ("pad", 1),
    ("expand", 1),
    ("ranges-of-arrangements", 2),
    ("reshaped-accumulators", 2),
    ("functions-one", 1),
    ("functions-narrow", 1),
    ("activate-per-channel", 3),
];

/// As above, behind the wider ones.
const SUMS: [(&str, usize); 4] = [
    ("wide-dense-layers", 2),
    ("wide-image", 1),
    ("sums-of-accumulators", 3),
    ("sums-beyond-64-bits", 2),
];

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name the directory to write to")?);
    let names: Vec<String> = arguments.collect();
    std::fs::create_dir_all(&directory)?;
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for (number, (name, graph, batch)) in graphs()?.into_iter().enumerate() {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let proven = Proven::new(&name, graph, batch)?;
        refused.extend(proven.refusals(number)?);
        accepted.push(proven.json()?);
    }
    write(&directory.join("accept.json.gz"), &accepted)?;
    write(&directory.join("reject.json.gz"), &refused)?;
    write(&directory.join("registration.json.gz"), &registration::vectors()?)
}

fn graphs() -> Result<Vec<(String, Graph, usize)>, Failure> {
    let vectors: Json = serde_json::from_str(GRAPHS)?;
    let vectors = vectors.as_array().ok_or("a list of graphs")?;
    let named = |(name, batch): (&str, usize)| -> Result<_, Failure> {
        let mut vectors = vectors.iter();
        let vector = vectors.find(|v| v["name"] == name).ok_or("no such graph")?;
        let encoding = hex::decode(vector["encoding"].as_str().ok_or("an encoding")?)
            .map_err(|_| "hexadecimal digits")?;
        Ok((name.to_owned(), Graph::decode_all(&encoding)?, batch))
    };
    let mut graphs = CHOSEN.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
    graphs.push(("wide-dense".to_owned(), dense(&[13, 21, 11], false)?, 1));
    graphs.push(("wide-per-channel".to_owned(), dense(&[11, 23, 7], true)?, 5));
    graphs.push(("grouped-per-channel".to_owned(), grouped()?, 2));
    graphs.push(("crossed-outputs".to_owned(), crossed()?, 3));
    for sums in SUMS {
        graphs.push(named(sums)?);
    }
    // Columns of the weights longer than the witness needs, so that openings have several phases.
    graphs.push(("joined-phases".to_owned(), dense(&[120, 100, 10], false)?, 1));
    graphs.push(("joined-padding".to_owned(), dense(&[300, 200, 4], true)?, 1));
    // Here the witness is not folded in the first phase.
    graphs.push(("joined-one-column".to_owned(), dense(&[3000, 100, 4], false)?, 1));
    graphs.push(("joined-products".to_owned(), gated(&[150, 80, 10])?, 2));
    Ok(graphs)
}

// ---- graphs of lengths that are no powers of two ----------------------------------------------------------------------

fn shape(dims: &[u32]) -> Result<Shape, Failure> {
    Shape::new(dims.to_vec()).ok_or_else(|| "a shape".into())
}

fn spec(name: &str, dtype: DType, dims: &[u32]) -> Result<TensorSpec, Failure> {
    let name = Name::new(name).ok_or("a name")?;
    let (shape, scale) = (shape(dims)?, Scale::ONE);
    Ok(TensorSpec {
        name,
        dtype,
        shape,
        scale,
    })
}

fn weights(params: &mut Vec<ParamSpec>, dims: &[u32]) -> Result<(ParamId, ParamId), Failure> {
    let first = u32::try_from(params.len())?;
    let rows = dims.get(..1).ok_or("rows")?;
    for (dtype, dims, low, high) in [(DType::I8, dims, -127, 127), (DType::I32, rows, -3000, 2500)] {
        params.push(ParamSpec {
            dtype,
            shape: shape(dims)?,
            low,
            high,
        });
    }
    Ok((ParamId(first), ParamId(first + 1)))
}

fn multipliers(channels: u32, per_channel: bool) -> Vec<u32> {
    (0..if per_channel { channels } else { 1 })
        .map(|channel| 90 + 3 * channel)
        .collect()
}

/// Dense layers with ReLU; the accumulators of the first layer and the scores of the last are outputs.
fn dense(sizes: &[u32], per_channel: bool) -> Result<Graph, Failure> {
    let (mut params, mut nodes, mut value, mut outputs) = (Vec::new(), Vec::new(), 0, Vec::new());
    for pair in sizes.windows(2) {
        let &[k, n] = pair else { continue };
        let (weight, bias) = weights(&mut params, &[n, k])?;
        let input = ValueId(value);
        nodes.push(Op::Linear { input, weight, bias });
        nodes.push(Op::Requantise {
            input: ValueId(value + 1),
            multipliers: multipliers(n, per_channel),
            shift: 14,
            low: 0,
            high: 127,
        });
        if value == 0 {
            outputs.push((ValueId(1), spec("sums", DType::I32, &[n])?));
        }
        value += 2;
    }
    let last = *sizes.last().ok_or("sizes")?;
    outputs.push((ValueId(value), spec("scores", DType::I8, &[last])?));
    nodes.push(Op::ArgMax {
        input: ValueId(value),
    });
    outputs.push((ValueId(value + 1), spec("class", DType::I32, &[])?));
    let first = *sizes.first().ok_or("sizes")?;
    Ok(Graph::new(
        vec![spec("x", DType::I8, &[first])?],
        params,
        nodes,
        outputs,
    )?)
}

/// Two layers of one input whose results are multiplied, and a layer over the products: factors are claimed at a batch
/// point of their own.
fn gated(&[inputs, width, outputs]: &[u32; 3]) -> Result<Graph, Failure> {
    let requantise = |input: u32, shift: u8| Op::Requantise {
        input: ValueId(input),
        multipliers: multipliers(1, false),
        shift,
        low: -128,
        high: 127,
    };
    let (mut params, mut nodes) = (Vec::new(), Vec::new());
    // Values: 1 and 3 are accumulators, 2 and 4 their results, 5 products, 6 their results.
    for result in [2, 4] {
        let (weight, bias) = weights(&mut params, &[width, inputs])?;
        let input = ValueId(0);
        nodes.push(Op::Linear { input, weight, bias });
        nodes.push(requantise(result - 1, 14));
    }
    let (left, right) = (ValueId(2), ValueId(4));
    nodes.push(Op::Product { left, right });
    nodes.push(requantise(5, 13));
    let (weight, bias) = weights(&mut params, &[outputs, width])?;
    let input = ValueId(6);
    nodes.push(Op::Linear { input, weight, bias });
    let scores = (ValueId(7), spec("scores", DType::I32, &[outputs])?);
    Ok(Graph::new(
        vec![spec("x", DType::I8, &[inputs])?],
        params,
        nodes,
        vec![scores],
    )?)
}

/// A convolution of three groups with multipliers of its own for each channel, then a maximum.
fn grouped() -> Result<Graph, Failure> {
    let axis = |kernel, stride, before| WindowAxis {
        kernel,
        stride,
        dilation: 1,
        before,
        after: before,
    };
    let mut params = Vec::new();
    let (weight, bias) = weights(&mut params, &[9, 3, 3, 2])?;
    let window = Window {
        height: axis(3, 1, 1),
        width: axis(3, 2, 1),
    };
    let pool = Window {
        height: axis(2, 2, 1),
        width: axis(2, 1, 0),
    };
    let nodes = vec![
        Op::Convolve {
            input: ValueId(0),
            weight,
            bias,
            window,
            groups: 3,
        },
        Op::Requantise {
            input: ValueId(1),
            multipliers: multipliers(9, true),
            shift: 15,
            low: -100,
            high: 120,
        },
        Op::WindowMax {
            input: ValueId(2),
            window: pool,
        },
    ];
    let outputs = vec![
        (ValueId(1), spec("sums", DType::I32, &[4, 3, 9])?),
        (ValueId(3), spec("largest", DType::I8, &[3, 2, 9])?),
    ];
    Ok(Graph::new(
        vec![spec("x", DType::I8, &[4, 5, 6])?],
        params,
        nodes,
        outputs,
    )?)
}

/// Two dense layers whose accumulators are outputs in another order than they are computed in, one of them twice.
fn crossed() -> Result<Graph, Failure> {
    let mut params = Vec::new();
    let (first, second) = (weights(&mut params, &[3, 7])?, weights(&mut params, &[6, 7])?);
    let linear = |(weight, bias)| Op::Linear {
        input: ValueId(0),
        weight,
        bias,
    };
    let nodes = vec![
        linear(first),
        linear(second),
        Op::Reshape {
            input: ValueId(2),
            shape: shape(&[2, 3])?,
        },
        Op::Requantise {
            input: ValueId(1),
            multipliers: multipliers(3, false),
            shift: 14,
            low: -100,
            high: 127,
        },
    ];
    let outputs = vec![
        (ValueId(3), spec("second-reshaped", DType::I32, &[2, 3])?),
        (ValueId(4), spec("scores", DType::I8, &[3])?),
        (ValueId(1), spec("first", DType::I32, &[3])?),
        (ValueId(2), spec("second", DType::I32, &[6])?),
    ];
    Ok(Graph::new(
        vec![spec("x", DType::I8, &[7])?],
        params,
        nodes,
        outputs,
    )?)
}

// ---- accepted -----------------------------------------------------------------------------------------------------------

/// A small generator of numbers, so that the vectors are the same each time.
struct Random(u64);

impl Random {
    fn range(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + i64::try_from(self.0 % (high - low).unsigned_abs().saturating_add(1)).unwrap_or(0)
    }

    fn tensor(&mut self, dtype: DType, shape: &Shape, low: i64, high: i64) -> Result<Tensor, Failure> {
        let values = (0..shape.elements()).map(|_| self.range(low, high)).collect();
        Tensor::new(dtype, shape.clone(), values).ok_or_else(|| "a tensor".into())
    }
}

/// The models whose weights and witness are opened as one wherever they can be, cheaper or not.
const JOINED: [&str; 12] = [
    "joined-phases",
    "joined-padding",
    "joined-one-column",
    "joined-products",
    "wide-dense",
    "wide-per-channel",
    "wide-dense-layers",
    "wide-image",
    "cnn",
    "residual-gate",
    "grouped-per-channel",
    "sums-of-accumulators",
];

struct Joiner;

impl Tamper for Joiner {
    fn joining(&self) -> Joining {
        Joining::Always
    }
}

struct Proven {
    name: String,
    registration: Registration,
    context: [u8; 32],
    inferences: Vec<Inference>,
    proof: Vec<u8>,
}

impl Proven {
    fn new(name: &str, graph: Graph, batch: usize) -> Result<Self, Failure> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let params = graph.params().iter();
        let tensors = params.map(|p| random.tensor(p.dtype, &p.shape, p.low, p.high));
        let parameters = Parameters::new(&graph, tensors.collect::<Result<_, _>>()?)?;
        let inputs = graph.inputs().to_vec();
        let manifest = Manifest {
            name: Name::new(name).ok_or("a name")?,
            graph,
            render: 1,
            tokenizer: [0; 32],
        };
        let registration = match JOINED.contains(&name) {
            false => ProvingKey::register(ModelFile { manifest, parameters })?,
            true => ProvingKey::register_tampered(ModelFile { manifest, parameters }, &mut Joiner)?,
        };
        let mut executions: Vec<Execution> = Vec::new();
        for _ in 0..batch {
            let drawn = inputs.iter().map(|i| random.tensor(i.dtype, &i.shape, -128, 127));
            let drawn: Vec<Tensor> = drawn.collect::<Result<_, _>>()?;
            executions.push(registration.proving_key.infer(&drawn)?);
        }
        let context = std::array::from_fn(|i| u8::try_from(i).unwrap_or(0) ^ 0x5a);
        let (proof, _) = registration.proving_key.prove(context, &executions)?;
        let inferences = executions.into_iter().map(|e| e.inference).collect();
        Ok(Self {
            name: name.to_owned(),
            registration,
            context,
            inferences,
            proof,
        })
    }

    fn key(&self) -> &VerifyingKey {
        &self.registration.verifying_key
    }

    fn json(&self) -> Result<Json, Failure> {
        let price = registration_price(&self.key().encode())?;
        let (key, batch) = (self.key(), self.inferences.len());
        let (budget, registration) = (key.security(batch), key.registration_security());
        Ok(json!({
            "name": self.name,
            "key": hex::encode(key.encode()),
            "model": hex::encode(key.model_id().0),
            "context": hex::encode(self.context),
            "inferences": hex::encode(encoded(&self.inferences)),
            "proof": hex::encode(&self.proof),
            "registration": hex::encode(&self.registration.proof),
            "gas": key.verification_gas(batch).0,
            "registration_gas": key.registration_gas().0,
            "registration_price": price.0,
            "round_by_round_bits": budget.round_by_round_bits,
            "union_bits": budget.union_bits,
            "registration_round_by_round_bits": registration.round_by_round_bits,
            "registration_union_bits": registration.union_bits,
            "terms": terms(&budget),
            "registration_terms": terms(&registration),
        }))
    }
}

/// The terms of a budget: most of them are too small to be seen in the union.
fn terms(budget: &SecurityBudget) -> BTreeMap<&str, f64> {
    budget.terms.iter().copied().collect()
}

fn encoded(inferences: &[Inference]) -> Vec<u8> {
    let mut out = Vec::new();
    put_list(&mut out, inferences);
    out
}

// ---- refused ------------------------------------------------------------------------------------------------------------

/// A change of one part of a vector, and what it is called.
type Named<T> = (&'static str, fn(&mut T));

/// One change of what an accepted vector holds.
struct Change {
    name: String,
    field: &'static str,
    json: Json,
    bytes: Vec<u8>,
}

impl Change {
    fn new(name: String, field: &'static str, json: Json, bytes: Vec<u8>) -> Self {
        Self {
            name,
            field,
            json,
            bytes,
        }
    }

    fn flip(field: &'static str, of: &[u8], at: usize, bit: u8) -> Self {
        let mut bytes = of.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bit;
        }
        let json = json!({ "at": at, "xor": bit });
        Self::new(format!("{field}-{at}"), field, json, bytes)
    }

    fn replaced(name: &str, field: &'static str, bytes: Vec<u8>) -> Self {
        let json = json!({ "bytes": hex::encode(&bytes) });
        Self::new(name.to_owned(), field, json, bytes)
    }
}

impl Proven {
    /// Vectors that differ from this one in one field; those of no consequence for the verdict are left out.
    fn refusals(&self, number: usize) -> Result<Vec<Json>, Failure> {
        let mut changes = self.lengths();
        changes.extend(self.statements()?);
        changes.extend(self.key_flips(number));
        changes.extend(self.proof_flips(number)?);
        changes.extend(self.joined()?);
        let mut out = Vec::new();
        for change in changes {
            if let Some((code, _)) = self.refusal(&change)? {
                out.push(json!({
                    "name": format!("{}-{}", self.name, change.name),
                    "of": self.name,
                    "field": change.field,
                    "change": change.json,
                    "code": code,
                }));
            }
        }
        Ok(out)
    }

    /// Too short and too long.
    fn lengths(&self) -> Vec<Change> {
        let key = self.key().encode();
        let fields: [(&'static str, &[u8]); 3] = [
            ("proof", &self.proof),
            ("registration", &self.registration.proof),
            ("key", &key),
        ];
        let mut out = Vec::new();
        for (field, bytes) in fields {
            let short = bytes.len() - 1;
            let json = json!({ "truncate": short });
            out.push(Change::new(
                format!("{field}-short"),
                field,
                json,
                bytes.iter().copied().take(short).collect(),
            ));
            let long = bytes.iter().copied().chain([0]).collect();
            out.push(Change::new(
                format!("{field}-long"),
                field,
                json!({ "append": "00" }),
                long,
            ));
        }
        out
    }

    /// Joined openings: parameters that do not fit the weights, and siblings that are not those of both trees.
    fn joined(&self) -> Result<Vec<Change>, Failure> {
        let class = usize::try_from(self.inferences.len().next_power_of_two().ilog2())?;
        let key = self.key();
        if key.witness(class).and_then(WitnessLayout::joined).is_none() {
            return Ok(vec![]);
        }
        let changes: [Named<WitnessParameters>; 7] = [
            ("fold-less", |w| {
                w.joined = w.joined.map(|fold| fold.wrapping_sub(1))
            }),
            ("fold-more", |w| w.joined = w.joined.map(|fold| fold + 1)),
            ("fold-none", |w| w.joined = None),
            ("rate-more", |w| {
                w.schedule
                    .log_inverse_rates
                    .iter_mut()
                    .take(1)
                    .for_each(|rate| *rate += 1)
            }),
            ("rate-less", |w| {
                w.schedule
                    .log_inverse_rates
                    .iter_mut()
                    .take(1)
                    .for_each(|rate| *rate -= 1)
            }),
            ("row-more", |w| {
                w.schedule.folds.iter_mut().take(1).for_each(|fold| *fold += 1)
            }),
            ("row-less", |w| {
                w.schedule.folds.iter_mut().take(1).for_each(|fold| *fold -= 1)
            }),
        ];
        let (encoded, start) = (key.encode(), PREFIX + key.manifest().encode().len());
        let end = start + key.parameters().encode().len();
        let mut out = Vec::new();
        for (name, change) in changes {
            let mut parameters = key.parameters().clone();
            let batch = parameters.batches.get_mut(class).ok_or("a batch size")?;
            change(batch.witness.as_mut().ok_or("a witness")?);
            let (before, behind) = (encoded.iter().take(start), encoded.iter().skip(end));
            let bytes = before.copied().chain(parameters.encode()).chain(behind.copied());
            out.push(Change::replaced(
                &format!("joined-{name}"),
                "key",
                bytes.collect(),
            ));
        }
        let changes: [Named<Vec<[u8; 32]>>; 3] = [
            ("siblings-reversed", |siblings| siblings.reverse()),
            ("sibling-more", |siblings| siblings.push([0; 32])),
            ("sibling-less", |siblings| {
                siblings.truncate(siblings.len().saturating_sub(1))
            }),
        ];
        for (name, change) in changes {
            let mut proof = InferenceProof::decode_for(key, class, &self.proof)?;
            let opening = &mut proof.opening;
            let first = opening.rounds.first_mut().map(|round| &mut round.openings);
            match first.unwrap_or(&mut opening.final_openings) {
                QueryOpenings::Base(opening) => change(&mut opening.proof.sibling_hashes),
                QueryOpenings::Extension(_) => return Err("rows of the base field".into()),
            }
            out.push(Change::replaced(
                &format!("joined-{name}"),
                "proof",
                proof.encode(),
            ));
        }
        Ok(out)
    }

    /// Other contexts, tensors, and numbers of inferences.
    fn statements(&self) -> Result<Vec<Change>, Failure> {
        let mut context = self.context;
        context[31] ^= 1;
        let mut out = vec![Change::replaced("context", "context", context.to_vec())];
        let mut one_more = self.inferences.clone();
        one_more.extend(self.inferences.last().cloned());
        out.push(Change::replaced("one-more", "inferences", encoded(&one_more)));
        out.push(Change::replaced("none", "inferences", encoded(&[])));
        let first = self.inferences.first().ok_or("an inference")?;
        for (side, tensors) in [("input", &first.inputs), ("output", &first.outputs)] {
            for (index, tensor) in tensors.iter().enumerate().take(4) {
                let mut changed = self.inferences.clone();
                let place = changed.first_mut().ok_or("an inference")?;
                let place = if side == "input" {
                    &mut place.inputs
                } else {
                    &mut place.outputs
                };
                *place.get_mut(index).ok_or("a tensor")? = nudged(tensor)?;
                out.push(Change::replaced(
                    &format!("{side}-{index}"),
                    "inferences",
                    encoded(&changed),
                ));
            }
        }
        let mut missing = self.inferences.clone();
        missing.first_mut().ok_or("an inference")?.outputs.clear();
        out.push(Change::replaced("no-outputs", "inferences", encoded(&missing)));
        Ok(out)
    }

    /// Single bits of both proofs: of all places tried the first, fourth, sixteenth, .. for each reason to refuse.
    fn proof_flips(&self, number: usize) -> Result<Vec<Change>, Failure> {
        let mut out = Vec::new();
        for (field, proof) in [("proof", &self.proof), ("registration", &self.registration.proof)] {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for at in (number % 24..proof.len()).step_by(24).chain([proof.len() - 1]) {
                let change = Change::flip(field, proof, at, 1 << (at % 8));
                let (_, why) = self.refusal(&change)?.ok_or("a proof of another form")?;
                let count = seen.entry(why).or_default();
                *count += 1;
                if count.is_power_of_two() && count.trailing_zeros().is_multiple_of(2) {
                    out.push(change);
                }
            }
        }
        Ok(out)
    }

    /// Single bits of the key, most of them in its parameters.
    fn key_flips(&self, number: usize) -> Vec<Change> {
        let mut out = Vec::new();
        let key = self.key().encode();
        let parameters = PREFIX + self.key().manifest().encode().len();
        let behind = key.len().min(parameters + 160);
        let manifest = (0..parameters).skip(number % 5).step_by(parameters / 6);
        let parameters = (parameters..behind).skip(number % 6).step_by(6);
        for at in manifest.chain(parameters).chain([key.len() - 1]) {
            out.push(Change::flip("key", &key, at, 1 << (at % 3)));
        }
        out
    }

    /// Code and words of the refusal after a change, of the registration or of the inferences; `None` when both verify.
    fn refusal(&self, change: &Change) -> Result<Option<(&'static str, String)>, Failure> {
        let replaced = |field: &str, bytes: &[u8]| {
            if change.field == field {
                change.bytes.clone()
            } else {
                bytes.to_vec()
            }
        };
        let key = match VerifyingKey::decode_all(&replaced("key", &self.key().encode())) {
            Ok(key) => key,
            Err(error) => return Ok(Some((error.code(), error.to_string()))),
        };
        let registration = replaced("registration", &self.registration.proof);
        if change.field != "proof"
            && let Err(error) = verify_registration(&key, &registration)
        {
            return Ok(Some((error.code(), error.to_string())));
        }
        let context = replaced("context", &self.context)
            .try_into()
            .map_err(|_| "a context")?;
        let inferences = replaced("inferences", &encoded(&self.inferences));
        let inferences: Vec<Inference> = decoded(&inferences)?;
        let statement = Statement {
            context,
            inferences: &inferences,
        };
        let refusal = verify(&key, &statement, &replaced("proof", &self.proof));
        Ok(refusal.err().map(|error| (error.code(), error.to_string())))
    }
}

fn decoded(inferences: &[u8]) -> Result<Vec<Inference>, Failure> {
    let mut reader = haca_wire::codec::Reader::new(inferences);
    let count = u32::decode(&mut reader)?;
    let mut out = Vec::new();
    for _ in 0..count {
        out.push(Inference::decode(&mut reader)?);
    }
    reader.finish()?;
    Ok(out)
}

/// The tensor with its last value moved by one.
fn nudged(tensor: &Tensor) -> Result<Tensor, Failure> {
    let mut values = tensor.values().to_vec();
    let last = values.last_mut().ok_or("a value")?;
    *last += if *last == tensor.dtype().range().1 { -1 } else { 1 };
    Tensor::new(tensor.dtype(), tensor.shape().clone(), values).ok_or_else(|| "a tensor".into())
}

// ---- files --------------------------------------------------------------------------------------------------------------

fn write(path: &Path, vectors: &[Json]) -> Result<(), Failure> {
    let lines: Vec<String> = vectors.iter().map(Json::to_string).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    std::fs::write(path, gzip(text.as_bytes())?)?;
    Ok(())
}

/// RFC 1952, without a name and a time.
fn gzip(data: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(miniz_oxide::deflate::compress_to_vec(data, 9));
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend(u32::try_from(data.len())?.to_le_bytes());
    Ok(out)
}
