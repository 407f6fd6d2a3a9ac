//! Public tensors, and the padding of the batch.

use haca_prover::adversary::Witness;
use haca_wire::{DType, Shape, Tensor};
use haca_zk::{Inference, ProofRejection};

use crate::liar::product::two_outputs;
use crate::liar::{GATHER, PRODUCT, Stage, build, liar};
use crate::model::Build;

/// Moves one element by `delta`, or the other way where it would leave its type.
fn nudge(tensor: &mut Tensor, element: usize, delta: i64) {
    let mut values = tensor.values().to_vec();
    let (low, high) = tensor.dtype().range();
    let moved = values[element] + delta;
    values[element] = if moved < low || moved > high {
        values[element] - delta
    } else {
        moved
    };
    *tensor = Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
}

fn refuses(stage: &Stage, lie: impl Fn(&mut Inference) + Send + Sync, check: ProofRejection) {
    for inference in 0..3 {
        let alter = |witness: &mut Witness| lie(&mut witness.inferences[inference]);
        stage.refuses(liar!(witness: alter), check);
    }
}

#[test]
fn another_input() {
    let stage = Stage::new(&build());
    for element in 0..12 {
        refuses(&stage, |public| nudge(&mut public.inputs[0], element, 1), GATHER);
    }
}

#[test]
fn another_requantised_output() {
    let stage = Stage::new(&build());
    for element in 0..3 {
        refuses(&stage, |public| nudge(&mut public.outputs[0], element, 1), GATHER);
    }
}

#[test]
fn other_public_accumulators() {
    let stage = Stage::new(&Build {
        requantised_output: false,
        ..build()
    });
    for element in 0..3 {
        refuses(
            &stage,
            |public| nudge(&mut public.outputs[0], element, 1),
            PRODUCT,
        );
    }
}

#[test]
fn public_accumulators_of_two_layers_that_make_up_for_each_other() {
    let stage = Stage::new(&two_outputs());
    for element in 0..3 {
        let lie = |public: &mut Inference| {
            nudge(&mut public.outputs[1], element, 1);
            nudge(&mut public.outputs[2], element, -1);
        };
        refuses(&stage, lie, PRODUCT);
    }
}

#[test]
fn public_values_that_make_up_for_each_other() {
    // In one inference, and across two.
    let stage = Stage::new(&Build {
        requantised_output: false,
        ..build()
    });
    let one = |public: &mut Inference| {
        nudge(&mut public.outputs[0], 0, 1);
        nudge(&mut public.outputs[0], 1, -1);
    };
    refuses(&stage, one, PRODUCT);
    let lie = |witness: &mut Witness| {
        nudge(&mut witness.inferences[0].outputs[0], 0, 1);
        nudge(&mut witness.inferences[1].outputs[0], 0, -1);
    };
    stage.refuses(liar!(witness: lie), PRODUCT);
}

#[test]
fn outputs_that_follow_from_others_and_do_not() {
    let stage = Stage::new(&Build {
        arg_max: true,
        copies: true,
        ..build()
    });
    stage.outcome(crate::liar::Liar::default()).unwrap();
    // Logits, label, copy of the input, second copy of the logits. The copy of committed values is a claim of its own.
    for (index, follows) in [(1, true), (2, true), (3, false)] {
        for inference in 0..3 {
            let lie = |witness: &mut Witness| nudge(&mut witness.inferences[inference].outputs[index], 0, 1);
            let check = match follows {
                true => ProofRejection::DerivedOutput { inference, index },
                false => GATHER,
            };
            stage.refuses(liar!(witness: lie), check);
        }
    }
    // A copy of public accumulators follows from them.
    let stage = Stage::new(&Build {
        requantised_output: false,
        copies: true,
        ..build()
    });
    let lie = |witness: &mut Witness| nudge(&mut witness.inferences[1].outputs[2], 0, 1);
    let (inference, index) = (1, 2);
    stage.refuses(
        liar!(witness: lie),
        ProofRejection::DerivedOutput { inference, index },
    );
}

#[test]
fn padding_of_the_batch_with_another_inference() {
    // Four executions, of which the statement names three.
    let mut stage = Stage::with(&build(), 4, &mut crate::liar::Liar::default());
    stage.outcome(crate::liar::Liar::default()).unwrap();
    let lie = |witness: &mut Witness| witness.inferences.truncate(3);
    stage.refuses(liar!(witness: lie), GATHER);
    stage.executions[3] = stage.executions[2].clone();
    stage.outcome(liar!(witness: lie)).unwrap();
}

#[test]
fn inferences_in_another_order_or_number() {
    let stage = Stage::new(&build());
    let swap = |witness: &mut Witness| witness.inferences.swap(0, 1);
    stage.refuses(liar!(witness: swap), GATHER);
    let repeat = |witness: &mut Witness| {
        let first = witness.inferences[0].clone();
        witness.inferences.push(first);
    };
    stage.refuses(liar!(witness: repeat), GATHER);
    let leave_out = |witness: &mut Witness| {
        witness.inferences.remove(1);
    };
    assert!(stage.outcome(liar!(witness: leave_out)).is_err());
}

#[test]
fn tensors_of_another_type_or_shape() {
    // The values stay.
    let stage = Stage::new(&build());
    let refuses = |lie: &(dyn Fn(&mut Inference) + Sync), what| {
        for inference in 0..3 {
            let alter = |witness: &mut Witness| lie(&mut witness.inferences[inference]);
            let check = ProofRejection::TensorShape {
                inference,
                what,
                index: 0,
            };
            stage.refuses(liar!(witness: alter), check);
        }
    };
    let wide = |tensor: &mut Tensor| {
        *tensor = Tensor::new(DType::I32, tensor.shape().clone(), tensor.values().to_vec()).unwrap();
    };
    refuses(&|public| wide(&mut public.inputs[0]), "input");
    refuses(&|public| wide(&mut public.outputs[0]), "output");
    let tall = |tensor: &mut Tensor| {
        let shape = Shape::new(vec![3, tensor.values().len() as u32 / 3]).unwrap();
        *tensor = Tensor::new(tensor.dtype(), shape, tensor.values().to_vec()).unwrap();
    };
    refuses(&|public| tall(&mut public.inputs[0]), "input");
    refuses(&|public| tall(&mut public.outputs[0]), "output");
}
