//! An answer is checked as soon as it arrives.

use haca_verify::{Answer, CheckState, Outcome, check_id, verify_answer};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec, render, tensor_root};

use crate::network::{Network, secret};

fn specs() -> Vec<TensorSpec> {
    vec![TensorSpec {
        name: Name::new("image").unwrap(),
        dtype: DType::I8,
        shape: Shape::new(vec![3]).unwrap(),
        scale: Scale::new(1, 4).unwrap(),
    }]
}

/// A network whose one request renders to the receipt's input root.
fn network() -> Network {
    let mut network = Network::new();
    network.request = format!(
        r#"{{"model":"{}","inputs":[{{"name":"image","data":[0,0.5,-1]}}]}}"#,
        network.order.model
    )
    .into_bytes();
    network.order.request = render::request_hash(&network.request);
    let parsed = render::parse_request(&network.request).unwrap();
    network.order.input_root = tensor_root(&render::to_tensors(&parsed, &specs()).unwrap());
    network.receipt.input_root = network.order.input_root;
    network
}

/// Verifies the network's answer after `alter` changed what it is held against.
fn verify(network: &Network, alter: impl FnOnce(&mut Answer<'_>)) -> (Outcome, Option<&'static str>) {
    let (item, inputs) = (network.item(), specs());
    let mut answer = Answer {
        domain: network.domain(),
        item: &item,
        payer: network.payer.address(),
        signer: Some(network.signer.address()),
        request: &network.request,
        response: &network.response,
        inputs: &inputs,
    };
    alter(&mut answer);
    let report = verify_answer(&answer);
    let failure = report.failures().next().map(|check| check.id);
    assert_eq!(
        report.check(check_id::EVIDENCE_PROOF).unwrap().state,
        CheckState::NotChecked
    );
    assert_eq!(report.verified().is_some(), report.outcome() == Outcome::Verified);
    (report.outcome(), failure)
}

#[test]
fn an_honest_answer_verifies() {
    assert_eq!(verify(&network(), |_| {}), (Outcome::Verified, None));
}

#[test]
fn every_lie_about_an_answer_is_named() {
    let network = network();
    let rejected = |id| (Outcome::Rejected, Some(id));
    let stranger = secret(40).address();
    assert_eq!(
        verify(&network, |answer| answer.payer = stranger),
        rejected(check_id::ORDER_SIGNATURE)
    );
    assert_eq!(
        verify(&network, |answer| answer.signer = Some(stranger)),
        rejected(check_id::RECEIPT_SIGNER_REGISTERED)
    );
    assert_eq!(
        verify(&network, |answer| answer.request = b"{}"),
        rejected(check_id::ORDER_REQUEST)
    );
    assert_eq!(
        verify(&network, |answer| answer.response = b"{}"),
        rejected(check_id::RECEIPT_RESPONSE)
    );
    assert_eq!(
        verify(&network, |answer| answer.inputs = &[]),
        rejected(check_id::RENDER_INPUTS)
    );
    assert_eq!(
        verify(&network, |answer| answer.signer = None),
        (Outcome::Unverifiable, None)
    );
}

#[test]
fn an_answer_to_other_tensors_is_refused() {
    let mut network = network();
    network.order.input_root.0[0] ^= 1;
    network.receipt.input_root = network.order.input_root;
    assert_eq!(
        verify(&network, |_| {}),
        (Outcome::Rejected, Some(check_id::RENDER_INPUTS))
    );
}

#[test]
fn parameters_that_the_render_does_not_have_are_refused() {
    let mut seeded = network();
    seeded.receipt.seed = 1;
    let mut parametrised = network();
    parametrised.receipt.parameters = [1; 32];
    let mut other_render = network();
    other_render.receipt.render.0 = 2;
    for network in [seeded, parametrised, other_render] {
        assert_eq!(
            verify(&network, |_| {}),
            (Outcome::Rejected, Some(check_id::RENDER_PARAMETERS))
        );
    }
}
