//! The lying provers. Each alters one thing, finishes the transcript honestly, and is refused by the check that the
//! test names. `docs/concepts/soundness.md` lists them.

mod challenge;
mod gather;
mod image;
mod impostor;
mod joined;
mod lookup;
mod maximum;
mod opening;
mod product;
mod registration;
mod statement;
mod tile;
mod transcript;
mod value;
mod witness;

use std::collections::HashMap;
use std::sync::Mutex;

use haca_graph::ModelFile;
use haca_prover::adversary::{Channel, Joining, RegistrationWitness, Tamper, Trees, Witness};
use haca_prover::{Execution, ProvingKey, Registration};
use haca_zk::block::log2_ceil;
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, Extension, base};
use haca_zk::table::{LARGER_TABLE, MAPPING_TABLE, SIDE_TABLE, side_of};
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::UsePoint;
use haca_zk::value::{Element, Source};
use haca_zk::weight::WeightLayout;
use haca_zk::witness::{Column, Table, WitnessLayout};
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
pub(crate) const PRODUCTS_OF_VALUES: ProofRejection = ProofRejection::Sumcheck {
    what: "products of values",
};
pub(crate) const GATHER: ProofRejection = ProofRejection::Sumcheck { what: "gather" };
pub(crate) const WITNESS_OPENING: ProofRejection = ProofRejection::Opening {
    commitment: "witness",
};
pub(crate) const WEIGHT_OPENING: ProofRejection = ProofRejection::Opening { commitment: "weight" };
pub(crate) const JOINED_OPENING: ProofRejection = ProofRejection::Opening { commitment: "joined" };

type Lie<'a, T> = Option<Box<dyn FnMut(&mut T) + Send + 'a>>;
type LieKnowing<'a, K, T> = Option<Box<dyn FnMut(K, &mut T) + Send + 'a>>;
type Biases<'a> = Option<Box<dyn FnMut(&[UsePoint], &mut [Extension]) + Send + 'a>>;
type Factors<'a> = Option<Box<dyn FnMut(&'static str, &mut [Extension], &mut [Extension]) + Send + 'a>>;
type Elementwise<'a> =
    Option<Box<dyn FnMut(&mut [Extension], &mut [Extension], &mut [Extension]) + Send + 'a>>;
type Listener<'a> = Option<Box<dyn FnMut(&'static str, &Transcript<Committed>) + Send + 'a>>;
type Products<'a> = Option<Box<dyn FnMut(&mut [Vec<Extension>], &mut [Vec<Extension>]) + Send + 'a>>;

/// What one liar alters. The fields are the hooks of [`Tamper`].
#[derive(Default)]
pub(crate) struct Liar<'a> {
    pub(crate) weights: Lie<'a, [Vec<Base>]>,
    pub(crate) answers: Lie<'a, [Extension]>,
    pub(crate) digest: Lie<'a, [u8; 32]>,
    pub(crate) weight_points: Lie<'a, [Vec<Extension>]>,
    pub(crate) witness_points: Lie<'a, [Vec<Extension>]>,
    pub(crate) elementwise: Elementwise<'a>,
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
    pub(crate) heard: Listener<'a>,
    /// When weights and witness are opened as one. Most liars open each by itself: the names of the openings tell which of
    /// them noticed.
    pub(crate) joining: Joining,
    statement: Option<Vec<Inference>>,
}

/// The transcripts that a liar has heard, message by message.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<(&'static str, Transcript<Committed>)>>);

impl Heard {
    /// Remembers a transcript.
    pub(crate) fn note(&self, name: &'static str, transcript: &Transcript<Committed>) {
        self.0.lock().unwrap().push((name, transcript.clone()));
    }

    /// The challenge right after each message called `name`.
    pub(crate) fn challenges(&self, name: &str) -> Vec<Extension> {
        let heard = self.0.lock().unwrap();
        let mut transcripts: Vec<_> = heard.iter().filter(|(n, _)| *n == name).cloned().collect();
        transcripts.iter_mut().map(|(_, t)| t.challenge()).collect()
    }

    /// The challenges after the last message called `name` and the name of a step.
    pub(crate) fn after<const N: usize>(&self, name: &str, step: Option<&'static str>) -> [Extension; N] {
        let heard = self.0.lock().unwrap();
        let (_, mut transcript) = heard.iter().rfind(|(n, _)| *n == name).cloned().unwrap();
        step.into_iter().for_each(|step| transcript.step(step));
        std::array::from_fn(|_| transcript.challenge())
    }

    /// The point of the leaves of a tree that has been heard to its end.
    pub(crate) fn leaf(&self, tree: &str, variables: usize) -> Vec<Extension> {
        let challenges = self.challenges(tree);
        let mut point = challenges[challenges.len() - variables..].to_vec();
        point.rotate_right(1);
        point
    }
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
    fn joining(&self) -> Joining {
        self.joining
    }

    fn weights(&mut self, tables: &mut [Vec<Base>]) {
        call(&mut self.weights, tables);
    }

    fn answers(&mut self, answers: &mut [Extension]) {
        call(&mut self.answers, answers);
    }

    fn digest(&mut self, digest: &mut [u8; 32]) {
        call(&mut self.digest, digest);
    }

    fn weight_points(&mut self, points: &mut [Vec<Extension>]) {
        call(&mut self.weight_points, points);
    }

    fn witness_points(&mut self, points: &mut [Vec<Extension>]) {
        call(&mut self.witness_points, points);
    }

    fn elementwise(&mut self, weights: &mut [Extension], factors: [&mut [Extension]; 2]) {
        let [left, right] = factors;
        self.elementwise
            .iter_mut()
            .for_each(|lie| lie(weights, left, right));
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

/// Three layers; the last is requantised under another clamp, and public. Quotients
/// have a high part.
pub(crate) fn build() -> Build {
    Build {
        per_channel: true,
        requantised_output: true,
        ..Build::new(21, &[12, 9, 5, 3])
    }
}

/// Weights so small that quotients have one part only.
pub(crate) fn whole() -> Build {
    Build {
        weights: (-20, 20),
        ..build()
    }
}

/// The statement about some inferences.
pub(crate) const fn statement(inferences: &[Inference]) -> Statement<'_> {
    Statement {
        context: CONTEXT,
        inferences,
    }
}

impl Stage {
    /// Three inferences of an honestly registered model, padded to four.
    pub(crate) fn new(build: &Build) -> Self {
        Self::with(build, 3, &mut Liar::default())
    }

    pub(crate) fn with(build: &Build, batch: usize, liar: &mut Liar<'_>) -> Self {
        Self::of(&mlp(build), batch, liar)
    }

    /// Inferences of random inputs.
    pub(crate) fn of(model: &ModelFile, batch: usize, liar: &mut Liar<'_>) -> Self {
        let registration = ProvingKey::register_tampered(model.clone(), liar).unwrap();
        let mut random = Random::new(22);
        let run = |_| {
            let inputs = inputs(model, &mut random);
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

    pub(crate) fn weights(&self) -> &WeightLayout {
        self.registration.verifying_key.weights()
    }

    /// The place of a table among the multiplicities.
    pub(crate) fn table(&self, kind: Table) -> usize {
        let mut tables = self.layout().tables.iter();
        tables.position(|(of, _)| *of == kind).unwrap()
    }

    pub(crate) fn layout(&self) -> &WitnessLayout {
        let variables = log2_ceil(self.executions.len());
        self.registration.verifying_key.witness(variables).unwrap()
    }

    /// Makes a proof that commits to each column in turn with one cell that is not what the rest of it is about.
    pub(crate) fn refuses_other_columns(&self, refusal: ProofRejection) {
        let mut names = Vec::new();
        let look = |witness: &mut Witness| names = witness.column_names();
        self.outcome(liar!(witness: look)).unwrap();
        for name in names {
            let lie = |witness: &mut Witness| {
                Witness::nudge(witness.column(&name).unwrap(), self.public_cell(), 1);
            };
            self.refuses(liar!(committed: lie), refusal);
        }
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
        verify(&self.registration.verifying_key, &statement(&inferences), &proof)
    }

    /// The liar is refused, and by `check`.
    pub(crate) fn refuses(&self, liar: Liar<'_>, check: ProofRejection) {
        assert_eq!(self.outcome(liar), Err(check));
    }

    /// The cell of the first position of a requantisation, for an inference and a channel.
    pub(crate) fn cell(&self, requantise: usize, inference: usize, channel: usize) -> usize {
        let layout = self.layout();
        let cell = layout.cells.blocks[requantise].cell(0, channel);
        (cell << layout.batch_variables) | inference
    }

    /// The cell of an element of a source, for an inference.
    pub(crate) fn cell_of(&self, source: Source, element: usize, inference: usize) -> Option<usize> {
        let layout = self.layout();
        let block = layout.block(source)?;
        let cell = block.cell(element / block.channels, element % block.channels);
        Some((cell << layout.batch_variables) | inference)
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
        let high = witness.column("high").map_or(0, |column| integer(column[cell]));
        (high << self.layout().parameters.window_bits) + integer(witness.low[cell])
            - self.layout().quotient_offset()
    }

    /// Puts another quotient into a cell, with the side and the result that follow from it.
    pub(crate) fn set_quotient(&self, witness: &mut Witness, cell: usize, quotient: i64) {
        let layout = self.layout();
        let shifted = (quotient + layout.quotient_offset()) as usize;
        let bits = layout.parameters.window_bits;
        let (high, low) = (shifted >> bits, shifted & ((1 << bits) - 1));
        let mapping = &self.circuit().mappings[integer(witness.mappings[cell]) as usize];
        set(witness, "result", cell, mapping.result(quotient));
        witness.low[cell] = base(low as i64);
        if layout.parameters.is_split() {
            set(witness, "high", cell, high as i64);
            set(witness, "side", cell, side_of(high, layout.window) as i64);
        }
    }

    /// Counts the lookups of the altered columns again and publishes the committed outputs. What is in no table is
    /// counted nowhere.
    pub(crate) fn finish(&self, witness: &mut Witness) {
        self.recount(witness);
        for (inference, output) in (0..witness.inferences.len())
            .flat_map(|i| self.circuit().public_values().iter().map(move |o| (i, *o)))
        {
            let (output, value) = output;
            let value = &self.circuit().values[value];
            let public = &witness.inferences[inference];
            let element = |index: usize| match value.element(index).unwrap() {
                Element::Constant(constant) => i64::from(constant),
                Element::Of(Source::Input(input), index) => public.inputs[input].values()[index as usize],
                Element::Of(source, index) => {
                    let cell = self.cell_of(source, index as usize, inference).unwrap();
                    let column = match source {
                        Source::Stage(_) => &witness.stages.as_ref().unwrap().results,
                        _ => &witness.columns[0].1,
                    };
                    integer(column[cell])
                }
            };
            let values: Vec<i64> = (0..value.elements()).map(element).collect();
            let tensor = &public.outputs[output];
            let tensor = haca_wire::Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
            witness.inferences[inference].outputs[output] = tensor;
        }
    }

    fn recount(&self, witness: &mut Witness) {
        let layout = self.layout();
        let index = |rows: &Vec<[Base; 4]>| -> HashMap<[u64; 4], usize> {
            let rows = rows.iter().enumerate().rev();
            rows.map(|(index, row)| (row.map(|v| v.as_canonical_u64()), index))
                .collect()
        };
        let indices: Vec<_> = witness.tables.iter().map(index).collect();
        let zeros = witness.multiplicities.iter().map(|cells| vec![0u64; cells.len()]);
        let mut counts: Vec<Vec<u64>> = zeros.collect();
        let mut look_up = |table: usize, row: [Base; 4]| {
            if let Some(row) = indices[table].get(&row.map(|v| v.as_canonical_u64())) {
                counts[table][*row] += 1;
            }
        };
        let zero = Base::ZERO;
        for cell in 0..1usize << layout.variables {
            let (mut result, mut high, mut side) = (zero, None, zero);
            for (column, cells) in &witness.columns {
                match column {
                    Column::Result => result = cells[cell],
                    Column::High => high = Some(cells[cell]),
                    Column::Side => side = cells[cell],
                    Column::Limb(_) => look_up(0, [cells[cell], zero, zero, zero]),
                }
            }
            if let Some(high) = high {
                look_up(1, [high, side, zero, base(SIDE_TABLE)]);
            }
            let mapping = witness.mappings[cell] + base(MAPPING_TABLE);
            let row = [witness.low[cell], side, result, mapping];
            look_up(self.table(Table::Mapping), row);
        }
        if let Some(stages) = &witness.stages {
            let larger = self.table(Table::Larger);
            let operands = stages.first.iter().zip(&stages.second);
            for ((first, second), result) in operands.zip(&stages.results) {
                look_up(
                    larger,
                    [*first - *second, *result - *second, zero, base(LARGER_TABLE)],
                );
            }
        }
        let looked_up: u64 = layout.lookups.iter().map(|block| 1 << block.variables).sum();
        counts[0][0] += (1u64 << layout.lookup_variables) - looked_up;
        let counts = counts.into_iter();
        witness.multiplicities = counts
            .map(|counts| counts.into_iter().map(Base::from_u64).collect())
            .collect();
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
    let shared = Build {
        per_channel: false,
        ..build()
    };
    for build in [build(), shared, whole()] {
        let stage = Stage::new(&build);
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
