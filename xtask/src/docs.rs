//! The table of error codes, kept equal to the sources.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use proc_macro2::{Delimiter, TokenTree};

use crate::step::say;
use crate::tokens::{self, is_ident, is_punct};
use crate::workspace::Workspace;

const PAGE: &str = "docs/reference/errors.md";
const BEGIN: &str = "<!-- codes: written by `cargo xtask docs --write` -->";
const END: &str = "<!-- end of codes -->";

/// What a code stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    source: String,
    meaning: String,
}

/// Fails when the page and the sources differ.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let (before, table, _) = page(workspace)?;
    let wanted = render(&collect(workspace)?);
    if table == wanted {
        return Ok(());
    }
    let line = before.lines().count();
    for row in wanted.lines().filter(|row| !table.contains(row)) {
        say(&format!("{PAGE}: missing: {row}"));
    }
    for row in table.lines().filter(|row| !wanted.contains(row)) {
        say(&format!("{PAGE}: stale: {row}"));
    }
    bail!("{PAGE} differs from the sources below line {line}; run `cargo xtask docs --write`")
}

/// Writes the table anew.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let (before, _, after) = page(workspace)?;
    let entries = collect(workspace)?;
    std::fs::write(
        workspace.root.join(PAGE),
        format!("{before}{}{after}", render(&entries)),
    )?;
    say(&format!("{PAGE}: {} codes", entries.len()));
    Ok(())
}

/// The page's text before the table, the table, and after it.
fn page(workspace: &Workspace) -> Result<(String, String, String)> {
    let text = std::fs::read_to_string(workspace.root.join(PAGE)).context(PAGE)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} lacks {BEGIN}"))?;
    let (table, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} lacks {END}"))?;
    Ok((
        format!("{before}{BEGIN}"),
        table.to_owned(),
        format!("{END}{after}"),
    ))
}

fn render(entries: &BTreeMap<String, Entry>) -> String {
    let mut out = String::from("\n\n| code | from | meaning |\n|---|---|---|\n");
    for (code, entry) in entries {
        out.push_str(&format!(
            "| `{code}` | {} | {} |\n",
            entry.source,
            entry.meaning.replace('|', "\\|")
        ));
    }
    out.push('\n');
    out
}

/// Every code in the sources of every member but this one.
fn collect(workspace: &Workspace) -> Result<BTreeMap<String, Entry>> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for member in workspace
        .members()
        .into_iter()
        .filter(|member| *member != "xtask")
    {
        let Some(sources) = workspace.sources(member) else {
            continue;
        };
        for path in tokens::rust_files(&sources)? {
            let tokens = tokens::without_tests(tokens::read(&path)?);
            let mut meanings = BTreeMap::new();
            variants(&tokens, &mut meanings);
            let mut codes = Vec::new();
            codes_in(&tokens, false, &mut codes);
            for (variant, code) in codes {
                let meaning = variant
                    .and_then(|variant| meanings.get(&variant).cloned())
                    .unwrap_or_default();
                let entry = entries.entry(code).or_default();
                if entry.source.is_empty() {
                    entry.source = member.to_owned();
                }
                if entry.meaning.is_empty() {
                    entry.meaning = meaning;
                }
            }
        }
    }
    Ok(entries)
}

/// Collects string literals shaped like codes: in bodies of `fn code`, with the variant whose arm holds them, and
/// as arguments of the command line's `Failure` constructors.
fn codes_in(tokens: &[TokenTree], inside: bool, found: &mut Vec<(Option<String>, String)>) {
    let mut in_code = inside;
    let mut in_failure = false;
    let mut variant: Option<String> = None;
    for (at, token) in tokens.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
        match token {
            TokenTree::Ident(ident) => {
                let named = before(1).is_some_and(|token| is_ident(token, "fn"));
                if named {
                    in_code = inside || *ident == "code";
                }
                in_failure |= *ident == "Failure";
                let path = before(1).is_some_and(|token| is_punct(token, ':'));
                let capital = ident
                    .to_string()
                    .starts_with(|first: char| first.is_ascii_uppercase());
                if in_code && path && capital {
                    variant = Some(ident.to_string());
                }
            }
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let body = group.delimiter() == Delimiter::Brace;
                codes_in(&inner, in_code || (in_failure && !body), found);
                if body && !inside {
                    (in_code, in_failure) = (false, false);
                }
            }
            TokenTree::Literal(_) if in_code => {
                if let Some(code) = tokens::string(token).filter(|text| is_code(text)) {
                    found.push((variant.clone(), code));
                }
            }
            TokenTree::Punct(punct) => in_failure &= punct.as_char() != ';',
            TokenTree::Literal(_) => {}
        }
    }
}

/// `area.what`, lower case with underscores.
fn is_code(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.split_once('.')
        .is_some_and(|(area, what)| word(area) && word(what))
}

/// Documentation of each enum variant, first paragraph.
fn variants(tokens: &[TokenTree], found: &mut BTreeMap<String, String>) {
    let mut is_enum = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if *ident == "enum" => is_enum = true,
            TokenTree::Punct(punct) if punct.as_char() == ';' => is_enum = false,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                if is_enum {
                    documented(&inner, found);
                } else {
                    variants(&inner, found);
                }
                is_enum = false;
            }
            _ => {}
        }
    }
}

fn documented(body: &[TokenTree], found: &mut BTreeMap<String, String>) {
    let mut text = String::new();
    let mut ended = false;
    let mut fresh = true;
    for (at, token) in body.iter().enumerate() {
        let attribute = at
            .checked_sub(1)
            .and_then(|at| body.get(at))
            .is_some_and(|token| is_punct(token, '#'));
        match token {
            TokenTree::Group(group) if attribute => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let line = match inner.as_slice() {
                    [name, _, value] if is_ident(name, "doc") => tokens::string(value),
                    _ => None,
                };
                if let Some(line) = line {
                    ended |= line.trim().is_empty();
                    if !ended {
                        text = format!("{text} {}", line.trim());
                    }
                }
            }
            TokenTree::Ident(ident) if fresh => {
                found
                    .entry(ident.to_string())
                    .or_insert_with(|| text.trim().to_owned());
                (text, ended, fresh) = (String::new(), false, false);
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => fresh = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{codes_in, is_code, variants};
    use crate::tokens::parse;

    const SOURCE: &str = r#"
        /// Errors.
        pub enum Refusal {
            /// The fee is above
            /// the order's limit.
            ///
            /// More.
            #[error("fee {found} above {expected}")]
            Fee { found: u64, expected: u64 },
            /// Already settled.
            Used(u8),
        }
        impl Refusal {
            pub const fn code(&self) -> &'static str {
                match self {
                    Self::Fee { .. } => "ledger.fee",
                    Self::Used(_) => "ledger.used",
                    Self::Wire(error) => error.code(),
                }
            }
            fn other(&self) -> &str { "not.this" }
        }
        fn f() -> Failure { let x = "nor.this"; Failure::usage("cli.file", "m", "h") }
    "#;

    #[test]
    fn finds_codes_with_their_variants() {
        let mut codes = Vec::new();
        codes_in(&parse(SOURCE).expect("parses"), false, &mut codes);
        let found: Vec<(Option<&str>, &str)> =
            codes.iter().map(|(v, c)| (v.as_deref(), c.as_str())).collect();
        assert_eq!(
            found.get(..2),
            Some(&[(Some("Fee"), "ledger.fee"), (Some("Used"), "ledger.used")][..])
        );
        assert_eq!(found.get(2).map(|(_, code)| *code), Some("cli.file"));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn reads_the_first_paragraph_of_a_variant() {
        let mut meanings = BTreeMap::new();
        variants(&parse(SOURCE).expect("parses"), &mut meanings);
        assert_eq!(meanings["Fee"], "The fee is above the order's limit.");
        assert_eq!(meanings["Used"], "Already settled.");
    }

    #[test]
    fn knows_a_code() {
        assert!(is_code("wire.too_long"));
        assert!(!is_code("Wire.x") && !is_code("model.vk ") && !is_code("1.5") && !is_code("plain"));
    }
}
