//! Rust source as tokens. Comments are gone and strings are literals, so a scan never trips over prose.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Every `.rs` file under a directory, sorted.
pub(crate) fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(directory) = queue.pop() {
        let entries = std::fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                queue.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The tokens of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<TokenTree>> {
    let source = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&source).with_context(|| path.display().to_string())
}

/// The tokens of a source text.
pub(crate) fn parse(source: &str) -> Result<Vec<TokenTree>> {
    let stream: TokenStream = source.parse().map_err(|error| anyhow!("not Rust: {error}"))?;
    Ok(stream.into_iter().collect())
}

/// The same tokens without items marked `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: Vec<TokenTree>) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let test = is_punct(&token, '#')
            && matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.to_string().replace(' ', "") == "[cfg(test)]");
        if !test {
            kept.push(token);
            continue;
        }
        // An item ends with its first brace group or semicolon.
        tokens.next();
        for token in tokens.by_ref() {
            let block = matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            if block || is_punct(&token, ';') {
                break;
            }
        }
    }
    kept
}

/// Whether a token is this punctuation character.
pub(crate) fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether a token is this identifier.
pub(crate) fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if *ident == name)
}

/// The value of a plain string literal.
pub(crate) fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    let text = literal.to_string();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}
