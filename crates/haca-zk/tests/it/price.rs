//! The price of a registration, from one reading of a key.

use haca_graph::{Function, FunctionKind, Graph, Manifest, Op, ValueId};
use haca_wire::{DType, Decode, DecodeError, Encode, Gas, Name, Scale, Shape, TensorSpec};
use haca_zk::field::extension;
use haca_zk::{Layouts, ProtocolParameters, VerifyingKey, registration_price};

use crate::parameters::{manifest, parameters};

fn key(manifest: &Manifest, parameters: ProtocolParameters) -> VerifyingKey {
    let tables = Layouts::new(manifest, &parameters)
        .unwrap()
        .weights
        .tables()
        .len();
    VerifyingKey::new(manifest.clone(), parameters, [3; 32], vec![extension(1); tables]).unwrap()
}

#[test]
fn a_key_that_is_cut_or_goes_on_has_no_price() {
    let manifest = manifest(&[(0, 127), (-128, 127)]);
    let bytes = key(&manifest, parameters(&manifest)).encode();
    for end in 0..bytes.len() {
        assert!(registration_price(&bytes[..end]).is_err(), "{end} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        registration_price(&longer),
        Err(DecodeError::Trailing { found: 1 })
    );
    assert!(registration_price(&bytes).is_ok());
}

/// Eight applications of functions to one accumulator behind the layers of [`manifest`]: `kinds` of them differ.
fn functions(kinds: u8, kind: FunctionKind) -> Manifest {
    let mut manifest = manifest(&[(0, 127)]);
    let graph = &manifest.graph;
    let mut nodes = graph.nodes().to_vec();
    nodes.truncate(1);
    for number in 0..8 {
        nodes.push(Op::Activate {
            input: ValueId(1),
            multipliers: vec![61],
            shift: 9,
            function: Function {
                kind,
                argument: Scale::new(u32::from(number % kinds) * 2 + 1, 4).unwrap(),
                result: Scale::new(1, 5).unwrap(),
                low: -256,
                high: 255,
            },
        });
    }
    let inputs = (2..10).map(ValueId).collect();
    nodes.push(Op::Concat { inputs, axis: 0 });
    let output = TensorSpec {
        name: Name::new("y").unwrap(),
        dtype: DType::I8,
        shape: Shape::new(vec![40]).unwrap(),
        scale: Scale::ONE,
    };
    let outputs = vec![(ValueId(nodes.len() as u32), output)];

    let params = graph.params().to_vec();
    manifest.graph = Graph::new(graph.inputs().to_vec(), params, nodes, outputs).unwrap();
    manifest
}

/// Tables that a verifier has to compute are paid for by their arguments: once in every node, and once for each function.
#[test]
fn tables_of_functions_are_priced_by_their_arguments() {
    let price = |kinds, kind| {
        let manifest = functions(kinds, kind);
        let mut parameters = parameters(&crate::parameters::manifest(&[(0, 127)]));
        parameters.batches.truncate(1);
        registration_price(&bytes_of(&manifest, &parameters)).unwrap()
    };
    let (one, two) = (price(1, FunctionKind::Tanh), price(2, FunctionKind::Tanh));
    assert_eq!(two, Gas(one.0 + 512 * 700));
    let gelu = price(1, FunctionKind::Gelu);
    assert_eq!(gelu, Gas(one.0 + 8 * 512 * 400 + 512 * 700));
}

/// The bytes of a key with these parameters, whether they make one or not: its price does not depend on that.
fn bytes_of(manifest: &Manifest, parameters: &ProtocolParameters) -> Vec<u8> {
    let honest = crate::parameters::manifest(&[(0, 127)]);
    let whole = key(&honest, parameters.clone()).encode();
    let (before, behind) = (honest.encode(), manifest.encode());
    let start = whole
        .windows(before.len())
        .position(|part| part == before)
        .unwrap();
    let bytes = [&whole[..start], &behind, &whole[start + before.len()..]].concat();
    assert!(
        registration_price(&bytes).is_ok(),
        "{:?}",
        VerifyingKey::decode_all(&bytes).err()
    );
    bytes
}
