//! `haca doctor`: what this machine and a data directory can do.

use std::path::Path;
use std::process::Command;

use haca_client::NodeClient;
use serde_json::json;

use crate::args::Doctor;
use crate::failure::{Exit, Failure};
use crate::network::Network;
use crate::screen::{Ink, Screen};

/// One thing looked at.
struct Finding {
    id: &'static str,
    state: State,
    found: String,
    hint: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Warning,
    Bad,
}

/// Runs the command.
pub(crate) fn run(doctor: &Doctor, screen: &Screen) -> Result<u8, Failure> {
    let mut findings = vec![processor(), cores(), memory(), cometbft(), writable(&doctor.data)];
    findings.extend(network(&doctor.data));
    screen.object(&json!({
        "findings": findings.iter().map(|f| json!({
            "id": f.id, "state": f.state.name(), "found": f.found, "hint": f.hint,
        })).collect::<Vec<_>>(),
    }));
    for finding in &findings {
        let mark = match finding.state {
            State::Good => screen.ink(Ink::Green, "ok     "),
            State::Warning => screen.ink(Ink::Yellow, "warning"),
            State::Bad => screen.ink(Ink::Red, "bad    "),
        };
        screen.say(format!("{mark}  {:<12} {}", finding.id, finding.found));
        if finding.state != State::Good {
            screen.say(format!("         hint: {}", finding.hint));
        }
    }
    Ok(if findings.iter().any(|f| f.state == State::Bad) {
        Exit::Failure as u8
    } else {
        0
    })
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

fn processor() -> Finding {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let flags = info
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let vector: Vec<_> = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8"]
        .into_iter()
        .filter(|flag| flags.split_whitespace().any(|have| have == *flag))
        .collect();
    let fast = vector.contains(&"avx2");
    Finding {
        id: "processor",
        state: if fast { State::Good } else { State::Warning },
        found: format!(
            "{} ({}); integer kernels: {}",
            name.trim_start_matches([' ', '\t', ':']),
            vector.join(", "),
            haca_prover::kernel_instructions()
        ),
        hint: "without AVX2 the prover uses its portable path, which is slower",
    }
}

fn cores() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Finding {
        id: "cores",
        state: if cores >= 2 { State::Good } else { State::Warning },
        found: cores.to_string(),
        hint: "a full node and a prover beside it want two cores",
    }
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available
        .and_then(|text| text.trim().split(' ').next())
        .and_then(|text| text.parse().ok());
    let mib = kib.unwrap_or(0u64) / 1024;
    Finding {
        id: "memory",
        state: if mib >= 2048 { State::Good } else { State::Warning },
        found: format!("{mib} MiB available"),
        hint: "small models need 1 GiB; larger provers more",
    }
}

fn cometbft() -> Finding {
    let mut places = vec!["cometbft".to_owned()];
    if let Some(home) = std::env::var_os("HOME") {
        places.push(Path::new(&home).join("go/bin/cometbft").display().to_string());
    }
    let version = places.iter().find_map(|program| {
        let output = Command::new(program).arg("version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    Finding {
        id: "cometbft",
        state: if version.is_some() {
            State::Good
        } else {
            State::Warning
        },
        found: version.unwrap_or_else(|| "not found".into()),
        hint: "needed only for real networks: `cargo xtask tools`, or go install github.com/cometbft/cometbft/cmd/cometbft@v0.39.4",
    }
}

fn writable(dir: &Path) -> Finding {
    let existing = dir
        .ancestors()
        .find(|path| path.as_os_str().is_empty() || path.exists());
    let existing = existing
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let probe = existing.join(format!(".haca-probe-{}", std::process::id()));
    let attempt = std::fs::write(&probe, b"probe");
    let _ = std::fs::remove_file(&probe);
    Finding {
        id: "data",
        state: if attempt.is_ok() { State::Good } else { State::Bad },
        found: match attempt {
            Ok(()) => format!("{} is writable", existing.display()),
            Err(error) => format!("{}: {error}", existing.display()),
        },
        hint: "name a writable directory with --data or HACA_DATA",
    }
}

fn network(dir: &Path) -> Vec<Finding> {
    let Ok(network) = Network::load(dir) else {
        return vec![Finding {
            id: "network",
            state: State::Warning,
            found: format!("{} holds no network", dir.display()),
            hint: "start one with `haca up`",
        }];
    };
    let status = NodeClient::new(&network.file.node_url).status();
    let matches = status
        .as_ref()
        .is_ok_and(|s| s.genesis.to_string() == network.file.trust);
    let state = match &status {
        Ok(_) if matches => State::Good,
        Ok(_) => State::Bad,
        Err(_) => State::Warning,
    };
    vec![Finding {
        id: "network",
        state,
        found: match &status {
            Ok(status) if matches => format!("{} at height {}", network.file.node_url, status.height),
            Ok(_) => format!("{} is on another network", network.file.node_url),
            Err(error) => error.to_string(),
        },
        hint: "run `haca up` on this directory",
    }]
}
