//! `haca zk search`: the parameters that the prover looks at for a model, and what they are estimated to cost.

use haca_prover::parameters::{Exploration, WitnessChoice, explore};
use haca_prover::schedules::{Aim, Cost};
use haca_zk::schedule::Schedule;
use serde_json::{Value, json};

use crate::args::ZkSearch;
use crate::failure::Failure;
use crate::model;
use crate::screen::{Ink, Screen};
use crate::work::prover;

/// Dispatches `haca zk search`.
pub(crate) fn run(search: &ZkSearch, screen: &Screen) -> Result<u8, Failure> {
    let file = model::read(&search.model)?;
    let most = 1usize << haca_zk::witness::BATCH_VARIABLES;
    if !(1..=most).contains(&search.batch) {
        return Err(Failure::usage(
            "cli.batch",
            format!("a proof covers 1 to {most} inferences, not {}", search.batch),
            "choose --batch within it",
        ));
    }
    let aim = match search.objective.as_str() {
        "fast" => Aim::Fast,
        "small" => Aim::Small,
        _ => Aim::Balanced,
    };
    let batch_variables = search.batch.next_power_of_two().ilog2() as usize;
    let found = explore(&file.manifest, batch_variables, aim).map_err(prover)?;
    screen.object(&object(&found, search.top));
    say(&found, search, screen);
    Ok(0)
}

fn say(found: &Exploration, search: &ZkSearch, screen: &Screen) {
    let shown = |all: usize| format!("{} of {all}", search.top.min(all));
    screen.say(screen.ink(
        Ink::Bold,
        format!("weights ({}, the best first)", shown(found.weights.len())),
    ));
    screen.say(format!(
        "  {:>6} {:>6} {:>6}  {HEAD}  schedule",
        "pieces", "tiles", "cells"
    ));
    for choice in found.weights.iter().take(search.top) {
        screen.say(format!(
            "  {:>6} {:>6} {:>6}  {}  {}",
            choice.pieces,
            choice.tiles,
            format!("2^{}", choice.variables),
            columns(&choice.cost),
            schedule(&choice.schedule)
        ));
    }
    screen.say(screen.ink(
        Ink::Bold,
        format!(
            "witness of {} inferences ({}, the best first)",
            search.batch,
            shown(found.witness.len())
        ),
    ));
    screen.say(format!(
        "  {:>6} {:>6} {:>5} {:>6} {:>6}  {HEAD}  schedule",
        "limbs", "window", "high", "cells", "tree"
    ));
    for choice in found.witness.iter().take(search.top) {
        let parameters = &choice.parameters;
        screen.say(format!(
            "  {:>6} {:>6} {:>5} {:>6} {:>6}  {}  {}",
            format!("{}x{}", parameters.limbs, parameters.limb_bits),
            parameters.window_bits,
            parameters.high_bits,
            format!("2^{}", choice.variables),
            format!("2^{}", choice.lookup_variables),
            columns(&choice.cost),
            schedule(&parameters.schedule)
        ));
    }
    screen.say(screen.ink(
        Ink::Bold,
        format!("both as one ({}, the best first)", shown(found.joined.len())),
    ));
    screen.say(format!(
        "  {:>6} {:>6} {:>6} {:>6}  {HEAD}  schedule",
        "pieces", "limbs", "window", "high"
    ));
    for choice in found.joined.iter().take(search.top) {
        let parameters = &choice.witness.parameters;
        screen.say(format!(
            "  {:>6} {:>6} {:>6} {:>6}  {}  {}",
            choice.pieces,
            format!("{}x{}", parameters.limbs, parameters.limb_bits),
            parameters.window_bits,
            parameters.high_bits,
            columns(&choice.witness.cost),
            schedule(&parameters.schedule)
        ));
    }
    screen.note("estimates of the search; `haca bench zk` measures. Models are registered with the balanced objective.");
}

const HEAD: &str = " prove ms  verify ms   bytes";

fn columns(cost: &Cost) -> String {
    format!(
        "{:>9.2}  {:>9.2}  {:>6.0}",
        cost.prove_ns / 1e6,
        cost.verify_ns / 1e6,
        cost.bytes
    )
}

/// Each phase as the variables it folds and the rate of its code, then the grinding.
fn schedule(schedule: &Schedule) -> String {
    let phases = schedule.folds.iter().zip(&schedule.log_inverse_rates);
    let phases: Vec<String> = phases
        .map(|(fold, rate)| format!("{fold}@1/{}", 1u32 << rate))
        .collect();
    format!("{} grinding {}", phases.join(" "), schedule.grinding_bits)
}

fn object(found: &Exploration, top: usize) -> Value {
    let common = |cost: &Cost, schedule: &Schedule, variables: usize| {
        json!({
            "variables": variables,
            "folds": schedule.folds,
            "log_inverse_rates": schedule.log_inverse_rates,
            "grinding_bits": schedule.grinding_bits,
            "prove_ms": cost.prove_ns / 1e6,
            "verify_ms": cost.verify_ns / 1e6,
            "bytes": cost.bytes.round(),
        })
    };
    let weights = found.weights.iter().take(top).map(|choice| {
        let mut row = common(&choice.cost, &choice.schedule, choice.variables);
        row["pieces"] = choice.pieces.into();
        row["tiles"] = choice.tiles.into();
        row
    });
    let of_witness = |choice: &WitnessChoice| {
        let parameters = &choice.parameters;
        let mut row = common(&choice.cost, &parameters.schedule, choice.variables);
        row["limbs"] = parameters.limbs.into();
        row["limb_bits"] = parameters.limb_bits.into();
        row["window_bits"] = parameters.window_bits.into();
        row["high_bits"] = parameters.high_bits.into();
        row["lookup_variables"] = choice.lookup_variables.into();
        row
    };
    let witness = found.witness.iter().take(top).map(of_witness);
    let joined = found.joined.iter().take(top).map(|choice| {
        let mut row = of_witness(&choice.witness);
        row["pieces"] = choice.pieces.into();
        row["weight_variables"] = choice.weight_variables.into();
        row["witness_fold"] = choice.witness.parameters.joined.into();
        row
    });
    json!({
        "tried": { "weights": found.weights.len(), "witness": found.witness.len(), "joined": found.joined.len() },
        "weights": weights.collect::<Vec<_>>(),
        "witness": witness.collect::<Vec<_>>(),
        "joined": joined.collect::<Vec<_>>(),
    })
}
