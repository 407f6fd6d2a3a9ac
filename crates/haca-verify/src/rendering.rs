//! The render between bytes and tensors, run again by the verifier.

use haca_graph::Graph;
use haca_wire::render;
use haca_wire::{Inference, Receipt, RenderId, Tensor, TensorSpec, tensor_root};

use crate::check_id;
use crate::report::Checks;

/// V13, first half: the request renders to tensors with the receipt's input root. Returns them.
pub(crate) fn check_inputs(
    receipt: &Receipt,
    model: haca_wire::ModelId,
    request: &[u8],
    specs: &[TensorSpec],
    checks: &mut Checks,
) -> Option<Vec<Tensor>> {
    check_parameters(receipt, checks)?;
    let id = check_id::RENDER_INPUTS;
    let parsed = match render::parse_request(request) {
        Ok(parsed) => parsed,
        Err(error) => {
            checks.fail(id, &error, "a request for /v1/infer", error.code());
            return None;
        }
    };
    if parsed.model != model {
        checks.fail(id, parsed.model, model, "the model that the request names");
        return None;
    }
    match render::to_tensors(&parsed, specs) {
        Ok(inputs) => {
            let passed = checks.equal(
                id,
                tensor_root(&inputs),
                receipt.input_root,
                "root of the tensors that the request renders to",
            );
            passed.then_some(inputs)
        }
        Err(error) => {
            checks.fail(id, &error, "inputs of the model", error.code());
            None
        }
    }
}

/// V13, second half: public input and output tensors are the receipt's, and render to the response.
pub(crate) fn check_outputs(
    receipt: &Receipt,
    model: haca_wire::ModelId,
    graph: &Graph,
    inputs: &[Tensor],
    inference: &Inference,
    response: &[u8],
    checks: &mut Checks,
) -> Option<()> {
    let id = check_id::RENDER_OUTPUTS;
    if inference.inputs != inputs {
        checks.fail(
            id,
            tensor_root(&inference.inputs),
            tensor_root(inputs),
            "the evidence is for other input tensors",
        );
        return None;
    }
    let outputs = &inference.outputs;
    let same_root = checks.equal(
        id,
        tensor_root(outputs),
        receipt.output_root,
        "root of the output tensors",
    );
    let specs: Vec<TensorSpec> = graph.outputs().iter().map(|(_, spec)| spec.clone()).collect();
    let fits = outputs.len() == specs.len()
        && outputs
            .iter()
            .zip(&specs)
            .all(|(tensor, spec)| tensor.dtype() == spec.dtype && *tensor.shape() == spec.shape);
    let id = check_id::RENDER_RESPONSE;
    if !fits {
        checks.fail(id, "other tensors", "the outputs of the model", "");
        return None;
    }
    let rendered = render::response(model, &specs, outputs);
    if rendered != response {
        checks.fail(
            id,
            render::response_hash(response),
            render::response_hash(&rendered),
            "BLAKE3 of the response, and of what the output tensors render to",
        );
        return None;
    }
    checks.pass(
        id,
        format_args!("{} bytes", response.len()),
        "the output tensors render to exactly the response bytes",
    );
    same_root.then_some(())
}

fn check_parameters(receipt: &Receipt, checks: &mut Checks) -> Option<()> {
    let id = check_id::RENDER_PARAMETERS;
    if receipt.render != RenderId::INFER_V1 {
        checks.fail(
            id,
            receipt.render.0,
            RenderId::INFER_V1.0,
            "version of the render",
        );
        return None;
    }
    if receipt.parameters != [0; 32] || receipt.seed != 0 {
        checks.fail(
            id,
            format_args!("{} and seed {}", hex::encode(receipt.parameters), receipt.seed),
            "none",
            "parameters and seed",
        );
        return None;
    }
    checks.pass(id, "render 1, no parameters, no seed", "");
    Some(())
}
