//! The child process: started once, watched, ended with SIGTERM and, because it can hang, SIGKILL.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::log::Log;
use crate::{error::NodeError, home::Home};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often the child is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Environment variables that the child sees.
const HANDED_ON: [&str; 3] = ["HOME", "PATH", "TMPDIR"];

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
    /// Starts the binary on the directory; its output goes to the log. `ended` is called once if it ends by itself, even
    /// with exit status 0, which does not mean health.
    pub(super) fn start(
        launcher: &[OsString],
        binary: &Path,
        home: &Home,
        ended: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self, NodeError> {
        let log = Log::of(home);
        let mut command = command(launcher, binary, home, &log)?;
        let stopping: Arc<AtomicBool> = Arc::default();
        let (started, start) = mpsc::channel();
        let watched = Arc::clone(&stopping);
        // The system ties a child's life to the thread that started it, so that is the one that watches it.
        let watch = move || {
            let child = match command.spawn() {
                Ok(child) => Arc::new(Mutex::new(child)),
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(Arc::clone(&child))).is_ok() {
                watch(&child, &watched, &log, ended);
            }
        };
        let failed = |reason: String| NodeError::CometExited { reason };
        std::thread::Builder::new()
            .name("cometbft-watch".to_owned())
            .spawn(watch)
            .map_err(|error| failed(format!("no thread to watch it: {error}")))?;
        let child = start
            .recv()
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(format!("{} could not be started: {error}", binary.display())))?;
        let pid_file = pid_file(home);
        let process = Self {
            child,
            stopping,
            pid_file,
        };
        let number = process.lock().id().to_string();
        if let Err(source) = fs::write(&process.pid_file, number) {
            process.stop();
            return Err(NodeError::DataDirectory {
                path: process.pid_file.clone(),
                source,
            });
        }
        Ok(process)
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process. Repeating it is harmless.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut child = self.lock();
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

/// The command line. Of the environment only what finds files is handed on: CometBFT takes settings from variables, and
/// the launcher from those of its caller.
fn command(launcher: &[OsString], binary: &Path, home: &Home, log: &Log) -> Result<Command, NodeError> {
    let (output, errors) = (log.open()?, log.open()?);
    let mut command = match launcher.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command
        .arg("start")
        .arg("--home")
        .arg(home.cometbft())
        .env_clear()
        .envs(
            HANDED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    Ok(command)
}

/// Looks at the child and its log until it has ended.
fn watch(child: &Mutex<Child>, stopping: &AtomicBool, log: &Log, ended: impl FnOnce(String)) {
    let reason = loop {
        let status = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
        match status {
            Ok(None) => {
                log.bound();
                std::thread::sleep(POLL);
            }
            Ok(Some(status)) => break format!("the process ended with {status}"),
            Err(error) => break format!("the process can't be watched: {error}"),
        }
    };
    if !stopping.load(Ordering::SeqCst) {
        ended(reason);
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
