//! Where the values of a run stand that a circuit speaks of.

use haca_zk::circuit::{Circuit, Site};
use haca_zk::value::{Element, Origin, Source};

use crate::Execution;

/// For each accumulator and each requantisation of a circuit, the value of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    accumulators: Vec<usize>,
    requantises: Vec<usize>,
}

impl Trace {
    pub(crate) fn new(circuit: &Circuit) -> Self {
        let mut trace = Self {
            accumulators: vec![0; circuit.accumulators.len()],
            requantises: vec![0; circuit.requantises.len()],
        };
        // Reshapes share the site of what they read; the first value is the node's own, and the elements are the same.
        for (id, site) in circuit.sites.iter().enumerate().rev() {
            match site {
                Site::Accumulator(index) => trace.accumulators[*index] = id,
                Site::Value(value) => {
                    if let Origin::Whole(Source::Requantise(index)) = circuit.values[*value].origin {
                        trace.requantises[index] = id;
                    }
                }
                Site::ArgMax(..) => {}
            }
        }
        trace
    }

    /// The accumulators of a run.
    pub(crate) fn accumulator<'a>(&self, execution: &'a Execution, index: usize) -> &'a [i32] {
        execution.values.wide(self.accumulators[index])
    }

    /// The results of a requantisation.
    pub(crate) fn requantise<'a>(&self, execution: &'a Execution, index: usize) -> &'a [i8] {
        execution.values.narrow(self.requantises[index])
    }
}

/// The int8 values of one run as a circuit sees them, the stages of window maxima among them.
pub(crate) struct Run<'a> {
    circuit: &'a Circuit,
    trace: &'a Trace,
    execution: &'a Execution,
    /// The results of the stages so far.
    stages: Vec<Vec<i8>>,
}

impl<'a> Run<'a> {
    /// Plays all stages.
    pub(crate) fn new(circuit: &'a Circuit, trace: &'a Trace, execution: &'a Execution) -> Self {
        let stages = Vec::with_capacity(circuit.stages.len());
        let mut run = Self {
            circuit,
            trace,
            execution,
            stages,
        };
        for stage in &circuit.stages {
            let [first, second] = stage
                .operands
                .map(|operand| run.operand(&operand, stage.channels));
            run.stages
                .push(first.iter().zip(&second).map(|(a, b)| *a.max(b)).collect());
        }
        run
    }

    /// The results of a stage.
    pub(crate) fn stage(&self, index: usize) -> &[i8] {
        &self.stages[index]
    }

    /// The elements of an operand of a stage, window by window; -128 in the padding.
    pub(crate) fn operand(&self, operand: &haca_zk::circuit::Operand, channels: usize) -> Vec<i8> {
        let elements = self.value(operand.value);
        let mut out = vec![i8::MIN; operand.windows.positions() * channels];
        operand.windows.under(operand.tap, |position, from| {
            out[position * channels..][..channels].copy_from_slice(&elements[from * channels..][..channels]);
        });
        out
    }

    /// The elements of a value.
    pub(crate) fn value(&self, index: usize) -> std::borrow::Cow<'_, [i8]> {
        match &self.circuit.values[index].origin {
            Origin::Whole(source) => self.source(*source).into(),
            Origin::Arranged(elements) => {
                let element = |element: &Element| match element {
                    Element::Constant(value) => *value,
                    Element::Of(source, index) => self.source(*source)[*index as usize],
                };
                elements.iter().map(element).collect::<Vec<i8>>().into()
            }
        }
    }

    fn source(&self, source: Source) -> &[i8] {
        match source {
            Source::Input(index) => self.execution.values.narrow(index),
            Source::Requantise(index) => self.trace.requantise(self.execution, index),
            Source::Stage(index) => &self.stages[index],
        }
    }
}
