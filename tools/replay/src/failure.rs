//! Why the tool stopped, and with which exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Everything that ends a replay early.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was asked for cannot be done: a wrong argument, a trace that is no trace, an option the library refuses.
    Request(String),
    /// The cache misbehaved while the trace was running: a wrong value, a failing call, counters that do not add up.
    Cache(String),
    /// Nobody reads the output any more (`replay ... | head`).
    OutputClosed,
    /// The output cannot be written for another reason.
    Output(String),
}

impl Failure {
    pub fn request(message: impl Into<String>) -> Self {
        Self::Request(message.into())
    }

    pub fn cache(message: impl Into<String>) -> Self {
        Self::Cache(message.into())
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Cache(_) | Self::Output(_) => ExitCode::from(1),
            Self::Request(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(message) | Self::Cache(message) | Self::Output(message) => out.write_str(message),
            Self::OutputClosed => out.write_str("the output was closed"),
        }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Request(format!("{error} (see --help)"))
    }
}

/// Only the report does I/O with `?`; files are opened where their path is at hand for the message.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Output(format!("cannot write the output: {error}")),
        }
    }
}
