//! The only place messages go: a sink that the host gives, or nowhere. Never standard error.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much a message matters; a sink gets its own level and everything more important.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something is lost or wrong.
    Error = 1,
    /// Something was asked for and could not be done as asked.
    Warn = 2,
    /// Something that happens a few times in a program's life.
    Info = 3,
    /// For whoever looks for a fault.
    Debug = 4,
}

/// Called outside all locks of the library, from any thread.
pub type Sink = Arc<dyn Fn(Level, &str) + Send + Sync>;

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Messages above this are not even made. 0 while there is no sink.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// Sends messages up to `level` to `sink` from now on; with `None` they go nowhere.
pub fn set_logger(sink: Option<(Level, Sink)>) {
    let (level, sink) = sink.map_or((0, None), |(level, sink)| (level as u8, Some(sink)));
    let former = {
        let mut current = hold();
        LEVEL.store(level, Relaxed);
        std::mem::replace(&mut *current, sink)
    };
    drop(former);
}

pub(crate) fn error(message: impl FnOnce() -> String) {
    send(Level::Error, message);
}

pub(crate) fn warn(message: impl FnOnce() -> String) {
    send(Level::Warn, message);
}

pub(crate) fn info(message: impl FnOnce() -> String) {
    send(Level::Info, message);
}

pub(crate) fn debug(message: impl FnOnce() -> String) {
    send(Level::Debug, message);
}

fn send(level: Level, message: impl FnOnce() -> String) {
    if level as u8 > LEVEL.load(Relaxed) {
        return;
    }
    let sink = hold().clone();
    if let Some(sink) = sink {
        sink(level, &message());
    }
}

/// The lock, also for the time of a fork. A sink that panicked did so outside it.
pub(crate) fn hold() -> MutexGuard<'static, Option<Sink>> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}
