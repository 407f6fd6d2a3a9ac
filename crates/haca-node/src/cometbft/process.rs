//! The child process: started once, watched, ended with SIGTERM and, because it can hang, SIGKILL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{error::NodeError, home::Home};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often the child is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A watched child process.
#[derive(Debug)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    stopping: Arc<AtomicBool>,
    pid_file: PathBuf,
}

fn pid_file(home: &Home) -> PathBuf {
    home.cometbft().join("pid")
}

impl Process {
    /// Starts the binary on the directory; its output goes to `cometbft.log`. `ended` is called once if it ends by
    /// itself, even with exit status 0, which does not mean health.
    pub(super) fn start(
        binary: &Path,
        home: &Home,
        ended: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self, NodeError> {
        let log_path = home.path().join("cometbft.log");
        let unwritable = |source| NodeError::DataDirectory {
            path: log_path.clone(),
            source,
        };
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(unwritable)?;
        let errors = log.try_clone().map_err(unwritable)?;
        let child = Command::new(binary)
            .arg("start")
            .arg("--home")
            .arg(home.cometbft())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| NodeError::CometExited {
                reason: format!("{} could not be started: {error}", binary.display()),
            })?;
        let pid_file = pid_file(home);
        fs::write(&pid_file, child.id().to_string()).map_err(unwritable)?;
        let process = Self {
            child: Arc::new(Mutex::new(child)),
            stopping: Arc::default(),
            pid_file,
        };
        process.watch(ended)?;
        Ok(process)
    }

    fn watch(&self, ended: impl FnOnce(String) + Send + 'static) -> Result<(), NodeError> {
        let (child, stopping) = (Arc::clone(&self.child), Arc::clone(&self.stopping));
        let watch = move || {
            while !stopping.load(Ordering::SeqCst) {
                let status = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
                match status {
                    Ok(None) => std::thread::sleep(POLL),
                    Ok(Some(status)) => {
                        if !stopping.load(Ordering::SeqCst) {
                            ended(format!("the process ended with {status}"));
                        }
                        return;
                    }
                    Err(error) => return ended(format!("the process can't be watched: {error}")),
                }
            }
        };
        std::thread::Builder::new()
            .name("cometbft-watch".to_owned())
            .spawn(watch)
            .map(|_| ())
            .map_err(|error| NodeError::CometExited {
                reason: format!("no thread to watch it: {error}"),
            })
    }

    /// Ends the process. Repeating it is harmless.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if running(&mut child) {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let deadline = Instant::now() + GRACE;
            while running(&mut child) && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(&self.pid_file);
    }
}

/// Ends a CometBFT that an earlier node left behind when it was killed. It is known by its process number and by
/// the directory on its command line.
pub(super) fn end_orphan(home: &Home) -> Result<(), NodeError> {
    let path = pid_file(home);
    let number = fs::read_to_string(&path)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    let Some(pid) = number.and_then(Pid::from_raw) else {
        return Ok(());
    };
    let directory = home.cometbft().into_os_string().into_encoded_bytes();
    let alive = || {
        let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        command
            .split(|byte| *byte == 0)
            .any(|argument| argument == directory)
    };
    let deadline = Instant::now() + GRACE;
    while alive() {
        // It has lost its application and may ignore SIGTERM for ever.
        let _ = kill_process(pid, Signal::KILL);
        if Instant::now() > deadline {
            return Err(NodeError::CometExited {
                reason: format!("process {} of an earlier run does not end", pid.as_raw_nonzero()),
            });
        }
        std::thread::sleep(POLL);
    }
    let _ = fs::remove_file(path);
    Ok(())
}
