//! Proving times of networks with random weights: `cargo run --release -p haca-prover --example networks [NAME]`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an example"
)]

mod network;

use std::time::Instant;

use haca_graph::ModelFile;
use haca_prover::{Execution, ProvingKey, Stages};
use haca_zk::{Statement, verify};

use crate::network::{cnn, dense};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Verifications of each proof.
const VERIFICATIONS: usize = 60;

fn main() {
    let only = std::env::args().nth(1);
    let runs: usize = std::env::args().nth(2).map_or(20, |n| n.parse().unwrap());
    let networks: Vec<(&str, ModelFile, usize)> = vec![
        ("mlp-64-32-10", dense(&[64, 32, 10]), 1),
        ("mlp-64-32-10x32", dense(&[64, 32, 10]), 32),
        (
            "digits-cnn",
            cnn([8, 8, 1], &[&[(8, 3, 1), (16, 3, 1)]], &[10]),
            1,
        ),
        (
            "lenet",
            cnn([28, 28, 1], &[&[(6, 5, 2)], &[(16, 5, 0)]], &[120, 84, 10]),
            1,
        ),
        ("mlp-784-512-512-10", dense(&[784, 512, 512, 10]), 1),
        (
            "cnn32",
            cnn(
                [32, 32, 3],
                &[
                    &[(32, 3, 1), (32, 3, 1)],
                    &[(64, 3, 1), (64, 3, 1)],
                    &[(64, 3, 1), (64, 3, 1)],
                ],
                &[128, 10],
            ),
            1,
        ),
        ("dense-4m", dense(&[1024, 1536, 1536, 10]), 1),
    ];
    for (name, model, batch) in networks {
        if only.as_ref().is_none_or(|only| only == name) {
            bench(name, model, batch, runs);
        }
    }
}

fn bench(name: &str, model: ModelFile, batch: usize, runs: usize) {
    let input = network::input(&model);
    let registration = ProvingKey::register(model).unwrap();
    let (key, proving) = (&registration.verifying_key, &registration.proving_key);
    let execution: Execution = proving.infer(&[input]).unwrap();
    let executions = vec![execution; batch];
    let inferences: Vec<_> = executions.iter().map(|e| e.inference.clone()).collect();
    let mut proves: Vec<(f64, Stages)> = Vec::new();
    let mut verifies = Vec::new();
    let mut bytes = 0;
    for _ in 0..runs {
        let start = Instant::now();
        let (proof, stages) = proving.prove([0; 32], &executions).unwrap();
        proves.push((start.elapsed().as_secs_f64() * 1e3, stages));
        let statement = Statement {
            context: [0; 32],
            inferences: &inferences,
        };
        for _ in 0..VERIFICATIONS {
            let start = Instant::now();
            verify(key, &statement, &proof).unwrap();
            verifies.push(start.elapsed().as_secs_f64() * 1e3);
        }
        bytes = proof.len();
    }
    proves.sort_by(|a, b| a.0.total_cmp(&b.0));
    verifies.sort_by(f64::total_cmp);
    let (prove, stages) = proves[runs / 2];
    let layout = key.witness(batch.trailing_zeros() as usize).unwrap();
    let parameters = &layout.parameters;
    println!(
        "{name}: prove {prove:.2} ms (best {:.2}), verify {:.2} ms, {bytes} bytes, gas {}",
        proves[0].0,
        verifies[verifies.len() / 2],
        key.verification_gas(batch).0
    );
    println!(
        "  cells {} in 2^{}, stages {} in {:?}, limbs {}x{}, window {}, high {}, lookups 2^{}, witness 2^{}, weights 2^{} in {} tables, pieces {}",
        layout.cells.cells,
        layout.variables,
        layout.stages.cells,
        layout.stage_variables,
        parameters.limbs,
        parameters.limb_bits,
        parameters.window_bits,
        parameters.high_bits,
        layout.lookup_variables,
        layout.committed_variables,
        key.weights().variables,
        key.weights().tables().len(),
        key.parameters().pieces,
    );
    println!("  {stages:.2?}");
    let budget = key.security(batch);
    println!(
        "  {:.1} bits, union {:.1}",
        budget.round_by_round_bits, budget.union_bits
    );
}
