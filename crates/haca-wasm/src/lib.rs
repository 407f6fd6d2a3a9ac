//! WebAssembly entry points over wire and verify.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod entropy;
