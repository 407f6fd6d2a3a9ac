//! Links between pages of the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::step::say;

/// Directories that hold no pages of ours.
const SKIPPED: &[&str] = &[".git", ".haca", ".venv", "node_modules", "target"];

/// Fails when a page links to a file that is not there.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut broken = 0usize;
    for page in pages(root)? {
        let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        let place = page.parent().unwrap_or(root);
        for link in local_links(&text).filter(|link| !place.join(link).exists()) {
            say(&format!(
                "{}: nothing at {link}",
                page.strip_prefix(root).unwrap_or(&page).display()
            ));
            broken = broken.saturating_add(1);
        }
    }
    if broken > 0 {
        bail!("{broken} links lead nowhere");
    }
    Ok(())
}

fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut queue = vec![root.to_owned()];
    while let Some(directory) = queue.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
                queue.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Targets of `[text](target)` that are files of the repository, without the part after `#`.
fn local_links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '\n']).next()?.split('#').next()?;
        let outside = target.contains("://") || target.starts_with("mailto:") || target.is_empty();
        (!outside).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::{check, local_links};

    #[test]
    fn reads_targets() {
        let text = "[a](b.md) and [c](d/e.md#part), [f](https://x.y/z.md), [g](#here)";
        assert_eq!(local_links(text).collect::<Vec<_>>(), ["b.md", "d/e.md"]);
    }

    #[test]
    fn refuses_a_link_to_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let page = directory.path().join("page.md");
        std::fs::write(&page, "[itself](page.md)").expect("a writable directory");
        assert!(check(directory.path()).is_ok());
        std::fs::write(&page, "[gone](gone.md)").expect("a writable directory");
        assert!(check(directory.path()).is_err());
    }
}
