//! What happens to the economy from outside, as a function of time.

use clap::ValueEnum;

/// A course of events. All but the calm ones have a shock on the same day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Demand grows, nothing else happens.
    Calm,
    /// The market price of OPG falls by 95 % within ten days and stays there.
    OpgCollapse,
    /// Nobody sells OPG for thirty days.
    OpgUnobtainable,
    /// Demand grows sixfold within two weeks, and falls to twice the calm one after four months.
    DemandBoom,
    /// Thirty days of invalid proofs at the floor price, then invalid proofs by somebody who pays up to fifty times it.
    Spam,
    /// Half of the nodes leave without settling what they answered; as many come after four months.
    Exodus,
    /// The second fee asset loses 98 % of its value within five days.
    AssetFailure,
    /// Calm growth with nodes that settle under covering vouchers and prove what users doubt.
    CalmCovered,
    /// Nobody sells OPG for thirty days, and nodes settle under covering vouchers.
    OpgUnobtainableCovered,
}

/// The world outside at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Conditions {
    /// Demand, relative to calm growth.
    pub(super) demand: f64,
    /// The level around which the price of OPG moves, relative to the calm one.
    pub(super) opg_level: f64,
    /// Whether OPG is for sale.
    pub(super) opg_for_sale: bool,
    /// The highest base fee at which a spammer sends, in OPG units per gas.
    pub(super) spam_up_to: Option<u128>,
    /// Whether the first half of the nodes has left.
    pub(super) half_gone: bool,
    /// Whether the nodes that replace them are there.
    pub(super) replaced: bool,
    /// What a unit of the second fee asset is worth, in dollars.
    pub(super) alt_usd: f64,
}

const CALM: Conditions = Conditions {
    demand: 1.0,
    opg_level: 1.0,
    opg_for_sale: true,
    spam_up_to: None,
    half_gone: false,
    replaced: false,
    alt_usd: 1.0,
};

/// Days after the shock that decide whether it was harmless; also the length of the shocks that end.
pub(super) const SHOCK_DAYS: u32 = 30;

impl Scenario {
    /// Conditions `days` after the shock; before it, `days` is negative.
    pub(super) fn conditions(self, days: f64) -> Conditions {
        if days < 0.0 {
            return CALM;
        }
        let month = f64::from(SHOCK_DAYS);
        match self {
            Self::Calm | Self::CalmCovered => CALM,
            Self::OpgCollapse => Conditions {
                opg_level: 0.05f64.powf(ramp(days, 10.0)),
                ..CALM
            },
            Self::OpgUnobtainable | Self::OpgUnobtainableCovered => Conditions {
                opg_for_sale: days >= month,
                ..CALM
            },
            Self::DemandBoom => Conditions {
                demand: 1.0 + 5.0 * ramp(days, 14.0) - 4.0 * ramp(days - 120.0, 30.0),
                ..CALM
            },
            Self::Spam => Conditions {
                spam_up_to: if days < month {
                    Some(1)
                } else {
                    (days < 2.0 * month).then_some(50)
                },
                ..CALM
            },
            Self::Exodus => Conditions {
                half_gone: true,
                replaced: days >= 120.0,
                ..CALM
            },
            Self::AssetFailure => Conditions {
                alt_usd: 0.02f64.powf(ramp(days, 5.0)),
                ..CALM
            },
        }
    }

    /// Whether nodes answer under `Optimistic` evidence and settle under covering vouchers, instead of proving everything.
    pub(super) const fn is_covered(self) -> bool {
        matches!(self, Self::CalmCovered | Self::OpgUnobtainableCovered)
    }

    /// The run that this one is compared with: the calm one of the same agents, and for that the calm one of agents that
    /// prove everything.
    pub(super) const fn reference(self) -> Self {
        match self {
            Self::OpgUnobtainableCovered => Self::CalmCovered,
            _ => Self::Calm,
        }
    }

    /// This scenario with all that are compared.
    pub(super) fn with_references(self) -> Vec<Self> {
        let mut scenarios = vec![self];
        let mut last = self;
        while last != last.reference() {
            last = last.reference();
            scenarios.push(last);
        }
        scenarios
    }

    /// How long the shock lasts, in days; `None` when it stays.
    pub(super) fn shock_days(self) -> Option<f64> {
        match self {
            Self::Calm | Self::CalmCovered => Some(0.0),
            Self::OpgUnobtainable | Self::OpgUnobtainableCovered => Some(f64::from(SHOCK_DAYS)),
            Self::Spam => Some(2.0 * f64::from(SHOCK_DAYS)),
            Self::DemandBoom | Self::Exodus => Some(120.0),
            Self::OpgCollapse | Self::AssetFailure => None,
        }
    }

    /// The name on the command line and of the files.
    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// A heading.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Calm => "Calm growth",
            Self::OpgCollapse => "OPG loses 95 % of its price",
            Self::OpgUnobtainable => "OPG is unobtainable for 30 days",
            Self::DemandBoom => "Demand grows sixfold for four months",
            Self::Spam => "Spam: 30 days at the floor price, then 30 days up to 50 times it",
            Self::Exodus => "Half of the nodes leave at once",
            Self::AssetFailure => "A fee asset loses 98 % of its value",
            Self::CalmCovered => "Calm growth, Optimistic receipts under covering vouchers",
            Self::OpgUnobtainableCovered => {
                "OPG is unobtainable for 30 days, Optimistic receipts under covering vouchers"
            }
        }
    }
}

/// From 0 to 1 over `length` days.
fn ramp(days: f64, length: f64) -> f64 {
    (days / length).clamp(0.0, 1.0)
}
