//! The Fiat-Shamir transcript. Its type says whether the prover is already committed: no challenge can be drawn
//! before.

use core::marker::PhantomData;

use p3_challenger::FieldChallenger;
use p3_challenger::fs::TranscriptField;

use crate::byte_challenger::ByteChallenger;
use crate::field::{Base, Challenger, Extension};

/// State of a transcript in which the witness is not yet committed.
#[derive(Debug)]
pub enum Uncommitted {}
/// State of a transcript in which the witness is committed.
#[derive(Clone, Debug)]
pub enum Committed {}

/// The transcript of one proof.
#[derive(Clone, Debug)]
pub struct Transcript<State> {
    challenger: Challenger,
    state: PhantomData<State>,
}

impl Transcript<Uncommitted> {
    /// Starts a transcript. `purpose` tells protocols apart, `statement` is the digest of everything public.
    pub fn new(purpose: &'static str, statement: &[u8; 32]) -> Self {
        let seed = blake3::derive_key(purpose, statement);
        Self {
            challenger: Challenger::new(ByteChallenger::new(&seed)),
            state: PhantomData,
        }
    }

    /// Absorbs the root of the witness; a witness without cells has none. Only now can challenges be drawn.
    pub fn commit(mut self, root: Option<&[u8; 32]>) -> Transcript<Committed> {
        let mut bytes = b"witness".to_vec();
        bytes.extend(root.into_iter().flatten());
        Base::observe_seed(&mut self.challenger, &bytes);
        Transcript {
            challenger: self.challenger,
            state: PhantomData,
        }
    }
}

impl Transcript<Committed> {
    /// Absorbs the name of the step that follows.
    pub fn step(&mut self, label: &'static str) {
        Base::observe_seed(&mut self.challenger, label.as_bytes());
    }

    /// Absorbs values that the prover sends.
    pub fn absorb(&mut self, values: &[Extension]) {
        for value in values {
            self.challenger.observe_algebra_element(*value);
        }
    }

    /// Draws one challenge.
    pub fn challenge(&mut self) -> Extension {
        self.challenger.sample_algebra_element()
    }

    /// Draws a point.
    pub fn challenges(&mut self, count: usize) -> Vec<Extension> {
        (0..count).map(|_| self.challenge()).collect()
    }

    /// The sponge itself, for the polynomial commitment scheme.
    pub const fn challenger(&mut self) -> &mut Challenger {
        &mut self.challenger
    }
}
