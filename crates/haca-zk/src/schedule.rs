//! WHIR schedules: what a verifying key says about one commitment, and the configuration derived from it.

use haca_wire::{Decode, DecodeError, Encode, Reader, codec::put_list};
use p3_whir::parameters::{FoldingFactor, ProtocolParameters, SecurityAssumption, WhirConfig};

use crate::ProofRejection;
use crate::field::{Base, Challenger, Extension};

/// Bits that each error term of an opening must reach by itself. Two more than the goal for the minimum, so that
/// the union over all terms stays above its own goal.
pub const TERM_BITS: usize = 130;
/// Folding phases of one opening.
pub const PHASES: usize = 8;
/// Variables folded in one phase.
pub const FOLD: u8 = 8;
/// Base-two logarithm of the inverse code rate.
pub const RATE: u8 = 12;
/// Bits of proof of work before the queries of one phase.
pub const GRINDING: u8 = 20;
/// Variables of one commitment.
pub const VARIABLES: usize = 28;
/// Base-two logarithm of the length of a codeword; the two-adicity of the field is 32.
pub const CODEWORD: usize = 31;
/// Variables that may be left for the polynomial sent in the clear.
pub const CLEAR_VARIABLES: usize = 6;

/// The WHIR configuration of one commitment.
pub type Config = WhirConfig<Extension, Base, Challenger>;

/// How one polynomial commitment is opened: a fold and a code rate per phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Variables folded in each phase.
    pub folds: Vec<u8>,
    /// Base-two logarithm of the inverse rate of the code that each phase begins with.
    pub log_inverse_rates: Vec<u8>,
    /// Bits of proof of work before the queries of each phase.
    pub grinding_bits: u8,
}

impl Encode for Schedule {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.folds);
        put_list(out, &self.log_inverse_rates);
        self.grinding_bits.encode_into(out);
    }
}

impl Decode for Schedule {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            folds: reader.list("folds", PHASES)?,
            log_inverse_rates: reader.list("code rates", PHASES)?,
            grinding_bits: u8::decode(reader)?,
        })
    }
}

/// One query phase: the shape of what the prover opens in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryPhase {
    /// Opened rows.
    pub(crate) rows: usize,
    /// Elements of a row.
    pub(crate) width: usize,
    /// Depth of the Merkle tree.
    pub(crate) depth: usize,
}

impl Schedule {
    /// Variables folded in the first phase; a table smaller than that cannot be committed.
    pub fn first_fold(&self) -> usize {
        self.folds.first().copied().map_or(0, usize::from)
    }

    /// Checks the domain of each number and that the schedule fits a polynomial of `variables` variables.
    fn check(&self, variables: usize) -> Result<(), ProofRejection> {
        let bad = |what| Err(ProofRejection::Parameter { what });
        if variables == 0 || variables > VARIABLES {
            return bad("number of variables");
        }
        let phases = 1..=PHASES;
        if !phases.contains(&self.folds.len()) || self.folds.len() != self.log_inverse_rates.len() {
            return bad("number of phases");
        }
        if self.folds.iter().any(|fold| !(1..=FOLD).contains(fold)) {
            return bad("fold");
        }
        if self
            .log_inverse_rates
            .iter()
            .any(|rate| !(1..=RATE).contains(rate))
        {
            return bad("code rate");
        }
        if self.grinding_bits > GRINDING {
            return bad("grinding");
        }
        // Each fold but the last must be needed, and the rest must be short enough to send.
        let mut rest = variables;
        for (phase, fold) in self.folds.iter().enumerate() {
            if phase > 0 && rest <= CLEAR_VARIABLES {
                return bad("superfluous phase");
            }
            rest = rest
                .checked_sub(usize::from(*fold))
                .ok_or(ProofRejection::Parameter { what: "fold" })?;
        }
        if rest > CLEAR_VARIABLES {
            return bad("number of phases");
        }
        let first_rate = self.log_inverse_rates.first().copied().map_or(0, usize::from);
        if variables + first_rate > CODEWORD {
            return bad("codeword length");
        }
        Ok(())
    }

    /// Derives the WHIR configuration in the Johnson regime. Capacity-regime parameters cannot be expressed.
    pub fn config(&self, variables: usize) -> Result<Config, ProofRejection> {
        self.check(variables)?;
        let mut rates = self.log_inverse_rates.iter().map(|rate| usize::from(*rate));
        let parameters = ProtocolParameters {
            starting_log_inv_rate: rates.next().unwrap_or(1),
            round_log_inv_rates: rates.collect(),
            folding_factor: FoldingFactor::PerRound(self.folds.iter().map(|f| usize::from(*f)).collect()),
            soundness_type: SecurityAssumption::JohnsonBound,
            security_level: TERM_BITS,
            pow_bits: usize::from(self.grinding_bits),
        };
        let what = "WHIR schedule";
        let config =
            WhirConfig::new(variables, parameters).map_err(|_| ProofRejection::Parameter { what })?;
        if config.commitment_ood_samples() > 4
            || config.starting_folding_pow_bits() > usize::from(GRINDING)
            || config.round_parameters().iter().any(|round| {
                round.pow_bits > usize::from(GRINDING)
                    || round.folding_pow_bits > usize::from(GRINDING)
                    || round.ood_samples > 4
            })
            || config.terminal().pow_bits > usize::from(GRINDING)
        {
            return Err(ProofRejection::Parameter { what });
        }
        let last = config.final_round_config();
        let positions = 1usize.checked_shl(last.log_folded_domain_size as u32);
        let opens_all = positions.is_some_and(|positions| last.num_queries >= positions);
        if opens_all && self.grinding_bits > 0 {
            // No position is drawn behind the last witness of work, and what remains follows from the polynomial in the
            // clear: anybody could exchange the witness in a proof.
            return Err(ProofRejection::Parameter { what: "grinding" });
        }
        Ok(config)
    }
}

/// The query phases of a configuration: one per intermediate round, then the final one.
pub(crate) fn query_phases(config: &Config) -> Vec<QueryPhase> {
    let last = config.final_round_config();
    config
        .round_parameters()
        .iter()
        .chain([&last])
        .map(|round| {
            let positions = 1usize
                .checked_shl(round.log_folded_domain_size as u32)
                .unwrap_or(usize::MAX);
            QueryPhase {
                // A phase that would query every position opens each once instead.
                rows: round.num_queries.min(positions),
                width: 1 << round.folding_factor,
                depth: round.log_folded_domain_size,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key with more phases than its encoding may hold could be assembled, and never read again.
    #[test]
    fn phases_are_as_many_as_a_key_may_list() {
        let schedule = |phases| Schedule {
            folds: vec![1; phases],
            log_inverse_rates: vec![3; phases],
            grinding_bits: 0,
        };
        assert!(schedule(PHASES).config(PHASES + CLEAR_VARIABLES).is_ok());
        let refusal = schedule(PHASES + 1).config(PHASES + 1 + CLEAR_VARIABLES).err();
        let what = "number of phases";
        assert_eq!(refusal, Some(ProofRejection::Parameter { what }));
    }

    /// Behind a last phase that opens everything nothing is drawn: its witness of work would be anybody's to choose.
    #[test]
    fn no_work_is_asked_for_where_nobody_looks_at_it() {
        let schedule = |grinding_bits| Schedule {
            folds: vec![4],
            log_inverse_rates: vec![2],
            grinding_bits,
        };
        assert!(schedule(0).config(4).is_ok());
        let refusal = schedule(2).config(4).err();
        assert_eq!(refusal, Some(ProofRejection::Parameter { what: "grinding" }));
        // A sumcheck behind it can be made anew from the polynomial in the clear.
        assert!(schedule(2).config(5).is_err());
        // Here positions are drawn behind it.
        assert!(schedule(2).config(10).is_ok());
    }

    /// Why a schedule does not fit a polynomial of `variables` variables.
    fn refusal(folds: &[u8], rates: &[u8], grinding_bits: u8, variables: usize) -> Option<&'static str> {
        let schedule = Schedule {
            folds: folds.to_vec(),
            log_inverse_rates: rates.to_vec(),
            grinding_bits,
        };
        schedule.config(variables).err().map(|refusal| match refusal {
            ProofRejection::Parameter { what } => what,
            _ => "not a parameter",
        })
    }

    #[test]
    fn polynomials_have_one_to_the_most_variables() {
        let what = Some("number of variables");
        assert_eq!(refusal(&[1], &[5], 0, 0), what);
        assert_ne!(refusal(&[1], &[5], 0, 1), what);
        // 28 variables at rate 1/8 make the longest codeword.
        let (folds, rates) = ([8, 8, 6], [3, 10, 12]);
        assert_eq!(refusal(&folds, &rates, 0, VARIABLES), None);
        assert_eq!(refusal(&folds, &rates, 0, VARIABLES + 1), what);
        assert_eq!(
            refusal(&folds, &[4, 10, 12], 0, VARIABLES),
            Some("codeword length")
        );
    }

    #[test]
    fn phases_go_on_until_the_rest_can_be_sent_and_no_longer() {
        assert_eq!(refusal(&[], &[], 0, 4), Some("number of phases"));
        assert_eq!(refusal(&[4], &[5, 6], 0, 10), Some("number of phases"));
        assert_eq!(refusal(&[4], &[5], 0, 10), None);
        assert_eq!(refusal(&[4], &[5], 0, 11), Some("number of phases"));
        assert_eq!(refusal(&[4, 2], &[5, 6], 0, 11), None);
        assert_eq!(refusal(&[4, 2], &[5, 6], 0, 10), Some("superfluous phase"));
        assert_eq!(refusal(&[4, 8], &[5, 6], 0, 11), Some("fold"));
    }

    #[test]
    fn folds_rates_and_work_lie_in_their_domains() {
        let cases = [
            (&[0][..], 5, 0, Some("fold")),
            (&[9], 5, 0, Some("fold")),
            (&[8], 5, 0, None),
            (&[4], 0, 0, Some("code rate")),
            (&[4], 12, 0, None),
            (&[4], 13, 0, Some("code rate")),
            (&[4], 5, 20, None),
            (&[4], 5, 21, Some("grinding")),
        ];
        for (folds, rate, grinding, what) in cases {
            assert_eq!(
                refusal(folds, &[rate], grinding, 10),
                what,
                "{folds:?} {rate} {grinding}"
            );
        }
    }
}
