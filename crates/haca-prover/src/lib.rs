//! Fast integer executor and ZKML prover.
