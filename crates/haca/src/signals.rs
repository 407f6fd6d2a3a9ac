//! Interrupt and termination.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Exit, Failure};

/// Both signals, caught from the moment this exists. Before that they end the process, and its children with it.
pub(crate) struct Signals {
    runtime: tokio::runtime::Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let attempt = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let context = runtime.enter();
            let interrupt = signal(SignalKind::interrupt())?;
            let terminate = signal(SignalKind::terminate())?;
            drop(context);
            Ok(Self {
                runtime,
                interrupt,
                terminate,
            })
        };
        attempt().map_err(|error: std::io::Error| {
            Failure::new(
                Exit::Failure,
                "cli.signals",
                error,
                "the system refuses signal handlers",
            )
        })
    }

    /// Returns when this process is asked to end.
    pub(crate) fn wait(&mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        });
    }

    /// Whether this process is asked to end within `patience`.
    pub(crate) fn arrive_within(&mut self, patience: Duration) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupt.recv() => true,
                _ = self.terminate.recv() => true,
                () = tokio::time::sleep(patience) => false,
            }
        })
    }
}
