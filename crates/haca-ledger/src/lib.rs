//! The deterministic state machine: accounts, channels, settlement, burn.
