//! Random models for tests.

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, Term, ValueId};
use haca_wire::{DType, Name, Scale, Shape, Tensor, TensorSpec};

/// A small generator of numbers, so that every failure can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }
}

/// What to build.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) seed: u64,
    /// Sizes of the layers, from the input on.
    pub(crate) sizes: Vec<u32>,
    /// Whether channels have multipliers of their own.
    pub(crate) per_channel: bool,
    /// Whether the last layer is requantised to int8.
    pub(crate) requantised_output: bool,
    /// Whether the index of the largest output is an output, too.
    pub(crate) arg_max: bool,
    /// Whether the accumulators of every layer are outputs, too.
    pub(crate) accumulators: bool,
    /// Whether the input and a second copy of the last layer are outputs, too.
    pub(crate) copies: bool,
    /// Range of the weights.
    pub(crate) weights: (i64, i64),
    /// Right shift of the requantisations.
    pub(crate) shift: u8,
}

impl Build {
    pub(crate) fn new(seed: u64, sizes: &[u32]) -> Self {
        Self {
            seed,
            sizes: sizes.to_vec(),
            per_channel: false,
            requantised_output: false,
            arg_max: false,
            accumulators: false,
            copies: false,
            weights: (-127, 127),
            shift: 14,
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn spec(text: &str, dtype: DType, shape: Vec<u32>) -> TensorSpec {
    let scale = Scale::ONE;
    TensorSpec {
        name: name(text),
        dtype,
        shape: Shape::new(shape).unwrap(),
        scale,
    }
}

/// A dense network with ReLU between the layers.
pub(crate) fn mlp(build: &Build) -> ModelFile {
    let mut random = Random::new(build.seed);
    let (mut params, mut tensors, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    let layers = build.sizes.len() - 1;
    let mut value = ValueId(0);
    let mut accumulators = Vec::new();
    for (layer, pair) in build.sizes.windows(2).enumerate() {
        let (k, n) = (pair[0], pair[1]);
        let (low, high) = build.weights;
        let shape = Shape::new(vec![n, k]).unwrap();
        params.push(ParamSpec {
            dtype: DType::I8,
            shape: shape.clone(),
            low,
            high,
        });
        let cells = (0..n * k).map(|_| random.range(low, high)).collect();
        tensors.push(Tensor::new(DType::I8, shape, cells).unwrap());
        let shape = Shape::new(vec![n]).unwrap();
        params.push(ParamSpec {
            dtype: DType::I32,
            shape: shape.clone(),
            low: -5000,
            high: 6000,
        });
        let cells = (0..n).map(|_| random.range(-5000, 6000)).collect();
        tensors.push(Tensor::new(DType::I32, shape, cells).unwrap());
        nodes.push(Op::Linear {
            input: value,
            weight: ParamId(2 * layer as u32),
            bias: ParamId(2 * layer as u32 + 1),
        });
        value = ValueId(nodes.len() as u32);
        let is_last = layer + 1 == layers;
        if !is_last || build.requantised_output {
            accumulators.push((value, spec(&format!("accumulators{layer}"), DType::I32, vec![n])));
            // About one saturating quotient in a few.
            let typical = 60.0 / (f64::from(k).sqrt() * 74.0 * 60.0);
            let mid = ((typical * f64::from(1u32 << build.shift)) as i64).max(1);
            let count = if build.per_channel { n } else { 1 };
            let multipliers = (0..count)
                .map(|_| random.range(mid.div_euclid(2).max(1), 2 * mid) as u32)
                .collect();
            let low = if is_last { -128 } else { 0 };
            nodes.push(Op::Requantise {
                input: value,
                multipliers,
                shift: build.shift,
                low,
                high: 127,
            });
            value = ValueId(nodes.len() as u32);
        }
    }
    let last = *build.sizes.last().unwrap();
    let dtype = if build.requantised_output {
        DType::I8
    } else {
        DType::I32
    };
    let mut outputs = vec![(value, spec("logits", dtype, vec![last]))];
    if build.arg_max {
        nodes.push(Op::ArgMax { input: value });
        outputs.push((ValueId(nodes.len() as u32), spec("label", DType::I32, vec![])));
    }
    if build.copies {
        let copies = [
            ("copy", ValueId(0), DType::I8, build.sizes[0]),
            ("again", outputs[0].0, dtype, last),
        ];
        for (name, input, dtype, size) in copies {
            let shape = Shape::new(vec![1, size]).unwrap();
            nodes.push(Op::Reshape { input, shape });
            outputs.push((ValueId(nodes.len() as u32), spec(name, dtype, vec![1, size])));
        }
    }
    if build.accumulators {
        outputs.extend(accumulators);
    }
    let inputs = vec![spec("input", DType::I8, vec![build.sizes[0]])];
    let graph = Graph::new(inputs, params, nodes, outputs).unwrap();
    let parameters = Parameters::new(&graph, tensors).unwrap();
    ModelFile {
        manifest: Manifest {
            name: name("test"),
            graph,
            render: 1,
            tokenizer: [0; 32],
        },
        parameters,
    }
}

/// Random inputs of a model.
pub(crate) fn inputs(model: &ModelFile, random: &mut Random) -> Vec<Tensor> {
    let specs = model.manifest.graph.inputs().iter();
    specs
        .map(|spec| {
            let values = (0..spec.shape.elements())
                .map(|_| random.range(-128, 127))
                .collect();
            Tensor::new(spec.dtype, spec.shape.clone(), values).unwrap()
        })
        .collect()
}

/// The parts of each sum of [`sums`].
pub(crate) const PARTS: u32 = 16;

/// A model of `count` sums of sixteen linear layers of one channel at `positions` positions, each requantised to an
/// output: as many claims, with sixteen uses each.
pub(crate) fn sums(positions: u32, count: u32) -> ModelFile {
    let shape = |dims: &[u32]| Shape::new(dims.to_vec()).unwrap();
    let param = |dtype, dims: &[u32]| ParamSpec {
        dtype,
        shape: shape(dims),
        low: -100,
        high: 100,
    };
    let (mut nodes, mut params) = (Vec::new(), Vec::new());
    for part in 0..PARTS {
        params.extend([param(DType::I8, &[1, 1]), param(DType::I32, &[1])]);
        nodes.push(Op::Linear {
            input: ValueId(0),
            weight: ParamId(2 * part),
            bias: ParamId(2 * part + 1),
        });
    }
    let mut outputs = Vec::new();
    for sum in 0..count {
        let term = |part| Term {
            value: ValueId(part),
            coefficient: 3,
        };
        nodes.push(Op::Sum {
            terms: (1..=PARTS).map(term).collect(),
        });
        nodes.push(Op::Requantise {
            input: ValueId(nodes.len() as u32),
            multipliers: vec![1],
            shift: 12,
            low: -128,
            high: 127,
        });
        let output = spec(&format!("y{sum}"), DType::I8, vec![positions, 1]);
        outputs.push((ValueId(nodes.len() as u32), output));
    }
    let graph = Graph::new(
        vec![spec("x", DType::I8, vec![positions, 1])],
        params,
        nodes,
        outputs,
    )
    .unwrap();
    let tensor = |p: &ParamSpec| Tensor::new(p.dtype, p.shape.clone(), vec![5; p.shape.elements()]).unwrap();
    let tensors = graph.params().iter().map(tensor).collect();
    let parameters = Parameters::new(&graph, tensors).unwrap();
    let manifest = Manifest {
        name: name("sums"),
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    ModelFile { manifest, parameters }
}
