//! Messages of validators against the fullest state there is: every place among stakers and proposals taken.

use ed25519_consensus::SigningKey;
use haca_ledger::{CheckProof, standard_params};
use haca_wire::state::{
    ActiveValidator, GovernanceRecord, Jail, ProposalRecord, Supply, ValidatorRecord, ValidatorSetRecord, key,
};
use haca_wire::{
    Amount, AssetId, ConsensusKey, Height, Message, ParamChange, Parameter, Proposal, ProposalId, limit,
    tx::possession_message,
};

use super::books::{Books, params};
use super::{Row, measure};
use crate::bench::median;
use crate::failure::Failure;

/// Messages of a kind in one block.
const MESSAGES: usize = 16;
/// Proposals that are open already.
const OPEN: usize = limit::PROPOSALS - MESSAGES;

/// The rows of all messages of validators.
pub(super) fn rows(runs: usize, checker: &dyn CheckProof) -> Result<Vec<Row>, Failure> {
    let free = |_| Jail::Free;
    // The stake that leaves is the first one's; nobody but the last one looked at can take its place.
    let jailed = |number| match number {
        0 => Jail::Free,
        _ if number + 1 == limit::STAKERS => Jail::Free,
        _ => Jail::Until(Height(0)),
    };
    let crowd = |jail: &dyn Fn(usize) -> Jail| Crowd::new(jail);
    Ok(vec![
        crowd(&free)?.row("proposals", MESSAGES, runs, checker, |crowd, number| {
            Ok(Message::Propose {
                key: crowd.key(number),
                proposal: changes(),
            })
        })?,
        crowd(&free)?.row("votes", MESSAGES, runs, checker, |crowd, number| {
            Ok(Message::Vote {
                key: crowd.key(number),
                proposal: ProposalId(1),
                approve: true,
            })
        })?,
        crowd(&free)?.row(
            "stakes that push somebody out",
            MESSAGES,
            runs,
            checker,
            |crowd, number| {
                let newcomer = signing(limit::STAKERS + number);
                let message = possession_message(&crowd.books.domain, crowd.books.payer());
                Ok(Message::Stake {
                    key: public(&newcomer),
                    possession: newcomer.sign(&message).to_bytes(),
                    amount: Amount(crowd.stake(limit::STAKERS + number)),
                })
            },
        )?,
        crowd(&jailed)?.row("stakes that leave", 1, runs, checker, |crowd, number| {
            Ok(Message::Unstake {
                key: crowd.key(number),
                amount: Amount(crowd.stake(number)),
            })
        })?,
        crowd(&free)?.row(
            "parts of stakes that leave",
            MESSAGES,
            runs,
            checker,
            |crowd, number| {
                Ok(Message::Unstake {
                    key: crowd.key(number),
                    amount: Amount(1),
                })
            },
        )?,
        crowd(&jailed)?.row("validators freed", MESSAGES, runs, checker, |crowd, number| {
            Ok(Message::Unjail {
                key: crowd.key(number + 1),
            })
        })?,
    ])
}

fn signing(number: usize) -> SigningKey {
    let seed = blake3::derive_key("haca bench validator", &number.to_le_bytes());
    SigningKey::from(seed)
}

fn public(key: &SigningKey) -> ConsensusKey {
    ConsensusKey(key.verification_key().to_bytes())
}

/// A proposal to change every parameter that it may to what it is not.
fn changes() -> Proposal {
    let wanted = [
        (Parameter::GasRegistration, 299_999_999),
        (Parameter::NodeStake, 999_999_999_999),
        (Parameter::QuoteLifetime, 601),
        (Parameter::ProvePrice, 999_999),
        (Parameter::RewardDivisor, 10_000_001),
        (Parameter::MinStake, 10_000_000_000_000),
        (Parameter::MaxValidators, 99),
    ];
    let changes = wanted.map(|(parameter, value)| ParamChange { parameter, value });
    Proposal::Parameters(changes.to_vec())
}

/// A ledger with as many validators and nearly as many proposals as there may be, all of one account.
struct Crowd {
    books: Books,
    /// By ascending address, as the ledger lists them.
    members: Vec<ConsensusKey>,
}

impl Crowd {
    fn new(jail: &dyn Fn(usize) -> Jail) -> Result<Self, Failure> {
        let mut members: Vec<ConsensusKey> = (0..limit::STAKERS)
            .map(|number| public(&signing(number)))
            .collect();
        members.sort_by_key(|member| member.address());
        let mut books = Books::new()?;
        // Those that a vote may leave behind.
        books.put(key::PARAMS.to_vec(), &standard_params());
        let mut crowd = Self { books, members };
        crowd.enlist(jail)?;
        crowd.propose();
        Ok(crowd)
    }

    fn key(&self, number: usize) -> ConsensusKey {
        self.members.get(number).copied().unwrap_or(ConsensusKey([0; 32]))
    }

    /// Stakes grow with the number, so that the smallest one leads the list and whoever comes later has more.
    fn stake(&self, number: usize) -> u128 {
        params().validators.min_stake.0 * 2 + number as u128
    }

    fn enlist(&mut self, jail: &dyn Fn(usize) -> Jail) -> Result<(), Failure> {
        let mut total = 0;
        for (number, member) in self.members.clone().into_iter().enumerate() {
            let stake = self.stake(number);
            total += stake;
            let record = ValidatorRecord {
                account: self.books.payer(),
                key: member,
                stake: Amount(stake),
                jail: jail(number),
                window: 0,
                missed: 0,
                slashed: Amount(0),
                unstaking: Vec::new(),
            };
            self.books.put(key::validator(member.address()), &record);
        }
        let supply = key::supply(AssetId::OPG);
        let mut issued: Supply = self.books.get(&supply)?;
        issued.balances = Amount(issued.balances.0 - total);
        issued.stakes = Amount(issued.stakes.0 + total);
        self.books.put(supply, &issued);
        let mut active: Vec<ActiveValidator> = self
            .members
            .iter()
            .take(usize::try_from(params().validators.max_validators).unwrap_or(limit::STAKERS))
            .map(|member| ActiveValidator {
                key: *member,
                power: 1,
            })
            .collect();
        active.sort_by_key(|validator| validator.key);
        let set = ValidatorSetRecord {
            members: self.members.iter().map(|member| member.address()).collect(),
            active,
            window: 0,
            jailed_power: 0,
        };
        self.books.put(key::VALIDATORS.to_vec(), &set);
        Ok(())
    }

    /// Opens proposals of the deciding validators that send none here, each with the approval of all who do not decide
    /// and of half of those who do: it does not pass.
    fn propose(&mut self) {
        let deciding = usize::try_from(params().validators.max_validators).unwrap_or(limit::STAKERS);
        let approving = self
            .members
            .iter()
            .skip(deciding / 2)
            .map(|member| member.address());
        let approvals: Vec<_> = approving.collect();
        let mut open = Vec::new();
        for number in 0..OPEN {
            let id = ProposalId(number as u64 + 1);
            let proposers = deciding - MESSAGES;
            let record = ProposalRecord {
                proposer: self.key(MESSAGES + number % proposers).address(),
                proposal: changes(),
                closes: Height(1_000),
                approvals: approvals.clone(),
                due: None,
            };
            self.books.put(key::proposal(id), &record);
            open.push(id);
        }
        let record = GovernanceRecord {
            version: haca_ledger::LATEST_VERSION,
            next: ProposalId(OPEN as u64 + 1),
            open,
        };
        self.books.put(key::GOVERNANCE.to_vec(), &record);
    }

    /// What a block of these messages takes beyond an empty one.
    fn row(
        mut self,
        what: &str,
        count: usize,
        runs: usize,
        checker: &dyn CheckProof,
        message: impl Fn(&Self, usize) -> Result<Message, Failure>,
    ) -> Result<Row, Failure> {
        let mut txs = Vec::new();
        for number in 0..count {
            let message = message(&self, number)?;
            txs.push(self.books.sent_by_payer(message)?);
        }
        let mut empty = Vec::new();
        for _ in 0..=runs {
            empty.push(self.books.execute(&[], checker)?.1);
        }
        let empty = median(empty);
        measure(what.to_owned(), count, runs, false, || {
            let (outcome, seconds) = self.books.execute(&txs, checker)?;
            Ok((outcome, (seconds - empty).max(0.0)))
        })
    }
}
