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

    /// The value.
    pub(crate) fn apply(&self, operands: &[&[i8]]) -> Vec<i8> {
        match self {
            Self::Runs(runs) => {
                let mut value = Vec::with_capacity(runs.iter().map(|run| run.length).sum());
                for Run { first, length } in runs {
                    match *first {
                        Cell::Element(operand, index) => {
                            let first = index as usize;
                            value.extend_from_slice(&operands[usize::from(operand)][first..first + length]);
                        }
                        Cell::Constant(constant) => value.resize(value.len() + length, constant),
                    }
                }
                value
            }
            Self::Map { indices, constant } => match (operands, constant) {
                ([operand], None) => indices.iter().map(|index| operand[*index as usize]).collect(),
                _ => {
                    let mut all = operands.concat();
                    all.extend(constant);
                    indices.iter().map(|index| all[*index as usize]).collect()
                }
            },
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
