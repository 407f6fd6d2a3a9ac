//! Models that are cheap to write down and dear to look at: what registering them takes is what the price of a
//! registration has to cover.

use haca_graph::{
    Function, FunctionKind, Graph, GraphError, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, Term,
    ValueId, Window, WindowAxis,
};
use haca_wire::{DType, Name, Scale, Shape, Tensor, TensorSpec};

use super::broken;
use crate::failure::Failure;

/// Values that one op reads, at most.
const OPERANDS: usize = haca_graph::limit::OPERANDS;

/// The models by what decoding their keys takes time for.
pub(super) fn all() -> Result<Vec<(&'static str, ModelFile)>, Failure> {
    let of = |sketch: Option<Sketch>| sketch.ok_or_else(|| broken("graph"))?.model();
    Ok(vec![
        ("tables of functions", of(functions())?),
        ("elements moved", of(arrangements())?),
        ("comparisons of a window", of(stages())?),
        ("uses of accumulators", of(uses())?),
        ("clamps", of(clamps())?),
        ("matrices", of(matrices())?),
    ])
}

/// A graph being written down.
struct Sketch {
    input: Shape,
    params: Vec<ParamSpec>,
    nodes: Vec<Op>,
}

impl Sketch {
    fn new(dims: &[u32]) -> Option<Self> {
        Some(Self {
            input: Shape::new(dims.to_vec())?,
            params: Vec::new(),
            nodes: Vec::new(),
        })
    }

    fn add(&mut self, op: Op) -> ValueId {
        self.nodes.push(op);
        ValueId(self.nodes.len() as u32)
    }

    /// Declares a weight and a bias for `columns` inputs and one output.
    fn declare(&mut self, columns: u32) -> Option<(ParamId, ParamId)> {
        let first = self.params.len() as u32;
        for (dtype, dims) in [(DType::I8, vec![1, columns]), (DType::I32, vec![1])] {
            let shape = Shape::new(dims)?;
            let (low, high) = (-1, 1);
            self.params.push(ParamSpec {
                dtype,
                shape,
                low,
                high,
            });
        }
        Some((ParamId(first), ParamId(first + 1)))
    }

    fn linear(&mut self, input: ValueId, (weight, bias): (ParamId, ParamId)) -> ValueId {
        self.add(Op::Linear { input, weight, bias })
    }

    fn requantise(&mut self, input: ValueId, (low, high): (i8, i8)) -> ValueId {
        self.add(Op::Requantise {
            input,
            multipliers: vec![1],
            shift: 1,
            low,
            high,
        })
    }

    /// Joins int8 values until one is left.
    fn join(&mut self, mut values: Vec<ValueId>) {
        while values.len() > 1 {
            let parts: Vec<Vec<ValueId>> = values.chunks(OPERANDS).map(<[ValueId]>::to_vec).collect();
            let joined = parts.into_iter().map(|inputs| match inputs.as_slice() {
                [one] => *one,
                _ => self.add(Op::Concat { inputs, axis: 0 }),
            });
            values = joined.collect();
        }
    }

    /// The model whose output is the last value, with weights that are all zero.
    fn model(self) -> Result<ModelFile, Failure> {
        let graph_error = |error: GraphError| broken(error);
        let name = |name: &str| Name::new(name).ok_or_else(|| broken("name"));
        let spec = |name, dtype, shape| TensorSpec {
            name,
            dtype,
            shape,
            scale: Scale::ONE,
        };
        let last = ValueId(self.nodes.len() as u32);
        let input = spec(name("x")?, DType::I8, self.input);
        // Type and shape of the output are those that the check of the graph finds, which names them when they differ.
        let guess = spec(name("y")?, DType::I8, input.shape.clone());
        let build = |output| {
            let (params, nodes) = (self.params.clone(), self.nodes.clone());
            Graph::new(vec![input.clone()], params, nodes, vec![(last, output)])
        };
        let graph = match build(guess.clone()) {
            Err(GraphError::Shape { expected, .. }) => build(TensorSpec {
                shape: expected,
                ..guess
            }),
            Err(GraphError::ElementType { .. }) => {
                let shape = Shape::new(vec![1]).ok_or_else(|| broken("shape"))?;
                let dtype = DType::I32;
                build(TensorSpec {
                    dtype,
                    shape,
                    ..guess
                })
            }
            other => other,
        };
        let graph = graph.map_err(graph_error)?;
        let zeros = |spec: &ParamSpec| {
            let elements = vec![0; spec.shape.elements()];
            Tensor::new(spec.dtype, spec.shape.clone(), elements)
        };
        let tensors = graph.params().iter().map(zeros).collect::<Option<Vec<_>>>();
        let tensors = tensors.ok_or_else(|| broken("tensor"))?;
        let parameters = Parameters::new(&graph, tensors).map_err(graph_error)?;
        let manifest = Manifest {
            name: name("dear")?,
            graph,
            render: haca_wire::RenderId::INFER_V1.0,
            tokenizer: [0; 32],
        };
        Ok(ModelFile { manifest, parameters })
    }
}

/// As many arguments of as many functions as a graph may have tables of.
fn functions() -> Option<Sketch> {
    let mut sketch = Sketch::new(&[1])?;
    let param = sketch.declare(1)?;
    let accumulator = sketch.linear(ValueId(0), param);
    let nodes = haca_graph::limit::TABLE_ARGUMENTS >> haca_graph::limit::TABLE_BITS;
    let last = 1i16 << (haca_graph::limit::TABLE_BITS - 1);
    let mut values = Vec::new();
    for node in 0..nodes {
        // Odd, so that each is a function of its own; small, so that the results change over all arguments.
        let scale = Scale::new(2 * node as u32 + 1, 14)?;
        let function = Function {
            kind: FunctionKind::Gelu,
            argument: scale,
            result: Scale::ONE,
            low: -last,
            high: last - 1,
        };
        values.push(sketch.add(Op::Activate {
            input: accumulator,
            multipliers: vec![1],
            shift: 1,
            function,
        }));
    }
    sketch.join(values);
    Some(sketch)
}

/// Transposes of one large value.
fn arrangements() -> Option<Sketch> {
    let mut sketch = Sketch::new(&[256, 255])?;
    let mut value = ValueId(0);
    for _ in 0..15 {
        let (input, axes) = (value, vec![1, 0]);
        value = sketch.add(Op::Transpose { input, axes });
    }
    let shape = Shape::new(vec![256 * 255])?;
    value = sketch.add(Op::Reshape { input: value, shape });
    let param = sketch.declare(256 * 255)?;
    sketch.linear(value, param);
    Some(sketch)
}

/// A window maximum of as many taps as a circuit may have.
fn stages() -> Option<Sketch> {
    let mut sketch = Sketch::new(&[64, 64, 1])?;
    let axis = WindowAxis {
        kernel: 64,
        stride: 1,
        dilation: 1,
        before: 0,
        after: 0,
    };
    let (height, width) = (axis, axis);
    let input = ValueId(0);
    let window = Window { height, width };
    let value = sketch.add(Op::WindowMax { input, window });
    let param = sketch.declare(1)?;
    let value = sketch.linear(value, param);
    sketch.requantise(value, (-128, 127));
    Some(sketch)
}

/// Sums of sixteen accumulators, each a use of all of them.
fn uses() -> Option<Sketch> {
    let mut sketch = Sketch::new(&[7])?;
    let param = sketch.declare(7)?;
    let terms: Vec<Term> = (0..OPERANDS)
        .map(|_| Term {
            value: sketch.linear(ValueId(0), param),
            coefficient: 1,
        })
        .collect();
    let mut values = Vec::new();
    for _ in 0..255 {
        let terms = terms.clone();
        let sum = sketch.add(Op::Sum { terms });
        values.push(sketch.requantise(sum, (-128, 127)));
    }
    sketch.join(values);
    Some(sketch)
}

/// Requantisations with a clamp of their own.
fn clamps() -> Option<Sketch> {
    let mut sketch = Sketch::new(&[1])?;
    let param = sketch.declare(1)?;
    let accumulator = sketch.linear(ValueId(0), param);
    let ends = (-16..0i8).flat_map(|low| (0..8i8).map(move |high| (low, high)));
    let values = ends.map(|ends| sketch.requantise(accumulator, ends)).collect();
    sketch.join(values);
    Some(sketch)
}

/// As many matrices as a graph may declare.
fn matrices() -> Option<Sketch> {
    let mut sketch = Sketch::new(&[1])?;
    let (mut terms, mut sums) = (Vec::new(), Vec::new());
    for _ in 0..haca_graph::limit::PARAMS / 2 {
        let param = sketch.declare(1)?;
        let value = sketch.linear(ValueId(0), param);
        terms.push(Term {
            value,
            coefficient: 1,
        });
        if terms.len() == OPERANDS {
            let terms = core::mem::take(&mut terms);
            let sum = sketch.add(Op::Sum { terms });
            sums.push(sketch.requantise(sum, (-128, 127)));
        }
    }
    sketch.join(sums);
    Some(sketch)
}
