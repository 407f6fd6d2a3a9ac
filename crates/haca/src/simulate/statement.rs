//! What the documentation says of a scenario, as something that can be false: docs/concepts/economics.md.

use core::fmt;

use serde_json::{Value, json};

use super::scenario::{SHOCK_DAYS, Scenario};
use super::series::{Column, Series};

/// Between which values a quantity has to lie.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A sentence with the number that makes it true or false.
pub(super) struct Statement {
    text: &'static str,
    found: f64,
    bound: Bound,
}

impl Statement {
    /// Whether it is true of the run.
    pub(super) fn holds(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.found >= least,
            Bound::AtMost(most) => self.found <= most,
        }
    }

    pub(super) fn json(&self) -> Value {
        let (kind, bound) = match self.bound {
            Bound::AtLeast(least) => ("at_least", least),
            Bound::AtMost(most) => ("at_most", most),
        };
        json!({ "text": self.text, "found": self.found, kind: bound, "holds": self.holds() })
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, bound) = match self.bound {
            Bound::AtLeast(least) => ("at least", least),
            Bound::AtMost(most) => ("at most", most),
        };
        write!(f, "{}: {:.3}, {word} {bound}", self.text, self.found)
    }
}

/// A run beside its reference with the same seed: [`Scenario::reference`].
struct Comparison<'a> {
    run: &'a Series,
    calm: &'a Series,
    shock: u32,
    statements: Vec<Statement>,
}

impl Comparison<'_> {
    /// A column's sum in days after the shock, relative to the calm run's.
    fn share(&self, column: Column, days: (u32, u32)) -> f64 {
        let (from, to) = (self.shock + days.0, self.shock + days.1);
        self.run.sum(column, from, to) / self.calm.sum(column, from, to)
    }

    /// A column's sum in days after the shock.
    fn sum(&self, column: Column, days: (u32, u32)) -> f64 {
        self.run.sum(column, self.shock + days.0, self.shock + days.1)
    }

    /// OPG that nodes and sponsors spent for each inference settled in the month, relative to the reference's.
    fn opg_of_an_inference(&self) -> f64 {
        self.share(Column::NodeOpg, MONTH) / self.share(Column::Settled, MONTH)
    }

    fn mean(&self, column: Column, days: (u32, u32)) -> f64 {
        self.run.mean(column, self.shock + days.0, self.shock + days.1)
    }

    /// Of what was settled or missed in the whole run, the missed.
    fn missed_share(&self, missed: Column) -> f64 {
        let days = self.run.days() as u32;
        let missed = self.run.sum(missed, 0, days);
        let all = missed + self.run.sum(Column::Settled, 0, days);
        missed / all.max(1.0)
    }

    fn at_least(&mut self, text: &'static str, found: f64, bound: f64) {
        let bound = Bound::AtLeast(bound);
        self.statements.push(Statement { text, found, bound });
    }

    fn at_most(&mut self, text: &'static str, found: f64, bound: f64) {
        let bound = Bound::AtMost(bound);
        self.statements.push(Statement { text, found, bound });
    }
}

/// The month from the shock on.
const MONTH: (u32, u32) = (0, SHOCK_DAYS);
/// Its last ten days.
const END_OF_MONTH: (u32, u32) = (SHOCK_DAYS - 10, SHOCK_DAYS);
/// The month after.
const NEXT_MONTH: (u32, u32) = (SHOCK_DAYS, 2 * SHOCK_DAYS);
/// Two weeks, from two weeks after a month-long shock.
const RECOVERED: (u32, u32) = (SHOCK_DAYS * 3 / 2, 2 * SHOCK_DAYS);

/// The statements about `scenario`.
pub(super) fn of(scenario: Scenario, run: &Series, calm: &Series, shock: u32) -> Vec<Statement> {
    let mut it = Comparison {
        run,
        calm,
        shock,
        statements: Vec::new(),
    };
    let refused = run.sum(Column::Refused, 0, run.days() as u32);
    it.at_most("honest transactions that the ledger refused", refused, 0.0);
    match scenario {
        Scenario::Calm => calm_growth(&mut it),
        Scenario::OpgCollapse => opg_collapse(&mut it),
        Scenario::OpgUnobtainable => opg_unobtainable(&mut it),
        Scenario::DemandBoom => demand_boom(&mut it),
        Scenario::Spam => spam(&mut it),
        Scenario::Exodus => exodus(&mut it),
        Scenario::AssetFailure => asset_failure(&mut it),
        Scenario::CalmCovered => calm_covered(&mut it),
        Scenario::OpgUnobtainableCovered => opg_unobtainable_covered(&mut it),
    }
    it.statements
}

fn calm_growth(it: &mut Comparison<'_>) {
    it.at_most(
        "share of settlements missed",
        it.missed_share(Column::Missed),
        0.0,
    );
    it.at_least(
        "demand that is settled",
        it.sum(Column::Settled, MONTH) / it.sum(Column::Demand, MONTH),
        0.97,
    );
}

fn opg_collapse(it: &mut Comparison<'_>) {
    let fees = it.share(Column::FeesUsd, MONTH);
    it.at_least("fees in USD, relative to calm", fees, 0.85);
    let settled = it.share(Column::Settled, MONTH);
    it.at_least("inferences settled, relative to calm", settled, 0.97);
    it.at_most(
        "share of settlements missed",
        it.missed_share(Column::Missed),
        0.005,
    );
    let income = it.share(Column::ValidatorUsd, END_OF_MONTH);
    it.at_most("validators' income in dollars, relative to calm", income, 0.2);
}

fn opg_unobtainable(it: &mut Comparison<'_>) {
    let settled = it.share(Column::Settled, END_OF_MONTH);
    it.at_most(
        "inferences settled in the last ten days without OPG, relative to calm",
        settled,
        0.5,
    );
    let careful = it.sum(Column::MissedCareful, NEXT_MONTH) + it.sum(Column::MissedCareful, MONTH);
    it.at_most(
        "settlements missed by nodes that answer only what they hold OPG for",
        careful,
        0.0,
    );
    let missed = it.sum(Column::Missed, NEXT_MONTH) + it.sum(Column::Missed, MONTH);
    it.at_least("settlements missed by the others", missed, 1.0);
    let recovered = it.share(Column::Settled, RECOVERED);
    it.at_least(
        "inferences settled from two weeks after, relative to calm",
        recovered,
        0.9,
    );
}

fn demand_boom(it: &mut Comparison<'_>) {
    it.at_least(
        "inferences settled, relative to calm",
        it.share(Column::Settled, NEXT_MONTH),
        1.1,
    );
    it.at_least(
        "fees in USD, relative to calm",
        it.share(Column::FeesUsd, NEXT_MONTH),
        1.5,
    );
    it.at_least(
        "highest base fee, in OPG units per gas",
        it.run.max(Column::BaseFee),
        4.0,
    );
    it.at_most(
        "share of settlements missed",
        it.missed_share(Column::Missed),
        0.005,
    );
}

fn spam(it: &mut Comparison<'_>) {
    it.at_most(
        "base fee in the month of spam at the floor",
        it.mean(Column::BaseFee, MONTH),
        3.0,
    );
    it.at_least(
        "base fee in that month, relative to calm",
        it.share(Column::BaseFee, MONTH),
        1.1,
    );
    let settled = it.share(Column::Settled, MONTH);
    it.at_least("inferences settled in it, relative to calm", settled, 0.9);
    let base_fee = it.run.max(Column::BaseFee);
    it.at_least("highest base fee under the spam that pays", base_fee, 10.0);
    let top = it.share(Column::SettledTop, NEXT_MONTH);
    it.at_least(
        "inferences settled in that month for who pays most, relative to calm",
        top,
        0.8,
    );
    it.at_most(
        "share of settlements missed",
        it.missed_share(Column::Missed),
        0.005,
    );
}

fn exodus(it: &mut Comparison<'_>) {
    let settled = it.share(Column::Settled, MONTH);
    it.at_least("inferences settled, relative to calm", settled, 0.8);
    let base_fee = it.mean(Column::BaseFee, MONTH);
    it.at_most("base fee, in OPG units per gas", base_fee, 3.0);
    let paid = it.sum(Column::Warranties, MONTH) / it.sum(Column::Unproven, MONTH);
    it.at_least("warranties paid for each dollar of missed answers", paid, 1.0);
    it.at_most(
        "warranties that nobody claimed, in dollars",
        it.sum(Column::Unclaimed, NEXT_MONTH),
        0.0,
    );
}

fn asset_failure(it: &mut Comparison<'_>) {
    let top = it.share(Column::SettledTop, MONTH);
    it.at_least(
        "inferences settled for those who pay in USD and most, relative to calm",
        top,
        0.9,
    );
    let fees = it.share(Column::FeesUsd, MONTH);
    it.at_least("fees in USD, relative to calm", fees, 0.95);
    let both = it.run.sum(Column::Missed, 0, it.run.days() as u32)
        - it.run.sum(Column::MissedAlt, 0, it.run.days() as u32);
    it.at_most("settlements missed in USD", both, 0.0);
    let base_fee = it.mean(Column::BaseFee, MONTH);
    it.at_most("base fee, in OPG units per gas", base_fee, 3.0);
}

/// Compared with the calm run of nodes that prove everything.
fn calm_covered(it: &mut Comparison<'_>) {
    calm_growth(it);
    it.at_most(
        "OPG that nodes spend for an inference settled in the month, relative to proving all",
        it.opg_of_an_inference(),
        0.2,
    );
    proven_on_demand(it);
}

/// Compared with the calm run of the same agents.
fn opg_unobtainable_covered(it: &mut Comparison<'_>) {
    let settled = it.share(Column::Settled, END_OF_MONTH);
    it.at_least(
        "inferences settled in the last ten days without OPG, relative to calm",
        settled,
        0.9,
    );
    let fees = it.share(Column::FeesUsd, END_OF_MONTH);
    it.at_least("fees in USD in these days, relative to calm", fees, 0.9);
    it.at_most(
        "share of settlements missed",
        it.missed_share(Column::Missed),
        0.0,
    );
    proven_on_demand(it);
    let demanded = it.share(Column::Demanded, END_OF_MONTH);
    it.at_most(
        "proofs demanded in the last ten days without OPG, relative to calm",
        demanded,
        0.5,
    );
    let forgone = it.sum(Column::Forgone, MONTH);
    it.at_least(
        "receipts doubted in vain in the month, for want of OPG",
        forgone,
        1.0,
    );
    let recovered = it.share(Column::Demanded, RECOVERED);
    it.at_least(
        "proofs demanded from two weeks after, relative to calm",
        recovered,
        0.8,
    );
}

/// Nodes prove what is demanded of them.
fn proven_on_demand(it: &mut Comparison<'_>) {
    it.at_least(
        "receipts proven on demand in the month",
        it.sum(Column::Answered, MONTH),
        1.0,
    );
    let days = it.run.days() as u32;
    it.at_most(
        "demands that honest nodes left unanswered",
        it.run.sum(Column::Forfeited, 0, days),
        0.0,
    );
}
