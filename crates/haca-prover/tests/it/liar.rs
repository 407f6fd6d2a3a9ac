//! The lying provers. Each alters one thing, finishes the transcript honestly, and is refused by the check that the
//! test names. `docs/concepts/soundness.md` lists them.

mod challenge;
mod lookup;
mod opening;
mod product;
mod registration;
mod statement;
mod transcript;
mod witness;

use std::collections::HashMap;

use haca_prover::adversary::{Channel, RegistrationWitness, Tamper, Trees, Witness};
use haca_prover::{Execution, ProvingKey, Registration};
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, Extension, base};
use haca_zk::table::{CLAMP_TABLE, SIDE_TABLE, clamp_of, side_of};
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::UsePoint;
use haca_zk::witness::WitnessLayout;
use haca_zk::{Inference, ProofRejection, Statement, verify};
use p3_field::{PrimeCharacteristicRing, PrimeField64};

use crate::model::{Build, Random, inputs, mlp};

pub(crate) const CONTEXT: [u8; 32] = [1; 32];

pub(crate) const BALANCE: ProofRejection = ProofRejection::Lookup { what: "balance" };
pub(crate) const LOOKUP_LEAVES: ProofRejection = ProofRejection::Lookup {
    what: "lookup leaves",
};
pub(crate) const TABLE_LEAVES: ProofRejection = ProofRejection::Lookup { what: "table leaves" };
pub(crate) const LAYER: ProofRejection = ProofRejection::Lookup { what: "layer" };
pub(crate) const PRODUCT: ProofRejection = ProofRejection::Sumcheck {
    what: "matrix product",
};
pub(crate) const CHANNELS: ProofRejection = ProofRejection::Sumcheck { what: "channels" };
pub(crate) const WITNESS_OPENING: ProofRejection = ProofRejection::Opening {
    commitment: "witness",
};
pub(crate) const WEIGHT_OPENING: ProofRejection = ProofRejection::Opening { commitment: "weight" };

type Lie<'a, T> = Option<Box<dyn FnMut(&mut T) + Send + 'a>>;
type LieKnowing<'a, K, T> = Option<Box<dyn FnMut(K, &mut T) + Send + 'a>>;
type Biases<'a> = Option<Box<dyn FnMut(&[UsePoint], &mut [Extension]) + Send + 'a>>;
type Factors<'a> = Option<Box<dyn FnMut(&'static str, &mut [Extension], &mut [Extension]) + Send + 'a>>;
type Heard<'a> = Option<Box<dyn FnMut(&'static str, &Transcript<Committed>) + Send + 'a>>;
type Products<'a> = Option<Box<dyn FnMut(&mut [Vec<Extension>], &mut [Vec<Extension>]) + Send + 'a>>;

/// What one liar alters. The fields are the hooks of [`Tamper`].
#[derive(Default)]
pub(crate) struct Liar<'a> {
    pub(crate) weights: Lie<'a, [Vec<Base>]>,
    pub(crate) answers: Lie<'a, [Extension]>,
    pub(crate) registration: Lie<'a, RegistrationWitness>,
    pub(crate) registration_committed: Lie<'a, RegistrationWitness>,
    pub(crate) witness: Lie<'a, Witness>,
    pub(crate) committed: Lie<'a, Witness>,
    pub(crate) trees: LieKnowing<'a, Extension, Trees>,
    pub(crate) biases: Biases<'a>,
    pub(crate) products: Products<'a>,
    pub(crate) channels: Lie<'a, [Channel]>,
    pub(crate) factors: Factors<'a>,
    pub(crate) sends: LieKnowing<'a, &'static str, [Extension]>,
    pub(crate) heard: Heard<'a>,
    statement: Option<Vec<Inference>>,
}

/// A liar about one thing.
macro_rules! liar {
    ($($hook:ident: $lie:expr),+ $(,)?) => {
        $crate::liar::Liar { $($hook: Some(Box::new($lie)),)+ ..Default::default() }
    };
}
pub(crate) use liar;

fn call<T: ?Sized>(lie: &mut Lie<'_, T>, of: &mut T) {
    if let Some(lie) = lie {
        lie(of);
    }
}

impl Tamper for Liar<'_> {
    fn weights(&mut self, tables: &mut [Vec<Base>]) {
        call(&mut self.weights, tables);
    }

    fn answers(&mut self, answers: &mut [Extension]) {
        call(&mut self.answers, answers);
    }

    fn registration(&mut self, witness: &mut RegistrationWitness) {
        call(&mut self.registration, witness);
    }

    fn registration_committed(&mut self, witness: &mut RegistrationWitness) {
        call(&mut self.registration_committed, witness);
    }

    fn witness(&mut self, witness: &mut Witness) {
        call(&mut self.witness, witness);
        self.statement = Some(witness.inferences.clone());
    }

    fn committed(&mut self, witness: &mut Witness) {
        call(&mut self.committed, witness);
    }

    fn trees(&mut self, alpha: Extension, trees: &mut Trees) {
        self.trees.iter_mut().for_each(|lie| lie(alpha, trees));
    }

    fn biases(&mut self, uses: &[UsePoint], biases: &mut [Extension]) {
        self.biases.iter_mut().for_each(|lie| lie(uses, biases));
    }

    fn products(&mut self, inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]) {
        self.products.iter_mut().for_each(|lie| lie(inputs, weights));
    }

    fn channels(&mut self, channels: &mut [Channel]) {
        call(&mut self.channels, channels);
    }

    fn factors(&mut self, name: &'static str, f: &mut [Extension], g: &mut [Extension]) {
        self.factors.iter_mut().for_each(|lie| lie(name, f, g));
    }

    fn sends(&mut self, name: &'static str, values: &mut [Extension]) {
        self.sends.iter_mut().for_each(|lie| lie(name, values));
    }

    fn heard(&mut self, name: &'static str, transcript: &Transcript<Committed>) {
        self.heard.iter_mut().for_each(|lie| lie(name, transcript));
    }
}

/// A registered model and executions of it.
pub(crate) struct Stage {
    pub(crate) registration: Registration,
    pub(crate) executions: Vec<Execution>,
}

/// Three layers; the last is requantised under another clamp, and public.
pub(crate) fn build() -> Build {
    Build {
        per_channel: true,
        requantised_output: true,
        ..Build::new(21, &[12, 9, 5, 3])
    }
}

impl Stage {
    /// Three inferences of an honestly registered model, padded to four.
    pub(crate) fn new(build: &Build) -> Self {
        Self::with(build, 3, &mut Liar::default())
    }

    pub(crate) fn with(build: &Build, batch: usize, liar: &mut Liar<'_>) -> Self {
        let model = mlp(build);
        let registration = ProvingKey::register_tampered(model.clone(), liar).unwrap();
        let mut random = Random::new(22);
        let run = |_| {
            let inputs = inputs(&model, &mut random);
            registration.proving_key.infer(&inputs).unwrap()
        };
        let executions = (0..batch).map(run).collect();
        Self {
            registration,
            executions,
        }
    }

    pub(crate) fn circuit(&self) -> &Circuit {
        self.registration.verifying_key.circuit()
    }

    pub(crate) fn layout(&self) -> &WitnessLayout {
        self.registration.verifying_key.witness(2).unwrap()
    }

    /// Proves with a liar; returns the statement that the liar ends up with, and the proof.
    pub(crate) fn prove(&self, liar: &mut Liar<'_>) -> (Vec<Inference>, Vec<u8>) {
        let key = &self.registration.proving_key;
        let (proof, _) = key.prove_tampered(CONTEXT, &self.executions, liar).unwrap();
        let honest = || self.executions.iter().map(|e| e.inference.clone()).collect();
        (liar.statement.take().unwrap_or_else(honest), proof)
    }

    /// What the verifier says to a liar.
    pub(crate) fn outcome(&self, mut liar: Liar<'_>) -> Result<(), ProofRejection> {
        let (inferences, proof) = self.prove(&mut liar);
        let statement = Statement {
            context: CONTEXT,
            inferences: &inferences,
        };
        verify(&self.registration.verifying_key, &statement, &proof)
    }

    /// The liar is refused, and by `check`.
    pub(crate) fn refuses(&self, liar: Liar<'_>, check: ProofRejection) {
        assert_eq!(self.outcome(liar), Err(check));
    }

    /// The cell of a requantisation, an inference and a channel.
    pub(crate) fn cell(&self, requantise: usize, inference: usize, channel: usize) -> usize {
        let linear = &self.circuit().linears[self.circuit().requantises[requantise].linear];
        self.layout().blocks[requantise].offset + (inference << linear.row_variables()) + channel
    }

    /// A cell of the last, public requantisation whose result can move by two either way, and whose quotient lies
    /// inside the window with neighbours inside as well.
    pub(crate) fn public_cell(&self) -> usize {
        let mut cells = (0..2).flat_map(|inference| (0..3).map(move |channel| (inference, channel)));
        let inside = |(inference, channel): &(usize, usize)| {
            let values = self.executions[*inference].inference.outputs[0].values();
            (-120..120).contains(&values[*channel])
        };
        let (inference, channel) = cells.find(inside).unwrap();
        self.cell(2, inference, channel)
    }

    /// The quotient that a cell holds.
    pub(crate) fn quotient(&self, witness: &mut Witness, cell: usize) -> i64 {
        let high = integer(witness.column("high").unwrap()[cell]);
        (high << self.layout().parameters.window_bits) + integer(witness.low[cell])
            - self.layout().quotient_offset()
    }

    /// Puts another quotient into a cell, with the side and the result that follow from it.
    pub(crate) fn set_quotient(&self, witness: &mut Witness, cell: usize, quotient: i64) {
        let layout = self.layout();
        let shifted = (quotient + layout.quotient_offset()) as usize;
        let bits = layout.parameters.window_bits;
        let (high, low) = (shifted >> bits, shifted & ((1 << bits) - 1));
        let side = side_of(high, layout.window);
        let clamp = layout.clamps[integer(witness.clamps[cell]) as usize];
        let result = clamp_of(low, side, layout.window_start, clamp);
        witness.low[cell] = base(low as i64);
        set(witness, "high", cell, high as i64);
        set(witness, "side", cell, side as i64);
        set(witness, "result", cell, result);
    }

    /// Counts the lookups of the altered columns again and publishes the results of the last requantisation. What is
    /// in no table is counted nowhere.
    pub(crate) fn finish(&self, witness: &mut Witness) {
        self.recount(witness);
        for (inference, public) in witness.inferences.clone().into_iter().enumerate() {
            let tensor = &public.outputs[0];
            let result = witness.column("result").unwrap();
            let cells = (0..tensor.values().len()).map(|channel| result[self.cell(2, inference, channel)]);
            let values: Vec<i64> = cells.map(integer).collect();
            let tensor = haca_wire::Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
            witness.inferences[inference].outputs[0] = tensor;
        }
    }

    fn recount(&self, witness: &mut Witness) {
        let layout = self.layout();
        let index = |table: usize| -> HashMap<[u64; 4], usize> {
            let rows = witness.tables[table].iter().enumerate().rev();
            rows.map(|(index, row)| (row.map(|v| v.as_canonical_u64()), index))
                .collect()
        };
        let indices = [index(0), index(1), index(2)];
        let mut counts = witness
            .multiplicities
            .clone()
            .map(|cells| vec![0u64; cells.len()]);
        let mut look_up = |table: usize, row: [Base; 4]| {
            if let Some(row) = indices[table].get(&row.map(|v| v.as_canonical_u64())) {
                counts[table][*row] += 1;
            }
        };
        let column = |name: usize| &witness.columns[name].1;
        let zero = Base::ZERO;
        for cell in 0..1usize << layout.variables {
            let (result, high, side) = (column(0)[cell], column(1)[cell], column(2)[cell]);
            look_up(1, [high, side, zero, base(SIDE_TABLE)]);
            let clamp = witness.clamps[cell] + base(CLAMP_TABLE);
            look_up(2, [witness.low[cell], side, result, clamp]);
            witness.columns[3..]
                .iter()
                .for_each(|(_, limb)| look_up(0, [limb[cell], zero, zero, zero]));
        }
        counts[0][0] +=
            (1u64 << layout.lookup_variables) - ((layout.lookups.len() as u64) << layout.variables);
        witness.multiplicities = counts.map(|counts| counts.into_iter().map(Base::from_u64).collect());
    }

    /// The name of the most significant limb, and `2^t`.
    pub(crate) fn top_limb(&self) -> (String, i64) {
        let parameters = &self.layout().parameters;
        (format!("limb{}", parameters.limbs - 1), 1 << parameters.limb_bits)
    }
}

/// The integer that a cell stands for.
pub(crate) fn integer(cell: Base) -> i64 {
    let value = cell.as_canonical_u64();
    if value > Base::ORDER_U64 / 2 {
        -((Base::ORDER_U64 - value) as i64)
    } else {
        value as i64
    }
}

pub(crate) fn get(witness: &mut Witness, column: &str, cell: usize) -> i64 {
    integer(witness.column(column).unwrap()[cell])
}

pub(crate) fn set(witness: &mut Witness, column: &str, cell: usize, value: i64) {
    witness.column(column).unwrap()[cell] = base(value);
}

#[test]
fn who_alters_nothing_is_accepted() {
    for per_channel in [false, true] {
        let stage = Stage::new(&Build {
            per_channel,
            ..build()
        });
        stage.outcome(Liar::default()).unwrap();
        // Counting again gives the same counts.
        let lie = |witness: &mut Witness| {
            let before = witness.multiplicities.clone();
            stage.finish(witness);
            assert_eq!(before, witness.multiplicities);
        };
        stage.outcome(liar!(witness: lie)).unwrap();
    }
}
