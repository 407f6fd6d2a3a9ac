//! Inference node: HTTP API, journal, proof queue, settlement.
