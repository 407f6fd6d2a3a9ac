//! The checks in Python: those in `spec/`, which share no code with the crates, and that of the benchmarks' page.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::{run, run_lines, say};
use crate::suite::Count;
use crate::workspace::Workspace;

/// Runs every `spec/check_*.py` in a virtual environment of `spec/requirements.txt`, and compares `docs/benchmarks.md`
/// with the results that it is written from.
///
/// A check in `spec/` takes no arguments. Each ends with the line `N passed, M failed`, and fails with a non-zero exit
/// code.
pub(crate) fn check(workspace: &Workspace, python: &Path) -> Result<Count> {
    let spec = workspace.root.join("spec");
    let mut scripts: Vec<_> = std::fs::read_dir(&spec)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("check_") && name.ends_with(".py")
        })
        .collect();
    scripts.sort();
    let mut checks: Vec<_> = scripts.into_iter().map(|script| (script, None)).collect();
    let benchmarks = workspace.root.join("bench").join("benchmarks.py");
    checks.push((benchmarks, Some("--check")));
    let mut total = Count::default();
    for (script, argument) in checks {
        let name = script
            .strip_prefix(&workspace.root)
            .unwrap_or(&script)
            .display()
            .to_string();
        let (status, lines) = run_lines(
            Command::new(python)
                .arg("-B")
                .arg(&script)
                .args(argument)
                .current_dir(&workspace.root),
        )?;
        let Some(count) = lines.iter().rev().find_map(|line| Count::from_line(line)) else {
            bail!("{name} ended with {status} and printed no counts");
        };
        if !status.success() && count.failed == 0 {
            bail!("{name} ended with {status}");
        }
        say(&format!("{name}: {count}"));
        total.add(count);
    }
    Ok(total)
}

/// Makes the virtual environment, once for each content of the requirements file, and returns its interpreter.
pub(crate) fn environment(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root.join("spec").join("requirements.txt");
    let venv = workspace.target.join("venv");
    let python = venv.join("bin").join("python");
    let stamp = venv.join("requirements.txt");
    let wanted = std::fs::read(&requirements)?;
    if python.is_file() && std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements))?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}
