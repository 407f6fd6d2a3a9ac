//! What happens while an inference takes long: its order was admitted, and is signed only if there is time left. Proofs of the
//! other model take 25 s.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use haca_client::{Answered, ClientError};
use haca_wire::{Amount, ChannelId, ModelId, Order, OrderHash, Tick, render};

use crate::demand::{PRICE, docket_path, held_fee, serve, with_slow_proofs};
use crate::gate::{Action, Gate, is_clock};
use crate::late::{PROOF_MS, settles_first};
use crate::model::{WIDE, wide};
use crate::world::{Serving, World, ZK_FEE, code, wait};

/// Occupies the threads that inferences of the wide model share, until it is dropped.
struct Occupation(Arc<(Mutex<bool>, Condvar)>);

impl Occupation {
    fn begin() -> Self {
        let is_over = Arc::new((Mutex::new(false), Condvar::new()));
        let occupied = Arc::new(AtomicUsize::new(0));
        let threads = rayon::current_num_threads();
        for _ in 0..threads {
            let (is_over, occupied) = (Arc::clone(&is_over), Arc::clone(&occupied));
            rayon::spawn(move || {
                occupied.fetch_add(1, Ordering::SeqCst);
                let is_on = |is_over: &mut bool| !*is_over;
                drop(is_over.1.wait_while(is_over.0.lock().unwrap(), is_on).unwrap());
            });
        }
        wait("all threads", || {
            (occupied.load(Ordering::SeqCst) == threads).then_some(())
        });
        Self(is_over)
    }
}

impl Drop for Occupation {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// A node with a second model, whose inferences are shared by threads.
fn serve_wide<'a>(world: &'a World, gate: &Gate) -> Serving<'a> {
    std::fs::write(world.home().join("models/wide.haca"), wide()).unwrap();
    with_slow_proofs(serve(world, gate), PROOF_MS)
}

impl Serving<'_> {
    fn wide(&self) -> ModelId {
        let models = self.client.models().unwrap();
        models["data"][1]["id"].as_str().unwrap().parse().unwrap()
    }

    /// The order of an inference of the wide model, with its request.
    fn long(&self, order: Order, ticks: u64) -> (Order, Vec<u8>) {
        let model = self.wide();
        let values = vec!["1"; (WIDE[0] * WIDE[1]) as usize].join(",");
        let body = crate::world::body(model, &values);
        let order = Order {
            model,
            request: render::request_hash(&body),
            input_root: self.world.client().input_root(model, &body).unwrap(),
            settle_by: Tick(self.world.tick() + ticks),
            ..order
        };
        (order, body)
    }

    /// Waits until an order of this sequence is admitted. Nothing is answered for that: the warranty is too large.
    fn wait_until_admitted(&self, channel: ChannelId, sequence: u64) {
        let body = self.body();
        let probe = Order {
            warranty: Amount(1 << 40),
            ..self.order(channel, sequence, &body)
        };
        wait("the admission", || {
            (code(self.infer(&body, &probe)) == "exec.sequence").then_some(())
        });
    }

    /// Sends an order of a long inference, and does something meanwhile.
    fn meanwhile<T>(
        &self,
        (order, body): &(Order, Vec<u8>),
        work: impl FnOnce() -> T,
    ) -> (Result<Answered, ClientError>, T) {
        let occupation = Occupation::begin();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| self.infer(body, order));
            self.wait_until_admitted(order.channel, order.sequence.0);
            let done = work();
            drop(occupation);
            (answer.join().unwrap(), done)
        })
    }
}

/// It was in time when it was admitted, and a proof began while its answer was computed.
#[test]
fn no_receipt_is_signed_that_is_late_behind_a_proof_that_began_during_its_inference() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve_wide(&world, &gate);
    let channel = serving.channel(2 * ZK_FEE, 1_000);
    gate.freeze();
    let proven = serving.answer(&serving.zk(channel, 0, &serving.body()));
    let long = serving.long(serving.order(channel, 1, &serving.body()), 22);
    let (answer, ()) = serving.meanwhile(&long, || {
        // The head is read before the transaction is signed: with that, the proof takes until the gate opens.
        gate.set(|_, path| {
            if path == "/v1/status" {
                Action::Hold
            } else {
                Action::Pass
            }
        });
        serving.wait_for(proven, "proving");
    });
    assert_eq!(code(answer), "exec.settle_by");
    gate.open();
    serving.wait_for(proven, "settled");
}

/// The settler has read what waits, which is one receipt with a proof, and asks the chain for its docket. Another one is signed,
/// with the time for its own proof and not for both.
#[test]
fn a_receipt_that_is_signed_before_a_proof_is_announced_is_proven_before_it() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve_wide(&world, &gate);
    let channel = serving.channel(PRICE + 2 * ZK_FEE, 1_000);
    // The docket is read as long as a fee waits.
    serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    let docket = docket_path(&world);
    let long = serving.long(serving.zk(channel, 1, &serving.body()), 25);
    let (answer, proven) = serving.meanwhile(&long, || {
        gate.freeze();
        let proven: OrderHash = serving.answer(&serving.zk(channel, 2, &serving.body()));
        let looks = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&looks);
        gate.set(move |method, path| {
            if path.contains(&docket) {
                seen.fetch_add(1, Ordering::SeqCst);
                Action::Hold
            } else if method == "POST" || is_clock(path) {
                Action::Shut
            } else {
                Action::Pass
            }
        });
        wait("the question", || {
            (looks.load(Ordering::SeqCst) > 0).then_some(())
        });
        proven
    });
    let pressing = answer.unwrap().receipt.value.order;
    gate.transactions(Action::Lose);
    assert!(settles_first(&serving, pressing, proven));
}
