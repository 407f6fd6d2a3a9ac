//! The prover of inferences (steps P1 to P11 of `spec/zk.md`).

use haca_zk::Statement;
use haca_zk::cell::{BlockWeights, CellSpace};
use haca_zk::circuit::Circuit;
use haca_zk::field::Extension;
use haca_zk::functional::Functional;
use haca_zk::gather::{ClaimPoints, Claimed, GatherPoint};
use haca_zk::product::ProductSpace;
use haca_zk::proof::{InferenceProof, MatrixProof, WitnessProof};
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::{OutputPoint, UsePoint, channel_entries, product_chunks, use_points};
use haca_zk::verification::{PURPOSE, gathered_points, weight_openings, weight_points, witness_points};
use haca_zk::witness::WitnessLayout;
use p3_field::PrimeCharacteristicRing;

use crate::adversary::{Tamper, Witness, send};
use crate::commitment::{Columns, WitnessCommitment};
use crate::elementwise::Factors;
use crate::folding::FoldedValues;
use crate::gather::{self, Gathered};
use crate::lookup::{self, Lookup};
use crate::product::{folded_biases, prove_channels, prove_products};
use crate::proving_key::ProvingKey;
use crate::stages::Stage;
use crate::{Execution, ProverError};

/// Proves a batch. `batch` is padded to a power of two; `inferences` in the witness is not.
pub(crate) fn prove(
    key: &ProvingKey,
    context: [u8; 32],
    batch: &[&Execution],
    inferences: usize,
    tamper: &mut dyn Tamper,
    is_honest: bool,
) -> Result<Vec<u8>, ProverError> {
    tamper.reaches(Stage::Witness, (0, 1));
    let verifying_key = key.verifying_key();
    let (circuit, trace) = (verifying_key.circuit(), key.trace());
    let batch_variables = batch.len().trailing_zeros() as usize;
    let layout = verifying_key.witness(batch_variables);
    let mut statement: Vec<haca_wire::Inference> = batch
        .iter()
        .take(inferences)
        .map(|execution| execution.inference.clone())
        .collect();
    let mut witness = None;
    if let Some(layout) = layout {
        let tables = key.tables(batch_variables);
        let mut filled = crate::witness::fill(circuit, trace, layout, &tables, batch, &statement);
        tamper.witness(&mut filled);
        statement.clone_from(&filled.inferences);
        witness = Some(filled);
    }
    tamper.reaches(Stage::Commit, (0, 1));
    let commitment = match (&witness, layout) {
        (Some(witness), Some(layout)) if is_honest => Some(commit(key, batch_variables, layout, witness)?),
        (Some(witness), Some(layout)) => {
            let mut committed = witness.clone();
            tamper.committed(&mut committed);
            Some(commit(key, batch_variables, layout, &committed)?)
        }
        _ => None,
    };
    // P1 and P2
    let statement = Statement {
        context,
        inferences: &statement,
    };
    let root = commitment.as_ref().map(WitnessCommitment::root);
    let mut digest = statement.digest(verifying_key);
    tamper.digest(&mut digest);
    let mut transcript = Transcript::new(PURPOSE, &digest).commit(root.as_ref());
    tamper.heard("root", &transcript);
    // P3 and P4
    tamper.reaches(Stage::Lookups, (0, 1));
    let lookup = match (&witness, layout) {
        (Some(witness), Some(layout)) => Some(lookup::prove(layout, witness, tamper, &mut transcript)),
        _ => None,
    };
    // P5 to P10
    let session = Session {
        key,
        batch,
        layout,
        witness: witness.as_ref(),
        is_honest,
    };
    let claimed = session.prove(lookup.as_ref(), batch_variables, tamper, &mut transcript);
    // P11
    tamper.reaches(Stage::Openings, (0, 2));
    let mut witness_proof = None;
    let (mut weight_points, counts) = claimed.weights;
    tamper.weight_points(&mut weight_points);
    let protocol = verifying_key.weights().protocol(&counts);
    let of_weights = (&protocol, weight_points.as_slice());
    let mut opening = None;
    if let (Some(lookup), Some(layout), Some(commitment), Some(gathered)) =
        (lookup, layout, commitment, claimed.gathered)
    {
        let at = GatherPoint::new(layout, &gathered.point);
        let points = gathered_points(layout, &at, &claimed.batches[0], &claimed.batches[1]);
        let mut points = witness_points(
            layout,
            &lookup.cells,
            &lookup.stage_cells,
            &points,
            &lookup.table_point,
        );
        tamper.witness_points(&mut points);
        let root = commitment.root();
        let protocol = layout.protocol();
        let asked = [of_weights, (&protocol, points.as_slice())];
        let committer = key.committer(batch_variables, layout);
        let (alone, last) = committer.open(commitment, key.commitment(), asked, tamper, &mut transcript)?;
        opening = Some(last);
        witness_proof = Some(WitnessProof {
            root,
            lookups: lookup.lookups,
            tables: lookup.tables,
            columns: lookup.columns,
            low: lookup.low,
            stages: lookup.stages,
            multiplicities: lookup.multiplicities,
            gather: gathered.rounds,
            gathered: gathered.values,
            opening: alone,
        });
    }
    let opening = match opening {
        Some(opening) => opening,
        None => key
            .commitment()
            .open(&protocol, &weight_points, &mut transcript)?,
    };
    tamper.reaches(Stage::Encode, (0, 1));
    let proof = InferenceProof {
        witness: witness_proof,
        combinations: claimed.combinations,
        products: claimed.products,
        matrices: claimed.matrices,
        opening,
        joined: layout.and_then(WitnessLayout::joined).map(|joined| joined.row),
    };
    let bytes = proof.encode();
    tamper.reaches(Stage::Release, (0, 1));
    Ok(bytes)
}

/// What the sumchecks of one proof start from.
struct Session<'a> {
    key: &'a ProvingKey,
    batch: &'a [&'a Execution],
    layout: Option<&'a WitnessLayout>,
    witness: Option<&'a Witness>,
    is_honest: bool,
}

/// What steps P5 to P10 leave.
struct ClaimedValues {
    combinations: Option<Extension>,
    products: Option<haca_zk::proof::ProductProof>,
    matrices: MatrixProof,
    gathered: Option<Gathered>,
    /// The batch points: that of the lookups, that of the products of values.
    batches: [Vec<Extension>; 2],
    /// The points of the weight opening, and how many each table has.
    weights: (Vec<Vec<Extension>>, Vec<usize>),
}

impl Session<'_> {
    /// Steps P5 to P10.
    fn prove(
        &self,
        lookup: Option<&Lookup>,
        batch_variables: usize,
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) -> ClaimedValues {
        let verifying_key = self.key.verifying_key();
        let circuit = verifying_key.circuit();
        // P5
        tamper.reaches(Stage::Folds, (0, 1));
        let cells = lookup.map(|lookup| lookup.cells.as_slice());
        let outputs = OutputPoint::draw(circuit, batch_variables, cells, transcript);
        let (blocks, stages) = self.block_weights(lookup, batch_variables);
        let uses = use_points(circuit, self.layout, &blocks, &outputs);
        let folded = self.folded(&outputs.batch);
        let (chunks, variables) = product_chunks(circuit, verifying_key.weights());
        let output_weights = ClaimPoints::output_weights(circuit, &outputs);
        let space = ProductSpace::new(circuit);
        let mut points = ClaimPoints {
            circuit,
            weights: verifying_key.weights(),
            uses: &uses,
            chunks: &chunks,
            product: &[],
            products: &space,
            product_weights: &[],
            stages: &stages,
            outputs: &output_weights,
        };
        // P6
        tamper.reaches(Stage::Sumchecks, (0, 1));
        let mut biases = folded_biases(self.key, &uses);
        tamper.biases(&uses, &mut biases);
        send("biases", &mut biases, tamper, transcript);
        let combinations = points
            .claims()
            .into_iter()
            .find(|claim| claim.of == Claimed::Combinations);
        let combinations = combinations.map(|claim| {
            let mut value = [claim
                .functionals
                .iter()
                .map(|f| evaluate(circuit, &folded, f))
                .sum()];
            send("combinations", &mut value, tamper, transcript);
            value[0]
        });
        // P7
        let (products, factors) = self.products(&space, &uses, &outputs, tamper, transcript);
        let (factor_cells, factor_batch) = factors.split_at(space.cells.variables.min(factors.len()));
        let product_weights = match products {
            Some(_) => space.weights(factor_cells),
            None => Vec::new(),
        };
        // P8 and P9
        let (matrices, product, channels) = if biases.is_empty() {
            (MatrixProof::none(), Vec::new(), Vec::new())
        } else {
            let products = prove_products(self.key, &uses, (&chunks, variables), &folded, tamper, transcript);
            let (entries, variables) = channel_entries(circuit, &chunks);
            let (channels, point) = prove_channels(
                self.key,
                &uses,
                (&chunks, &entries, variables),
                &products.point,
                tamper,
                transcript,
            );
            let matrices = MatrixProof {
                biases,
                rounds: products.rounds,
                inputs: products.inputs,
                weights: products.weights,
                channels,
            };
            (matrices, products.point, point)
        };
        // P10
        points.product = &product;
        points.product_weights = &product_weights;
        let claims = points.claims();
        tamper.reaches(Stage::Folds, (0, 1));
        let second = products.as_ref().map(|_| self.folded(factor_batch));
        tamper.reaches(Stage::Sumchecks, (0, 1));
        let folded: Vec<&FoldedValues<'_>> = core::iter::once(&folded).chain(second.as_ref()).collect();
        let gathered = match self.layout {
            Some(layout) => Some(gather::prove(
                circuit, layout, &claims, &folded, tamper, transcript,
            )),
            None => {
                // The challenge is drawn whether anything is committed or not.
                transcript.step("gather");
                let _ = transcript.challenge();
                None
            }
        };
        let entries = channel_entries(circuit, &chunks).0;
        let asked = weight_openings(verifying_key, &uses, (&chunks, &entries), &product, &channels);
        ClaimedValues {
            combinations,
            products,
            matrices,
            gathered,
            batches: [outputs.batch.clone(), factor_batch.to_vec()],
            weights: weight_points(verifying_key, asked),
        }
    }

    fn folded(&self, point: &[Extension]) -> FoldedValues<'_> {
        let circuit = self.key.verifying_key().circuit();
        let values = (self.witness, self.batch);
        FoldedValues::new(
            circuit,
            self.key.trace(),
            self.layout,
            values,
            point,
            self.is_honest,
        )
    }

    /// The weights of the cells of requantisations and of stages at the lookup point.
    fn block_weights(&self, lookup: Option<&Lookup>, batch: usize) -> (Vec<BlockWeights>, Vec<BlockWeights>) {
        let (Some(layout), Some(lookup)) = (self.layout, lookup) else {
            return (Vec::new(), Vec::new());
        };
        let weights = |space: &CellSpace, point: &[Extension]| {
            let cells = &point[..point.len().saturating_sub(batch)];
            space.blocks.iter().map(|block| block.weights(cells)).collect()
        };
        (
            weights(&layout.cells, &lookup.cells),
            weights(&layout.stages, &lookup.stage_cells),
        )
    }

    /// Step P7: the proof and its point.
    fn products(
        &self,
        space: &ProductSpace,
        uses: &[UsePoint],
        outputs: &OutputPoint,
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) -> (Option<haca_zk::proof::ProductProof>, Vec<Extension>) {
        if space.is_empty() {
            return (None, Vec::new());
        }
        let circuit = self.key.verifying_key().circuit();
        let altered = self.layout.zip(self.witness).filter(|_| !self.is_honest);
        let values = (self.batch, altered);
        let mut factors = Factors::new(circuit, self.key.trace(), space, values, uses, &outputs.batch);
        factors.alter(tamper);
        let mut sum = [factors.sum()];
        send("products of values", &mut sum, tamper, transcript);
        let (proof, point) = factors.prove(sum[0], tamper, transcript);
        (Some(proof), point)
    }
}

/// A functional of folded values.
fn evaluate(circuit: &Circuit, folded: &FoldedValues<'_>, functional: &Functional<'_>) -> Extension {
    let channels = circuit.values[functional.value].channels;
    let elements = folded.value(functional.value);
    let mut total = Extension::ZERO;
    for (tap, weights) in functional.taps() {
        let mut sums = vec![Extension::ZERO; channels];
        functional.windows.under(tap, |position, from| {
            let weight = functional.positions[position];
            let pixel = &elements[from * channels..][..channels];
            sums.iter_mut()
                .zip(pixel)
                .for_each(|(sum, x)| *sum += weight * *x);
        });
        total += haca_zk::multilinear::dot(&sums, weights);
    }
    total * functional.scale
}

fn commit(
    key: &ProvingKey,
    batch_variables: usize,
    layout: &WitnessLayout,
    witness: &Witness,
) -> Result<WitnessCommitment, ProverError> {
    let mut cells = Vec::with_capacity(witness.columns.len() << layout.variables);
    for (_, column) in &witness.columns {
        cells.extend_from_slice(column);
    }
    let mut tables = vec![Columns {
        height: 1 << layout.variables,
        cells,
    }];
    let column = |cells: &Vec<haca_zk::field::Base>| Columns {
        height: cells.len(),
        cells: cells.clone(),
    };
    tables.extend(witness.stages.as_ref().map(|stages| column(&stages.results)));
    tables.extend(witness.multiplicities.iter().map(column));
    key.committer(batch_variables, layout).commit(tables)
}
