//! WebAssembly entry points over wire and verify.
