//! The verifier in WebAssembly: built for `wasm32-unknown-unknown`, run in Node.js on a proof made just before.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step::{probe, run, run_lines, say, step};
use crate::suite::Count;
use crate::workspace::{Workspace, cargo, rustc};

const TARGET: &str = "wasm32-unknown-unknown";
/// Everything that is promised to work in a browser.
const PACKAGES: &[&str] = &["haca-wire", "haca-graph", "haca-zk", "haca-verify", "haca-wasm"];
/// Debian's toolchain, which carries the standard library's sources: the way where rustup can't fetch the target.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// How much the compiler optimises.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// As the tests are built.
    Dev,
    /// As it is shipped.
    Release,
}

/// Makes a proof and has Node.js verify it with the module, and refuse what is altered.
pub(crate) fn check(workspace: &Workspace, module: &Path) -> Result<Count> {
    let fixture = workspace.target.join("wasm-fixture");
    step("make a proof to verify", || {
        let mut example = cargo();
        example.args([
            "run",
            "--locked",
            "--quiet",
            "--package",
            "haca-prover",
            "--example",
            "fixture",
            "--",
        ]);
        run(example.arg(&fixture).current_dir(&workspace.root))
    })?;
    let mut count = step("verify it in Node.js", || node(workspace, module, &fixture))?;
    let vectors = workspace.root.join("spec/vectors/verify");
    count.add(step("verify the vectors' files in Node.js", || {
        node(workspace, module, &vectors)
    })?);
    Ok(count)
}

/// What `verify.mjs` counts for a directory.
fn node(workspace: &Workspace, module: &Path, directory: &Path) -> Result<Count> {
    let script = workspace.root.join("crates").join("haca-wasm").join("verify.mjs");
    let (status, lines) = run_lines(Command::new("node").arg(script).arg(module).arg(directory))
        .context("Node.js 20 or later is needed")?;
    let count = lines.iter().rev().find_map(|line| Count::from_line(line));
    let count = count.with_context(|| format!("node ended with {status} and printed no counts"))?;
    ensure!(status.success() || count.failed > 0, "node ended with {status}");
    Ok(count)
}

/// Builds all that is promised to work in a browser, and returns the module.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let mut command = if has_rustup_target()? {
        let mut command = cargo();
        command.arg("build").arg("--target-dir").arg(&workspace.target);
        command
    } else {
        debian(workspace)?
    };
    command.args(["--locked", "--target", TARGET]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    let target = command
        .get_args()
        .skip_while(|word| *word != "--target-dir")
        .nth(1);
    let target = PathBuf::from(target.context("the command names its target directory")?);
    step("build for WebAssembly", || {
        run(command.current_dir(&workspace.root))
    })?;
    let module = target.join(TARGET).join(directory).join("haca_wasm.wasm");
    let size = std::fs::metadata(&module)
        .with_context(|| module.display().to_string())?
        .len();
    say(&format!("{}: {} KB", module.display(), size.div_ceil(1000)));
    Ok(module)
}

/// Whether the toolchain in use has the target, or rustup can bring it.
fn has_rustup_target() -> Result<bool> {
    if std::env::var_os("HACA_WASM_DEBIAN").is_some() {
        return Ok(false);
    }
    let library = sysroot()?.join("lib/rustlib").join(TARGET).join("lib");
    if library.is_dir() {
        return Ok(true);
    }
    say(&format!("rustup target add {TARGET}"));
    let added = probe(Command::new("rustup").args(["target", "add", TARGET])).is_some();
    Ok(added && library.is_dir())
}

/// The build command of Debian's toolchain, which compiles the standard library from its sources.
fn debian(workspace: &Workspace) -> Result<Command> {
    if ![DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCES]
        .iter()
        .all(|path| Path::new(path).exists())
    {
        step("install Debian's Rust for WebAssembly", install)?;
    }
    let linker = sysroot()?.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    let mut command = Command::new(DEBIAN_CARGO);
    command
        .arg("build")
        .arg("-Zbuild-std=std,panic_abort")
        .arg("--target-dir")
        .arg(workspace.target.join("wasm-debian"))
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    Ok(command)
}

fn install() -> Result<()> {
    if probe(Command::new("id").arg("-u")).as_deref() != Some("0") || !Path::new("/usr/bin/apt-get").exists()
    {
        bail!(
            "no toolchain for {TARGET}: run `rustup target add {TARGET}`, or on Debian `apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        );
    }
    let mut update = Command::new("/usr/bin/apt-get");
    run(update.args(["update", "-qq"]))?;
    let mut install = Command::new("/usr/bin/apt-get");
    install
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(DEBIAN_PACKAGES);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn sysroot() -> Result<PathBuf> {
    let sysroot = probe(Command::new(rustc()).args(["--print", "sysroot"]));
    Ok(PathBuf::from(sysroot.context("rustc --print sysroot")?))
}
