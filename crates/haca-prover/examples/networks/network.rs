//! Networks of dense and convolutional layers with random weights.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "an example")]

use haca_graph::{
    Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId, Window, WindowAxis,
};
use haca_wire::{DType, Name, Scale, Shape, Tensor, TensorSpec};

struct Builder {
    params: Vec<ParamSpec>,
    nodes: Vec<Op>,
    dims: Vec<u32>,
    value: ValueId,
}

impl Builder {
    fn new(dims: &[u32]) -> Self {
        Self {
            params: Vec::new(),
            nodes: Vec::new(),
            dims: dims.to_vec(),
            value: ValueId(0),
        }
    }

    fn push(&mut self, op: Op) {
        self.nodes.push(op);
        self.value = ValueId(self.nodes.len() as u32);
    }

    fn parameters(&mut self, dims: Vec<u32>) -> (ParamId, ParamId) {
        let n = dims[0];
        let spec = |dtype, dims, low, high| ParamSpec {
            dtype,
            shape: Shape::new(dims).unwrap(),
            low,
            high,
        };
        self.params.push(spec(DType::I8, dims, -127, 127));
        self.params.push(spec(DType::I32, vec![n], -(1 << 12), 1 << 12));
        let last = self.params.len() as u32;
        (ParamId(last - 2), ParamId(last - 1))
    }

    fn relu(&mut self, k: u32) {
        // About what keeps random sums inside int8.
        let shift = 12 + k.ilog2() as u8 / 2;
        self.push(Op::Requantise {
            input: self.value,
            multipliers: vec![23],
            shift,
            low: 0,
            high: 127,
        });
    }

    fn dense(&mut self, n: u32, last: bool) {
        let k: u32 = self.dims.iter().product();
        if self.dims.len() > 1 {
            let shape = Shape::new(vec![k]).unwrap();
            self.push(Op::Reshape {
                input: self.value,
                shape,
            });
        }
        let (weight, bias) = self.parameters(vec![n, k]);
        self.push(Op::Linear {
            input: self.value,
            weight,
            bias,
        });
        self.dims = vec![n];
        if !last {
            self.relu(k);
        }
    }

    fn conv(&mut self, n: u32, kernel: u32, pad: u32) {
        let window = window(kernel, 1, pad);
        let c = self.dims[2];
        let (weight, bias) = self.parameters(vec![n, kernel, kernel, c]);
        self.push(Op::Convolve {
            input: self.value,
            weight,
            bias,
            window,
            groups: 1,
        });
        self.dims = vec![
            window.height.count(self.dims[0]).unwrap(),
            window.width.count(self.dims[1]).unwrap(),
            n,
        ];
        self.relu(kernel * kernel * c);
    }

    fn pool(&mut self) {
        let window = window(2, 2, 0);
        self.push(Op::WindowMax {
            input: self.value,
            window,
        });
        self.dims = vec![self.dims[0] / 2, self.dims[1] / 2, self.dims[2]];
    }

    fn finish(self, input: &[u32]) -> ModelFile {
        let spec = |name: &str, dtype, dims: &[u32]| TensorSpec {
            name: Name::new(name).unwrap(),
            dtype,
            shape: Shape::new(dims.to_vec()).unwrap(),
            scale: Scale::ONE,
        };
        let outputs = vec![(self.value, spec("y", DType::I32, &self.dims))];
        let graph = Graph::new(
            vec![spec("x", DType::I8, input)],
            self.params,
            self.nodes,
            outputs,
        )
        .unwrap();
        let mut state = 1u64;
        let mut random = |low: i64, high: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            low + (state >> 33) as i64 % (high - low + 1)
        };
        let tensor = |p: &ParamSpec| {
            let values = (0..p.shape.elements()).map(|_| random(p.low, p.high)).collect();
            Tensor::new(p.dtype, p.shape.clone(), values).unwrap()
        };
        let tensors = graph.params().iter().map(tensor).collect();
        let parameters = Parameters::new(&graph, tensors).unwrap();
        let manifest = Manifest {
            name: Name::new("bench").unwrap(),
            graph,
            render: 1,
            tokenizer: [0; 32],
        };
        ModelFile { manifest, parameters }
    }
}

fn window(kernel: u32, stride: u32, pad: u32) -> Window {
    let axis = WindowAxis {
        kernel,
        stride,
        dilation: 1,
        before: pad,
        after: pad,
    };
    Window {
        height: axis,
        width: axis,
    }
}

pub(crate) fn dense(sizes: &[u32]) -> ModelFile {
    let mut builder = Builder::new(&sizes[..1]);
    for (index, n) in sizes[1..].iter().enumerate() {
        builder.dense(*n, index + 2 == sizes.len());
    }
    builder.finish(&sizes[..1])
}

pub(crate) fn cnn(input: [u32; 3], convs: &[&[(u32, u32, u32)]], sizes: &[u32]) -> ModelFile {
    let mut builder = Builder::new(&input);
    for group in convs {
        for (n, kernel, pad) in *group {
            builder.conv(*n, *kernel, *pad);
        }
        builder.pool();
    }
    for (index, n) in sizes.iter().enumerate() {
        builder.dense(*n, index + 1 == sizes.len());
    }
    builder.finish(&input)
}

/// A sample for a network of one input.
pub(crate) fn input(model: &ModelFile) -> Tensor {
    let spec = &model.manifest.graph.inputs()[0];
    let values = (0..spec.shape.elements())
        .map(|i| (i as i64 * 37) % 128)
        .collect();
    Tensor::new(spec.dtype, spec.shape.clone(), values).unwrap()
}
