//! Checks receipts and evidence and reports every check.
