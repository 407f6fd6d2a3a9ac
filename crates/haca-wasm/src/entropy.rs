//! Answers every request for randomness with an error.
//!
//! Verification draws none. A dependency of the light client can sign as well as verify and therefore links
//! `getrandom`; should any path ever reach it, an error is the only honest answer here.

/// Refuses, whatever the length asked for.
fn refuse(_destination: &mut [u8]) -> Result<(), getrandom_02::Error> {
    Err(getrandom_02::Error::UNSUPPORTED)
}

getrandom_02::register_custom_getrandom!(refuse);
