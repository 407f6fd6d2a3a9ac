//! Processes of a benchmark: what they use, and their end.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::failed;
use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct Usage {
    /// Seconds of processor time.
    pub(in crate::bench) cpu_s: f64,
    /// The most memory it ever held.
    pub(in crate::bench) peak_rss_bytes: u64,
}

impl Usage {
    /// Reads `/proc`; zeroes where the process is gone.
    pub(in crate::bench) fn of(process: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Fields 14 and 15, counted from behind the name in parentheses, which may hold spaces.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Self {
            // 100 ticks a second on every Linux that is in use.
            cpu_s: (ticks(11) + ticks(12)) / 100.0,
            peak_rss_bytes: peak.unwrap_or(0) * 1024,
        }
    }
}

/// Processes whose parent this is.
pub(in crate::bench) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            rest.split(' ').nth(1) == Some(&parent.to_string())
        })
        .collect()
}

/// Processes that stand still until this value is dropped.
pub(in crate::bench) struct Paused(Vec<Pid>);

impl Paused {
    /// Stops the processes in this order. They go on in the opposite one.
    pub(in crate::bench) fn new(processes: &[u32]) -> Result<Self, Failure> {
        let mut paused = Self(Vec::new());
        for process in processes {
            let pid = i32::try_from(*process).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| failed("a process has no number"))?;
            kill_process(pid, Signal::STOP).map_err(failed)?;
            paused.0.push(pid);
        }
        Ok(paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for pid in self.0.iter().rev() {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// A process that is killed with this value.
pub(in crate::bench) struct Guarded(Child);

impl Guarded {
    pub(in crate::bench) fn start(command: &mut Command, log: &Path) -> Result<Self, Failure> {
        let file = std::fs::File::create(log).map_err(|error| Failure::file(log, "create", &error))?;
        let errors = file.try_clone().map_err(failed)?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        child.map(Self).map_err(failed)
    }

    pub(in crate::bench) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
