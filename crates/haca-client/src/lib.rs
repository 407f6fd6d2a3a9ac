//! SDK: wallet, requests, light client fetch, verification.
