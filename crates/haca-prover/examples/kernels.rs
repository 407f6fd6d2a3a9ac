//! Times inference with random weights, and the folding of int8 matrices with challenges.
//!
//! `cargo run --release -p haca-prover --example kernels -- [PART OF A NAME]`

use std::error::Error;
use std::time::{Duration, Instant};

use haca_graph::{Graph, Op, ParamId, ParamSpec, Parameters, ValueId, Window, WindowAxis};
use haca_prover::{Executor, kernels};
use haca_wire::{DType, Name, Scale, Shape, Tensor, TensorSpec};
use haca_zk::field::{Base, Extension};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};

type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Rows and columns of folded matrices: a dense layer, wide and high ones, few rows, and a small one.
const MATRICES: [(usize, usize); 7] = [
    (2048, 2048),
    (512, 784),
    (64, 16384),
    (16384, 64),
    (4, 8192),
    (1, 8192),
    (6, 25),
];

#[expect(clippy::print_stdout, reason = "what it is for")]
fn main() -> Result<()> {
    let networks = [
        (
            "mlp_784_512_512_10",
            Network::new(vec![784]).dense(512)?.dense(512)?.dense(10)?,
        ),
        ("lenet5", lenet()?),
        ("cnn_32x32x3", cnn()?),
    ];
    let only = std::env::args().nth(1).unwrap_or_default();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        for (name, network) in networks.iter().filter(|(name, _)| name.contains(&only)) {
            let [infer, least] = pool.install(|| network.time())?;
            println!("threads={threads} model={name} infer_us={infer:.1} least_us={least:.1}");
        }
        for (rows, width) in MATRICES {
            let matrix: Vec<i8> = bytes(rows * width);
            let challenges: Vec<Extension> = (1..=rows.max(width) as u64).map(challenge).collect();
            let fold = |name: &str| match name {
                "fold_rows" => kernels::fold_rows(&matrix, width, &challenges[..rows]),
                _ => kernels::fold_columns(&matrix, width, &challenges[..width]),
            };
            let names = ["fold_rows", "fold_columns"].into_iter();
            for name in names.filter(|name| name.contains(&only)) {
                let times = pool.install(|| median(|| drop(fold(name))));
                let [us, least] = times.map(|time| time.as_secs_f64() * 1e6);
                let ns = us * 1e3 / matrix.len() as f64;
                let what = format!("threads={threads} kernel={name} matrix={rows}x{width}");
                println!("{what} us={us:.1} least_us={least:.1} ns_per_cell={ns:.3}");
            }
        }
    }
    Ok(())
}

/// The median and the least of many calls.
fn median(mut call: impl FnMut()) -> [Duration; 2] {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 20 || begin.elapsed() < Duration::from_millis(400) {
        let start = Instant::now();
        call();
        times.push(start.elapsed());
    }
    times.sort();
    [times[times.len() / 2], times[0]]
}

fn bytes(count: usize) -> Vec<i8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8 as i8
    };
    (0..count).map(|_| next()).collect()
}

fn challenge(index: u64) -> Extension {
    let base = |place: u64| Base::from_u64((3 * index + place).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Extension::from_basis_coefficients_slice(&[base(0), base(1), base(2)]).unwrap_or(Extension::ZERO)
}

/// Convolutions of 5x5 with max pools, then dense layers.
fn lenet() -> Result<Network> {
    let network = Network::new(vec![28, 28, 1]);
    let network = network.convolve(6, 5, 2)?.pool()?.convolve(16, 5, 0)?.pool()?;
    network.flat()?.dense(120)?.dense(84)?.dense(10)
}

/// Six convolutions of 3x3, three max pools, two dense layers: about 270 000 parameters.
fn cnn() -> Result<Network> {
    let mut network = Network::new(vec![32, 32, 3]);
    for channels in [32, 64, 64] {
        network = network
            .convolve(channels, 3, 1)?
            .convolve(channels, 3, 1)?
            .pool()?;
    }
    network.flat()?.dense(128)?.dense(10)
}

/// A graph that grows layer by layer, with random weights.
struct Network {
    /// Shape of each value.
    shapes: Vec<Vec<u32>>,
    params: Vec<ParamSpec>,
    nodes: Vec<Op>,
}

impl Network {
    fn new(input: Vec<u32>) -> Self {
        Self {
            shapes: vec![input],
            params: Vec::new(),
            nodes: Vec::new(),
        }
    }

    fn last(&self) -> (ValueId, Vec<u32>) {
        let value = self.shapes.len() - 1;
        (ValueId(value as u32), self.shapes[value].clone())
    }

    fn push(mut self, op: Op, dims: Vec<u32>) -> Self {
        self.nodes.push(op);
        self.shapes.push(dims);
        self
    }

    fn weights(&mut self, dims: Vec<u32>) -> Result<(ParamId, ParamId)> {
        let first = self.params.len() as u32;
        for (dtype, dims, most) in [(DType::I8, dims.clone(), 127), (DType::I32, vec![dims[0]], 5000)] {
            let shape = shape(dims)?;
            let (low, high) = (-most, most);
            self.params.push(ParamSpec {
                dtype,
                shape,
                low,
                high,
            });
        }
        Ok((ParamId(first), ParamId(first + 1)))
    }

    /// A ReLU with a multiplier for each channel.
    fn requantised(self) -> Self {
        let (input, dims) = self.last();
        let channels = dims.last().copied().unwrap_or(1);
        let op = Op::Requantise {
            input,
            multipliers: (0..channels).map(|channel| 900 + channel).collect(),
            shift: 20,
            low: 0,
            high: 127,
        };
        self.push(op, dims)
    }

    fn dense(mut self, n: u32) -> Result<Self> {
        let (input, dims) = self.last();
        let (weight, bias) = self.weights(vec![n, dims[0]])?;
        Ok(self
            .push(Op::Linear { input, weight, bias }, vec![n])
            .requantised())
    }

    fn convolve(mut self, n: u32, kernel: u32, padding: u32) -> Result<Self> {
        let (input, dims) = self.last();
        let (weight, bias) = self.weights(vec![n, kernel, kernel, dims[2]])?;
        let (window, counts) = window(&dims, kernel, 1, padding)?;
        let op = Op::Convolve {
            input,
            weight,
            bias,
            window,
            groups: 1,
        };
        Ok(self.push(op, vec![counts[0], counts[1], n]).requantised())
    }

    fn pool(self) -> Result<Self> {
        let (input, dims) = self.last();
        let (window, counts) = window(&dims, 2, 2, 0)?;
        Ok(self.push(
            Op::WindowMax { input, window },
            vec![counts[0], counts[1], dims[2]],
        ))
    }

    fn flat(self) -> Result<Self> {
        let (input, dims) = self.last();
        let to = vec![dims.iter().product()];
        let shape = shape(to.clone())?;
        Ok(self.push(Op::Reshape { input, shape }, to))
    }

    /// Microseconds of one inference, from input tensors to all values: the median and the least.
    fn time(&self) -> Result<[f64; 2]> {
        let (output, dims) = self.last();
        let inputs = vec![spec("x", &self.shapes[0])?];
        let outputs = vec![(output, spec("y", &dims)?)];
        let graph = Graph::new(inputs, self.params.clone(), self.nodes.clone(), outputs)?;
        let mut tensors = Vec::new();
        for param in &self.params {
            let values = bytes(param.shape.elements());
            let values = values.iter().map(|v| i64::from((*v).max(-127))).collect();
            tensors.push(Tensor::new(param.dtype, param.shape.clone(), values).ok_or("weights")?);
        }
        let parameters = Parameters::new(&graph, tensors)?;
        let shape = shape(self.shapes[0].clone())?;
        let values = bytes(shape.elements()).iter().map(|v| i64::from(*v)).collect();
        let input = [Tensor::new(DType::I8, shape, values).ok_or("input")?];
        let executor = Executor::new(&graph, &parameters);
        let expected = haca_graph::evaluate(&graph, &parameters, &input)?;
        let found = executor.run(&graph, &input)?;
        let mut expected = expected.values.iter().enumerate();
        if !expected.all(|(value, expected)| found.integers(value) == *expected) {
            return Err("the executor differs from the reference".into());
        }
        let run = || drop(executor.run(&graph, &input));
        Ok(median(run).map(|time| time.as_secs_f64() * 1e6))
    }
}

fn window(dims: &[u32], kernel: u32, stride: u32, padding: u32) -> Result<(Window, [u32; 2])> {
    let axis = WindowAxis {
        kernel,
        stride,
        dilation: 1,
        before: padding,
        after: padding,
    };
    let count = |length| axis.count(length).ok_or("no window fits");
    let counts = [count(dims[0])?, count(dims[1])?];
    let window = Window {
        height: axis,
        width: axis,
    };
    Ok((window, counts))
}

fn shape(dims: Vec<u32>) -> Result<Shape> {
    Ok(Shape::new(dims).ok_or("a shape")?)
}

fn spec(name: &str, dims: &[u32]) -> Result<TensorSpec> {
    Ok(TensorSpec {
        name: Name::new(name).ok_or("a name")?,
        dtype: DType::I8,
        shape: shape(dims.to_vec())?,
        scale: Scale::ONE,
    })
}
