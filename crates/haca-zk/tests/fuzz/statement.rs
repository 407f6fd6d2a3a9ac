//! Edits of statements.

use haca_wire::{DType, Inference, Shape, Tensor};

use super::random::{Random, edit_list};

/// Changes the inferences of a statement; `donor` are others.
pub fn edit(random: &mut Random, inferences: &mut Vec<Inference>, donor: &[Inference]) {
    let at = random.below(inferences.len());
    let Some(inference) = inferences.get_mut(at) else {
        return inferences.extend(donor.first().cloned());
    };
    match random.below(8) {
        0 => return edit_list(random, inferences),
        1 => std::mem::swap(&mut inference.inputs, &mut inference.outputs),
        2 => *inference = random.pick(donor).clone(),
        _ => {}
    }
    let Some(inference) = inferences.get_mut(at) else {
        return;
    };
    let tensors = if random.one_in(3) {
        &mut inference.inputs
    } else {
        &mut inference.outputs
    };
    let place = random.below(tensors.len());
    match tensors.get_mut(place) {
        Some(tensor) if !random.one_in(8) => *tensor = other(random, tensor),
        _ => edit_list(random, tensors),
    }
}

fn other(random: &mut Random, tensor: &Tensor) -> Tensor {
    let (mut dtype, mut shape, mut values) =
        (tensor.dtype(), tensor.shape().clone(), tensor.values().to_vec());
    let (low, high) = dtype.range();
    match random.below(6) {
        0 => dtype = *random.pick(&[DType::I8, DType::I16, DType::I32, DType::I64]),
        1 => {
            let mut dims = shape.dims().to_vec();
            dims.insert(random.below(dims.len() + 1), 1);
            shape = Shape::new(dims).unwrap_or(shape);
        }
        2 => {
            let mut dims = shape.dims().to_vec();
            dims.reverse();
            shape = Shape::new(dims).unwrap_or(shape);
        }
        3 => {
            let (one, two) = (random.below(values.len()), random.below(values.len()));
            values.swap(one, two);
        }
        _ => {
            let at = random.below(values.len());
            let value = values[at];
            values[at] = *random.pick(&[
                low,
                high,
                0,
                value.saturating_add(1).min(high),
                value.saturating_sub(1).max(low),
            ]);
        }
    }
    Tensor::new(dtype, shape, values).unwrap_or_else(|| tensor.clone())
}
