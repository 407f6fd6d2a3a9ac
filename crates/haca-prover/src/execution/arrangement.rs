//! Ops that only move elements, prepared.

use haca_graph::Cell;

/// Shortest average run that is worth copying as a run.
const RUN: usize = 8;

/// Which elements of the operands stand where.
#[derive(Clone, Debug)]
pub(crate) enum Arrangement {
    /// Stretches of an operand, or of a constant.
    Runs(Vec<Run>),
    /// One index for each element, into the operands behind one another and then the constant.
    Map { indices: Vec<u32>, constant: Option<i8> },
}

/// Elements that stand behind one another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    first: Cell,
    length: usize,
}

impl Arrangement {
    /// Prepares cells over operands with `lengths` elements.
    pub(crate) fn new(cells: &[Cell], lengths: &[usize]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for cell in cells {
            match runs.last_mut() {
                Some(run) if run.continues_with(*cell) => run.length += 1,
                _ => runs.push(Run {
                    first: *cell,
                    length: 1,
                }),
            }
        }
        if runs.len() * RUN <= cells.len() {
            return Self::Runs(runs);
        }
        let total: usize = lengths.iter().sum();
        let mut constant = None;
        let mut index = |cell: &Cell| match cell {
            Cell::Element(operand, index) => {
                let before: usize = lengths[..usize::from(*operand)].iter().sum();
                before as u32 + index
            }
            Cell::Constant(value) => {
                constant = Some(*value);
                total as u32
            }
        };
        let indices = cells.iter().map(&mut index).collect();
        Self::Map { indices, constant }
    }

    /// Writes the value of one run.
    pub(crate) fn apply(&self, operands: &[&[i8]], out: &mut [i8]) {
        match self {
            Self::Runs(runs) => {
                let mut out = out;
                for Run { first, length } in runs {
                    let (run, rest) = out.split_at_mut(*length);
                    match *first {
                        Cell::Element(operand, index) => {
                            let first = index as usize;
                            run.copy_from_slice(&operands[usize::from(operand)][first..first + length]);
                        }
                        Cell::Constant(constant) => run.fill(constant),
                    }
                    out = rest;
                }
            }
            Self::Map { indices, constant } => {
                let joined;
                let all = match (operands, constant) {
                    ([operand], None) => operand,
                    _ => {
                        let operands = operands.iter().flat_map(|operand| operand.iter().copied());
                        joined = operands.chain(*constant).collect::<Vec<i8>>();
                        joined.as_slice()
                    }
                };
                let cells = out.iter_mut().zip(indices);
                cells.for_each(|(out, index)| *out = all[*index as usize]);
            }
        }
    }
}

impl Run {
    fn continues_with(&self, cell: Cell) -> bool {
        match (self.first, cell) {
            (Cell::Element(operand, first), Cell::Element(other, index)) => {
                operand == other && first as usize + self.length == index as usize
            }
            (Cell::Constant(value), Cell::Constant(other)) => value == other,
            _ => false,
        }
    }
}
