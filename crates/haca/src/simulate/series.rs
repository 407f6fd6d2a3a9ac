//! What is measured: one row per day, at the scale of the network.

use std::fmt::Write as _;

/// How the blocks of a day make its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fold {
    Mean,
    Sum,
    Last,
}

macro_rules! columns {
    ($($(#[doc = $doc:literal])* $column:ident: $name:literal, $fold:ident;)*) => {
        /// One measured quantity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column {
            $($(#[doc = $doc])* $column,)*
        }

        impl Column {
            /// All of them, in the order of the file.
            pub(super) const ALL: &[Self] = &[$(Self::$column,)*];

            /// The name in CSV and JSON, unit last.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }

            const fn fold(self) -> Fold {
                match self {
                    $(Self::$column => Fold::$fold,)*
                }
            }
        }
    };
}

columns! {
    /// OPG units burned per gas.
    BaseFee: "base_fee", Mean;
    /// Share of the verification budget that was used.
    BudgetUse: "budget_use", Mean;
    /// Share of the blocks at which the settlement clock stood still.
    ClockStopped: "clock_stopped", Mean;
    /// OPG burned.
    Burned: "burned_opg", Sum;
    /// OPG that exist.
    Existing: "existing_opg", Last;
    /// Market price of an OPG.
    OpgUsd: "opg_usd", Mean;
    /// Inferences that users would pay for at the posted price.
    Demand: "demand_inferences", Sum;
    /// Inferences settled.
    Settled: "settled_inferences", Sum;
    /// Inferences settled for those who pay most.
    SettledTop: "settled_enterprise_inferences", Sum;
    /// Inferences answered and not settled, at the end of the day.
    Backlog: "backlog_inferences", Last;
    /// Inferences whose time to settle ran out.
    Missed: "missed_inferences", Sum;
    /// Of these, inferences of nodes that keep OPG for what they answer.
    MissedCareful: "missed_careful_inferences", Sum;
    /// Of the missed, inferences paid for in the second fee asset.
    MissedAlt: "missed_alt_inferences", Sum;
    /// Inferences of a proof or a voucher.
    Batch: "batch_inferences", Mean;
    /// Price of an inference, as the nodes that serve post it.
    PriceUsd: "price_usd", Mean;
    /// Fees paid in the first fee asset.
    FeesUsd: "fees_usd", Sum;
    /// Fees paid in the second fee asset, at its price of the day.
    FeesAlt: "fees_alt_usd", Sum;
    /// What nodes earned: fees less computing, proving, gas and warranties.
    NodeProfit: "node_profit_usd", Sum;
    /// Warranties paid to users.
    Warranties: "warranties_usd", Sum;
    /// Fees agreed for answers that stay without proof, and that were therefore not paid.
    Unproven: "unproven_usd", Sum;
    /// Warranties of missed settlements that nobody claimed in time.
    Unclaimed: "unclaimed_usd", Sum;
    /// Validators' rewards and tips.
    ValidatorOpg: "validators_opg", Sum;
    /// The same at the market price.
    ValidatorUsd: "validators_usd", Sum;
    /// OPG that nodes and sponsors spent on settlements and answers to demands, tips included.
    NodeOpg: "nodes_opg", Sum;
    /// Receipts of which users demanded the proof.
    Demanded: "demanded_inferences", Sum;
    /// Receipts that were proven on demand.
    Answered: "answered_inferences", Sum;
    /// Demands that were not answered in time, each at the price of a node's stake.
    Forfeited: "forfeited_demands", Sum;
    /// Receipts that users doubted and held no OPG to demand the proof of, until it was too late.
    Forgone: "forgone_demands", Sum;
    /// Transactions of honest agents that the ledger refused; this one counts transactions of the sample.
    Refused: "refused_transactions", Sum;
}

const WIDTH: usize = Column::ALL.len();

/// A day that is being measured.
#[derive(Clone)]
pub(super) struct Day {
    values: [f64; WIDTH],
    blocks: f64,
    settlements: f64,
}

impl Day {
    pub(super) fn new() -> Self {
        Self {
            values: [0.0; WIDTH],
            blocks: 0.0,
            settlements: 0.0,
        }
    }

    /// Adds to a sum or a mean.
    pub(super) fn add(&mut self, column: Column, value: f64) {
        self.values[column as usize] += value;
    }

    /// Sets a value that counts as it is at the end of the day.
    pub(super) fn set(&mut self, column: Column, value: f64) {
        self.values[column as usize] = value;
    }

    /// Notes a proof or a voucher that settled answers.
    pub(super) fn settlement(&mut self) {
        self.settlements += 1.0;
    }

    /// Ends a block.
    pub(super) fn end_block(&mut self) {
        self.blocks += 1.0;
    }

    fn finish(mut self) -> [f64; WIDTH] {
        for column in Column::ALL {
            if column.fold() == Fold::Mean {
                self.values[*column as usize] /= self.blocks.max(1.0);
            }
        }
        let settled = self.values[Column::Settled as usize];
        self.values[Column::Batch as usize] =
            settled / super::chain::SAMPLE as f64 / self.settlements.max(1.0);
        self.values
    }
}

/// All days of a run.
#[derive(Default)]
pub(super) struct Series {
    rows: Vec<[f64; WIDTH]>,
}

impl Series {
    /// Appends a day.
    pub(super) fn push(&mut self, day: Day) {
        self.rows.push(day.finish());
    }

    /// Days measured.
    pub(super) fn days(&self) -> usize {
        self.rows.len()
    }

    /// The values of a column, one per day.
    pub(super) fn column(&self, column: Column) -> impl Iterator<Item = f64> {
        self.rows.iter().map(move |row| row[column as usize])
    }

    /// The mean of a column over the days from `from` to before `to`.
    pub(super) fn mean(&self, column: Column, from: u32, to: u32) -> f64 {
        self.sum(column, from, to) / f64::from(to.saturating_sub(from).max(1))
    }

    /// The sum of a column over the days from `from` to before `to`.
    pub(super) fn sum(&self, column: Column, from: u32, to: u32) -> f64 {
        let days = to.saturating_sub(from) as usize;
        self.column(column).skip(from as usize).take(days).sum()
    }

    /// The largest value of a column.
    pub(super) fn max(&self, column: Column) -> f64 {
        self.column(column).fold(0.0, f64::max)
    }

    /// The whole table, with a line of names.
    pub(super) fn csv(&self) -> String {
        let mut text = String::from("day");
        for column in Column::ALL {
            let _ = write!(text, ",{}", column.name());
        }
        for (day, row) in self.rows.iter().enumerate() {
            let _ = write!(text, "\n{day}");
            for value in row {
                let _ = write!(text, ",{value:.6}");
            }
        }
        text.push('\n');
        text
    }
}
