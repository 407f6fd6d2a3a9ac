//! The prover of inferences (steps P1 to P10 of `spec/zk.md`).

use haca_zk::block::Block;
use haca_zk::circuit::Circuit;
use haca_zk::field::Extension;
use haca_zk::proof::{InferenceProof, WitnessProof};
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::{
    OutputPoint, UsePoint, product_blocks, public_result_points, result_point, use_points, weight_points,
};
use haca_zk::verification::PURPOSE;
use haca_zk::witness::WitnessLayout;
use haca_zk::{Statement, VerifyingKey};

use crate::adversary::{Tamper, Witness};
use crate::commitment::{Columns, Commitment};
use crate::lookup::{self, Lookup};
use crate::product::{folded_inputs, prove_channels, prove_products};
use crate::proving_key::ProvingKey;
use crate::stages::{Stages, Stopwatch};
use crate::{Execution, ProverError};

/// Proves a batch. `batch` is padded to a power of two; `inferences` in the witness is not.
pub(crate) fn prove(
    key: &ProvingKey,
    context: [u8; 32],
    batch: &[&Execution],
    inferences: usize,
    tamper: &mut dyn Tamper,
    is_honest: bool,
) -> Result<(Vec<u8>, Stages), ProverError> {
    let mut watch = Stopwatch::start();
    let mut stages = Stages::default();
    let verifying_key = key.verifying_key();
    let circuit = verifying_key.circuit();
    let batch_variables = batch.len().trailing_zeros() as usize;
    let layout = verifying_key.witness(batch_variables);
    let mut statement: Vec<haca_wire::Inference> = batch
        .iter()
        .take(inferences)
        .map(|execution| execution.inference.clone())
        .collect();
    let mut witness = None;
    if let Some(layout) = layout {
        let mut filled =
            crate::witness::fill(circuit, layout, &key.tables(batch_variables), batch, &statement);
        tamper.witness(&mut filled);
        statement.clone_from(&filled.inferences);
        witness = Some(filled);
    }
    stages.witness = watch.lap();
    let commitment = match (&witness, layout) {
        (Some(witness), Some(layout)) if is_honest => Some(commit(key, batch_variables, layout, witness)?),
        (Some(witness), Some(layout)) => {
            let mut committed = witness.clone();
            tamper.committed(&mut committed);
            Some(commit(key, batch_variables, layout, &committed)?)
        }
        _ => None,
    };
    stages.commit = watch.lap();
    // P1 and P2
    let statement = Statement {
        context,
        inferences: &statement,
    };
    let root = commitment.as_ref().map(|commitment| commitment.root);
    let mut transcript = Transcript::new(PURPOSE, &statement.digest(verifying_key)).commit(root.as_ref());
    tamper.heard("root", &transcript);
    // P3 and P4
    let lookup = match (&witness, layout) {
        (Some(witness), Some(layout)) => Some(lookup::prove(layout, witness, tamper, &mut transcript)),
        _ => None,
    };
    stages.lookups = watch.lap();
    // P5 to P9
    let outputs = OutputPoint::draw(circuit, batch_variables, &mut transcript);
    let uses = use_points(
        circuit,
        layout,
        lookup.as_ref().map(|l| l.cells.as_slice()),
        &outputs,
    );
    let results = if is_honest { None } else { witness.as_ref() };
    let inputs = folded_inputs(circuit, layout, batch, results, &uses);
    let products = prove_products(key, &uses, inputs, tamper, &mut transcript);
    let (channels, channel_points) = prove_channels(key, &uses, &products.point, tamper, &mut transcript);
    stages.sumchecks = watch.lap();
    // P10
    let mut witness_proof = None;
    if let (Some(lookup), Some(layout), Some(commitment)) = (lookup, layout, commitment) {
        let points = witness_points(circuit, layout, &lookup, &uses, &products.point, &outputs);
        let protocol = layout.protocol(WitnessLayout::result_points(circuit));
        let committer = key.committer(batch_variables);
        let root = commitment.root;
        let opening = committer.open(commitment, &protocol, &points, &mut transcript, "witness")?;
        witness_proof = Some(WitnessProof {
            root,
            lookups: lookup.lookups,
            tables: lookup.tables,
            columns: lookup.columns,
            low: lookup.low,
            multiplicities: lookup.multiplicities,
            results: products.results,
            opening,
        });
    }
    let opening = open_weights(
        key,
        verifying_key,
        &uses,
        &products.point,
        &channel_points,
        &mut transcript,
    )?;
    stages.openings = watch.lap();
    let proof = InferenceProof {
        witness: witness_proof,
        biases: products.biases,
        product: products.rounds,
        weights: products.weights,
        channels,
        opening,
    };
    let bytes = proof.encode();
    stages.encode = watch.lap();
    Ok((bytes, stages))
}

/// Where the witness is opened, in the order of the opening protocol.
fn witness_points(
    circuit: &Circuit,
    layout: &WitnessLayout,
    lookup: &Lookup,
    uses: &[UsePoint],
    product: &[Extension],
    outputs: &OutputPoint,
) -> Vec<Vec<Extension>> {
    let mut points = vec![lookup.cells.clone()];
    let blocks = product_blocks(circuit).0;
    let of = |(at, block): (&UsePoint, &Block)| result_point(circuit, layout, at, block.inner(product));
    points.extend(uses.iter().zip(&blocks).filter_map(of));
    points.extend(public_result_points(circuit, layout, outputs));
    let tables = layout.tables.iter();
    points.extend(tables.map(|table| table.inner(&lookup.table_point).to_vec()));
    points
}

fn commit(
    key: &ProvingKey,
    batch_variables: usize,
    layout: &WitnessLayout,
    witness: &Witness,
) -> Result<Commitment, ProverError> {
    let mut cells = Vec::with_capacity(witness.columns.len() << layout.variables);
    for (_, column) in &witness.columns {
        cells.extend_from_slice(column);
    }
    let mut tables = vec![Columns {
        height: 1 << layout.variables,
        cells,
    }];
    for multiplicity in &witness.multiplicities {
        tables.push(Columns {
            height: multiplicity.len(),
            cells: multiplicity.clone(),
        });
    }
    key.committer(batch_variables).commit(tables)
}

/// Step P10, the weights.
fn open_weights(
    key: &ProvingKey,
    verifying_key: &VerifyingKey,
    uses: &[UsePoint],
    product: &[Extension],
    channels: &[Vec<Extension>],
    transcript: &mut Transcript<Committed>,
) -> Result<haca_zk::opening::OpeningProof, ProverError> {
    let tables = weight_points(verifying_key, uses, product, channels);
    let (mut at, mut counts) = (Vec::new(), Vec::new());
    for (asked, point) in tables.into_iter().zip(verifying_key.points()) {
        at.push(point.clone());
        counts.push(1 + asked.len());
        at.extend(asked.into_iter().map(|(_, point)| point));
    }
    let protocol = verifying_key.weights().protocol(&counts);
    key.open_weights(&protocol, &at, transcript)
}
