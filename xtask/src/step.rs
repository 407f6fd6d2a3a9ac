//! Running commands with progress on stderr.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Writes a line of progress.
pub(crate) fn say(line: &str) {
    // A reader that went away is no reason to stop a check.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes to stdout, which carries results alone.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Runs `work` between a line that names it and a line that tells how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&format!("== {name}"));
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "ok" } else { "FAILED" };
    say(&format!(
        "== {name}: {outcome}, {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    result
}

/// Runs a command to its end; what it prints goes to stderr.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let (status, _) = run_lines(command)?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command to its end, shows what it prints on stderr, and returns it, both streams in the order written.
pub(crate) fn run_lines(command: &mut Command) -> Result<(std::process::ExitStatus, Vec<String>)> {
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let name = shown(command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    // The command object holds the write end too; the pipe ends only when both are gone.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        say(&line);
        lines.push(line);
    }
    Ok((child.wait()?, lines))
}

/// Runs a command and returns what it prints on stdout, or nothing when it fails or is missing.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
