//! What the node itself tells: receipts and responses that never arrived, and receipts that are evidence against it.

use haca_client::ClientError;
use haca_wire::{OrderHash, Receipt, Signed};

use super::{Claimant, Line};
use crate::failure::{Exit, Failure};
use crate::held::{self, Kept, Unanswered};
use crate::session::client;

/// What became of orders without a receipt.
#[derive(Default)]
pub(super) struct Fetched {
    /// Those that the node told a receipt for, now on disk.
    pub(super) kept: Vec<Kept>,
    /// A line for each that it told something else for.
    pub(super) failed: Vec<Line>,
    /// Those that it told nothing for.
    pub(super) unanswered: Vec<OrderHash>,
}

impl Claimant<'_> {
    /// Asks the node for the receipts of orders that have none, and keeps them as those that came with an answer. A node that
    /// can't be reached is asked once.
    pub(super) fn fetch(&self, unanswered: Vec<Unanswered>) -> Fetched {
        let mut fetched = Fetched::default();
        let mut is_reachable = true;
        for one in unanswered {
            let mut line = self.line_of(&one.order);
            let told = if is_reachable {
                self.session.inference.told_receipt(line.order)
            } else {
                Ok(None)
            };
            is_reachable &= !matches!(told, Err(ClientError::Unreachable { .. }));
            match told {
                Ok(Some(receipt)) => match self.keep(one, receipt) {
                    Ok(kept) => fetched.kept.push(kept),
                    Err(failure) => {
                        line.note(Err(failure));
                        fetched.failed.push(line);
                    }
                },
                Err(error @ ClientError::Malformed { .. }) => {
                    line.note(Err(client(error)));
                    fetched.failed.push(line);
                }
                Ok(None) | Err(_) => fetched.unanswered.push(line.order),
            }
        }
        fetched
    }

    /// Keeps a receipt that the node told for an order, if it is one for exactly this order, signed by a key of the node.
    fn keep(&self, one: Unanswered, receipt: Signed<Receipt>) -> Result<Kept, Failure> {
        let Unanswered { order, dir } = one;
        let session = self.session;
        if let Some(reason) = session.node.objection(&order, &receipt).map_err(client)? {
            return Err(Failure::new(
                Exit::Network,
                "cli.told_receipt",
                format!("the node tells no receipt for this order: {reason}"),
                "nothing is kept of it; ask again later",
            ));
        }
        held::keep_receipt(&dir, &order.value, &receipt, &session.domain)?;
        Ok(Kept { order, receipt, dir })
    }

    /// Asks the node for each receipt held: reports another one that it tells, takes it where none of the node's is held, and keeps
    /// the response where none is kept.
    pub(super) fn hear(&self, lines: &mut [Line]) {
        for (one, line) in self.held.iter().zip(lines) {
            if let Err(ClientError::Unreachable { .. }) = self.hear_one(one, line) {
                break;
            }
        }
    }

    fn hear_one(&self, one: &Kept, line: &mut Line) -> Result<(), ClientError> {
        let Some(told) = self.session.inference.told_receipt(line.order)? else {
            return Ok(());
        };
        let reported = self.report_told(one, &told, line);
        line.note(reported);
        let taken = self.take_told(one, &told, line);
        line.note(taken);
        // The order goes again only where the node says that it has answered it: it repeats the answer then, and runs nothing.
        let request = one
            .unanswered_request()
            .filter(|_| told.value == one.receipt.value);
        let Some(request) = request else {
            return Ok(());
        };
        let answered = self.session.inference.infer(&request, &one.order)?;
        let reported = self.report_told(one, &answered.receipt, line);
        line.note(reported);
        if one.is_response(&answered.response) {
            line.note(one.keep_response(&answered.response));
        }
        Ok(())
    }

    /// Takes what the node told in the place of something that none of its keys signed, as a broken connection or a stranger may
    /// have brought it with the answer.
    fn take_told(&self, one: &Kept, told: &Signed<Receipt>, line: &mut Line) -> Result<(), Failure> {
        if *told == one.receipt {
            return Ok(());
        }
        let objection = |receipt| self.session.node.objection(&one.order, receipt).map_err(client);
        if objection(&one.receipt)?.is_none() || objection(told)?.is_some() {
            return Ok(());
        }
        if let Some(taken) = one.with_receipt(told.clone())? {
            *line = Line {
                fetched_now: true,
                ..self.line(&taken)
            };
        }
        Ok(())
    }

    /// Reports what the node itself told, where that is another receipt.
    fn report_told(&self, one: &Kept, told: &Signed<Receipt>, line: &mut Line) -> Result<(), Failure> {
        match self.report(one, core::iter::once(told))? {
            Some(report) => {
                // The node need not tell it again.
                held::keep_told(&one.dir, told)?;
                self.send(one, vec![report], line)
            }
            None => Ok(()),
        }
    }
}
