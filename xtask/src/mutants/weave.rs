//! A source file that holds all its mutants, each behind a question to `crate::mutant`.

use std::collections::BTreeSet;
use std::ops::Range;

use super::site::{Form, Site};

/// A file with its mutants in it, and which bytes belong to which.
pub(crate) struct Woven {
    /// The text.
    pub(crate) text: String,
    /// Bytes that only one mutant runs.
    mutants: Vec<(Range<usize>, u32)>,
    /// The bytes of each site, with its mutants.
    sites: Vec<(Range<usize>, Vec<u32>)>,
}

impl Woven {
    /// The mutants that code at these bytes belongs to: one where only it runs that code, else all of the
    /// innermost site.
    pub(crate) fn at(&self, bytes: &Range<usize>) -> Vec<u32> {
        let around = |range: &Range<usize>| range.start <= bytes.start && bytes.end <= range.end;
        let mutant = self
            .mutants
            .iter()
            .filter(|(range, _)| around(range))
            .min_by_key(|(range, _)| range.len());
        if let Some((_, id)) = mutant {
            return vec![*id];
        }
        let site = self
            .sites
            .iter()
            .filter(|(range, _)| around(range))
            .min_by_key(|(range, _)| range.len());
        site.map(|(_, ids)| ids.clone()).unwrap_or_default()
    }
}

/// What is done to the text at one place.
struct Edit {
    at: Range<usize>,
    /// At the same byte: what ends there, then what begins there.
    closes: bool,
    /// Of the site; outer sites have lower ones.
    order: usize,
    /// Text, and the mutant that alone runs it.
    pieces: Vec<(String, Option<u32>)>,
}

fn asked(id: u32) -> String {
    format!("crate::mutant::is({id})")
}

/// Weaves all mutants but those left out into a text.
pub(crate) fn weave(text: &str, sites: &[Site], left_out: &BTreeSet<u32>) -> Woven {
    let mut edits = Vec::new();
    let mut kept = Vec::new();
    for (order, site) in sites.iter().enumerate() {
        let choices: Vec<(u32, &str)> = site
            .choices
            .iter()
            .filter(|(id, _)| !left_out.contains(id))
            .map(|(id, code)| (*id, code.as_str()))
            .collect();
        if !choices.is_empty() || matches!(site.form, Form::Const(_)) {
            push_edits(text, &site.form, &choices, order, &mut edits);
            kept.push((order, choices.iter().map(|(id, _)| *id).collect::<Vec<u32>>()));
        }
    }
    edits.sort_by_key(|edit| {
        let order = if edit.closes {
            usize::MAX - edit.order
        } else {
            edit.order
        };
        (edit.at.start, !edit.closes, order)
    });
    let mut woven = Woven {
        text: String::new(),
        mutants: Vec::new(),
        sites: Vec::new(),
    };
    let mut bounds: Vec<Option<Range<usize>>> = vec![None; sites.len()];
    let mut copied = 0;
    for edit in edits {
        woven
            .text
            .push_str(text.get(copied..edit.at.start).unwrap_or_default());
        copied = edit.at.end;
        let start = woven.text.len();
        for (piece, id) in edit.pieces {
            let from = woven.text.len();
            woven.text.push_str(&piece);
            woven.mutants.extend(id.map(|id| (from..woven.text.len(), id)));
        }
        if let Some(bound) = bounds.get_mut(edit.order) {
            let from = bound.as_ref().map_or(start, |range| range.start);
            *bound = Some(from..woven.text.len());
        }
    }
    woven.text.push_str(text.get(copied..).unwrap_or_default());
    for (order, ids) in kept {
        let bound = bounds.get(order).cloned().flatten();
        woven.sites.extend(bound.map(|range| (range, ids)));
    }
    woven
}

fn push_edits(text: &str, form: &Form, choices: &[(u32, &str)], order: usize, edits: &mut Vec<Edit>) {
    let mut push = |at: Range<usize>, closes: bool, pieces: Vec<(String, Option<u32>)>| {
        edits.push(Edit {
            at,
            closes,
            order,
            pieces,
        });
    };
    let plain = |text: &str| vec![(text.to_owned(), None)];
    // `if asked { altered } else` for each mutant.
    let branches = |alter: &dyn Fn(&str) -> String| -> Vec<(String, Option<u32>)> {
        let branch = |(id, code): &(u32, &str)| {
            (
                format!("if {} {{ {} }} else ", asked(*id), alter(code)),
                Some(*id),
            )
        };
        choices.iter().map(branch).collect()
    };
    let any = || {
        choices
            .iter()
            .map(|(id, _)| asked(*id))
            .collect::<Vec<_>>()
            .join(" || ")
    };
    let point = |at: usize| at..at;
    match form {
        Form::Body(at) => {
            let returns = choices
                .iter()
                .map(|(id, value)| (format!(" if {} {{ return {value}; }}", asked(*id)), Some(*id)));
            push(point(*at), false, returns.collect());
        }
        Form::Const(keyword) => push(keyword.clone(), false, plain("")),
        Form::Infix {
            left,
            right,
            operator,
            by_reference,
        } => {
            let (borrow, deref) = if *by_reference { ("&", "*") } else { ("", "") };
            push(point(left.start), false, plain(&format!("(match ({borrow}(")));
            push(left.end..right.start, false, plain(&format!("), {borrow}(")));
            let mut end = plain(")) { (l, r) => ");
            end.extend(branches(&|other| format!("{deref}l {other} {deref}r")));
            end.extend(plain(&format!("{{ {deref}l {operator} {deref}r }} }})")));
            push(point(right.end), true, end);
        }
        Form::Assignment {
            left,
            right,
            operator,
        } => {
            let place = text.get(left.clone()).unwrap_or_default();
            push(left.start..right.start, false, plain("match ("));
            let mut end = plain(") { r => ");
            end.extend(branches(&|other| format!("{place} {other} r")));
            end.extend(plain(&format!("{{ {place} {operator} r }} }}")));
            push(point(right.end), true, end);
        }
        Form::Lazy { left, right, is_or } => {
            let equal = if *is_or { "==" } else { "!=" };
            push(point(left.start), false, plain("(match ("));
            push(
                left.end..right.start,
                false,
                plain(&format!(") {{ l => if l {equal} ({}) {{ ", any())),
            );
            push(point(right.end), true, plain(" } else { l } })"));
        }
        Form::Prefix {
            whole,
            operand,
            operator,
        } => {
            push(whole.start..operand.start, false, plain("(match ("));
            let mut end = plain(") { l => ");
            end.extend(branches(&|_| "l".to_owned()));
            end.extend(plain(&format!("{{ {operator}l }} }})")));
            push(point(operand.end), true, end);
        }
        Form::Condition(range) => {
            push(point(range.start), false, plain("(match ("));
            let mut end = plain(") { c => ");
            end.extend(branches(&|value| value.to_owned()));
            end.extend(plain("{ c } })"));
            push(point(range.end), true, end);
        }
        Form::Arm(at) => push(point(*at), true, plain(&format!(" if !({}) ", any()))),
        Form::Statement(range) => {
            push(point(range.start), false, plain(&format!("if !({}) {{ ", any())));
            push(point(range.end), true, plain(" }"));
        }
        Form::Literal(range) => {
            let number = text.get(range.clone()).unwrap_or_default();
            let mut pieces = plain("(");
            pieces.extend(branches(&|one| format!("{number} + {one}")));
            pieces.extend(plain(&format!("{{ {number} }})")));
            push(range.clone(), false, pieces);
        }
    }
}
