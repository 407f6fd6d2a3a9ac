//! What a graph asks the proof to show, independent of the size of a batch.

use haca_graph::{Graph, Op, ValueId};

use crate::ProofRejection;
use crate::block::log2_ceil;

/// Where the elements of a value come from, seen through reshapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A graph input, by index.
    Input(usize),
    /// The accumulators of a linear op, by index into [`Circuit::linears`]. Never committed.
    Linear(usize),
    /// The committed outputs of a requantisation, by index into [`Circuit::requantises`].
    Requantise(usize),
    /// The index of the largest element of a public value: the value and its last dimension.
    ArgMax(ValueId, usize),
}

/// One `Linear` node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Where its input comes from: an input or a requantisation.
    pub source: Site,
    /// Index into [`Circuit::weights`].
    pub weight: usize,
    /// Index into [`Circuit::biases`].
    pub bias: usize,
    /// Elements of the input.
    pub columns: usize,
    /// Elements of the output.
    pub rows: usize,
    /// Largest magnitude of an accumulator.
    pub magnitude: u64,
}

impl Linear {
    /// Variables that index the padded input.
    pub fn column_variables(&self) -> usize {
        log2_ceil(self.columns)
    }

    /// Variables that index the padded output.
    pub fn row_variables(&self) -> usize {
        log2_ceil(self.rows)
    }
}

/// One `Requantise` node, with trailing zero bits of the multipliers cancelled against the shift. That changes no
/// result: `(2Ma + 2^(s-1)) >> s = (Ma + 2^(s-2)) >> (s-1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requantise {
    /// Index into [`Circuit::linears`].
    pub linear: usize,
    /// One multiplier, or one for each channel when they differ.
    pub multipliers: Vec<u32>,
    /// Right shift.
    pub shift: u8,
    /// Smallest result.
    pub low: i8,
    /// Largest result.
    pub high: i8,
    /// Range of the quotient before the clamp.
    pub quotient: (i64, i64),
}

impl Requantise {
    /// Whether channels have multipliers of their own.
    pub fn is_per_channel(&self) -> bool {
        self.multipliers.len() > 1
    }
}

/// One committed weight matrix or bias vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Index into the parameters of the graph.
    pub param: usize,
    /// Rows; 1 for a bias.
    pub rows: usize,
    /// Columns; the number of elements for a bias.
    pub columns: usize,
    /// Declared range.
    pub range: (i64, i64),
}

/// Who asks for the accumulators of a linear op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A requantisation, by index.
    Requantise(usize),
    /// The accumulators are public.
    Output,
}

/// One claim about accumulators: a linear op and who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Index into [`Circuit::linears`].
    pub linear: usize,
    /// Who asks.
    pub role: Role,
}

/// The provable form of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// Linear ops in the order of the graph.
    pub linears: Vec<Linear>,
    /// Requantisations in the order of the graph.
    pub requantises: Vec<Requantise>,
    /// Committed matrices, in the order of the graph's parameters.
    pub weights: Vec<Param>,
    /// Committed vectors, in the order of the graph's parameters.
    pub biases: Vec<Param>,
    /// Claims about accumulators: requantisations in order, then each public linear op in order.
    pub uses: Vec<Use>,
    /// Where each output of the graph comes from.
    pub outputs: Vec<Site>,
    /// Distinct clamps `(low, high)`, in order of first use.
    pub clamps: Vec<(i8, i8)>,
}

impl Circuit {
    /// Step R1 of `spec/zk.md`: reads a checked graph.
    pub fn new(graph: &Graph) -> Result<Self, ProofRejection> {
        let mut builder = Builder::new(graph)?;
        for (node, op) in graph.nodes().iter().enumerate() {
            let site = builder.node(node, op)?;
            builder.sites.push(site);
        }
        builder.finish()
    }

    /// The requantisation outputs that are public, without repetition, in order.
    pub fn public_requantises(&self) -> Vec<usize> {
        let public = |r: &usize| self.outputs.contains(&Site::Requantise(*r));
        (0..self.requantises.len()).filter(public).collect()
    }

    /// The uses whose multipliers differ between channels, in order.
    pub fn channel_uses(&self) -> Vec<usize> {
        let differs = |index: &usize| match self.uses.get(*index).map(|u| u.role) {
            Some(Role::Requantise(r)) => self.requantises.get(r).is_some_and(Requantise::is_per_channel),
            _ => false,
        };
        (0..self.uses.len()).filter(differs).collect()
    }
}

const BAD: ProofRejection = ProofRejection::Graph {
    what: "a node refers to a value of another kind",
};

const UNSUPPORTED: ProofRejection = ProofRejection::Graph {
    what: "a node for which there is no proof yet",
};

struct Builder<'a> {
    graph: &'a Graph,
    sites: Vec<Site>,
    circuit: Circuit,
    /// For each parameter of the graph, its index among the weights or the biases.
    params: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph) -> Result<Self, ProofRejection> {
        let (mut weights, mut biases, mut params) = (Vec::new(), Vec::new(), Vec::new());
        for (param, spec) in graph.params().iter().enumerate() {
            let range = (spec.low, spec.high);
            match spec.shape.dims() {
                [rows, columns] => {
                    params.push(weights.len());
                    let (rows, columns) = (*rows as usize, *columns as usize);
                    weights.push(Param {
                        param,
                        rows,
                        columns,
                        range,
                    });
                }
                [columns] => {
                    params.push(biases.len());
                    let columns = *columns as usize;
                    biases.push(Param {
                        param,
                        rows: 1,
                        columns,
                        range,
                    });
                }
                _ => return Err(BAD),
            }
        }
        Ok(Self {
            graph,
            sites: (0..graph.inputs().len()).map(Site::Input).collect(),
            circuit: Circuit {
                linears: Vec::new(),
                requantises: Vec::new(),
                weights,
                biases,
                uses: Vec::new(),
                outputs: Vec::new(),
                clamps: Vec::new(),
            },
            params,
        })
    }

    fn site(&self, id: ValueId) -> Result<Site, ProofRejection> {
        self.sites.get(id.0 as usize).copied().ok_or(BAD)
    }

    fn node(&mut self, node: usize, op: &Op) -> Result<Site, ProofRejection> {
        match op {
            Op::Linear { input, weight, bias } => self.linear(node, *input, weight.0, bias.0),
            Op::Requantise {
                input,
                multipliers,
                shift,
                low,
                high,
            } => {
                let Site::Linear(linear) = self.site(*input)? else {
                    return Err(BAD);
                };
                let quotient = self.graph.requantise_range(node).ok_or(BAD)?;
                let (multipliers, shift) = cancel(multipliers, *shift);
                if !self.circuit.clamps.contains(&(*low, *high)) {
                    self.circuit.clamps.push((*low, *high));
                }
                self.circuit.requantises.push(Requantise {
                    linear,
                    multipliers,
                    shift,
                    low: *low,
                    high: *high,
                    quotient,
                });
                Ok(Site::Requantise(self.circuit.requantises.len() - 1))
            }
            Op::ArgMax { input } => {
                let shape = &self.graph.value_type(*input).ok_or(BAD)?.shape;
                let last = shape.dims().last().copied().ok_or(BAD)?;
                Ok(Site::ArgMax(*input, last as usize))
            }
            Op::Reshape { input, .. } => self.site(*input),
            _ => Err(UNSUPPORTED),
        }
    }

    fn linear(
        &mut self,
        node: usize,
        input: ValueId,
        weight: u32,
        bias: u32,
    ) -> Result<Site, ProofRejection> {
        let source = self.site(input)?;
        if !matches!(source, Site::Input(_) | Site::Requantise(_)) {
            return Err(BAD);
        }
        let weight = *self.params.get(weight as usize).ok_or(BAD)?;
        let bias = *self.params.get(bias as usize).ok_or(BAD)?;
        let shape = *self.circuit.weights.get(weight).ok_or(BAD)?;
        let value = self.graph.value_type(self.graph.node_value(node)).ok_or(BAD)?;
        if value.shape.dims().len() != 1 {
            return Err(UNSUPPORTED);
        }
        self.circuit.linears.push(Linear {
            source,
            weight,
            bias,
            columns: shape.columns,
            rows: shape.rows,
            magnitude: value.low.unsigned_abs().max(value.high.unsigned_abs()),
        });
        Ok(Site::Linear(self.circuit.linears.len() - 1))
    }

    fn finish(mut self) -> Result<Circuit, ProofRejection> {
        for (id, _) in self.graph.outputs() {
            let site = self.site(*id)?;
            self.circuit.outputs.push(site);
        }
        let requantises = self.circuit.requantises.iter().enumerate();
        let mut uses: Vec<Use> = requantises
            .map(|(index, requantise)| Use {
                linear: requantise.linear,
                role: Role::Requantise(index),
            })
            .collect();
        for linear in 0..self.circuit.linears.len() {
            if self.circuit.outputs.contains(&Site::Linear(linear)) {
                let role = Role::Output;
                uses.push(Use { linear, role });
            }
        }
        self.circuit.uses = uses;
        Ok(self.circuit)
    }
}

/// Cancels common factors of two, down to a shift of one, and merges equal multipliers into one.
fn cancel(multipliers: &[u32], shift: u8) -> (Vec<u32>, u8) {
    let zeros = multipliers.iter().map(|m| m.trailing_zeros()).min().unwrap_or(0);
    let common = zeros.min(u32::from(shift).saturating_sub(1));
    let mut reduced: Vec<u32> = multipliers
        .iter()
        .map(|m| m.checked_shr(common).unwrap_or(0))
        .collect();
    if let Some(first) = reduced.first().copied()
        && reduced.iter().all(|m| *m == first)
    {
        reduced.truncate(1);
    }
    (reduced, shift - common as u8)
}
