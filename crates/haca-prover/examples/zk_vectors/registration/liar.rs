//! A prover who lies about weights while it registers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haca_prover::adversary::{RegistrationWitness, Tamper, Trees, Witness};
use haca_zk::VerifyingKey;
use haca_zk::field::{Base, Extension, base};
use p3_field::{Field as _, PrimeCharacteristicRing as _, PrimeField64 as _};

use super::{BIASES, LOOKUP, OPENING, WEIGHTS, end};

type Hook<'a, T> = Option<Box<dyn FnMut(&mut T) + Send + 'a>>;
type HookKnowing<'a, K, T> = Option<Box<dyn FnMut(K, &mut T) + Send + 'a>>;

/// What a prover lies about; hooks of [`Tamper`].
#[derive(Default)]
pub(super) struct Liar<'a> {
    weights: Hook<'a, [Vec<Base>]>,
    answers: Hook<'a, [Extension]>,
    witness: Hook<'a, RegistrationWitness>,
    committed: Hook<'a, RegistrationWitness>,
    trees: HookKnowing<'a, Extension, Trees>,
    sends: HookKnowing<'a, &'static str, [Extension]>,
}

fn call<T: ?Sized>(hook: &mut Hook<'_, T>, of: &mut T) {
    if let Some(hook) = hook {
        hook(of);
    }
}

impl Tamper for Liar<'_> {
    fn weights(&mut self, tables: &mut [Vec<Base>]) {
        call(&mut self.weights, tables);
    }

    fn answers(&mut self, answers: &mut [Extension]) {
        call(&mut self.answers, answers);
    }

    fn registration(&mut self, witness: &mut RegistrationWitness) {
        call(&mut self.witness, witness);
    }

    fn registration_committed(&mut self, witness: &mut RegistrationWitness) {
        call(&mut self.committed, witness);
    }

    fn trees(&mut self, alpha: Extension, trees: &mut Trees) {
        if let Some(hook) = &mut self.trees {
            hook(alpha, trees);
        }
    }

    fn sends(&mut self, name: &'static str, values: &mut [Extension]) {
        if let Some(hook) = &mut self.sends {
            hook(name, values);
        }
    }
}

/// A name, the code of the refusal or none, and who registers.
pub(super) type Case<'a> = (String, Option<&'static str>, Liar<'a>);
/// All that one prover may try with the model of `key`.
pub(super) fn cases(key: &VerifyingKey) -> Vec<Case<'_>> {
    let mut out = ends(key);
    out.extend(weights(key));
    out.extend(biases(key));
    out.extend(witnesses(key));
    out.extend(trees(key));
    out.extend(openings(key));
    out
}

// ---- weights and biases -------------------------------------------------------------------------------------------------

/// Puts a value into a cell of a table of the commitment.
pub(super) fn put<'a>(table: usize, cell: usize, value: i64) -> Liar<'a> {
    Liar {
        weights: Some(Box::new(move |tables| tables[table][cell] = base(value))),
        ..Liar::default()
    }
}

/// The number of the table of biases.
pub(super) fn bias_table(key: &VerifyingKey) -> usize {
    key.weights().weights.len()
}

/// Cells at both ends of their ranges: no lies.
fn ends<'a>(key: &VerifyingKey) -> Vec<Case<'a>> {
    let (tables, biases) = (key.weights().weights.clone(), key.weights().biases.clone());
    let at_ends = move |cells: &mut [Vec<Base>]| {
        for (table, cells) in tables.iter().zip(cells.iter_mut()) {
            let (low, high) = table.param.range;
            cells[0] = base(low);
            cells[(table.rows.len - 1) << table.columns.variables] = base(high);
        }
        let cells = &mut cells[tables.len()];
        for (param, block) in &biases {
            cells[block.offset] = base(param.range.0);
            cells[block.offset + param.columns - 1] = base(param.range.1);
        }
    };
    let liar = Liar {
        weights: Some(Box::new(at_ends)),
        ..Liar::default()
    };
    vec![("ends-of-ranges".to_owned(), None, liar)]
}

/// Values below and above the range of a cell.
pub(super) fn beyond<'a>(what: &str, table: usize, cell: usize, (low, high): (i64, i64)) -> [Case<'a>; 2] {
    [("below", low - 1), ("above", high + 1)].map(|(side, value)| {
        let name = format!("{what}-{side}-range");
        (name, Some(LOOKUP), put(table, cell, value))
    })
}

/// Weights beyond their ranges, and cells that are not zero where there is no weight.
fn weights<'a>(key: &VerifyingKey) -> Vec<Case<'a>> {
    let tables = &key.weights().weights;
    let mut out = Vec::from(beyond("weight", 0, 0, WEIGHTS[0]));
    out.push((
        "weight-far-above-range".to_owned(),
        Some(LOOKUP),
        put(0, 0, 1 << 40),
    ));
    for (number, table) in tables.iter().enumerate() {
        let (rows, columns) = (table.rows, table.columns);
        for (what, span, cell) in [
            ("rows", rows, rows.len << columns.variables),
            ("columns", columns, columns.len),
        ] {
            if span.len < 1 << span.variables {
                let name = format!("tile-{number}-in-padding-of-{what}");
                out.push((name, Some(LOOKUP), put(number, cell, 1)));
            }
        }
    }
    out
}

/// Biases beyond their ranges, and behind the last one of a vector.
fn biases<'a>(key: &VerifyingKey) -> Vec<Case<'a>> {
    let table = bias_table(key);
    let mut out = Vec::from(beyond("bias", table, 0, BIASES[0]));
    let first = key.weights().biases.first();
    let behind = first.map_or(0, |(param, block)| block.offset + param.columns);
    for (name, cell, value) in [
        ("bias-far-above-range".to_owned(), 0, 1 << 50),
        ("bias-in-padding".to_owned(), behind, -1),
    ] {
        out.push((name, Some(LOOKUP), put(table, cell, value)));
    }
    out
}
// ---- the witness --------------------------------------------------------------------------------------------------------

/// Counts the range lookups of an altered witness again.
fn recount(key: &VerifyingKey, witness: &mut RegistrationWitness) {
    let layout = key.registration();
    let looked_up: usize = layout.lookups.iter().map(|block| 1 << block.variables).sum();
    let mut counts = vec![0u64; witness.multiplicity.len()];
    counts[0] = ((1usize << layout.lookup_variables) - looked_up) as u64;
    for cell in witness.distances.iter().chain(&witness.limbs).flatten() {
        let found = usize::try_from(cell.as_canonical_u64()).ok();
        if let Some(count) = found.and_then(|value| counts.get_mut(value)) {
            *count += 1;
        }
    }
    witness.multiplicity = counts.into_iter().map(Base::from_u64).collect();
}

fn about<'a>(key: &'a VerifyingKey, lie: impl Fn(&mut RegistrationWitness) + Send + 'a) -> Liar<'a> {
    Liar {
        witness: Some(Box::new(move |witness| {
            lie(witness);
            recount(key, witness);
        })),
        ..Liar::default()
    }
}

/// Witnesses that are not those of the weights.
fn witnesses(key: &VerifyingKey) -> Vec<Case<'_>> {
    let (low, high) = WEIGHTS[0];
    let distances = Liar {
        weights: put(0, 0, high + 1).weights,
        ..about(key, move |witness| {
            witness.distances[0][0] = base(-low);
            witness.distances[1][0] = base(high);
        })
    };
    let negative = Liar {
        weights: put(bias_table(key), 0, BIASES[0].0 - 1).weights,
        ..about(key, |witness| {
            for (limb, value) in [-1, 0, 0, 0, 0].into_iter().enumerate() {
                witness.limbs[limb][0] = base(value);
            }
        })
    };
    let carried = about(key, |witness| {
        Witness::nudge(&mut witness.limbs[0], 1, 256);
        Witness::nudge(&mut witness.limbs[1], 1, -1);
    });
    let mut out = vec![
        ("distances-of-another-weight".to_owned(), distances),
        ("limb-below-zero".to_owned(), negative),
        ("limb-above-eight-bits".to_owned(), carried),
    ];
    for column in [0, 4, 5, 9] {
        let lie = move |witness: &mut RegistrationWitness| {
            let limb = &mut witness.limbs[column][2];
            *limb += if *limb == Base::ZERO {
                Base::ONE
            } else {
                -Base::ONE
            };
        };
        out.push((format!("limb-{column}-of-another-bias"), about(key, lie)));
    }
    for (name, cells) in [
        ("multiplicity-too-large", [(3, 1), (3, 0)]),
        ("multiplicity-of-another-row", [(2, 1), (3, -1)]),
    ] {
        let liar = Liar {
            witness: Some(Box::new(move |witness| {
                for (cell, by) in cells {
                    Witness::nudge(&mut witness.multiplicity, cell, by);
                }
            })),
            ..Liar::default()
        };
        out.push((name.to_owned(), liar));
    }
    out.into_iter()
        .map(|(name, liar)| (name, Some(LOOKUP), liar))
        .collect()
}

// ---- the trees ----------------------------------------------------------------------------------------------------------

/// A weight above its range, with leaves that make up for it.
fn with_trees<'a>(lie: impl Fn(Extension, &mut Trees) + Send + 'a) -> Liar<'a> {
    Liar {
        trees: Some(Box::new(lie)),
        ..put(0, 0, WEIGHTS[0].1 + 1)
    }
}

/// Leaves and roots that are not those of the witness.
fn trees(key: &VerifyingKey) -> Vec<Case<'_>> {
    let layout = key.registration();
    // The distance of the first weight to the high end stands in the second block.
    let false_leaf = layout.lookups[1].offset;
    let padding = end(&layout.lookups);
    let own_table = row_of_its_own(false_leaf);
    let numerators = Liar {
        witness: Some(Box::new(|witness| {
            Witness::nudge(&mut witness.multiplicity, 1, 1);
        })),
        trees: Some(Box::new(|_, trees| trees.table_numerators[1] += Base::ONE)),
        ..Liar::default()
    };
    let counts_nothing = with_trees(move |_, trees| {
        let mut numerators = vec![Base::ONE; trees.lookups.len()];
        numerators[false_leaf] = Base::ZERO;
        trees.lookup_numerators = Some(numerators);
    });
    let padded = with_trees(move |alpha, trees| {
        let missing = trees.lookups[false_leaf].inverse();
        trees.lookups[padding] = (alpha.inverse() - missing).inverse();
    });
    let zero = with_trees(|_, trees| {
        trees.table_numerators[3] = Base::ZERO;
        trees.tables[3] = Extension::ZERO;
    });
    let cases = [
        ("table-with-another-row", own_table),
        ("numerators-that-are-no-multiplicities", numerators),
        ("lookup-that-counts-nothing", counts_nothing),
        ("padding-that-makes-up-for-a-lookup", padded),
        ("denominator-of-zero", zero),
        ("root-that-balances", balanced()),
        ("halves-of-a-layer-exchanged", exchanged()),
    ];
    cases
        .into_iter()
        .map(|(name, liar)| (name.to_owned(), Some(LOOKUP), liar))
        .collect()
}

/// Puts the false leaf into a row of the range table that nothing looks up.
fn row_of_its_own<'a>(false_leaf: usize) -> Liar<'a> {
    let free = Arc::new(AtomicUsize::new(0));
    let found = Arc::clone(&free);
    Liar {
        witness: Some(Box::new(move |witness| {
            let row = witness.multiplicity.iter().position(|m| *m == Base::ZERO);
            let row = row.unwrap_or(0);
            witness.multiplicity[row] = Base::ONE;
            found.store(row, Ordering::Relaxed);
        })),
        ..with_trees(move |_, trees| {
            let row = free.load(Ordering::Relaxed);
            trees.tables[row] = trees.lookups[false_leaf];
            trees.table_numerators[row] = -Base::ONE;
        })
    }
}

/// Sends a root of the range table that balances that of the lookup tree.
fn balanced<'a>() -> Liar<'a> {
    let mut lookups = None;
    let sends = move |name: &'static str, values: &mut [Extension]| {
        let [numerator, denominator] = values else {
            return;
        };
        match (name, lookups) {
            ("lookup tree", None) => lookups = Some((*numerator, *denominator)),
            ("table tree", Some((n, d))) => {
                *numerator = -n * d.inverse() * *denominator;
                lookups = Some((Extension::ZERO, Extension::ONE));
            }
            _ => {}
        }
    };
    Liar {
        sends: Some(Box::new(sends)),
        ..put(0, 0, WEIGHTS[0].1 + 1)
    }
}

/// Sends the second half of the first layer before the first: their sum stays what it is.
fn exchanged<'a>() -> Liar<'a> {
    let mut is_done = false;
    let sends = move |name: &'static str, values: &mut [Extension]| {
        if name == "lookup tree" && values.len() == 4 && !is_done {
            values.rotate_left(2);
            is_done = true;
        }
    };
    Liar {
        sends: Some(Box::new(sends)),
        ..Liar::default()
    }
}

// ---- openings -----------------------------------------------------------------------------------------------------------

/// Proofs about other columns, weights, biases and answers than the committed ones.
fn openings(key: &VerifyingKey) -> Vec<Case<'_>> {
    let mut out = Vec::new();
    for column in [0, 9, 10] {
        let lie = move |witness: &mut RegistrationWitness| {
            let cells = witness.limbs.get_mut(column);
            Witness::nudge(cells.unwrap_or(&mut witness.multiplicity), 2, 1);
        };
        let liar = Liar {
            committed: Some(Box::new(lie)),
            ..Liar::default()
        };
        out.push((format!("other-column-{column}-committed"), liar));
    }
    let (low, high) = WEIGHTS[0];
    let weight = Liar {
        weights: put(0, 0, high + 1).weights,
        ..about(key, move |witness| {
            witness.tables[0][0] = Base::ZERO;
            witness.distances[0][0] = base(-low);
            witness.distances[1][0] = base(high);
        })
    };
    out.push(("other-weight-committed".to_owned(), weight));
    let table = bias_table(key);
    let bias = Liar {
        weights: put(table, 0, BIASES[0].1 + 1).weights,
        ..about(key, move |witness| {
            witness.tables[table][0] = Base::ZERO;
            for (side, distance) in [-BIASES[0].0, BIASES[0].1].into_iter().enumerate() {
                for limb in 0..5 {
                    witness.limbs[5 * side + limb][0] = base((distance >> (8 * limb)) & 255);
                }
            }
        })
    };
    out.push(("other-bias-committed".to_owned(), bias));
    for answer in [0, table] {
        let liar = Liar {
            answers: Some(Box::new(move |answers| answers[answer] += Extension::ONE)),
            ..Liar::default()
        };
        out.push((format!("wrong-answer-{answer}"), liar));
    }
    out.into_iter()
        .map(|(name, liar)| (name, Some(OPENING), liar))
        .collect()
}
