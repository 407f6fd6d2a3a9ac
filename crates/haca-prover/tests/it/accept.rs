//! Honest proofs verify, whatever the shape of the model, the batch and the input.

use haca_prover::{Execution, ProvingKey};
use haca_zk::{Inference, Statement, verify, verify_registration};

use crate::model::{Build, Random, inputs, mlp};

fn round_trip(build: &Build, batch: usize) {
    let model = mlp(build);
    let registration = ProvingKey::register(model.clone()).unwrap();
    let key = &registration.verifying_key;
    verify_registration(key, &registration.proof).unwrap();
    let mut random = Random::new(build.seed + 1);
    let executions: Vec<Execution> = (0..batch)
        .map(|_| {
            let inputs = inputs(&model, &mut random);
            let execution = registration.proving_key.infer(&inputs).unwrap();
            let reference = haca_graph::evaluate(&model.manifest.graph, &model.parameters, &inputs).unwrap();
            assert_eq!(execution.inference.outputs, reference.outputs);
            execution
        })
        .collect();
    let inferences: Vec<Inference> = executions.iter().map(|e| e.inference.clone()).collect();
    let (proof, _) = registration.proving_key.prove([7; 32], &executions).unwrap();
    assert!(proof.len() <= key.proof_bytes_bound(batch));
    verify(key, &Statement { context: [7; 32], inferences: &inferences }, &proof).unwrap();
}

#[test]
fn a_small_network_is_proven() {
    round_trip(&Build::new(1, &[64, 32, 10]), 1);
}
