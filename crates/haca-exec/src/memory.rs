//! How much memory there is to work in.

use std::path::{Path, PathBuf};

/// Bytes that may be used: the configured megabytes, or what the machine has left.
pub(crate) fn limit(configured_mb: Option<u64>) -> Option<u64> {
    match configured_mb {
        Some(mb) => Some(mb.saturating_mul(1_000_000)),
        None => available_bytes(),
    }
}

/// Bytes that this process can still take without swapping or being killed: what the kernel has available, or what the
/// control groups of the process leave, whichever is less. `None` where the system tells neither.
pub fn available_bytes() -> Option<u64> {
    available(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
}

fn available(proc: &Path, groups: &Path) -> Option<u64> {
    let group = group_left(proc, groups);
    machine(proc).into_iter().chain(group).min()
}

fn machine(proc: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join("meminfo")).ok()?;
    let kib: u64 = field(&text, "MemAvailable:")?;
    Some(kib.saturating_mul(1024))
}

/// The number behind a name in lines of names and numbers.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
}

/// The files of one version of control groups.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// Pages of files that the kernel drops before anything else.
    reclaimable: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};
const V2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    reclaimable: "inactive_file",
};

/// What the tightest group of this process leaves, of either version. A group is bounded by those it lies in; within a
/// container the path may be that of the host, and only the root of the tree is there.
fn group_left(proc: &Path, groups: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join("self/cgroup")).ok()?;
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        if controllers.is_empty() {
            return Some((groups.to_owned(), V2, path));
        }
        let is_memory = controllers.split(',').any(|name| name == "memory");
        is_memory.then(|| (groups.join("memory"), V1, path))
    });
    lines
        .flat_map(|(root, files, path)| {
            let inner = root.join(path.trim_start_matches('/'));
            let within: Vec<PathBuf> = inner.ancestors().map(Path::to_owned).collect();
            let within = within.into_iter().filter(move |dir| dir.starts_with(&root));
            within
                .filter_map(move |dir| left(&dir, &files))
                .collect::<Vec<_>>()
        })
        .min()
}

/// What one group leaves; `None` without a limit.
fn left(dir: &Path, files: &Files) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(dir.join(name)).ok()?;
        text.trim().parse().ok()
    };
    // Without a limit, version 2 says "max", and version 1 a number beyond all memory.
    let (limit, used) = (number(files.limit)?, number(files.used)?);
    let stat = std::fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let reclaimable = field(&stat, files.reclaimable).unwrap_or(0).min(used);
    Some(limit.saturating_sub(used - reclaimable))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A system of these files.
    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, Option<u64>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = available(&dir.path().join("proc"), &dir.path().join("sys"));
        (dir, found)
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    1000 kB\n");

    #[test]
    fn without_groups_the_machine_says() {
        assert_eq!(system(&[MEMINFO]).1, Some(1_024_000));
        assert_eq!(system(&[]).1, None);
    }

    #[test]
    fn the_tightest_group_of_version_2_counts() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/a/b/memory.max", "max\n"),
            ("sys/a/b/memory.current", "10\n"),
            ("sys/a/memory.max", "900\n"),
            ("sys/a/memory.current", "500\n"),
            ("sys/a/memory.stat", "anon 1\ninactive_file 100\n"),
        ];
        assert_eq!(system(&files).1, Some(500));
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_root() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/kubepods/x\n"),
            ("sys/memory.max", "700\n"),
            ("sys/memory.current", "800\n"),
        ];
        assert_eq!(system(&files).1, Some(0));
    }

    #[test]
    fn version_1_counts_and_its_largest_number_is_no_limit() {
        let group = |limit| {
            system(&[
                MEMINFO,
                ("proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/x\n"),
                ("sys/memory/x/memory.limit_in_bytes", limit),
                ("sys/memory/x/memory.usage_in_bytes", "400\n"),
                ("sys/memory/x/memory.stat", "total_inactive_file 300\n"),
            ])
            .1
        };
        assert_eq!(group("1000\n"), Some(900));
        assert_eq!(group("9223372036854771712\n"), Some(1_024_000));
    }
}
