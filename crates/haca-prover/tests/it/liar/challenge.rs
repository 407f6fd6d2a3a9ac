//! Liars who compute a challenge before they send what it has to depend on. They guess that their message is not
//! absorbed; were that so, each of them would be accepted.

use std::sync::Mutex;

use haca_prover::adversary::Witness;
use haca_wire::Tensor;
use haca_zk::field::Extension;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::UsePoint;
use p3_field::{Field, PrimeCharacteristicRing};

use crate::liar::lookup::falsify;
use crate::liar::{LAYER, Liar, PRODUCT, Stage, build, liar};
use crate::model::Build;

/// What a liar remembers between two hooks.
#[derive(Default)]
struct Memory {
    /// The transcript after the last message.
    transcript: Option<Transcript<Committed>>,
    /// Root of the lookup tree, then of the table tree as it would have been.
    roots: Vec<[Extension; 2]>,
    /// What the claim that is open is above the true one.
    excess: Extension,
    /// Messages of the table tree.
    messages: usize,
}

impl Memory {
    /// The next challenges, should nothing be absorbed before.
    fn challenges<const N: usize>(&self, step: Option<&'static str>) -> [Extension; N] {
        let mut transcript = self.transcript.clone().unwrap();
        step.into_iter().for_each(|step| transcript.step(step));
        std::array::from_fn(|_| transcript.challenge())
    }
}

#[test]
fn round_of_a_product_sumcheck_for_a_known_challenge() {
    let open = Build {
        requantised_output: false,
        ..build()
    };
    let stage = Stage::with(&open, 1, &mut Liar::default());
    let memory = Mutex::new(Memory::default());
    let publish = |witness: &mut Witness| {
        let tensor = &mut witness.inferences[0].outputs[0];
        let mut values = tensor.values().to_vec();
        values[0] += 1;
        *tensor = Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
    };
    let mut liar = liar!(witness: publish);
    liar.biases = Some(Box::new(|uses: &[UsePoint], _: &mut [Extension]| {
        let at = &uses[2];
        memory.lock().unwrap().excess = at.scale * at.positions[0] * at.rows[0];
    }));
    liar.heard = Some(Box::new(|_, transcript| {
        memory.lock().unwrap().transcript = Some(transcript.clone());
    }));
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        let mut memory = memory.lock().unwrap();
        if name == "product" && memory.excess != Extension::ZERO {
            let [x] = memory.challenges(Some("matrix product"));
            values[1] += memory.excess * (Extension::ONE - x).inverse();
            memory.excess = Extension::ZERO;
        }
    }));
    stage.refuses(liar, PRODUCT);
}

/// A liar about a result who sends a root of the table tree that balances, and meddles with messages `at` of that
/// tree.
fn refuses(at: std::ops::Range<usize>, lie: impl Fn(&mut Memory, &mut [Extension]) + Send + Sync) {
    let stage = Stage::new(&build());
    let memory = Mutex::new(Memory::default());
    let mut liar: Liar<'_> = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
    liar.heard = Some(Box::new(|_, transcript| {
        memory.lock().unwrap().transcript = Some(transcript.clone());
    }));
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        let mut memory = memory.lock().unwrap();
        if name == "lookup tree" && memory.roots.is_empty() {
            memory.roots.push([values[0], values[1]]);
        }
        if name == "table tree" {
            if at.contains(&memory.messages) {
                lie(&mut memory, values);
            } else if memory.messages == 0 {
                // The denominator stays, the numerator balances.
                let numerator = -memory.roots[0][0] * values[1] * memory.roots[0][1].inverse();
                memory.excess = numerator - values[0];
                values[0] = numerator;
            }
            memory.messages += 1;
        }
    }));
    stage.refuses(liar, LAYER);
}

#[test]
fn root_of_a_tree_for_a_known_challenge() {
    refuses(0..1, |memory, values| {
        // The coordinate of the last layer of the tree before, then the mixing challenge of the root.
        let [_, mix] = memory.challenges(None);
        let [n1, d1] = memory.roots[0];
        let gap = n1 * values[1] + values[0] * d1;
        let move_by = -gap * (d1 - n1 * mix.inverse()).inverse();
        values[0] += move_by;
        values[1] -= move_by * mix.inverse();
    });
}

#[test]
fn ends_of_a_layer_for_a_known_challenge() {
    // The first layer has no rounds: its ends follow the root.
    refuses(1..2, |memory, values| {
        let [_, side] = memory.challenges(None);
        let [_, d0, _, d1] = [values[0], values[1], values[2], values[3]];
        let line = (Extension::ONE - side) * d0 - side * d1;
        let slope = memory.excess * line.inverse();
        values[0] -= side * slope;
        values[2] += (Extension::ONE - side) * slope;
    });
}

#[test]
fn round_of_a_layer_for_a_known_challenge() {
    // The ends of the first layer fit its claim and are false; the one round of the second makes up for that.
    refuses(1..3, |memory, values| {
        if memory.messages == 1 {
            memory.excess *= values[3].inverse();
            values[0] += memory.excess;
        } else {
            let [side, _, x] = memory.challenges(None);
            let excess = memory.excess * (Extension::ONE - side);
            // The slope of the honest prover is `excess / side` above the true one already.
            values[1] += excess * x * (side * (side - x)).inverse();
        }
    });
}
