//! A payer orders so many proofs, with so little time for them, that warranties could be claimed. Here proofs of 30 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haca_client::{Answered, ClientError};
use haca_wire::{ChannelId, Order, Tick};

use crate::demand::{serve, with_slow_proofs};
use crate::gate::{Action, Gate};
use crate::world::{Serving, World, ZK_FEE, code, wait};

impl Serving<'_> {
    /// An order with a proof, or without one, that has to settle in so many ticks.
    fn due_in(
        &self,
        channel: ChannelId,
        sequence: u64,
        ticks: u64,
        is_proven: bool,
    ) -> Result<Answered, ClientError> {
        let body = self.body();
        let order = if is_proven {
            self.zk(channel, sequence, &body)
        } else {
            self.order(channel, sequence, &body)
        };
        let settle_by = Tick(self.world.tick() + ticks);
        self.infer(&body, &Order { settle_by, ..order })
    }
}

#[test]
fn an_order_is_refused_whose_proof_would_be_late() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), 30_000);
    let channel = serving.channel(4 * ZK_FEE, 1_000);
    gate.freeze();
    let refused = serving.due_in(channel, 0, 20, true);
    let Err(ClientError::Refused { refusal, message, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refusal, "exec.settle_by");
    let earliest = message.split("possible is ").nth(1).unwrap();
    let earliest: u64 = earliest.split(' ').next().unwrap().parse().unwrap();
    let ticks = earliest - world.tick();
    assert!((60..70).contains(&ticks), "{message}");
    serving.due_in(channel, 0, ticks, true).unwrap();
    // What waits counts with it.
    assert_eq!(code(serving.due_in(channel, 1, ticks, true)), "exec.settle_by");
    gate.open();
}

/// Nothing else is settled while a proof is made.
#[test]
fn a_signed_order_is_refused_that_would_be_late_behind_a_proof() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), 30_000);
    let channel = serving.channel(4 * ZK_FEE, 1_000);
    let is_held = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&is_held);
    // The head is read before the transaction is signed: with that, the proof takes until the gate opens.
    gate.set(move |_, path| {
        if path == "/v1/status" && held.load(Ordering::SeqCst) {
            Action::Hold
        } else {
            Action::Pass
        }
    });
    let proven = serving.due_in(channel, 0, 1_000, true).unwrap();
    let order = proven.receipt.value.order;
    serving.wait_for(order, "proving");
    assert_eq!(code(serving.due_in(channel, 1, 20, false)), "exec.settle_by");
    serving.due_in(channel, 1, 1_000, false).unwrap();
    is_held.store(false, Ordering::SeqCst);
    serving.wait_for(order, "settled");
    wait("the prover", || {
        serving.due_in(channel, 2, 20, false).ok().map(drop)
    });
}

/// While the proof of an answer is made, nothing settles: what would be late after it goes first.
#[test]
fn what_would_be_late_after_an_answer_settles_before_it() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let config = haca_exec::ExecConfig {
        policy: haca_exec::planner::Policy {
            batch_wait_ms: u64::MAX,
            ..serving.config.policy.clone()
        },
        ..serving.config.clone()
    };
    let channel = serving.channel(2 * ZK_FEE, 1_000);
    let (demanded, demand) = serving.doubted(channel, 0);
    serving.node.shutdown();
    let serving = with_slow_proofs(world.serve_with(config), 20_000);
    gate.freeze();
    let signed = serving.due_in(channel, 1, 35, false).unwrap().receipt.value.order;
    world.send(&world.user, demand);
    world.pass_a_block();
    // One transaction passes, and no other before it is settled.
    let is_first = AtomicBool::new(true);
    gate.set(move |method, _| {
        if method == "POST" && !is_first.swap(false, Ordering::SeqCst) {
            Action::Answer(503, "node.busy")
        } else {
            Action::Pass
        }
    });
    serving.wait_for(signed, "settled");
    gate.open();
    serving.wait_for(demanded, "settled");
}
