//! A lying prover alters what it commits to and finishes the transcript honestly.

use haca_prover::adversary::{RegistrationWitness, Tamper, Witness};
use haca_prover::{Execution, ProvingKey};
use haca_zk::field::{Base, Extension};
use haca_zk::{Inference, ProofRejection, Statement, verify, verify_registration};
use p3_field::PrimeCharacteristicRing;

use crate::model::{Build, Random, inputs, mlp};

struct Alter<W>(W);

impl<W: FnMut(&mut Witness)> Tamper for Alter<W> {
    fn witness(&mut self, witness: &mut Witness) {
        (self.0)(witness);
    }
}

fn build() -> Build {
    Build {
        per_channel: true,
        ..Build::new(21, &[12, 9, 5, 3])
    }
}

/// Proves three inferences with `alter` applied, against the statement that the liar ends up with.
fn outcome(alter: impl FnMut(&mut Witness) + Send) -> Result<(), ProofRejection> {
    let model = mlp(&build());
    let registration = ProvingKey::register(model.clone()).unwrap();
    let mut random = Random::new(22);
    let run = |_| {
        registration
            .proving_key
            .infer(&inputs(&model, &mut random))
            .unwrap()
    };
    let executions: Vec<Execution> = (0..3).map(run).collect();
    let mut alter = alter;
    let mut inferences: Vec<Inference> = Vec::new();
    let mut liar = Alter(|witness: &mut Witness| {
        alter(witness);
        inferences.clone_from(&witness.inferences);
    });
    let (proof, _) = registration
        .proving_key
        .prove_tampered([1; 32], &executions, &mut liar)
        .unwrap();
    let statement = Statement {
        context: [1; 32],
        inferences: &inferences,
    };
    verify(&registration.verifying_key, &statement, &proof)
}

#[test]
fn who_alters_nothing_is_accepted() {
    outcome(|_| {}).unwrap();
}

#[test]
fn every_cell_of_every_column_matters() {
    let mut shape = (Vec::new(), 0);
    outcome(|witness| shape = (witness.column_names(), witness.low.len())).unwrap();
    let (names, cells) = shape;
    assert!(names.len() >= 4);
    for name in names {
        for index in (0..cells).step_by(5) {
            outcome(|witness| Witness::nudge(witness.column(&name).unwrap(), index, 1)).unwrap_err();
        }
    }
    for index in (0..cells).step_by(5) {
        outcome(|witness| Witness::nudge(&mut witness.low, index, 1)).unwrap_err();
        outcome(|witness| Witness::nudge(&mut witness.clamps, index, 1)).unwrap_err();
    }
}

#[test]
fn multiplicities_balance_exactly() {
    for table in 0..3 {
        for index in [0, 1, 7] {
            for delta in [1, -1] {
                outcome(|witness| Witness::nudge(&mut witness.multiplicities[table], index, delta))
                    .unwrap_err();
            }
        }
    }
}

#[test]
fn the_tables_are_the_verifiers() {
    // The liar's clamp table sends a quotient elsewhere, and everything else follows from that.
    for table in 0..3 {
        for value in 0..4 {
            outcome(|witness| {
                let rows = &mut std::sync::Arc::make_mut(&mut witness.tables)[table];
                rows[3][value] += Base::ONE;
            })
            .unwrap_err();
        }
    }
}

#[test]
fn a_result_moved_with_its_lookup_is_refused() {
    // The quotient of a cell becomes another one, with side, low part, result and multiplicities to match; only the
    // requantisation identity is broken.
    outcome(|witness| {
        let index = 1;
        let low = witness.low[index];
        let other = witness.low[2];
        let high = witness.column("high").unwrap()[2];
        let side = witness.column("side").unwrap()[2];
        let result = witness.column("result").unwrap()[2];
        assert!(low != other);
        witness.low[index] = other;
        witness.column("high").unwrap()[index] = high;
        witness.column("side").unwrap()[index] = side;
        witness.column("result").unwrap()[index] = result;
        recount(witness);
    })
    .unwrap_err();
}

/// Counts the lookups of the altered columns again.
fn recount(witness: &mut Witness) {
    use p3_field::PrimeField64;
    let value = |cell: Base| cell.as_canonical_u64();
    let side = witness.column("side").unwrap().clone();
    let high = witness.column("high").unwrap().clone();
    let result = witness.column("result").unwrap().clone();
    let tables = witness.tables.clone();
    let (before_side, before_clamp) = (
        total(&witness.multiplicities[1]),
        total(&witness.multiplicities[2]),
    );
    for table in 1..3 {
        witness.multiplicities[table]
            .iter_mut()
            .for_each(|cell| *cell = Base::ZERO);
    }
    for cell in 0..side.len() {
        witness.multiplicities[1][value(high[cell]) as usize] += Base::ONE;
        let row = tables[2].iter().position(|row| {
            row[0] == witness.low[cell]
                && row[1] == side[cell]
                && row[2] == result[cell]
                && row[3] == witness.clamps[cell] + Base::TWO
        });
        witness.multiplicities[2][row.unwrap()] += Base::ONE;
    }
    assert_eq!(total(&witness.multiplicities[1]), before_side);
    assert_eq!(total(&witness.multiplicities[2]), before_clamp);
}

fn total(cells: &[Base]) -> Base {
    cells.iter().copied().sum()
}

#[test]
fn an_altered_statement_is_refused() {
    outcome(|witness| {
        let tensor = witness.inferences[1].outputs[0].clone();
        let mut values = tensor.values().to_vec();
        values[0] += 1;
        let tensor = haca_wire::Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
        witness.inferences[1].outputs[0] = tensor;
    })
    .unwrap_err();
}

/// Which helper of the sumchecks is altered, and at which use and cell.
struct BadHelper(&'static str, usize, usize);

impl Tamper for BadHelper {
    fn biases(&mut self, biases: &mut [Extension]) {
        if self.0 == "biases" {
            biases[self.1] += Extension::ONE;
        }
    }

    fn folded_weights(&mut self, folded: &mut [Vec<Extension>]) {
        if self.0 == "weights" {
            folded[self.1][self.2] += Extension::ONE;
        }
    }

    fn folded_inputs(&mut self, folded: &mut [Vec<Extension>]) {
        if self.0 == "inputs" {
            folded[self.1][self.2] += Extension::ONE;
        }
    }
}

#[test]
fn folded_weights_inputs_and_biases_are_those_of_the_commitments() {
    let model = mlp(&build());
    let registration = ProvingKey::register(model.clone()).unwrap();
    let mut random = Random::new(23);
    let execution = registration
        .proving_key
        .infer(&inputs(&model, &mut random))
        .unwrap();
    let inferences = [execution.inference.clone()];
    let statement = Statement {
        context: [1; 32],
        inferences: &inferences,
    };
    let outcome = |helper, of, cell| {
        let mut liar = BadHelper(helper, of, cell);
        let key = &registration.proving_key;
        let (proof, _) = key
            .prove_tampered([1; 32], std::slice::from_ref(&execution), &mut liar)
            .unwrap();
        verify(&registration.verifying_key, &statement, &proof)
    };
    outcome("nothing", 0, 0).unwrap();
    // Two uses with multipliers per channel, then the public accumulators.
    for of in 0..3 {
        outcome("biases", of, 0).unwrap_err();
        for cell in [0, 3] {
            outcome("weights", of, cell).unwrap_err();
            outcome("inputs", of, cell).unwrap_err();
        }
    }
}

/// Alters a registration.
#[derive(Default)]
struct BadRegistration {
    weight: Option<(usize, usize, i64)>,
    limb: Option<(usize, usize)>,
    multiplicity: Option<usize>,
    answer: Option<usize>,
}

impl Tamper for BadRegistration {
    fn weights(&mut self, tables: &mut [Vec<Base>]) {
        if let Some((table, cell, value)) = self.weight {
            tables[table][cell] = haca_zk::field::base(value);
        }
    }

    fn answers(&mut self, answers: &mut [Extension]) {
        if let Some(answer) = self.answer {
            answers[answer] += Extension::ONE;
        }
    }

    fn registration(&mut self, witness: &mut RegistrationWitness) {
        if let Some((column, cell)) = self.limb {
            Witness::nudge(&mut witness.limbs[column], cell, 1);
        }
        if let Some(cell) = self.multiplicity {
            Witness::nudge(&mut witness.multiplicity, cell, 1);
        }
    }
}

fn registered(mut liar: BadRegistration) -> Result<(), ProofRejection> {
    let model = mlp(&Build {
        weights: (-20, 100),
        ..build()
    });
    let registration = ProvingKey::register_tampered(model, &mut liar).unwrap();
    verify_registration(&registration.verifying_key, &registration.proof)
}

#[test]
fn registration_proves_ranges_and_zero_padding() {
    registered(BadRegistration::default()).unwrap();
    // The first matrix is 9 x 12, in a table of 16 x 16: real cell, padding column, padding row.
    for (cell, value) in [(0, 101), (0, -21), (0, 1 << 40), (12, 1), (9 * 16, -1), (255, 3)] {
        let weight = Some((0, cell, value));
        registered(BadRegistration {
            weight,
            ..Default::default()
        })
        .unwrap_err();
    }
    registered(BadRegistration {
        weight: Some((0, 5, 100)),
        ..Default::default()
    })
    .unwrap();
    // The last table holds the biases: in range, out of range, padding.
    registered(BadRegistration {
        weight: Some((3, 0, 6000)),
        ..Default::default()
    })
    .unwrap();
    for (cell, value) in [(0, 6001), (0, -5001), (1, 1 << 50), (9, 1), (31, -1)] {
        let weight = Some((3, cell, value));
        registered(BadRegistration {
            weight,
            ..Default::default()
        })
        .unwrap_err();
    }
    for column in [0, 4, 5, 9] {
        registered(BadRegistration {
            limb: Some((column, 2)),
            ..Default::default()
        })
        .unwrap_err();
    }
    registered(BadRegistration {
        multiplicity: Some(3),
        ..Default::default()
    })
    .unwrap_err();
    for answer in 0..4 {
        registered(BadRegistration {
            answer: Some(answer),
            ..Default::default()
        })
        .unwrap_err();
    }
}
