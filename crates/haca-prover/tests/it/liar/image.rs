//! A model with an op of each kind, and liars about its statement and its columns.

use haca_graph::{FunctionKind, ModelFile};
use haca_prover::adversary::Witness;
use haca_wire::Tensor;
use haca_zk::ProofRejection;
use haca_zk::value::Source;

use crate::liar::{BALANCE, GATHER, LOOKUP_LEAVES, Liar, PRODUCT, Stage, get, liar, set};
use crate::sketch::{Sketch, axis, function, padded, square};

/// The stages of the maximum over hidden values, and of that over the input.
pub(crate) const HIDDEN: [usize; 3] = [0, 1, 2];
pub(crate) const PUBLIC: [usize; 3] = [3, 4, 5];
/// The requantisations: a convolution, a convolution in groups, a function of a combination, a product of values.
pub(crate) const FUNCTION: usize = 2;

/// A model with an op of each kind. Outputs: the transposed product, a maximum over the input, accumulators, a
/// transposed input.
pub(crate) fn every() -> ModelFile {
    let mut sketch = Sketch::new(31, &[&[4, 4, 3]]);
    let hidden = sketch.convolve(0, 6, square(padded(3, 1, 1, 1)), 1);
    let hidden = sketch.clamp(hidden, true, 0);
    let largest = sketch.window_max(hidden, square(padded(2, 2, 1, 1)));
    let public = sketch.window_max(0, square(axis(2, 2)));
    let grouped = sketch.convolve(largest, 6, square(axis(1, 1)), 3);
    let grouped = sketch.requantise(grouped, false);
    let sums = sketch.sum(&[(grouped, 90), (largest, -61)]);
    let curved = sketch.activate(sums, function(FunctionKind::Tanh, -90, 80));
    let product = sketch.product(curved, grouped);
    let product = sketch.requantise(product, false);
    let accumulators = sketch.linear(largest, 2);
    let product = sketch.transpose(product, &[1, 0, 2]);
    let input = sketch.transpose(0, &[2, 0, 1]);
    for output in [product, public, accumulators, input] {
        sketch.output(output);
    }
    sketch.model()
}

/// Three inferences of [`every`], padded to four.
pub(crate) fn stage() -> Stage {
    Stage::of(&every(), 3, &mut Liar::default())
}

#[test]
fn who_alters_nothing_in_an_image_is_accepted() {
    let stage = stage();
    let circuit = stage.circuit();
    assert_eq!((circuit.requantises.len(), circuit.stages.len()), (4, 6));
    assert_eq!(stage.layout().batch_points, 2);
    let lie = |witness: &mut Witness| {
        let before = (witness.multiplicities.clone(), witness.inferences.clone());
        stage.finish(witness);
        assert_eq!(
            before,
            (witness.multiplicities.clone(), witness.inferences.clone())
        );
    };
    stage.outcome(liar!(witness: lie)).unwrap();
}

/// Adds `delta` to an element, the other way where it would leave its type.
fn nudge(tensor: &mut Tensor, element: usize) {
    let mut values = tensor.values().to_vec();
    values[element] += if values[element] == tensor.dtype().range().1 {
        -1
    } else {
        1
    };
    *tensor = Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
}

#[test]
fn public_elements_of_an_image() {
    let stage = stage();
    // Accumulators are part of the matrix product; a transposed input is compared with the input.
    let inference = 1;
    let derived = ProofRejection::DerivedOutput { inference, index: 3 };
    let checks = [GATHER, GATHER, PRODUCT, derived];
    let public = &stage.executions[inference].inference;
    for (index, check) in checks.into_iter().enumerate() {
        for element in (0..public.outputs[index].values().len()).step_by(3) {
            let lie =
                |witness: &mut Witness| nudge(&mut witness.inferences[inference].outputs[index], element);
            stage.refuses(liar!(witness: lie), check);
        }
    }
    for element in (0..48).step_by(3) {
        let lie = |witness: &mut Witness| {
            let input = &mut witness.inferences[inference].inputs[0];
            nudge(input, element);
            // The transposed copy follows.
            let values = input.values();
            let copy = (0..48).map(|i| values[i % 16 * 3 + i / 16]).collect();
            let tensor = &mut witness.inferences[inference].outputs[3];
            *tensor = Tensor::new(tensor.dtype(), tensor.shape().clone(), copy).unwrap();
        };
        stage.refuses(liar!(witness: lie), GATHER);
    }
}

#[test]
fn public_values_of_two_outputs_that_make_up_for_each_other() {
    // Two outputs of one shape: one claim is as much too high as the other is too low.
    let mut sketch = Sketch::new(33, &[&[2, 3]]);
    for _ in 0..2 {
        let value = sketch.linear(0, 3);
        let value = sketch.requantise(value, false);
        sketch.output(value);
    }
    let stage = Stage::of(&sketch.model(), 2, &mut Liar::default());
    for element in 0..6 {
        let lie = |witness: &mut Witness| {
            let inference = &mut witness.inferences[0];
            for (tensor, delta) in inference.outputs.iter_mut().zip([1, -1]) {
                let mut values = tensor.values().to_vec();
                values[element] = (values[element] + delta).clamp(-128, 127);
                *tensor = Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
            }
        };
        stage.refuses(liar!(witness: lie), GATHER);
    }
}

/// Cells of requantisations that hold no element: padded channels, the repeated inference, behind all blocks.
fn padding(stage: &Stage) -> Vec<usize> {
    let layout = stage.layout();
    let batch = layout.batch_variables;
    let mut cells: Vec<usize> = layout
        .cells
        .blocks
        .iter()
        .map(|block| block.cell(5, 7) << batch)
        .collect();
    cells.push(layout.cells.blocks[1].cell(2, 1) << batch | 3);
    let beyond = layout.cells.cells << batch;
    assert!(beyond < 1 << layout.variables);
    cells.extend([beyond, (1 << layout.variables) - 1]);
    cells
}

#[test]
fn padding_of_an_image_with_a_quotient_of_its_own() {
    let stage = stage();
    for cell in padding(&stage) {
        let lie = |witness: &mut Witness| {
            let quotient = stage.quotient(witness, cell);
            stage.set_quotient(witness, cell, if quotient == 9 { 11 } else { 9 });
            stage.finish(witness);
        };
        stage.refuses(liar!(witness: lie), PRODUCT);
    }
}

#[test]
fn padding_of_an_image_with_a_result_of_its_own() {
    let stage = stage();
    for cell in padding(&stage) {
        let lie = |witness: &mut Witness| {
            let result = get(witness, "result", cell);
            set(witness, "result", cell, if result == 3 { 4 } else { 3 });
            stage.finish(witness);
        };
        stage.refuses(liar!(witness: lie), BALANCE);
    }
}

#[test]
fn hidden_results_of_an_image_that_were_not_computed() {
    // What reads them, maxima included, is about the committed ones.
    let stage = stage();
    for requantise in 0..4 {
        let cell = stage.cell_of(Source::Requantise(requantise), 22, 1).unwrap();
        let lie = |witness: &mut Witness| {
            let quotient = stage.quotient(witness, cell);
            stage.set_quotient(witness, cell, if quotient == 5 { 7 } else { 5 });
            stage.finish(witness);
        };
        stage.refuses(liar!(witness: lie), PRODUCT);
    }
}

/// A cell of the function with a quotient between its ends, and that quotient.
fn curved(stage: &Stage, witness: &mut Witness, wanted: impl Fn(i64) -> bool) -> usize {
    let mut cells = (0..54).map(|element| stage.cell_of(Source::Requantise(FUNCTION), element, 1).unwrap());
    cells.find(|cell| wanted(stage.quotient(witness, *cell))).unwrap()
}

#[test]
fn functions_of_another_argument() {
    let stage = stage();
    let circuit = stage.circuit();
    let function = &circuit.mappings[circuit.requantises[FUNCTION].mapping];
    // The results of the arguments next to it, of those beyond the ends, and of the clamp.
    let lies: [(&(dyn Fn(i64) -> bool + Sync), &(dyn Fn(i64) -> i64 + Sync)); 5] = [
        (&|q| (-40..40).contains(&q), &|q| function.result(q + 1)),
        (&|q| (-40..40).contains(&q), &|q| function.result(q - 1)),
        (&|q| q > 80, &|_| function.result(80) - 1),
        (&|q| q < -90, &|_| function.result(-90) + 1),
        (&|q| (-70..-20).contains(&q), &|q| q),
    ];
    for (wanted, lie) in lies {
        let alter = |witness: &mut Witness| {
            let cell = curved(&stage, witness, |q| wanted(q) && function.result(q) != lie(q));
            let quotient = stage.quotient(witness, cell);
            set(witness, "result", cell, lie(quotient));
            stage.finish(witness);
        };
        stage.refuses(liar!(witness: alter), BALANCE);
    }
}

#[test]
fn functions_under_another_mapping() {
    let stage = stage();
    let circuit = stage.circuit();
    let own = circuit.requantises[FUNCTION].mapping;
    for mapping in (0..circuit.mappings.len()).filter(|mapping| *mapping != own) {
        let lie = |witness: &mut Witness| {
            let cell = curved(&stage, witness, |q| (-70..-20).contains(&q));
            Witness::nudge(&mut witness.mappings, cell, mapping as i64 - own as i64);
            let quotient = stage.quotient(witness, cell);
            stage.set_quotient(witness, cell, quotient);
            stage.finish(witness);
        };
        stage.refuses(liar!(witness: lie), LOOKUP_LEAVES);
    }
}
