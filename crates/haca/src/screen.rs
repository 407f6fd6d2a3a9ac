//! Terminal output: results on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};
use std::time::Instant;

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
        }
    }
}

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
}

impl Step<'_> {
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
