//! The search for WHIR schedules: which folds, code rates and grinding cost the least.
//!
//! The estimated cost of a schedule is a sum over its phases, so the best schedule is a shortest path over the variables
//! that are left and the rate of the code. It is found by dynamic programming, for each amount of grinding and each start.
//! Nothing here is trusted: the schedule stands in the verifying key, and the verifier computes its budget by itself.
//! The unit costs are those of two cores with AVX2; what they are wrong by changes which schedule is chosen, no more. They
//! are numbers of this file, not measurements of the machine: a model has the same key wherever it is made.

use std::collections::BTreeMap;
use std::sync::RwLock;

use haca_zk::GOAL_BITS;
use haca_zk::joined::{Part, RowShape};
use haca_zk::schedule::{CLEAR_VARIABLES, CODEWORD, FOLD, RATE, Schedule, TERM_BITS};
use p3_whir::parameters::SecurityAssumption;

/// Encoding and hashing one element of the base field while proving.
const ENCODE_NS: f64 = 6.5;
/// The same of a witness beside weights: a long codeword of narrow rows.
const ENCODE_BESIDE_NS: f64 = 13.0;
/// Hashing a leaf and a node of a tree of narrow rows while proving.
const LEAF_NS: f64 = 45.0;
/// Folding one element of the polynomial while proving.
const FOLD_NS: f64 = 6.0;
/// One attempt at a witness of work, of those that are made side by side.
const GRIND_NS: f64 = 14.0;
/// Opening one row while proving.
const ROW_NS: f64 = 400.0;
/// What each phase costs whatever its size.
const PHASE_NS: f64 = 15_000.0;
/// One compression of BLAKE3 while verifying.
const COMPRESSION_NS: f64 = 70.0;
/// Decoding and evaluating one byte of a row while verifying.
const ROW_BYTE_NS: f64 = 0.7;
/// One round of sumcheck while verifying.
const ROUND_NS: f64 = 700.0;
/// One variable of the constraint of one opened row while verifying.
const VARIABLE_NS: f64 = 10.0;
/// Bytes of an element of the base field.
const BASE_BYTES: f64 = 8.0;
/// Bytes of an element of the field of challenges.
const EXTENSION_BYTES: f64 = 24.0;
/// Bytes of a node of a Merkle tree.
const NODE_BYTES: f64 = 32.0;
/// The largest code rate that is offered, where the codeword is not small anyway: it is held in memory, and encoded at
/// registration.
const MOST_RATE: usize = 5;
/// Variables of a small codeword: four megabytes.
const SMALL_VARIABLES: usize = 19;
/// Variables of the largest codeword, unless its rate is 1/4: half a gigabyte.
const MEMORY_VARIABLES: usize = 26;
/// The part of the error of an opening that is left to other terms than its queries.
const OTHER_TERMS: f64 = 0.01;
/// Amounts of grinding that are tried.
const GRINDING_BITS: [u8; 8] = [0, 10, 12, 13, 14, 15, 16, 17];

/// When a commitment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Anew in each proof.
    Proof,
    /// Once for a model.
    Registration,
}

impl Role {
    /// The part of the time of encoding that each proof bears: what is registered is held in memory as well, so that it
    /// is not free even where a model is proven without end.
    const fn share(self) -> f64 {
        match self {
            Self::Proof => 1.0,
            Self::Registration => 0.005,
        }
    }
}

/// What an opening costs, as estimated: nanoseconds of two cores to prove, bytes, nanoseconds of one core to verify.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Nanoseconds to prove, on two cores.
    pub prove_ns: f64,
    /// Bytes of the opening.
    pub bytes: f64,
    /// Nanoseconds to verify, on one core.
    pub verify_ns: f64,
}

/// What is to be small: the nanoseconds of proving that a byte, and a nanosecond of verifying, are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Worth of one byte, in nanoseconds of proving.
    pub byte_ns: f64,
    /// Worth of one nanosecond of verifying, in nanoseconds of proving.
    pub verify: f64,
}

/// What parameters are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// What models are registered with. The worth of a byte doubles with each four variables of the smallest commitment
    /// that will do: the larger a model, the more time there is between its proofs for each byte of them.
    Balanced,
    /// Short proving, whatever else it takes.
    Fast,
    /// Small proofs, whatever they take to make.
    Small,
}

impl Aim {
    /// The objective for a commitment of about `2^variables` cells.
    #[must_use]
    pub fn objective(self, variables: usize) -> Objective {
        const FOURTH_ROOTS: [f64; 4] = [1.0, 1.189_207, std::f64::consts::SQRT_2, 1.681_793];
        let [byte_ns, verify] = match self {
            Self::Balanced => [27.0 * FOURTH_ROOTS[variables % 4] * cells(variables / 4), 4.0],
            Self::Fast => [20.0, 1.0],
            Self::Small => [4000.0, 10.0],
        };
        Objective { byte_ns, verify }
    }
}

impl Objective {
    /// The cost in nanoseconds of proving.
    #[must_use]
    pub fn of(&self, cost: &Cost) -> f64 {
        cost.prove_ns + self.byte_ns * cost.bytes + self.verify * cost.verify_ns
    }
}

/// A schedule with its estimated cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The schedule.
    pub schedule: Schedule,
    /// What its opening costs.
    pub cost: Cost,
}

/// Grinding, variables behind the fold, rate, fold, and whether cells are of the extension.
type Queries = (u8, usize, u8, u8, bool);

/// What the queries of phases cost, once counted.
static QUERIES: RwLock<BTreeMap<Queries, Cost>> = RwLock::new(BTreeMap::new());

/// Searches for schedules under one objective. What it finds for parts of a schedule serves every further search.
#[derive(Debug)]
pub struct Search {
    objective: Objective,
    /// For each amount of grinding, what is best for each number of variables left and each rate.
    tails: Vec<(u8, Vec<[Option<Tail>; RATES]>)>,
}

/// What is best for each number of variables left and each rate.
type Tails = [[Option<Tail>; RATES]];

/// Rates, and one for none.
const RATES: usize = RATE as usize + 1;

/// The best phases from some point on: the first fold, the rate of the code behind it, the cost of all.
#[derive(Clone, Copy, Debug)]
struct Tail {
    fold: u8,
    next_rate: Option<u8>,
    cost: Cost,
}

impl Cost {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            prove_ns: self.prove_ns + other.prove_ns,
            bytes: self.bytes + other.bytes,
            verify_ns: self.verify_ns + other.verify_ns,
        }
    }
}

impl Search {
    /// A search under an objective.
    #[must_use]
    pub fn new(objective: Objective) -> Self {
        let tails = GRINDING_BITS.iter().map(|bits| (*bits, vec![]));
        Self {
            objective,
            tails: tails.collect(),
        }
    }

    /// The best schedule for each amount of grinding that reaches the security level, the best first, for a commitment
    /// of `variables`. The first fold is at least the first and at most the second of `folds`, and so is the rate of the
    /// first code of `rates`.
    pub fn schedules(
        &mut self,
        variables: usize,
        role: Role,
        folds: (u8, u8),
        rates: (u8, u8),
    ) -> Vec<Candidate> {
        let best = |phases: &Phases, tails: &Tails| phases.best(tails, variables, role, folds, rates);
        self.each(variables, best)
    }

    /// The best schedule for each amount of grinding, the best first, for weights and witness that are opened as one:
    /// `rows` of columns with `column_variables` each, in a code of inverse rate `2^rate`. The cost is of all that both
    /// take but the encoding of the weights.
    pub fn joined(&mut self, rows: RowShape, column_variables: usize, rate: u8) -> Vec<Candidate> {
        let best = |phases: &Phases, tails: &Tails| phases.best_joined(tails, rows, column_variables, rate);
        self.each(column_variables + 1, best)
    }

    fn each(
        &mut self,
        variables: usize,
        best: impl Fn(&Phases, &Tails) -> Option<Candidate>,
    ) -> Vec<Candidate> {
        let objective = self.objective;
        let mut found = Vec::new();
        for (grinding_bits, tails) in &mut self.tails {
            let phases = Phases {
                objective,
                grinding_bits: *grinding_bits,
            };
            phases.extend(tails, variables);
            found.extend(best(&phases, tails));
        }
        found.sort_by(|a, b| objective.of(&a.cost).total_cmp(&objective.of(&b.cost)));
        found
    }
}

/// The phases of schedules with one amount of grinding.
struct Phases {
    objective: Objective,
    grinding_bits: u8,
}

impl Phases {
    /// The best schedule whose configuration can be derived.
    fn best(
        &self,
        tails: &Tails,
        variables: usize,
        role: Role,
        (least, most): (u8, u8),
        (least_rate, most_rate): (u8, u8),
    ) -> Option<Candidate> {
        let mut starts = Vec::new();
        for rate in least_rate..=most_rate.min(RATE) {
            let encoded = variables + usize::from(rate);
            if encoded > largest_codeword(variables) {
                break;
            }
            let folds = least..=most.min(u8::try_from(variables).unwrap_or(FOLD));
            for tail in folds.flat_map(|fold| self.phases(tails, variables, rate, fold, BASE_BYTES)) {
                let mut cost = tail.cost.plus(Cost {
                    prove_ns: FOLD_NS * cells(variables),
                    bytes: 2.0 * EXTENSION_BYTES * variables as f64,
                    verify_ns: ROUND_NS * variables as f64,
                });
                cost.prove_ns += encoding_ns(encoded, role);
                let schedule = self.schedule(tails, variables, rate, tail);
                starts.push(Candidate { schedule, cost });
            }
        }
        self.first_that_reaches_the_goal(starts, variables)
    }

    /// The best schedule of a joined opening whose configuration can be derived.
    fn best_joined(
        &self,
        tails: &Tails,
        rows: RowShape,
        column_variables: usize,
        rate: u8,
    ) -> Option<Candidate> {
        let variables = column_variables + rows.fold;
        let depth = column_variables + usize::from(rate);
        let width = rows.width(Part::Weights) + rows.width(Part::Witness);
        let drawn = self.rows(rate).min(cells(depth));
        let own = self.opened(drawn, BASE_BYTES * width as f64, depth, column_variables, 2.0);
        let fold = u8::try_from(rows.fold).ok()?;
        let parts = rows.parts.iter().map(|part| cells(column_variables + part));
        let mut starts = Vec::new();
        for tail in self.behind(tails, column_variables, rate, fold, own) {
            let mut cost = tail.cost.plus(Cost {
                prove_ns: FOLD_NS * parts.clone().sum::<f64>(),
                bytes: 2.0 * EXTENSION_BYTES * variables as f64,
                verify_ns: ROUND_NS * variables as f64,
            });
            // Rows are as many as those of the weights, however narrow.
            let width = rows.width(Part::Witness) as f64;
            cost.prove_ns += cells(depth) * (ENCODE_BESIDE_NS * width + LEAF_NS);
            let schedule = self.schedule(tails, variables, rate, tail);
            starts.push(Candidate { schedule, cost });
        }
        self.first_that_reaches_the_goal(starts, variables)
    }

    fn first_that_reaches_the_goal(&self, mut starts: Vec<Candidate>, variables: usize) -> Option<Candidate> {
        let of = |candidate: &Candidate| self.objective.of(&candidate.cost);
        starts.sort_by(|a, b| of(a).total_cmp(&of(b)));
        starts
            .into_iter()
            .find(|candidate| reaches_goal(&candidate.schedule, variables))
    }

    /// Follows the choices from the first phase on.
    fn schedule(&self, tails: &Tails, variables: usize, rate: u8, first: Tail) -> Schedule {
        let (mut folds, mut log_inverse_rates) = (vec![first.fold], vec![rate]);
        let mut left = variables - usize::from(first.fold);
        let mut next_rate = first.next_rate;
        while let Some(rate) = next_rate {
            log_inverse_rates.push(rate);
            let Some(tail) = tails.get(left).and_then(|row| row[usize::from(rate)]) else {
                break;
            };
            folds.push(tail.fold);
            left -= usize::from(tail.fold);
            next_rate = tail.next_rate;
        }
        Schedule {
            folds,
            log_inverse_rates,
            grinding_bits: self.grinding_bits,
        }
    }

    /// Adds what is best for folded polynomials of fewer than `variables`.
    fn extend(&self, tails: &mut Vec<[Option<Tail>; RATES]>, variables: usize) {
        for left in tails.len()..variables {
            let mut row = [None; RATES];
            for rate in (1..=RATE).filter(|_| left > CLEAR_VARIABLES) {
                let folds = 1..=FOLD.min(left as u8);
                let phases = folds.filter_map(|fold| self.phase(tails, left, rate, fold, EXTENSION_BYTES));
                row[usize::from(rate)] = self.cheapest(phases);
            }
            tails.push(row);
        }
    }

    fn cheapest(&self, tails: impl Iterator<Item = Tail>) -> Option<Tail> {
        let of = |tail: &Tail| self.objective.of(&tail.cost);
        tails.min_by(|a, b| of(a).total_cmp(&of(b)))
    }

    /// One phase that folds `fold` of `left` variables, and the best phases behind it.
    fn phase(&self, tails: &Tails, left: usize, rate: u8, fold: u8, cell_bytes: f64) -> Option<Tail> {
        self.cheapest(self.phases(tails, left, rate, fold, cell_bytes).into_iter())
    }

    /// One phase that folds `fold` of `left` variables, and the best phases behind it for each rate of theirs.
    fn phases(&self, tails: &Tails, left: usize, rate: u8, fold: u8, cell_bytes: f64) -> Vec<Tail> {
        let Some(rest) = left.checked_sub(usize::from(fold)) else {
            return vec![];
        };
        let own = self.queries(rest, rate, fold, cell_bytes);
        self.behind(tails, rest, rate, fold, own)
    }

    /// A phase that costs `own` and leaves `rest` variables, and the best phases behind it for each rate of theirs.
    fn behind(&self, tails: &Tails, rest: usize, rate: u8, fold: u8, own: Cost) -> Vec<Tail> {
        let positions = cells(rest + usize::from(rate));
        if rest <= CLEAR_VARIABLES && self.grinding_bits > 0 && positions <= self.rows(rate) {
            // No position is drawn behind the work of a last phase that opens all: no key may ask for it.
            return vec![];
        }
        if rest <= CLEAR_VARIABLES {
            let clear = Cost {
                prove_ns: 0.0,
                bytes: EXTENSION_BYTES * cells(rest),
                verify_ns: 200.0 * cells(rest),
            };
            return vec![Tail {
                fold,
                next_rate: None,
                cost: own.plus(clear),
            }];
        }
        // A code may not grow from one phase to the next.
        let next = (1..=RATE.min(rate + fold)).filter_map(|rate| {
            let tail = tails.get(rest)?[usize::from(rate)]?;
            let encode = Cost {
                prove_ns: 3.0 * ENCODE_NS * cells(rest + usize::from(rate)),
                ..Cost::default()
            };
            Some(Tail {
                fold,
                next_rate: Some(rate),
                cost: own.plus(tail.cost).plus(encode),
            })
        });
        next.collect()
    }

    /// Rows that a phase draws.
    fn rows(&self, rate: u8) -> f64 {
        let level = TERM_BITS - usize::from(self.grinding_bits);
        SecurityAssumption::JohnsonBound.queries(level, usize::from(rate)) as f64
    }

    /// The queries of a phase with `rest` variables behind its fold: the same under all objectives.
    fn queries(&self, rest: usize, rate: u8, fold: u8, cell_bytes: f64) -> Cost {
        let key = (self.grinding_bits, rest, rate, fold, cell_bytes > BASE_BYTES);
        if let Some(found) = QUERIES.read().ok().and_then(|known| known.get(&key).copied()) {
            return found;
        }
        let cost = self.count_queries(rest, rate, fold, cell_bytes);
        if let Ok(mut known) = QUERIES.write() {
            known.insert(key, cost);
        }
        cost
    }

    fn count_queries(&self, rest: usize, rate: u8, fold: u8, cell_bytes: f64) -> Cost {
        let depth = rest + usize::from(rate);
        let rows = self.rows(rate).min(cells(depth));
        let row_bytes = cell_bytes * cells(usize::from(fold));
        self.opened(rows, row_bytes, depth, rest, 1.0)
    }

    /// What rows of so many bytes cost, out of one tree or two of a depth.
    fn opened(&self, rows: f64, row_bytes: f64, depth: usize, rest: usize, trees: f64) -> Cost {
        let siblings = siblings(rows, depth) * trees;
        let compressions = rows * ((row_bytes / 64.0).ceil() + trees) + siblings;
        Cost {
            prove_ns: PHASE_NS + rows * ROW_NS + GRIND_NS * cells(usize::from(self.grinding_bits)),
            bytes: rows * row_bytes + siblings * NODE_BYTES + 2.0 * NODE_BYTES,
            verify_ns: compressions * COMPRESSION_NS
                + rows * (row_bytes * ROW_BYTE_NS + VARIABLE_NS * rest as f64),
        }
    }
}

/// What encoding `2^encoded` cells costs each proof.
pub(crate) fn encoding_ns(encoded: usize, role: Role) -> f64 {
    ENCODE_NS * cells(encoded) * role.share()
}

/// Variables of the largest codeword that is offered for a polynomial.
pub(crate) fn largest_codeword(variables: usize) -> usize {
    let largest = (variables + MOST_RATE).clamp(SMALL_VARIABLES, MEMORY_VARIABLES);
    largest.max(variables + 2).min(CODEWORD)
}

/// Whether a verifying key may hold the schedule, and the queries of all its phases together stay below the goal: each
/// phase has some bits more, which several phases may use up.
fn reaches_goal(schedule: &Schedule, variables: usize) -> bool {
    let Ok(config) = schedule.config(variables) else {
        return false;
    };
    let regime = SecurityAssumption::JohnsonBound;
    let last = config.final_round_config();
    let mut rates = schedule.log_inverse_rates.iter();
    let phases = config.round_parameters().iter().chain([&last]);
    let error: f64 = phases
        .map(|phase| {
            let rate = rates.next().copied().map_or(1, usize::from);
            let bits = regime.queries_error(rate, phase.num_queries) + phase.pow_bits as f64;
            // The chord lies above the curve.
            let whole = bits as usize;
            (1.0 - (bits - whole as f64) / 2.0) * power(0.5, whole as u32)
        })
        .sum();
    error * power(2.0, GOAL_BITS) <= 1.0 - OTHER_TERMS
}

/// `2^variables`.
fn cells(variables: usize) -> f64 {
    (1u64 << variables.min(63)) as f64
}

/// Nodes that a proof of `rows` random leaves of a tree of this depth holds, on average; none when all are opened.
fn siblings(rows: f64, depth: usize) -> f64 {
    if rows >= cells(depth) {
        return 0.0;
    }
    // Nearly all nodes of the levels near the root are on a path.
    let first = (rows as u64).max(1).ilog2().saturating_sub(3).max(1) as usize;
    let missed = |nodes: f64, seats: f64| power(1.0 - seats / nodes, rows as u32);
    (first..=depth)
        .map(|level| {
            let nodes = cells(level);
            nodes * (missed(nodes, 1.0) - missed(nodes, 2.0))
        })
        .sum()
}

/// `base` to an integer power, by products alone: a model has the same key wherever its parameters are searched for, and
/// library functions may differ in the last bit from one machine to another.
fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= base;
        }
        base *= base;
        exponent /= 2;
    }
    result
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    /// The shortest path is as short as the best of all schedules of two phases.
    #[test]
    fn no_schedule_of_two_phases_is_cheaper() {
        for (variables, role) in [(12, Role::Proof), (15, Role::Registration)] {
            let objective = Aim::Balanced.objective(variables);
            let found = Search::new(objective).schedules(variables, role, (4, 6), (1, RATE));
            let least = found.first().map_or(f64::INFINITY, |c| objective.of(&c.cost));
            for (first, second) in (4..=6).flat_map(|a| (1..=FOLD).map(move |b| (a, b))) {
                for (r0, r1) in (1..=RATE).flat_map(|a| (1..=RATE.min(a + first)).map(move |b| (a, b))) {
                    for grinding_bits in GRINDING_BITS {
                        let schedule = Schedule {
                            folds: vec![first, second],
                            log_inverse_rates: vec![r0, r1],
                            grinding_bits,
                        };
                        let encoded = variables + usize::from(r0);
                        if encoded > largest_codeword(variables) || !reaches_goal(&schedule, variables) {
                            continue;
                        }
                        let phases = Phases {
                            objective,
                            grinding_bits,
                        };
                        let cost = phases.cost_of(&schedule, variables, role);
                        assert!(least <= objective.of(&cost) + 1.0, "{schedule:?}");
                    }
                }
            }
        }
    }

    impl Phases {
        /// The cost of a schedule of two phases, term by term.
        fn cost_of(&self, schedule: &Schedule, variables: usize, role: Role) -> Cost {
            let [f0, f1] = schedule.folds[..] else {
                panic!("two phases")
            };
            let [r0, r1] = schedule.log_inverse_rates[..] else {
                panic!("two phases")
            };
            let middle = variables - usize::from(f0);
            let rest = middle - usize::from(f1);
            let mut cost =
                self.queries(middle, r0, f0, BASE_BYTES)
                    .plus(self.queries(rest, r1, f1, EXTENSION_BYTES));
            cost.prove_ns += 3.0 * ENCODE_NS * cells(middle + usize::from(r1)) + FOLD_NS * cells(variables);
            cost.prove_ns += ENCODE_NS * cells(variables + usize::from(r0)) * role.share();
            cost.bytes += EXTENSION_BYTES * (cells(rest) + 2.0 * variables as f64);
            cost.verify_ns += 200.0 * cells(rest) + ROUND_NS * variables as f64;
            cost
        }
    }
}
