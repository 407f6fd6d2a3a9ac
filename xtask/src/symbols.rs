//! The wall that a linker can't hide: the symbols of the full node's binary.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use object::{Object as _, ObjectSymbol as _};

/// What may not occur in a full node, as crate names stand in symbols.
pub(crate) const FOREIGN: &[&str] = &["haca_prover", "haca_exec", "haca_onnx"];

/// What must occur: without it the binary is stripped, and a search would find nothing whatever is inside.
const CONTROL: &str = "haca_ledger";

/// Fails with the symbols that don't belong in the binary of a full node.
pub(crate) fn check(binary: &Path) -> Result<()> {
    let bytes = std::fs::read(binary).with_context(|| binary.display().to_string())?;
    let names = names(&bytes)?;
    ensure!(
        names.iter().any(|name| name.contains(CONTROL)),
        "{} has no symbol of {CONTROL}; it is stripped, or not a full node",
        binary.display()
    );
    let mut found = foreign(&names);
    found.extend(foreign_paths(&bytes));
    if let Some(first) = found.first() {
        bail!(
            "{} contains {} foreign symbols, the first is {first}",
            binary.display(),
            found.len()
        );
    }
    Ok(())
}

/// Whether the search finds prover code in a binary that is known to link it.
pub(crate) fn check_control(binary: &Path) -> Result<()> {
    let bytes = std::fs::read(binary).with_context(|| binary.display().to_string())?;
    let found = foreign(&names(&bytes)?);
    ensure!(
        found.iter().any(|name| name.contains("haca_prover")),
        "{} links the prover, but the search finds no symbol of it: the wall can't fail",
        binary.display()
    );
    Ok(())
}

/// The symbol names of an object file.
fn names(bytes: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(bytes).context("not an object file")?;
    Ok(file
        .symbols()
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
        .collect())
}

/// Names that mention a foreign crate. Both of Rust's manglings keep a crate's name readable, also where a
/// symbol is another crate's generic instantiated for a foreign type.
fn foreign(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| FOREIGN.iter().any(|foreign| name.contains(foreign)))
        .cloned()
        .collect()
}

/// Source paths of foreign crates, which panic messages carry even where the code around them was inlined.
fn foreign_paths(bytes: &[u8]) -> Vec<String> {
    let path = |name: &str| format!("crates/{}/src/", name.replace('_', "-"));
    let paths = FOREIGN.iter().map(|name| path(name));
    paths
        .filter(|path| bytes.windows(path.len()).any(|window| window == path.as_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

    use super::{check, check_control};

    /// A small object file with these symbols, and this text in its data.
    fn fixture(directory: &std::path::Path, symbols: &[&str], data: &[u8]) -> std::path::PathBuf {
        let mut file = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let section = file.section_id(object::write::StandardSection::ReadOnlyData);
        file.append_section_data(section, data, 1);
        for name in symbols {
            file.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: 0,
                size: 0,
                kind: SymbolKind::Data,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        let path = directory.join(format!("fixture-{}-{}", symbols.len(), data.len()));
        std::fs::write(&path, file.write().expect("an object file")).expect("a writable directory");
        path
    }

    const OWN: &str = "_ZN11haca_ledger5apply17h0123456789abcdefE";

    #[test]
    fn accepts_a_full_node() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(
            check(&fixture(
                directory.path(),
                &[OWN, "main"],
                b"crates/haca-ledger/src/lib.rs"
            ))
            .is_ok()
        );
    }

    #[test]
    fn refuses_prover_code() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for foreign in [
            "_ZN11haca_prover5prove17h0123456789abcdefE",
            "_RNvCs1234_11haca_prover5prove",
            "_ZN4core3ptr58drop_in_place$LT$haca_exec..Journal$GT$17h0123456789abcdefE",
            "_ZN9haca_onnx6import17h0123456789abcdefE",
        ] {
            let path = fixture(directory.path(), &[OWN, foreign], b"");
            let refused = check(&path).expect_err("foreign code").to_string();
            assert!(refused.contains(foreign), "{refused}");
        }
    }

    #[test]
    fn refuses_inlined_prover_code_by_its_panic_paths() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = fixture(directory.path(), &[OWN], b"crates/haca-prover/src/kernel.rs");
        assert!(check(&path).is_err());
    }

    #[test]
    fn refuses_a_stripped_binary() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(check(&fixture(directory.path(), &[], b"")).is_err());
        assert!(check(&fixture(directory.path(), &["main"], b"")).is_err());
    }

    #[test]
    fn control_needs_the_prover() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(check_control(&fixture(directory.path(), &[OWN], b"")).is_err());
        let prover = "_ZN11haca_prover5prove17h0123456789abcdefE";
        assert!(check_control(&fixture(directory.path(), &[OWN, prover], b"")).is_ok());
    }
}
