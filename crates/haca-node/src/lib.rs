//! Full node: consensus drivers, storage, queries.
