//! Reading a graph node by node.

use super::{
    Accumulator, Addend, Circuit, Form, Mapping, Matrix, Operand, Param, Part, Requantise, Role, Site, Stage,
    Use,
};
use crate::ProofRejection;
use crate::block::log2_ceil;
use crate::value::{Element, Origin, Source, Value};
use crate::windows::Windows;
use haca_graph::{Cell, Graph, Op, ParamId, Term, ValueId, Window};

/// Elements of all arranged values together: a verifier looks at each of them.
const ARRANGED: usize = 1 << 20;
/// What all claims have of accumulators together.
const USES: usize = 1 << 12;
/// Cells of the products of values of all uses together: a verifier weights each of them.
const PRODUCTS: usize = 1 << 24;
/// Columns of all groups of the matrices of all uses together: a verifier keeps a weight of each.
const COLUMNS: usize = 1 << 22;
/// Stages of all window maxima together.
const STAGES: usize = 1 << 12;
/// Positions of all stages together, and of all requantisations: a verifier keeps weights of each.
const POSITIONS: usize = 1 << 22;

const BAD: ProofRejection = ProofRejection::Graph {
    what: "a node refers to a value of another kind",
};

pub(super) fn build(graph: &Graph) -> Result<Circuit, ProofRejection> {
    let mut builder = Builder::new(graph)?;
    for (node, op) in graph.nodes().iter().enumerate() {
        let site = builder.node(node, op)?;
        builder.circuit.sites.push(site);
    }
    builder.finish()
}

struct Builder<'a> {
    graph: &'a Graph,
    circuit: Circuit,
    /// For each parameter of the graph, its index among the weights or the biases.
    params: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph) -> Result<Self, ProofRejection> {
        let (weights, biases, params) = Param::lists(graph.params());
        let mut builder = Self {
            graph,
            circuit: Circuit {
                values: Vec::new(),
                accumulators: Vec::new(),
                requantises: Vec::new(),
                stages: Vec::new(),
                weights,
                biases,
                uses: Vec::new(),
                outputs: Vec::new(),
                mappings: Vec::new(),
                sites: Vec::new(),
                arranged: 0,
                public_values: Vec::new(),
            },
            params,
        };
        for index in 0..graph.inputs().len() {
            let (positions, channels) = builder.dims(ValueId(u32::try_from(index).unwrap_or(u32::MAX)))?;
            let origin = Origin::Whole(Source::Input(index));
            let site = builder.value(positions, channels, origin);
            builder.circuit.sites.push(site);
        }
        Ok(builder)
    }

    /// Positions and channels of a value of the graph.
    fn dims(&self, id: ValueId) -> Result<(usize, usize), ProofRejection> {
        let shape = &self.graph.value_type(id).ok_or(BAD)?.shape;
        let channels = shape.dims().last().map_or(1, |dim| *dim as usize);
        Ok((shape.elements() / channels.max(1), channels))
    }

    fn value(&mut self, positions: usize, channels: usize, origin: Origin) -> Site {
        self.circuit.values.push(Value {
            positions,
            channels,
            origin,
        });
        Site::Value(self.circuit.values.len() - 1)
    }

    fn site(&self, id: ValueId) -> Result<Site, ProofRejection> {
        self.circuit.sites.get(id.0 as usize).copied().ok_or(BAD)
    }

    fn int8(&self, id: ValueId) -> Result<usize, ProofRejection> {
        match self.site(id)? {
            Site::Value(value) => Ok(value),
            _ => Err(BAD),
        }
    }

    fn node(&mut self, node: usize, op: &Op) -> Result<Site, ProofRejection> {
        match op {
            Op::Linear { input, weight, bias } => {
                let value = self.int8(*input)?;
                let windows = Windows::each(self.dims(*input)?.0);
                self.matrix(node, value, (*weight, *bias), 1, windows)
            }
            Op::Convolve {
                input,
                weight,
                bias,
                window,
                groups,
            } => {
                let value = self.int8(*input)?;
                let windows = self.windows(*input, window)?;
                self.matrix(node, value, (*weight, *bias), *groups as usize, windows)
            }
            Op::WindowSum { input, window } => {
                let addend = Addend {
                    value: self.int8(*input)?,
                    coefficient: 1,
                    windows: self.windows(*input, window)?,
                };
                self.accumulator(node, Form::Combination(vec![addend]))
            }
            Op::Sum { terms } => self.sum(node, terms),
            Op::Product { left, right } => {
                let operands = [self.int8(*left)?, self.int8(*right)?];
                self.accumulator(node, Form::Product(operands))
            }
            Op::Requantise {
                input,
                multipliers,
                shift,
                low,
                high,
            } => self.requantise(node, *input, multipliers, *shift, Mapping::Clamp(*low, *high)),
            Op::Activate {
                input,
                multipliers,
                shift,
                function,
            } => {
                let known = self.circuit.mappings.iter().find(|mapping| match mapping {
                    Mapping::Function(of, _) => of == function,
                    Mapping::Clamp(..) => false,
                });
                let mapping = match known {
                    Some(mapping) => mapping.clone(),
                    None => Mapping::Function(*function, function.table()),
                };
                self.requantise(node, *input, multipliers, *shift, mapping)
            }
            Op::WindowMax { input, window } => self.window_max(node, *input, window),
            Op::ArgMax { input } => {
                let last = self.dims(*input)?.1;
                Ok(Site::ArgMax(*input, last))
            }
            Op::Reshape { input, .. } => match self.site(*input)? {
                Site::Value(value) => {
                    let origin = &self.circuit.values.get(value).ok_or(BAD)?.origin;
                    let elements = match origin {
                        Origin::Whole(_) => 0,
                        Origin::Arranged(elements) => elements.len(),
                    };
                    self.count(elements)?;
                    let origin = self.circuit.values.get(value).ok_or(BAD)?.origin.clone();
                    let (positions, channels) = self.dims(self.graph.node_value(node))?;
                    Ok(self.value(positions, channels, origin))
                }
                other => Ok(other),
            },
            Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Pad { .. }
            | Op::Expand { .. } => self.arrangement(node, op),
        }
    }

    fn windows(&self, input: ValueId, window: &Window) -> Result<Windows, ProofRejection> {
        let shape = &self.graph.value_type(input).ok_or(BAD)?.shape;
        let &[height, width, _] = shape.dims() else {
            return Err(BAD);
        };
        Windows::over([height, width], window).ok_or(BAD)
    }

    fn accumulator(&mut self, node: usize, form: Form) -> Result<Site, ProofRejection> {
        let id = self.graph.node_value(node);
        let (positions, channels) = self.dims(id)?;
        let value = self.graph.value_type(id).ok_or(BAD)?;
        self.circuit.accumulators.push(Accumulator {
            positions,
            channels,
            magnitude: value.low.unsigned_abs().max(value.high.unsigned_abs()),
            form,
        });
        Ok(Site::Accumulator(self.circuit.accumulators.len() - 1))
    }

    /// One combination of int8 values and sums over windows; the other accumulators stay what they are.
    fn sum(&mut self, node: usize, terms: &[Term]) -> Result<Site, ProofRejection> {
        let (mut addends, mut parts) = (Vec::new(), Vec::new());
        for term in terms {
            let coefficient = i64::from(term.coefficient);
            let accumulator = match self.site(term.value)? {
                Site::Value(value) => {
                    let windows = Windows::each(self.dims(term.value)?.0);
                    addends.push(Addend {
                        value,
                        coefficient,
                        windows,
                    });
                    continue;
                }
                Site::Accumulator(accumulator) => accumulator,
                Site::ArgMax(..) => return Err(BAD),
            };
            match &self.circuit.accumulators.get(accumulator).ok_or(BAD)?.form {
                Form::Combination(own) => addends.extend(own.iter().map(|addend| Addend {
                    coefficient: addend.coefficient.saturating_mul(coefficient),
                    ..*addend
                })),
                Form::Sum(_) => return Err(BAD),
                Form::Matrix(_) | Form::Product(_) => parts.push(Part {
                    accumulator,
                    coefficient,
                }),
            }
        }
        if parts.is_empty() {
            return self.accumulator(node, Form::Combination(addends));
        }
        if !addends.is_empty() {
            self.accumulator(node, Form::Combination(addends))?;
            let accumulator = self.circuit.accumulators.len() - 1;
            parts.insert(
                0,
                Part {
                    accumulator,
                    coefficient: 1,
                },
            );
        }
        self.accumulator(node, Form::Sum(parts))
    }

    fn matrix(
        &mut self,
        node: usize,
        value: usize,
        (weight, bias): (ParamId, ParamId),
        groups: usize,
        windows: Windows,
    ) -> Result<Site, ProofRejection> {
        let index = |param: ParamId| self.params.get(param.0 as usize).copied().ok_or(BAD);
        let (weight, bias) = (index(weight)?, index(bias)?);
        let shape = self.circuit.weights.get(weight).ok_or(BAD)?;
        let matrix = Matrix {
            value,
            weight,
            bias,
            groups,
            windows,
            columns: shape.columns,
            rows: shape.rows,
        };
        self.accumulator(node, Form::Matrix(matrix))
    }

    fn requantise(
        &mut self,
        node: usize,
        input: ValueId,
        multipliers: &[u32],
        shift: u8,
        mapping: Mapping,
    ) -> Result<Site, ProofRejection> {
        let Site::Accumulator(accumulator) = self.site(input)? else {
            return Err(BAD);
        };
        let quotient = self.graph.requantise_range(node).ok_or(BAD)?;
        let (multipliers, shift) = cancel(multipliers, shift);
        let mappings = &mut self.circuit.mappings;
        let known = mappings.iter().position(|other| *other == mapping);
        let mapping = known.unwrap_or_else(|| {
            mappings.push(mapping);
            mappings.len() - 1
        });
        self.circuit.requantises.push(Requantise {
            accumulator,
            multipliers,
            shift,
            mapping,
            quotient,
        });
        let source = Source::Requantise(self.circuit.requantises.len() - 1);
        let (positions, channels) = self.dims(self.graph.node_value(node))?;
        Ok(self.value(positions, channels, Origin::Whole(source)))
    }

    /// The taps of a window maximum are taken up one after the other, each in a stage.
    fn window_max(&mut self, node: usize, input: ValueId, window: &Window) -> Result<Site, ProofRejection> {
        let source = self.int8(input)?;
        let windows = self.windows(input, window)?;
        let (positions, channels) = self.dims(self.graph.node_value(node))?;
        if windows.taps().saturating_add(self.circuit.stages.len()) > STAGES {
            let what = "more than 4096 taps of window maxima";
            return Err(ProofRejection::Graph { what });
        }
        if windows.taps() == 1 {
            return self.single_tap(source, windows, channels);
        }
        let before = self.circuit.stages.iter().map(|stage| stage.positions);
        let own = positions.saturating_mul(windows.taps() - 1);
        if before.fold(own, usize::saturating_add) > POSITIONS {
            let what = "more than 2^22 positions of all stages of window maxima";
            return Err(ProofRejection::Graph { what });
        }
        let mut largest = Operand {
            value: source,
            windows,
            tap: 0,
        };
        for tap in 1..windows.taps() {
            let next = Operand {
                value: source,
                windows,
                tap,
            };
            self.circuit.stages.push(Stage {
                operands: [largest, next],
                positions,
                channels,
            });
            let stage = Source::Stage(self.circuit.stages.len() - 1);
            self.value(positions, channels, Origin::Whole(stage));
            largest = Operand {
                value: self.circuit.values.len() - 1,
                windows: Windows::each(positions),
                tap: 0,
            };
        }
        Ok(Site::Value(largest.value))
    }

    /// A window of one tap has nothing to compare: it picks elements. None lies in the padding.
    fn single_tap(
        &mut self,
        source: usize,
        windows: Windows,
        channels: usize,
    ) -> Result<Site, ProofRejection> {
        let positions = windows.positions();
        self.count(positions.saturating_mul(channels))?;
        let value = self.circuit.values.get(source).ok_or(BAD)?;
        let mut elements = Vec::new();
        windows.under(0, |_, from| {
            elements.extend((0..channels).map_while(|channel| value.element(from * channels + channel)));
        });
        if elements.len() != positions.saturating_mul(channels) {
            return Err(BAD);
        }
        Ok(self.value(positions, channels, Origin::Arranged(elements)))
    }

    /// Counts elements that are about to be arranged, before anything is allocated for them.
    fn count(&mut self, elements: usize) -> Result<(), ProofRejection> {
        self.circuit.arranged = self.circuit.arranged.saturating_add(elements);
        if self.circuit.arranged > ARRANGED {
            let what = "more than 2^20 arranged elements";
            return Err(ProofRejection::Graph { what });
        }
        Ok(())
    }

    fn arrangement(&mut self, node: usize, op: &Op) -> Result<Site, ProofRejection> {
        let id = self.graph.node_value(node);
        let (positions, channels) = self.dims(id)?;
        self.count(positions.saturating_mul(channels))?;
        let operands = op.inputs();
        let operands = operands.iter().map(|id| self.int8(*id));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let cells = self.graph.arrangement(node).ok_or(BAD)?;
        let element = |cell: Cell| match cell {
            Cell::Constant(value) => Ok(Element::Constant(value)),
            Cell::Element(operand, index) => {
                let value = operands.get(usize::from(operand)).ok_or(BAD)?;
                let value = self.circuit.values.get(*value).ok_or(BAD)?;
                value.element(index as usize).ok_or(BAD)
            }
        };
        let elements = cells.into_iter().map(element).collect::<Result<Vec<_>, _>>()?;
        let origin = match self.whole(&elements) {
            Some(source) => Origin::Whole(source),
            None => Origin::Arranged(elements),
        };
        Ok(self.value(positions, channels, origin))
    }

    /// The source whose elements these are, all of them and in order.
    fn whole(&self, elements: &[Element]) -> Option<Source> {
        let Some(Element::Of(source, 0)) = elements.first() else {
            return None;
        };
        let in_order = (0u32..).zip(elements);
        let is_whole = |v: &&Value| v.origin == Origin::Whole(*source) && v.elements() == elements.len();
        let mut values = self.circuit.values.iter();
        values.find(is_whole)?;
        in_order
            .into_iter()
            .all(|(index, element)| *element == Element::Of(*source, index))
            .then_some(*source)
    }

    fn finish(mut self) -> Result<Circuit, ProofRejection> {
        for (id, _) in self.graph.outputs() {
            let site = self.site(*id)?;
            self.circuit.outputs.push(site);
        }
        let requantises = self.circuit.requantises.iter().enumerate();
        let mut claims: Vec<(usize, Role)> = requantises
            .map(|(index, requantise)| (requantise.accumulator, Role::Requantise(index)))
            .collect();
        for (output, site) in self.circuit.outputs.iter().enumerate() {
            let first = self.circuit.outputs.iter().position(|other| other == site);
            if let (Site::Accumulator(accumulator), true) = (site, first == Some(output)) {
                claims.push((*accumulator, Role::Output(output)));
            }
        }
        self.check_positions()?;
        let (mut products, mut columns) = (0usize, 0usize);
        for (accumulator, role) in claims {
            let whole = [Part {
                accumulator,
                coefficient: 1,
            }];
            let parts = match &self.circuit.accumulators.get(accumulator).ok_or(BAD)?.form {
                Form::Sum(parts) => parts.as_slice(),
                _ => &whole,
            };
            self.circuit.uses.extend(parts.iter().map(|part| Use {
                accumulator: part.accumulator,
                coefficient: part.coefficient,
                role,
            }));
            if self.circuit.uses.len() > USES {
                let what = "more than 4096 uses of accumulators";
                return Err(ProofRejection::Graph { what });
            }
            for part in parts {
                products = products.saturating_add(self.product_cells(part.accumulator));
                columns = columns.saturating_add(self.matrix_columns(part.accumulator));
            }
            if products > PRODUCTS {
                let what = "more than 2^24 cells of products of values";
                return Err(ProofRejection::Graph { what });
            }
            if columns > COLUMNS {
                let what = "more than 2^22 columns of the matrices of all uses";
                return Err(ProofRejection::Graph { what });
            }
        }
        if self.circuit.mappings.is_empty() {
            self.circuit.mappings.push(Mapping::Clamp(0, 0));
        }
        self.circuit.public_values = self.circuit.find_public_values();
        Ok(self.circuit)
    }

    fn check_positions(&self) -> Result<(), ProofRejection> {
        let accumulators = self.circuit.requantises.iter().map(|r| r.accumulator);
        let positions =
            accumulators.filter_map(|index| Some(self.circuit.accumulators.get(index)?.positions));
        if positions.fold(0, usize::saturating_add) > POSITIONS {
            let what = "more than 2^22 positions of all requantisations";
            return Err(ProofRejection::Graph { what });
        }
        Ok(())
    }

    /// The cells of an accumulator in the space of all products of values (step P7 of `spec/zk.md`), none when it is
    /// something else.
    fn product_cells(&self, accumulator: usize) -> usize {
        match self.circuit.accumulators.get(accumulator) {
            Some(made) if matches!(made.form, Form::Product(_)) => {
                made.positions.saturating_mul(1 << log2_ceil(made.channels))
            }
            _ => 0,
        }
    }

    /// The columns of all groups of the matrix of an accumulator, none when it is something else.
    fn matrix_columns(&self, accumulator: usize) -> usize {
        match self.circuit.accumulators.get(accumulator).map(|made| &made.form) {
            Some(Form::Matrix(matrix)) => matrix.columns.saturating_mul(matrix.groups),
            _ => 0,
        }
    }
}

/// Cancels common factors of two, down to a shift of one, and merges equal multipliers into one.
fn cancel(multipliers: &[u32], shift: u8) -> (Vec<u32>, u8) {
    // Zero has every factor.
    let factors = multipliers
        .iter()
        .filter(|m| **m != 0)
        .map(|m| m.trailing_zeros());
    let common = factors
        .min()
        .unwrap_or(u32::MAX)
        .min(u32::from(shift).saturating_sub(1));
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
