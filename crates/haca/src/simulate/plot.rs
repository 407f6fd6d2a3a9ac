//! Figures as SVG: small panels with labelled axes, one figure per scenario.

use std::fmt::Write as _;

use super::scenario::Scenario;
use super::series::{Column, Series};

/// One panel: a title with its unit, a factor from the measured unit, whether the axis is logarithmic, and up to three
/// lines with their labels.
struct Panel {
    title: &'static str,
    factor: f64,
    logarithmic: bool,
    lines: &'static [(Column, &'static str)],
}

const fn panel(
    title: &'static str,
    factor: f64,
    logarithmic: bool,
    lines: &'static [(Column, &'static str)],
) -> Panel {
    Panel {
        title,
        factor,
        logarithmic,
        lines,
    }
}

const PANELS: &[Panel] = &[
    panel(
        "Base fee, OPG units per gas",
        1.0,
        true,
        &[(Column::BaseFee, "base fee")],
    ),
    panel(
        "Verification budget, %",
        100.0,
        false,
        &[
            (Column::BudgetUse, "used"),
            (Column::ClockStopped, "blocks that stop the clock"),
        ],
    ),
    panel(
        "OPG burned a day, thousands",
        1e-3,
        false,
        &[(Column::Burned, "burned")],
    ),
    panel(
        "Inferences a day, millions",
        1e-6,
        false,
        &[(Column::Settled, "settled"), (Column::Demand, "demanded")],
    ),
    panel(
        "Unsettled answers, millions",
        1e-6,
        false,
        &[(Column::Backlog, "waiting"), (Column::Missed, "missed that day")],
    ),
    panel(
        "Inferences of a proof or voucher",
        1.0,
        false,
        &[(Column::Batch, "mean batch")],
    ),
    panel(
        "Fees a day, thousand $",
        1e-3,
        false,
        &[(Column::FeesUsd, "in USD"), (Column::FeesAlt, "in ALT")],
    ),
    panel(
        "Price of 1,000 inferences, $",
        1e3,
        false,
        &[(Column::PriceUsd, "posted")],
    ),
    panel(
        "Profit of all nodes a day, thousand $",
        1e-3,
        false,
        &[(Column::NodeProfit, "profit")],
    ),
    MISSED,
    panel(
        "Income of validators a day, thousands",
        1e-3,
        false,
        &[(Column::ValidatorUsd, "$"), (Column::ValidatorOpg, "OPG")],
    ),
    panel("Price of an OPG, $", 1.0, true, &[(Column::OpgUsd, "market")]),
];

const MISSED: Panel = panel(
    "Missed settlements a day, thousand $",
    1e-3,
    false,
    &[
        (Column::Unproven, "fees unpaid"),
        (Column::Warranties, "warranties paid"),
        (Column::Unclaimed, "unclaimed"),
    ],
);

/// The panel that stands for that of missed settlements where proofs are made on demand.
const DEMANDS: Panel = panel(
    "Proofs on demand a day, millions",
    1e-6,
    false,
    &[
        (Column::Demanded, "demanded"),
        (Column::Forgone, "without OPG"),
        (Column::Forfeited, "unanswered"),
    ],
);

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (340.0, 196.0);
const TOP: f64 = 52.0;
const LEFT: f64 = 54.0;
/// Width and height of the axes.
const PLOT: (f64, f64) = (268.0, 118.0);
/// Points of a line; more days than that are put together by their means.
const POINTS: usize = 122;

const STYLE: &str = "
    .surface { fill: #ffffff; } .ink { fill: #1f2328; } .soft { fill: #59636e; }
    .grid { stroke: #d8dee4; } .shock { fill: #f2e9dc; } .calm { stroke: #afb8c1; }
    .a { stroke: #0b62d6; } .b { stroke: #b35900; } .c { stroke: #7a3fb5; }
    .a-ink { fill: #0b62d6; } .b-ink { fill: #8f4700; } .c-ink { fill: #7a3fb5; }
    polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
    text { font-family: system-ui, -apple-system, \"Segoe UI\", Helvetica, Arial, sans-serif; font-size: 11px; }
    .title { font-size: 15px; font-weight: 600; } .head { font-size: 12px; font-weight: 600; }
";

/// The figure of a run. `calm`, its reference, is drawn in grey behind the first line of each panel; `shock` is the shaded time: its
/// first day and length in days.
pub(super) fn figure(
    scenario: Scenario,
    run: &Series,
    calm: Option<&Series>,
    start: u32,
    shock: Option<(u32, f64)>,
) -> String {
    let rows = PANELS.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64 + 10.0, TOP + PANEL.1 * rows as f64 + 8.0);
    let days = run.days().max(2);
    let shaded = match shock {
        Some((from, length)) => (f64::from(from), (f64::from(from) + length).min(days as f64)),
        None => (f64::from(start), days as f64),
    };
    let title = scenario.title();
    let note = match calm {
        Some(_) if scenario.reference().is_covered() => {
            "shaded: the shock; grey: the calm run under vouchers with the same seed"
        }
        Some(_) if scenario.is_covered() => {
            "grey: the run of nodes that prove everything, with the same seed"
        }
        Some(_) => "shaded: the shock; grey: the calm run with the same seed",
        None => "two kinds of money: fees in USD and ALT, verification in OPG",
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-labelledby=\"title\">\n<title id=\"title\">{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"surface\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"6\"/>\n\
         <text class=\"ink title\" x=\"14\" y=\"24\">{title}</text>\n\
         <text class=\"soft\" x=\"14\" y=\"41\">{note}; x axes: days</text>\n"
    );
    for (index, panel) in PANELS.iter().enumerate() {
        let replaced = scenario.is_covered() && panel.title == MISSED.title;
        let panel = if replaced { &DEMANDS } else { panel };
        let x = LEFT + PANEL.0 * (index % COLUMNS) as f64;
        let y = TOP + PANEL.1 * (index / COLUMNS) as f64 + 38.0;
        draw(&mut svg, panel, (x, y), run, calm, shaded);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One axis: from value to pixels.
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    fn of(values: &[f64], logarithmic: bool) -> Self {
        let low = values.iter().copied().fold(f64::MAX, f64::min);
        let high = values.iter().copied().fold(f64::MIN, f64::max);
        if logarithmic && low > 0.0 {
            let (low, high) = (low.log10().floor(), high.log10().ceil());
            let high = high.max(low + 1.0);
            return Self {
                low,
                high,
                logarithmic,
            };
        }
        let (low, high) = (low.min(0.0), high.max(0.0));
        let step = if high - low < 1e-6 {
            1.0
        } else {
            nice((high - low) / 3.0)
        };
        Self {
            low: (low / step).floor() * step,
            high: ((high / step).ceil() * step).max(step),
            logarithmic: false,
        }
    }

    /// 0 at the lower end, 1 at the upper.
    fn share(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.max(1e-12).log10()
        } else {
            value
        };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let step = if self.logarithmic {
            1.0
        } else {
            nice((self.high - self.low) / 3.0)
        };
        let count = ((self.high - self.low) / step + 0.01) as usize;
        let ticks = (0..=count).map(|index| self.low + step * index as f64);
        if self.logarithmic {
            ticks.map(|tick| 10f64.powf(tick)).collect()
        } else {
            ticks.collect()
        }
    }
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let lead = step / power;
    let lead = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|nice| *nice >= lead * 0.999)
        .unwrap_or(10.0);
    lead * power
}

fn draw(
    svg: &mut String,
    panel: &Panel,
    (x, y): (f64, f64),
    run: &Series,
    calm: Option<&Series>,
    shaded: (f64, f64),
) {
    let days = run.days().max(2) as f64;
    let values = |series: &Series, column: Column| {
        let values: Vec<f64> = series.column(column).map(|value| value * panel.factor).collect();
        thin(&values)
    };
    let lines: Vec<Vec<f64>> = panel
        .lines
        .iter()
        .map(|(column, _)| values(run, *column))
        .collect();
    let behind = match (calm, panel.lines.first()) {
        (Some(calm), Some((column, _))) => values(calm, *column),
        _ => Vec::new(),
    };
    let all: Vec<f64> = lines.iter().flatten().chain(&behind).copied().collect();
    let axis = Axis::of(&all, panel.logarithmic);
    let across = |day: f64| x + PLOT.0 * day / days;
    let down = |value: f64| y + PLOT.1 * (1.0 - axis.share(value));
    let _ = writeln!(
        svg,
        "<text class=\"ink head\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
        x - LEFT + 14.0,
        y - 22.0,
        panel.title
    );
    let _ = writeln!(
        svg,
        "<rect class=\"shock\" x=\"{:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\"/>",
        across(shaded.0),
        across(shaded.1) - across(shaded.0),
        PLOT.1
    );
    draw_axes(svg, &axis, days, (x, y));
    if !behind.is_empty() {
        draw_line(svg, "calm", &behind, x, down);
    }
    let mut label = x;
    for ((class, (_, name)), line) in ["a", "b", "c"].into_iter().zip(panel.lines).zip(&lines) {
        draw_line(svg, class, line, x, down);
        let _ = writeln!(
            svg,
            "<text class=\"{class}-ink\" x=\"{label:.0}\" y=\"{:.0}\">{name}</text>",
            y - 6.0
        );
        label += 6.1 * name.len() as f64 + 14.0;
    }
}

fn draw_axes(svg: &mut String, axis: &Axis, days: f64, (x, y): (f64, f64)) {
    for tick in axis.ticks() {
        let at = y + PLOT.1 * (1.0 - axis.share(tick));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.0}\" y1=\"{at:.1}\" x2=\"{:.0}\" y2=\"{at:.1}\"/>\
             <text class=\"soft\" text-anchor=\"end\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
            x + PLOT.0,
            x - 5.0,
            at + 4.0,
            number(tick)
        );
    }
    let step = nice(days / 5.0);
    let mut day = 0.0;
    while day <= days {
        let at = x + PLOT.0 * day / days;
        let _ = writeln!(
            svg,
            "<text class=\"soft\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.0}\">{day:.0}</text>",
            y + PLOT.1 + 15.0
        );
        day += step;
    }
}

fn draw_line(svg: &mut String, class: &str, values: &[f64], x: f64, down: impl Fn(f64) -> f64) {
    let last = values.len().saturating_sub(1).max(1) as f64;
    let _ = write!(svg, "<polyline class=\"{class}\" points=\"");
    for (index, value) in values.iter().enumerate() {
        let _ = write!(
            svg,
            "{:.1},{:.1} ",
            x + PLOT.0 * index as f64 / last,
            down(*value)
        );
    }
    svg.push_str("\"/>\n");
}

/// At most [`POINTS`] values, each the mean of as many days.
fn thin(values: &[f64]) -> Vec<f64> {
    let size = values.len().div_ceil(POINTS).max(1);
    values
        .chunks(size)
        .map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64)
        .collect()
}

/// A number as short as its size allows.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 10_000.0 {
        return format!("{:.0}k", value / 1e3);
    }
    let digits = if magnitude >= 10.0 || magnitude == 0.0 {
        0
    } else if magnitude >= 1.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}
