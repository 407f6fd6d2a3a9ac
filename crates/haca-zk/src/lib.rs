//! Verifier of ZKML proofs.
