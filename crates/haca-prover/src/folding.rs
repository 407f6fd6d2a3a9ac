//! Values folded over the inferences of a batch: what the sumchecks over values start from.

use haca_zk::circuit::{Circuit, Matrix};
use haca_zk::field::{Base, Extension, base};
use haca_zk::multilinear::eq_table;
use haca_zk::value::{Element, Origin, Source};
use haca_zk::witness::WitnessLayout;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use crate::Execution;
use crate::adversary::Witness;
use crate::kernel::fold_rows;
use crate::trace::{Run, Trace};

/// The committed columns and the inputs, folded at one batch point.
pub(crate) struct FoldedValues<'a> {
    circuit: &'a Circuit,
    layout: Option<&'a WitnessLayout>,
    /// The results, cell by cell.
    pub(crate) results: Vec<Extension>,
    /// The stages, cell by cell.
    pub(crate) stages: Vec<Extension>,
    inputs: Vec<Vec<Extension>>,
    /// The one inference of a batch that is honest and not folded: its values are int8.
    plain: Option<Run<'a>>,
}

impl<'a> FoldedValues<'a> {
    pub(crate) fn new(
        circuit: &'a Circuit,
        trace: &'a Trace,
        layout: Option<&'a WitnessLayout>,
        (witness, batch): (Option<&Witness>, &[&'a Execution]),
        point: &[Extension],
        is_honest: bool,
    ) -> Self {
        let eq = eq_table(point);
        let results = witness.map_or(Vec::new(), |w| fold(&w.columns[0].1, &eq));
        let stages = witness.and_then(|w| w.stages.as_ref());
        let stages = stages.map_or(Vec::new(), |stages| fold(&stages.results, &eq));
        let elements = |index: usize| batch.iter().map(move |execution| execution.values.narrow(index));
        let input = |index: usize| {
            let first = elements(index).next().unwrap_or(&[]);
            let mut sums = vec![Extension::ZERO; first.len()];
            for (values, weight) in elements(index).zip(&eq) {
                let cells = sums.iter_mut().zip(values);
                cells.for_each(|(sum, value)| *sum += *weight * base(i64::from(*value)));
            }
            sums
        };
        let inputs = batch
            .first()
            .map_or(0, |execution| execution.inference.inputs.len());
        let plain = match batch {
            [one] if is_honest => Some(Run::new(circuit, trace, one)),
            _ => None,
        };
        Self {
            circuit,
            layout,
            results,
            stages,
            inputs: (0..inputs).map(input).collect(),
            plain,
        }
    }

    /// The elements of a value.
    pub(crate) fn value(&self, index: usize) -> Vec<Extension> {
        let value = &self.circuit.values[index];
        match &value.origin {
            Origin::Whole(source) => (0..value.elements()).map(|e| self.element(*source, e)).collect(),
            Origin::Arranged(elements) => {
                let element = |element: &Element| match element {
                    Element::Constant(constant) => Extension::from(base(i64::from(*constant))),
                    Element::Of(source, index) => self.element(*source, *index as usize),
                };
                elements.iter().map(element).collect()
            }
        }
    }

    fn element(&self, source: Source, index: usize) -> Extension {
        let column = match source {
            Source::Input(input) => return self.inputs[input][index],
            Source::Requantise(_) => &self.results,
            Source::Stage(_) => &self.stages,
        };
        let block = self.layout.and_then(|layout| layout.block(source));
        block.map_or(Extension::ZERO, |block| {
            column[block.cell(index / block.channels, index % block.channels)]
        })
    }

    /// For each group: `X(k) = sum_p positions(p) x(p, k)`, where `k` runs over taps, then channels of the group.
    pub(crate) fn inputs(&self, matrix: &Matrix, positions: &[Extension]) -> Vec<Vec<Extension>> {
        let channels = self.circuit.values[matrix.value].channels;
        let sums = match &self.plain {
            Some(run) if positions.len() > 1 => {
                plain_sums(&run.value(matrix.value), matrix, channels, positions)
            }
            _ => self.sums(matrix, channels, positions),
        };
        let width = channels / matrix.groups;
        let group = |group: usize| -> Vec<Extension> {
            let taps = sums.chunks_exact(channels);
            taps.flat_map(|tap| tap[group * width..][..width].iter().copied())
                .collect()
        };
        (0..matrix.groups).map(group).collect()
    }

    /// For each tap and channel, the weighted sum over all windows.
    fn sums(&self, matrix: &Matrix, channels: usize, positions: &[Extension]) -> Vec<Extension> {
        let elements = self.value(matrix.value);
        let tap = |tap: usize| {
            let mut sums = vec![Extension::ZERO; channels];
            matrix.windows.under(tap, |position, from| {
                let weight = positions[position];
                let pixel = elements[from * channels..].iter();
                sums.iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, x)| *sum += weight * *x);
            });
            sums
        };
        let taps: Vec<Vec<Extension>> = (0..matrix.windows.taps()).into_par_iter().map(tap).collect();
        taps.concat()
    }
}

/// The same for int8 elements: the matrix of all windows is folded by its rows.
fn plain_sums(elements: &[i8], matrix: &Matrix, channels: usize, positions: &[Extension]) -> Vec<Extension> {
    let width = matrix.windows.taps() * channels;
    // Kernels take rows of a multiple of sixteen.
    let padded = width.next_multiple_of(16);
    let mut rows = vec![0i8; padded * positions.len()];
    for tap in 0..matrix.windows.taps() {
        matrix.windows.under(tap, |position, from| {
            let pixel = &elements[from * channels..][..channels];
            rows[position * padded + tap * channels..][..channels].copy_from_slice(pixel);
        });
    }
    let mut sums = fold_rows(&rows, padded, positions);
    sums.truncate(width);
    sums
}

/// Sums a column over the inferences, which are the lowest variables.
fn fold(column: &[Base], eq: &[Extension]) -> Vec<Extension> {
    match eq {
        [_] => column.iter().map(|cell| Extension::from(*cell)).collect(),
        _ => {
            let cells = column.par_chunks_exact(eq.len());
            cells
                .map(|cells| cells.iter().zip(eq).map(|(cell, e)| *e * *cell).sum())
                .collect()
        }
    }
}
