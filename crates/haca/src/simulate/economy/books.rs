//! Whether the agents know what they have.

use super::*;

impl Economy {
    /// Compares what the agents believe of deposits, reserves and fees that wait with what the ledger says.
    pub(super) fn check_books(&self) -> Result<(), Failure> {
        let waiting = self.nodes.iter().flat_map(|node| &node.queue);
        let missed = self.payers.iter().flat_map(|payer| &payer.missed);
        let mut promised = vec![(0, 0); self.channels.len()];
        for answer in waiting.chain(missed.map(|missed| &missed.answer)) {
            if let Some((fees, warranties)) = promised.get_mut(answer.channel) {
                *fees += answer.fee;
                *warranties += answer.warranty;
            }
        }
        for (channel, (fees, warranties)) in self.channels.iter().zip(promised) {
            let believed = (channel.deposit + fees, channel.reserve + warranties);
            let found = self.chain.deposit_and_reserve(channel.id)?;
            if channel.open && found != believed {
                return Err(broken(format!("a channel holds {found:?}, not {believed:?}")));
            }
        }
        for asset in [USD, ALT] {
            let held = self.held.values().filter(|held| held.asset == asset);
            let believed: u128 = held.map(|held| held.fee).sum();
            let found = self.chain.supply(asset)?.held.0;
            if found != believed {
                return Err(broken(format!("of asset {asset}, {found} wait, not {believed}")));
            }
        }
        Ok(())
    }
}
