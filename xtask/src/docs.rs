//! The table of error codes, kept equal to the sources, and links that lead somewhere.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use proc_macro2::{Delimiter, TokenTree};

use crate::links;
use crate::step::say;
use crate::tokens::{self, is_ident, is_punct};
use crate::workspace::Workspace;

const PAGE: &str = "docs/reference/errors.md";
const BEGIN: &str = "<!-- codes: written by `cargo xtask docs --write` -->";
/// Area of the codes that the command line itself gives.
const COMMAND_LINE: &str = "cli.";
const END: &str = "<!-- end of codes -->";

/// What a code stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    source: String,
    meaning: String,
}

/// Fails when the page and the sources differ, or a page links to what is not there.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    links::check(&workspace.root)?;
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
            codes_in(&tokens, &Place::default(), &mut codes);
            for Code { code, name, said } in codes {
                let meaning = meanings.get(&name).cloned().unwrap_or(said);
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

/// A code found in a source.
struct Code {
    code: String,
    /// The variant whose arm holds it, or the type whose `code` it is.
    name: String,
    /// What follows it as message and hint, where it is an argument.
    said: String,
}

/// Where a scan stands.
#[derive(Clone, Default)]
struct Place {
    /// The type of the `impl` block, then the variant of the arm.
    name: String,
    /// Whether this is the body of a `fn code`.
    in_code: bool,
}

/// Collects string literals shaped like codes: all in bodies of `fn code`, and anywhere those of the command line.
fn codes_in(tokens: &[TokenTree], place: &Place, found: &mut Vec<Code>) {
    let mut place = place.clone();
    let outside = place.in_code;
    for (at, token) in tokens.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
        let follows = |name: &str| before(1).is_some_and(|token| is_ident(token, name));
        match token {
            TokenTree::Ident(ident) => {
                if follows("fn") {
                    place.in_code = outside || *ident == "code";
                }
                let capital = ident
                    .to_string()
                    .starts_with(|first: char| first.is_ascii_uppercase());
                let arm = place.in_code && before(1).is_some_and(|token| is_punct(token, ':'));
                if capital && (arm || follows("impl") || follows("for")) {
                    place.name = ident.to_string();
                }
            }
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                codes_in(&inner, &place, found);
                if group.delimiter() == Delimiter::Brace {
                    place.in_code = outside;
                }
            }
            TokenTree::Literal(_) => {
                let text = tokens::string(token).filter(|text| is_code(text));
                if let Some(code) = text.filter(|text| place.in_code || text.starts_with(COMMAND_LINE)) {
                    let name = if place.in_code {
                        place.name.clone()
                    } else {
                        String::new()
                    };
                    let said = texts(tokens.get(at.saturating_add(1)..).unwrap_or_default()).join("; ");
                    found.push(Code { code, name, said });
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// String literals among tokens and inside their groups, with what is filled in shown as an ellipsis.
fn texts(tokens: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => found.extend(texts(&group.stream().into_iter().collect::<Vec<_>>())),
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            _ => found.extend(
                tokens::string(token)
                    .map(|text| elided(&text))
                    .filter(|text| text.contains(' ')),
            ),
        }
    }
    found
}

fn elided(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, rest)) if at > 0 => out.push_str(&format!("…{rest}")),
            _ => out.push_str(part),
        }
    }
    out
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
    documented_types(tokens, found);
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

/// Documentation of types, for those whose every value has one code.
fn documented_types(tokens: &[TokenTree], found: &mut BTreeMap<String, String>) {
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                if let [name, _, value] = inner.as_slice()
                    && is_ident(name, "doc")
                {
                    text = format!("{text} {}", tokens::string(value).unwrap_or_default().trim());
                }
            }
            TokenTree::Ident(ident) if *ident == "struct" => {
                if let Some(name) = tokens.get(at.saturating_add(1)) {
                    found
                        .entry(name.to_string())
                        .or_insert_with(|| text.trim().to_owned());
                }
            }
            TokenTree::Group(_) => text.clear(),
            TokenTree::Punct(punct) if punct.as_char() == ';' => text.clear(),
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

    use super::{Place, codes_in, is_code, variants};
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
        fn f() -> Failure { let x = "nor.this"; Failure::usage("cli.file", format!("no {}: {x}", y), "look there") }
        /// Not hexadecimal.
        pub struct ParseError;
        impl ParseError { fn code(&self) -> &str { "wire.parse" } }
    "#;

    #[test]
    fn finds_codes_with_their_variants() {
        let mut codes = Vec::new();
        codes_in(&parse(SOURCE).expect("parses"), &Place::default(), &mut codes);
        let found: Vec<(&str, &str)> = codes.iter().map(|c| (c.code.as_str(), c.name.as_str())).collect();
        let expected = [
            ("ledger.fee", "Fee"),
            ("ledger.used", "Used"),
            ("cli.file", ""),
            ("wire.parse", "ParseError"),
        ];
        assert_eq!(found, expected);
        assert_eq!(codes[2].said, "no …: …; look there");
    }

    #[test]
    fn reads_the_first_paragraph_of_a_variant() {
        let mut meanings = BTreeMap::new();
        variants(&parse(SOURCE).expect("parses"), &mut meanings);
        assert_eq!(meanings["Fee"], "The fee is above the order's limit.");
        assert_eq!(meanings["Used"], "Already settled.");
        assert_eq!(meanings["ParseError"], "Not hexadecimal.");
    }

    #[test]
    fn knows_a_code() {
        assert!(is_code("wire.too_long"));
        assert!(!is_code("Wire.x") && !is_code("model.vk ") && !is_code("1.5") && !is_code("plain"));
    }
}
