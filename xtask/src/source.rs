//! What the sources of a crate may not contain.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use proc_macro2::{Delimiter, TokenTree};

use crate::tokens::{self, is_ident, is_punct};

/// Lines above which a file is to be split.
const FILE_LINES_MAX: usize = 800;

const FLOAT: &str = "floating point differs between machines";
const CLOCK: &str = "time is an argument, never a clock";

/// Identifiers that have no place in a pure crate, with the reason.
const IDENTS: &[(&str, &str)] = &[
    ("f32", FLOAT),
    ("f64", FLOAT),
    (
        "HashMap",
        "its iteration order differs between runs; use BTreeMap",
    ),
    (
        "HashSet",
        "its iteration order differs between runs; use BTreeSet",
    ),
    ("RandomState", "it is seeded differently in each run"),
    ("SystemTime", CLOCK),
    ("Instant", CLOCK),
    ("now_utc", CLOCK),
    ("async", "a pure function waits for nothing"),
    ("unsafe", "unsafe code lives in haca-prover's kernels alone"),
];

/// Modules of `std` that a pure crate has no use for.
const STD: &[(&str, &str)] = &[
    ("env", "the environment is no argument"),
    ("fs", "pure crates do no I/O"),
    ("io", "pure crates do no I/O"),
    ("net", "pure crates do no I/O"),
    ("process", "pure crates start nothing"),
    ("thread", "pure crates start nothing"),
];

/// A place where a rule is lifted.
struct Exception {
    name: &'static str,
    /// Path under `src`.
    file: &'static str,
    /// The rule, by its reason.
    rule: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    // Bits of security are logarithms. Proofs are accepted by field arithmetic alone; the budget is compared with a
    // floor some twenty bits below any key that the schedule search yields, and is otherwise only shown.
    Exception {
        name: "haca-zk",
        file: "security.rs",
        rule: FLOAT,
    },
    // Rounds that budget down to whole bits for a report.
    Exception {
        name: "haca-verify",
        file: "zk.rs",
        rule: FLOAT,
    },
];

/// Checks one crate; `pure` asks for the whole list, otherwise only size and `unsafe` are looked at.
pub(crate) fn check(name: &str, sources: &Path, pure: bool, unsafe_allowed: bool) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    let mut used = BTreeSet::new();
    for path in tokens::rust_files(sources)? {
        let file = path.strip_prefix(sources).unwrap_or(&path).display().to_string();
        let lines = std::fs::read_to_string(&path)?.lines().count();
        if lines > FILE_LINES_MAX {
            breaches.push(format!(
                "{name}/src/{file}: {lines} lines; split it (at most {FILE_LINES_MAX})"
            ));
        }
        let tokens = tokens::read(&path)?;
        if pure && file == "lib.rs" && !forbids_unsafe(&tokens) {
            breaches.push(format!("{name}/src/lib.rs: `#![forbid(unsafe_code)]` is missing"));
        }
        let found = if pure {
            impurities(tokens::without_tests(tokens))
        } else if unsafe_allowed {
            Vec::new()
        } else {
            impurities(tokens)
                .into_iter()
                .filter(|found| found.what == "unsafe")
                .collect()
        };
        let exception = |rule: &str| {
            EXCEPTIONS
                .iter()
                .position(|e| e.name == name && e.file == file && e.rule == rule)
        };
        for Impurity { line, what, reason } in found {
            match exception(reason) {
                Some(at) => {
                    used.insert(at);
                }
                None => breaches.push(format!("{name}/src/{file}:{line}: `{what}`: {reason}")),
            }
        }
    }
    for (at, stale) in EXCEPTIONS.iter().enumerate() {
        if stale.name == name && !used.contains(&at) {
            breaches.push(format!(
                "{name}/src/{}: its exception is no longer needed",
                stale.file
            ));
        }
    }
    Ok(breaches)
}

/// Something a pure crate may not contain.
struct Impurity {
    line: usize,
    what: String,
    reason: &'static str,
}

fn forbids_unsafe(tokens: &[TokenTree]) -> bool {
    tokens.iter().any(|token| {
        matches!(token, TokenTree::Group(group) if group.to_string().replace(' ', "") == "[forbid(unsafe_code)]")
    })
}

fn impurities(tokens: Vec<TokenTree>) -> Vec<Impurity> {
    let mut found = Vec::new();
    walk(&tokens, &mut found);
    found
}

fn walk(tokens: &[TokenTree], found: &mut Vec<Impurity>) {
    for (at, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let path = before.is_some_and(|token| is_punct(token, ':'));
        match token {
            TokenTree::Group(group) => {
                // An attribute speaks about code; `#[expect(unsafe_code)]` is not an `unsafe` block.
                let attribute = group.delimiter() == Delimiter::Bracket
                    && before.is_some_and(|token| is_punct(token, '#') || is_punct(token, '!'));
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                if !attribute {
                    walk(&tokens::without_tests(inner), found);
                }
            }
            TokenTree::Ident(ident) => {
                let ident = ident.to_string();
                if let Some((_, reason)) = IDENTS.iter().find(|(name, _)| *name == ident) {
                    found.push(Impurity {
                        line,
                        what: ident,
                        reason,
                    });
                } else if ident == "now" && path {
                    let reason = CLOCK;
                    found.push(Impurity {
                        line,
                        what: "::now".to_owned(),
                        reason,
                    });
                } else if ident == "std" {
                    standard(
                        tokens.get(at.saturating_add(1)..).unwrap_or_default(),
                        line,
                        found,
                    );
                }
            }
            TokenTree::Literal(literal) => {
                // In `pair.0.1` the tail reads like a float, but follows a dot.
                let field = before.is_some_and(|token| is_punct(token, '.'));
                let text = literal.to_string();
                if !field && is_float(&text) {
                    let reason = FLOAT;
                    found.push(Impurity {
                        line,
                        what: text,
                        reason,
                    });
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// Looks at what follows `std`: `::name`, or `::{name, name::…}`.
fn standard(rest: &[TokenTree], line: usize, found: &mut Vec<Impurity>) {
    let [first, second, third, ..] = rest else { return };
    if !is_punct(first, ':') || !is_punct(second, ':') {
        return;
    }
    let modules: Vec<TokenTree> = match third {
        TokenTree::Ident(_) => vec![third.clone()],
        TokenTree::Group(group) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let heads = inner.split(|token| is_punct(token, ','));
            heads.filter_map(|head| head.first().cloned()).collect()
        }
        _ => return,
    };
    for module in modules {
        if let Some((name, reason)) = STD.iter().find(|(name, _)| is_ident(&module, name)) {
            found.push(Impurity {
                line,
                what: format!("std::{name}"),
                reason,
            });
        }
    }
}

fn is_float(literal: &str) -> bool {
    let number = literal.starts_with(|first: char| first.is_ascii_digit());
    let radix = ["0x", "0b", "0o"]
        .iter()
        .any(|prefix| literal.starts_with(prefix));
    let digits = literal.trim_end_matches("usize").trim_end_matches("isize");
    number && !radix && (digits.contains('.') || digits.contains(['e', 'E']) || digits.contains('f'))
}

#[cfg(test)]
mod tests {
    use super::{forbids_unsafe, impurities};
    use crate::tokens::{parse, without_tests};

    fn found(source: &str) -> Vec<String> {
        let tokens = without_tests(parse(source).expect("a test source parses"));
        impurities(tokens)
            .into_iter()
            .map(|impurity| format!("{}:{}", impurity.line, impurity.what))
            .collect()
    }

    #[test]
    fn finds_clocks_floats_maps_and_io() {
        assert_eq!(found("fn a() -> f64 { 1.5 }"), ["1:f64", "1:1.5"]);
        assert_eq!(found("use std::collections::HashMap;"), ["1:HashMap"]);
        assert_eq!(found("use std::{fs, fmt, io::Read};"), ["1:std::fs", "1:std::io"]);
        assert_eq!(
            found("\nfn a() { let t = Time::now(); std::env::var(\"X\"); }"),
            ["2:::now", "2:std::env"]
        );
        assert_eq!(found("fn a() { g(2e3, 7f32, 1_u64) }"), ["1:2e3", "1:7f32"]);
        assert_eq!(
            found("async fn a() {} fn b() { unsafe { c() } }"),
            ["1:async", "1:unsafe"]
        );
    }

    #[test]
    fn passes_prose_integers_tuples_and_tests() {
        assert!(found("/// HashMap and f64\nfn a() { let s = \"std::fs f32\"; } // Instant").is_empty());
        assert!(found("fn a(p: ((u8, u8), u8)) -> u8 { p.0.1 + 0xfe + 1_usize as u8 + 0..10 }").is_empty());
        assert!(found("#[cfg(test)] mod tests { use std::fs; } fn now() {}").is_empty());
        assert!(found("mod a { #[cfg(test)] use std::fs; use core::time::Duration; }").is_empty());
    }

    #[test]
    fn sees_whether_unsafe_is_forbidden() {
        assert!(forbids_unsafe(&parse("#![forbid(unsafe_code)]").expect("parses")));
        assert!(!forbids_unsafe(
            &parse("// #![forbid(unsafe_code)]").expect("parses")
        ));
    }
}
