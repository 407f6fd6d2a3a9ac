//! What a transaction has to pay while the mempool of another process is nearly full.
//!
//! CometBFT's mempool is first come, first served: when it is full it refuses whatever comes, before the application
//! is asked, so that a flood at the least price would keep out everybody. So the application fills only a part of it by
//! that rule. Beyond that part a transaction is admitted when it pays more than what it pushes out; what is pushed out
//! leaves the mempool when it is checked again after the next block. The rest of the room is for those who pay more
//! until then.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use haca_wire::TxHash;

use crate::engine::MempoolLimits;

/// One part in this many of the mempool is kept free for those who pay more than others.
pub const KEPT_SHARE: usize = 4;

/// Price, then arrival, the latest first: the order in which transactions are pushed out.
type Place = (u128, Reverse<u64>);

/// The transactions admitted since the last block, by what they pay.
#[derive(Debug)]
pub struct PriceFloor {
    transactions: usize,
    bytes: usize,
    cheapest: BTreeMap<Place, (TxHash, usize)>,
    places: BTreeMap<TxHash, Place>,
    held_bytes: usize,
    arrivals: u64,
    /// Pushed out since the last block: refused when they are checked again.
    outbid: BTreeSet<TxHash>,
    /// Pushed out before it.
    due: BTreeSet<TxHash>,
}

impl PriceFloor {
    /// For a mempool of these limits.
    pub const fn new(limits: &MempoolLimits) -> Self {
        Self {
            transactions: limits.transactions - limits.transactions / KEPT_SHARE,
            bytes: limits.bytes - limits.bytes / KEPT_SHARE,
            cheapest: BTreeMap::new(),
            places: BTreeMap::new(),
            held_bytes: 0,
            arrivals: 0,
            outbid: BTreeSet::new(),
            due: BTreeSet::new(),
        }
    }

    /// Lets a transaction wait that pays `price`, or says what it would have to pay more than. One that was pushed out
    /// leaves when it is checked again.
    pub fn admit(&mut self, hash: TxHash, bytes: usize, price: u128) -> Result<(), u128> {
        if self.places.contains_key(&hash) {
            return Ok(());
        }
        if self.due.remove(&hash) {
            return Err(self.cheapest.keys().next().map_or(price, |(paid, _)| *paid));
        }
        for worst in self.displaced(bytes, price)? {
            self.remove(&worst);
            self.outbid.insert(worst);
        }
        self.outbid.remove(&hash);
        let place = (price, Reverse(self.arrivals));
        self.arrivals = self.arrivals.wrapping_add(1);
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        self.cheapest.insert(place, (hash, bytes));
        self.places.insert(hash, place);
        Ok(())
    }

    fn displaced(&self, more: usize, price: u128) -> Result<Vec<TxHash>, u128> {
        let mut count = self.cheapest.len().saturating_add(1);
        let mut bytes = self.held_bytes.saturating_add(more);
        let mut leaving = Vec::new();
        let mut cheapest = self.cheapest.iter();
        while count > self.transactions || bytes > self.bytes {
            let Some(((paid, _), (hash, len))) = cheapest.next() else {
                return Err(u128::MAX);
            };
            if *paid >= price {
                return Err(*paid);
            }
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(*len);
            leaving.push(*hash);
        }
        Ok(leaving)
    }

    fn remove(&mut self, hash: &TxHash) {
        let place = self.places.remove(hash);
        if let Some((_, bytes)) = place.and_then(|place| self.cheapest.remove(&place)) {
            self.held_bytes = self.held_bytes.saturating_sub(bytes);
        }
    }

    /// A block was committed: what still waits is checked again.
    pub fn next_block(&mut self) {
        self.cheapest.clear();
        self.places.clear();
        self.held_bytes = 0;
        self.due = std::mem::take(&mut self.outbid);
    }

    /// Transactions and bytes that wait within the part.
    pub fn size(&self) -> (usize, usize) {
        (self.cheapest.len(), self.held_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u8) -> TxHash {
        TxHash([number; 32])
    }

    fn floor() -> PriceFloor {
        PriceFloor::new(&MempoolLimits {
            transactions: 4,
            bytes: 400,
            tx_bytes: 400,
        })
    }

    #[test]
    fn the_cheapest_makes_room_and_leaves_after_the_next_block() {
        let mut floor = floor();
        for (number, price) in [(1, 5), (2, 7), (3, 5)] {
            assert_eq!(floor.admit(hash(number), 10, price), Ok(()));
        }
        assert_eq!(floor.admit(hash(4), 10, 5), Err(5), "no more than the cheapest");
        assert_eq!(floor.admit(hash(4), 10, 6), Ok(()));
        assert_eq!(floor.size(), (3, 30));
        floor.next_block();
        assert_eq!(floor.size(), (0, 0));
        for (number, price) in [(1, 5), (2, 7)] {
            assert_eq!(floor.admit(hash(number), 10, price), Ok(()));
        }
        assert_eq!(
            floor.admit(hash(3), 10, 5),
            Err(5),
            "the latest of equals was pushed out"
        );
        assert_eq!(floor.admit(hash(4), 10, 6), Ok(()));
    }

    #[test]
    fn bytes_are_bounded_too_and_nothing_that_pays_more_leaves() {
        let mut floor = floor();
        assert_eq!(floor.admit(hash(1), 100, 9), Ok(()));
        assert_eq!(floor.admit(hash(2), 150, 3), Ok(()));
        assert_eq!(
            floor.admit(hash(3), 250, 8),
            Err(9),
            "2 is not enough, 1 pays more"
        );
        assert_eq!(floor.size(), (2, 250), "nothing left for who is refused");
        assert_eq!(
            floor.admit(hash(4), 301, 100),
            Err(u128::MAX),
            "more than the part"
        );
        assert_eq!(floor.admit(hash(5), 200, 8), Ok(()));
        assert_eq!(floor.size(), (2, 300));
        assert_eq!(floor.admit(hash(1), 100, 9), Ok(()), "it waits already");
        assert_eq!(floor.size(), (2, 300));
    }

    #[test]
    fn who_was_pushed_out_may_come_back_for_more() {
        let mut floor = floor();
        for (number, price) in [(1, 5), (2, 5), (3, 5), (4, 6)] {
            assert_eq!(floor.admit(hash(number), 10, price), Ok(()));
        }
        floor.next_block();
        assert_eq!(floor.admit(hash(3), 10, 5), Err(5), "once");
        assert_eq!(floor.admit(hash(3), 10, 5), Ok(()), "there is room now");
    }
}
