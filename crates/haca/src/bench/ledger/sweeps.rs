//! What a block does before its first transaction, with queues as full as one block takes them: every entry of an account,
//! a node, or a channel of its own.

use haca_ledger::{
    CheckProof, standard_params,
    sweep::{CALENDAR_STEPS, PER_BLOCK},
};
use haca_wire::state::{
    BondRecord, Calendar, ChannelRecord, ChannelState, DemandRecord, DocketRecord, HeldKey, HeldRecord, Jail,
    NodeRecord, Queue, SequenceWindow, Supply, UnbondingRecord, UnstakingRecord, ValidatorRecord, key,
};
use haca_wire::{
    Address, Amount, AssetId, ChannelId, ConsensusKey, Height, ModelId, ReceiptHash, Sequence, Tick, limit,
};

use super::books::{Books, broken};
use super::{Row, address, measure};
use crate::bench::median;
use crate::failure::Failure;

/// Every amount.
const ONE: Amount = Amount(1);
/// Blocks after which all is due.
const LATER: u64 = 1_000_000;

type Fill = fn(&mut Books) -> Result<(), Failure>;

/// The rows of each queue alone, and of all that one block takes.
pub(super) fn rows(runs: usize, checker: &dyn CheckProof) -> Result<Vec<Row>, Failure> {
    let fees: Fill = |books| waiting(books, false);
    let demands: Fill = |books| waiting(books, true);
    let all: Fill = |books| {
        unbonding(books)?;
        unstaking(books)?;
        closing(books)?;
        waiting(books, true)
    };
    let sweeps: [(&str, u64, Fill); 6] = [
        ("sweep: unbonded amounts", PER_BLOCK, unbonding),
        ("sweep: unstaked amounts", PER_BLOCK, unstaking),
        ("sweep: channels", PER_BLOCK, closing),
        ("sweep: fees that waited", CALENDAR_STEPS, fees),
        ("sweep: unanswered demands", CALENDAR_STEPS, demands),
        (
            "sweep: all that a block takes",
            3 * PER_BLOCK + CALENDAR_STEPS,
            all,
        ),
    ];
    let row = |(what, entries, fill): (&str, u64, Fill)| row(what, entries, fill, runs, checker);
    sweeps.into_iter().map(row).collect()
}

/// What a block with these queues takes beyond one with empty ones. The gas is the least that its entries cost when they
/// came: a signature each.
fn row(what: &str, entries: u64, fill: Fill, runs: usize, checker: &dyn CheckProof) -> Result<Row, Failure> {
    let mut books = Books::new()?;
    books.pass(LATER)?;
    let mut empty = Vec::new();
    for _ in 0..=runs {
        empty.push(books.execute(&[], checker)?.1);
    }
    let empty = median(empty);
    fill(&mut books)?;
    let count = usize::try_from(entries).unwrap_or(usize::MAX);
    let mut row = measure(what.to_owned(), count, runs, false, || {
        let (outcome, seconds) = books.execute(&[], checker)?;
        if outcome.swept.len() != count {
            return Err(broken(format!(
                "{} of {count} entries swept",
                outcome.swept.len()
            )));
        }
        Ok((outcome, (seconds - empty).max(0.0)))
    })?;
    row.gas = standard_params().gas_signature.0 * entries;
    Ok(row)
}

/// Moves OPG out of the balances, past all rules.
fn move_supply(books: &mut Books, amount: u64, to: fn(&mut Supply) -> &mut Amount) -> Result<(), Failure> {
    let place = key::supply(AssetId::OPG);
    let mut supply: Supply = books.get(&place)?;
    supply.balances = Amount(supply.balances.0 - u128::from(amount));
    let part = to(&mut supply);
    *part = Amount(part.0 + u128::from(amount));
    books.put(place, &supply);
    Ok(())
}

fn node(number: u64) -> Address {
    address(1 << 32 | number)
}

fn channel(number: u64) -> ChannelId {
    ChannelId(blake3::derive_key("haca bench channel", &number.to_le_bytes()))
}

const FULL: Queue = Queue {
    head: 0,
    tail: PER_BLOCK,
};

fn unbonding(books: &mut Books) -> Result<(), Failure> {
    for position in 0..PER_BLOCK {
        let record = UnbondingRecord {
            node: node(position),
            asset: AssetId::OPG,
            amount: ONE,
            matures: Tick(0),
        };
        books.put(key::unbonding(position), &record);
    }
    books.put(key::UNBONDING_QUEUE.to_vec(), &FULL);
    move_supply(books, PER_BLOCK, |supply| &mut supply.unbonding)
}

/// Each of a validator with as many withdrawals as one may have.
fn unstaking(books: &mut Books) -> Result<(), Failure> {
    let places = ValidatorRecord::MAX_UNSTAKING as u64;
    for position in 0..PER_BLOCK {
        let key = ConsensusKey(blake3::derive_key(
            "haca bench unstaking",
            &position.to_le_bytes(),
        ));
        let record = ValidatorRecord {
            account: node(position),
            key,
            stake: ONE,
            jail: Jail::Free,
            window: 0,
            missed: 0,
            slashed: Amount(0),
            unstaking: (position..position + places).collect(),
        };
        let entry = UnstakingRecord {
            validator: key.address(),
            amount: ONE,
            height: Height(0),
            time_unix_s: 0,
        };
        books.put(key::validator(key.address()), &record);
        books.put(key::unstaking(position), &entry);
    }
    books.put(key::UNSTAKING_QUEUE.to_vec(), &FULL);
    move_supply(books, PER_BLOCK, |supply| &mut supply.unbonding)
}

/// Channels that their payers close alone.
fn closing(books: &mut Books) -> Result<(), Failure> {
    for position in 0..PER_BLOCK {
        let (id, payer, node) = (channel(position), address(position), node(position));
        let record = ChannelRecord {
            payer,
            node,
            asset: AssetId::OPG,
            deposit: ONE,
            reserve: ONE,
            offer_version: 1,
            opened: Height(1),
            state: ChannelState::Closing {
                by: payer,
                last_settle: Tick(0),
                matures: Tick(0),
            },
            paid: Amount(0),
            settled: 0,
            window: SequenceWindow::default(),
        };
        books.put(key::channel(id), &record);
        books.put(key::bond(node, AssetId::OPG), &BOND);
        books.put(key::closing(position), &id);
    }
    books.put(key::CLOSING_QUEUE.to_vec(), &FULL);
    move_supply(books, PER_BLOCK, |supply| &mut supply.escrow)?;
    move_supply(books, 2 * PER_BLOCK, |supply| &mut supply.bonds)
}

/// Twice what one entry takes, as a node may have a channel and a fee that waits.
const BOND: BondRecord = BondRecord {
    total: Amount(2),
    reserved: Amount(2),
};

/// Ranges of as many receipts as a voucher covers, each over two records of them; with a demand, nobody has answered it.
fn waiting(books: &mut Books, demanded: bool) -> Result<(), Failure> {
    for position in 0..CALENDAR_STEPS {
        let (payer, node) = (address(position), node(position));
        let at = HeldKey {
            channel: channel(position),
            first: Sequence(u64::from(limit::RANGE / 2)),
        };
        let demand = DemandRecord {
            sequence: at.first,
            receipt: ReceiptHash::default(),
            deposit: ONE,
            due: Tick(0),
        };
        let record = HeldRecord {
            payer,
            node,
            payout: node,
            asset: AssetId::OPG,
            model: ModelId::default(),
            count: limit::RANGE,
            receipts: [7; 32],
            fee: ONE,
            warranty: ONE,
            matures: Tick(0),
            demand: demanded.then_some(demand),
        };
        let docket = DocketRecord {
            open: 1,
            due: Tick(0),
        };
        books.put(key::held(at), &record);
        books.put(key::due(Tick(0), position), &at);
        books.put(key::docket(node), &docket);
        books.put(key::node(node), &staked(node));
        books.put(key::bond(node, AssetId::OPG), &BOND);
    }
    books.put(key::dues(Tick(0)), &CALENDAR_STEPS);
    books.put(key::DUE_QUEUE.to_vec(), &Calendar::default());
    move_supply(books, 2 * CALENDAR_STEPS, |supply| &mut supply.held)?;
    move_supply(books, 2 * CALENDAR_STEPS, |supply| &mut supply.bonds)?;
    move_supply(books, CALENDAR_STEPS, |supply| &mut supply.stakes)
}

fn staked(account: Address) -> NodeRecord {
    NodeRecord {
        endpoint: "https://node.example".to_owned(),
        payout: account,
        offer_version: 1,
        offers: Vec::new(),
        signers: Vec::new(),
        stake: ONE,
        jailed: false,
        registered: Height(1),
    }
}
