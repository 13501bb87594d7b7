//! The log of one world, apart from those of the worlds beside it: each has threads of its own, which write here.

use std::{
    io,
    mem::forget,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{Dispatch, dispatcher, subscriber::DefaultGuard};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// How much is kept, in bytes; the rest of a flood is left out.
const KEPT: usize = 4 << 20;

/// What was logged.
#[derive(Clone)]
pub struct Log {
    lines: Lines,
    dispatch: Dispatch,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Default for Log {
    fn default() -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(
                "warn,habops=debug,habops::clients::ssh=info",
            ))
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        Self {
            lines,
            dispatch: Dispatch::new(subscriber),
        }
    }
}

impl Log {
    /// This thread logs here until the guard is dropped.
    pub fn listen(&self) -> DefaultGuard {
        dispatcher::set_default(&self.dispatch)
    }

    /// This thread logs here as long as it lives.
    pub fn listen_for_ever(&self) {
        forget(self.listen());
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        let lines = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < KEPT {
            lines.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
