//! Terminal output: results on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where and how a command prints.
pub(crate) struct Screen {
    json: bool,
    quiet: bool,
    colour_out: bool,
    colour_err: bool,
    live: bool,
}

/// Emphasis of a piece of text. Meaning never rests on it alone.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    /// A heading.
    Bold,
    /// Good news.
    Green,
    /// Bad news.
    Red,
    /// Neither.
    Yellow,
    /// Detail.
    Dim,
}

impl Screen {
    /// `json`: one object on stdout and nothing else there. `quiet`: no progress.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let err = std::io::stderr().is_terminal();
        Self {
            json,
            quiet,
            colour_out: std::io::stdout().is_terminal() && !plain,
            colour_err: err && !plain,
            live: err,
        }
    }

    /// Whether stdout shows colours.
    pub(crate) fn has_colour(&self) -> bool {
        self.colour_out && !self.json
    }

    /// Whether the result is one JSON object.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line of the result for a person; nothing with `--json`. A closed pipe ends the process quietly, as
    /// programs in a pipeline do.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            self.out(text.as_ref());
        }
    }

    /// The result as JSON, whole.
    pub(crate) fn object(&self, value: &serde_json::Value) {
        if self.json {
            self.out(&format!("{value:#}"));
        }
    }

    /// The same on one line, for whoever reads it while the command goes on.
    pub(crate) fn line(&self, value: &serde_json::Value) {
        if self.json {
            self.out(&value.to_string());
        }
    }

    /// Text on stdout whatever the mode.
    pub(crate) fn out(&self, text: &str) {
        if writeln!(std::io::stdout().lock(), "{text}").is_err() {
            std::process::exit(0);
        }
    }

    /// A line for a person on stderr.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
        }
    }

    /// Text for stdout with emphasis, where stdout is a terminal.
    pub(crate) fn ink(&self, ink: Ink, text: impl AsRef<str>) -> String {
        paint(self.colour_out && !self.json, ink, text.as_ref())
    }

    /// Starts a step of long work; ends it when dropped or by [`Step::done`].
    pub(crate) fn step(&self, name: &str) -> Step<'_> {
        if self.live && !self.quiet {
            let _ = write!(std::io::stderr().lock(), "  … {name}");
            let _ = std::io::stderr().flush();
        }
        Step {
            screen: self,
            name: name.to_owned(),
            started: Instant::now(),
            open: true,
            part: String::new(),
            shown: None,
        }
    }
}

/// How long work takes before its progress is drawn on a terminal.
const SOON: Duration = Duration::from_millis(200);
/// How long it takes before its stages are lines elsewhere.
const LONG: Duration = Duration::from_secs(3);

fn paint(on: bool, ink: Ink, text: &str) -> String {
    let code = match ink {
        Ink::Bold => "1",
        Ink::Green => "32",
        Ink::Red => "31",
        Ink::Yellow => "33",
        Ink::Dim => "2",
    };
    if on {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// One step of long work: a live line on a terminal, one plain line elsewhere.
pub(crate) struct Step<'a> {
    screen: &'a Screen,
    name: String,
    started: Instant,
    open: bool,
    /// Which of several pieces of work it is at.
    part: String,
    /// Stage and percentage as they stand there.
    shown: Option<(&'static str, u32)>,
}

impl Step<'_> {
    /// Says which of `parts` pieces of work comes next, from 1.
    pub(crate) fn part(&mut self, part: usize, parts: usize) {
        self.part = format!("{part} of {parts}, ");
        self.shown = None;
    }

    /// Shows a stage, and how much of it is done from 0 to 1: on the live line, or in a line for each stage once the work
    /// has taken seconds.
    pub(crate) fn progress(&mut self, stage: &'static str, fraction: f64) {
        let now = Some((stage, (fraction.clamp(0.0, 1.0) * 100.0) as u32));
        let elapsed = self.started.elapsed();
        let least = if self.screen.live { SOON } else { LONG };
        if self.screen.quiet || self.shown == now || elapsed < least {
            return;
        }
        let (name, part) = (&self.name, &self.part);
        if self.screen.live {
            let percent = match now {
                Some((_, percent @ 1..)) => format!(" {percent} %"),
                _ => String::new(),
            };
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\u{1b}[2K  … {name}: {part}{stage}{percent}");
            let _ = err.flush();
        } else if self.shown.is_none_or(|(shown, _)| shown != stage) {
            let seconds = elapsed.as_secs_f64();
            let _ = writeln!(
                std::io::stderr().lock(),
                "  … {name}: {part}{stage} ({seconds:.0} s)"
            );
        }
        self.shown = now;
    }

    /// Ends the step with what came of it.
    pub(crate) fn done(mut self, detail: &str) {
        self.finish("✓", Ink::Green, detail);
    }

    fn finish(&mut self, mark: &str, ink: Ink, detail: &str) {
        self.open = false;
        if self.screen.quiet {
            return;
        }
        let clear = if self.screen.live { "\r\u{1b}[2K" } else { "" };
        let mark = paint(self.screen.colour_err, ink, mark);
        let seconds = self.started.elapsed().as_secs_f64();
        let time = paint(self.screen.colour_err, Ink::Dim, &format!("({seconds:.2} s)"));
        let colon = if detail.is_empty() { "" } else { ": " };
        let _ = writeln!(
            std::io::stderr().lock(),
            "{clear}  {mark} {}{colon}{detail} {time}",
            self.name
        );
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.open {
            self.finish("✗", Ink::Red, "failed");
        }
    }
}
