//! Writes a verifying key, a statement and a proof of two inferences, for verifiers in other languages.
//!
//! `cargo run -p haca-prover --example fixture -- DIR`

use std::error::Error;
use std::path::PathBuf;

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId};
use haca_prover::ProvingKey;
use haca_wire::codec::put_list;
use haca_wire::{DType, Encode as _, Name, Scale, Shape, Tensor, TensorSpec};

/// Input size, hidden units, classes.
const SIZES: [u32; 3] = [16, 24, 10];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("name the directory to write to")?);
    let registration = ProvingKey::register(model()?)?;
    let mut executions = Vec::new();
    for row in 0..2 {
        let values = (0..i64::from(SIZES[0]))
            .map(|at| (at * 7 + row * 31) % 127)
            .collect();
        let input = Tensor::new(DType::I8, shape(vec![SIZES[0]])?, values).ok_or("an input tensor")?;
        executions.push(registration.proving_key.infer(&[input])?);
    }
    let context = [7; 32];
    let (proof, _) = registration.proving_key.prove(context, &executions)?;
    let inferences: Vec<_> = executions
        .iter()
        .map(|execution| execution.inference.clone())
        .collect();
    let mut statement = context.to_vec();
    put_list(&mut statement, &inferences);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("model.vk"), registration.verifying_key.encode())?;
    std::fs::write(directory.join("statement.bin"), statement)?;
    std::fs::write(directory.join("proof.bin"), proof)?;
    Ok(())
}

/// A dense network with fixed weights, ReLU and argmax.
fn model() -> Result<ModelFile, Box<dyn Error>> {
    let [inputs, hidden, classes] = SIZES;
    let mut params = Vec::new();
    let mut tensors = Vec::new();
    for (k, n) in [(inputs, hidden), (hidden, classes)] {
        let weights = (0..i64::from(n * k))
            .map(|at| (at * at + 3 * at) % 61 - 30)
            .collect();
        let biases = (0..i64::from(n)).map(|at| at * 11 - 50).collect();
        params.push(ParamSpec {
            dtype: DType::I8,
            shape: shape(vec![n, k])?,
            low: -127,
            high: 127,
        });
        params.push(ParamSpec {
            dtype: DType::I32,
            shape: shape(vec![n])?,
            low: -4096,
            high: 4095,
        });
        tensors.push(Tensor::new(DType::I8, shape(vec![n, k])?, weights).ok_or("weights")?);
        tensors.push(Tensor::new(DType::I32, shape(vec![n])?, biases).ok_or("biases")?);
    }
    let nodes = vec![
        Op::Linear {
            input: ValueId(0),
            weight: ParamId(0),
            bias: ParamId(1),
        },
        Op::Requantise {
            input: ValueId(1),
            multipliers: vec![90],
            shift: 14,
            low: 0,
            high: 127,
        },
        Op::Linear {
            input: ValueId(2),
            weight: ParamId(2),
            bias: ParamId(3),
        },
        Op::ArgMax { input: ValueId(3) },
    ];
    let outputs = vec![
        (ValueId(3), spec("scores", DType::I32, vec![classes])?),
        (ValueId(4), spec("class", DType::I32, vec![])?),
    ];
    let graph = Graph::new(vec![spec("x", DType::I8, vec![inputs])?], params, nodes, outputs)?;
    let parameters = Parameters::new(&graph, tensors)?;
    let name = Name::new("fixture").ok_or("a name")?;
    Ok(ModelFile {
        manifest: Manifest {
            name,
            graph,
            render: 1,
            tokenizer: [0; 32],
        },
        parameters,
    })
}

fn spec(name: &str, dtype: DType, dims: Vec<u32>) -> Result<TensorSpec, Box<dyn Error>> {
    let name = Name::new(name).ok_or("a name")?;
    Ok(TensorSpec {
        name,
        dtype,
        shape: shape(dims)?,
        scale: Scale::ONE,
    })
}

fn shape(dims: Vec<u32>) -> Result<Shape, Box<dyn Error>> {
    Shape::new(dims).ok_or_else(|| "a shape".into())
}
