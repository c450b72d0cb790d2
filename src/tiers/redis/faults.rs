//! What a server's refusals and a socket's errors mean for the tier. Used by connections and by whoever reads replies;
//! decides only what something means, not what is done about it.

use super::wire::Unread;
use crate::tiers::{Fault, FaultKind};
use std::fmt::Display;
use std::io;

/// What an error that a server has sent holds for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// For this server, or all that we may do there: the next command will not go better.
    Server(Fault),
    /// For this command; others may go well.
    Command(Fault),
    /// For nothing: there is something of another type under that name, so no value of ours.
    NotAValue,
}

impl Complaint {
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Complaint::Server(fault) | Complaint::Command(fault) => fault,
            Complaint::NotAValue => Fault::new(FaultKind::Damaged, "Redis has something else where a value should be"),
        }
    }
}

/// Reads an error line, `WORD explanation`.
pub(super) fn complaint(line: &str) -> Complaint {
    let refused = |advice: &str| {
        let advice = if advice.is_empty() { String::new() } else { format!(" ({advice})") };
        Complaint::Server(Fault::new(FaultKind::Refused, format!("Redis says: {}{advice}", shown(line))))
    };
    let no_room = || Complaint::Command(Fault::new(FaultKind::Full, format!("Redis says: {}", shown(line))));
    match code(line) {
        // It takes no more writes, while reads go well: no memory; no disk to save on; too few replicas.
        "OOM" | "MISCONF" | "NOREPLICAS" => no_room(),
        "WRONGTYPE" => Complaint::NotAValue,
        "MOVED" | "ASK" => refused("it is a node of a cluster: give redis.nodes instead of redis.url"),
        "NOAUTH" | "WRONGPASS" => refused("look at the user and the password of redis.url or redis.nodes"),
        "NOPERM" => refused("the user needs the commands get, mget, set, unlink, expire, scan and ping, and all keys that begin with redis.key_prefix"),
        _ => refused(""),
    }
}

/// The word that an error line begins with.
pub(super) fn code(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Whether a connection on which this was said is of no more use: the server closes it, or only a new one may do better, which
/// finds a new primary by its name or uses what has become the right password.
pub(super) fn ends_connection(line: &str) -> bool {
    matches!(code(line), "READONLY" | "MASTERDOWN" | "NOAUTH" | "DENIED")
        || line.starts_with("ERR max number of clients")
        || line.starts_with("ERR Protocol error")
}

/// What an error line says, cut to a length that suits a message. Servers do not repeat passwords.
fn shown(line: &str) -> String {
    line.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A failure of a connection.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) fault: Fault,
    /// Whether the other side had closed it, perhaps long before.
    pub(super) closed: bool,
}

impl Broken {
    /// Of a socket, while `doing` this with `server`.
    pub(super) fn by(error: &io::Error, server: &dyn Display, doing: &str) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, NotConnected, TimedOut, UnexpectedEof,
            WouldBlock,
        };
        let closed =
            matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected);
        let kind = match error.kind() {
            TimedOut | WouldBlock => FaultKind::TimedOut,
            // TLS: a certificate that is not believed, by us or by the server.
            InvalidData => FaultKind::Refused,
            _ => FaultKind::Unreachable,
        };
        let what = match kind {
            FaultKind::TimedOut => "there was no answer in time".into(),
            _ if error.kind() == UnexpectedEof => "the connection was closed".into(),
            _ => error.to_string(),
        };
        Self { fault: Fault::new(kind, format!("{doing} {server}: {what}")), closed }
    }

    pub(super) fn unread(unread: &Unread, server: &dyn Display) -> Self {
        match unread {
            Unread::Io(error) => Self::by(error, server, "reading from Redis at"),
            Unread::Garbled(what) => Self::garbled(server, what),
        }
    }

    pub(super) fn garbled(server: &dyn Display, what: &str) -> Self {
        let message = format!("reading from Redis at {server}: what came is no answer of Redis: {what}");
        Self { fault: Fault::new(FaultKind::Damaged, message), closed: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_hold_for_the_server_or_for_one_command() {
        let kind = |line: &str| match complaint(line) {
            Complaint::Server(fault) => ("server", fault.kind),
            Complaint::Command(fault) => ("command", fault.kind),
            Complaint::NotAValue => ("value", FaultKind::Damaged),
        };
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'get' command",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "MOVED 3999 127.0.0.1:6381",
            "ERR max number of clients reached",
            "",
        ] {
            assert_eq!(kind(line), ("server", FaultKind::Refused), "{line}");
        }
        for line in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert_eq!(kind(line), ("command", FaultKind::Full), "{line}");
        }
        assert_eq!(complaint("WRONGTYPE Operation against a key"), Complaint::NotAValue);
    }

    #[test]
    fn what_a_server_says_is_shown_without_its_control_characters_and_not_endlessly() {
        let Complaint::Server(fault) = complaint(&format!("ERR {}\u{1b}[2J", "x".repeat(50))) else { panic!() };
        assert!(fault.message.ends_with("?[2J"));
        let Complaint::Server(fault) = complaint(&"x".repeat(10_000)) else { panic!() };
        assert!(fault.message.len() < 300);
    }
}
