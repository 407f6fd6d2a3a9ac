//! The ledger's rules, each from the side of whoever would gain by breaking it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod admission;
mod answerable;
mod attacks_validators;
mod audit;
mod budget;
mod censors;
mod channels;
mod claims;
mod closing;
mod demands;
mod equivocation;
mod every_order;
mod genesis;
mod governance;
mod histories;
mod keys;
mod models;
mod nodes;
mod proposals;
mod random;
mod ranges;
mod rotation;
mod script;
mod settlement;
mod spec;
mod transplants;
mod validators;
mod vouchers;
mod window;
mod world;
