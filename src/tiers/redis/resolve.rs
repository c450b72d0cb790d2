//! Names of hosts to addresses, within a deadline. Used where a connection is made.
//!
//! The system's resolver takes as long as it likes, ten seconds and more when a name server is down. So it is asked on a
//! short-lived thread of its own, at most one at a time for a tier; who does not get an answer in time goes on with what was answered last.

use crate::thread::without_signals;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Instant;

/// What debuggers and `/proc` call the thread; the kernel keeps 15 characters.
const NAME: &str = "catzilla-name";

type Answer = io::Result<Vec<SocketAddr>>;

#[derive(Default)]
pub(super) struct Resolver(Mutex<State>);

#[derive(Default)]
struct State {
    /// Who was asked for and has not been answered yet, though nobody waits any more.
    pending: Vec<(Host, Receiver<Answer>)>,
    answered: Vec<(Host, Vec<SocketAddr>)>,
}

type Host = (String, u16);

/// Names that are remembered. A tier has one, or a few nodes of a cluster.
const MOST_ANSWERS: usize = 64;

/// Threads that wait for the system's resolver at the same time, for as many names.
const MOST_PENDING: usize = 4;

impl Resolver {
    pub(super) fn addresses(&self, host: &str, port: u16, deadline: Instant) -> Answer {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        self.look_up(&(host.to_owned(), port), deadline, |host| Ok(host.to_socket_addrs()?.collect()))
    }

    fn look_up(&self, host: &Host, deadline: Instant, ask: fn(&(&str, u16)) -> Answer) -> Answer {
        let answer = match self.question(host, ask)? {
            Some(answer) => answer,
            None => return self.last_answer(host, io::ErrorKind::TimedOut.into()),
        };
        match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                self.remember(host, &addresses);
                Ok(addresses)
            }
            Ok(Ok(_)) => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            Ok(Err(error)) => self.last_answer(host, error),
            Err(RecvTimeoutError::Timeout) => {
                self.lock().pending.push((host.clone(), answer));
                self.last_answer(host, io::ErrorKind::TimedOut.into())
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the name could not be looked up")),
        }
    }

    /// The question that was asked before and may have been answered meanwhile, or a new one; `None` when too many are open.
    fn question(&self, host: &Host, ask: fn(&(&str, u16)) -> Answer) -> io::Result<Option<Receiver<Answer>>> {
        let mut state = self.lock();
        if let Some(index) = state.pending.iter().position(|(pending, _)| pending == host) {
            return Ok(Some(state.pending.swap_remove(index).1));
        }
        if state.pending.len() >= MOST_PENDING {
            return Ok(None);
        }
        drop(state);
        let (send, answer) = sync_channel(1);
        let asked = host.clone();
        // Nobody joins it: it ends when the system answers, or with the process.
        let look_up = move || {
            // Nobody may be waiting any more.
            let _ = send.send(ask(&(asked.0.as_str(), asked.1)));
        };
        without_signals(|| Builder::new().name(NAME.into()).spawn(look_up))?;
        Ok(Some(answer))
    }

    fn remember(&self, host: &Host, addresses: &[SocketAddr]) {
        let mut state = self.lock();
        state.answered.retain(|(known, _)| known != host);
        if state.answered.len() >= MOST_ANSWERS {
            state.answered.remove(0);
        }
        state.answered.push((host.clone(), addresses.to_vec()));
    }

    fn last_answer(&self, host: &Host, error: io::Error) -> Answer {
        let state = self.lock();
        let last = state.answered.iter().find(|(known, _)| known == host);
        last.map_or(Err(error), |(_, addresses)| Ok(addresses.clone()))
    }

    /// In a forked child, which has not got the threads.
    pub(super) fn after_fork_in_child(&self) {
        self.lock().pending.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn addresses_are_taken_as_they_are() {
        let resolver = Resolver::default();
        let address = |host| resolver.addresses(host, 7, soon()).unwrap();
        assert_eq!(address("127.0.0.1"), ["127.0.0.1:7".parse().unwrap()]);
        assert_eq!(address("::1"), ["[::1]:7".parse().unwrap()]);
    }

    #[test]
    fn names_are_looked_up() {
        let late = Instant::now() + Duration::from_secs(60);
        let addresses = Resolver::default().addresses("localhost", 7, late).unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{addresses:?}");
    }

    #[test]
    fn a_resolver_that_does_not_answer_is_not_waited_for_and_its_late_answer_is_used() {
        static ANSWERS: AtomicBool = AtomicBool::new(false);
        fn slow(_: &(&str, u16)) -> Answer {
            // The host's handlers do not run on this thread.
            let status = std::fs::read_to_string("/proc/thread-self/status")?;
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).map(str::trim);
            assert!(blocked.is_some_and(|blocked| blocked.starts_with("ffff")), "{blocked:?}");
            while !ANSWERS.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(vec!["127.0.0.1:7".parse().unwrap()])
        }
        let (resolver, host) = (Resolver::default(), ("slow".to_owned(), 7));
        // It comes back although there is no answer before it has.
        assert_eq!(resolver.look_up(&host, soon(), slow).unwrap_err().kind(), io::ErrorKind::TimedOut);
        ANSWERS.store(true, SeqCst);
        let late = Instant::now() + Duration::from_secs(60);
        // Never asked again: this one would fail.
        fn fails(_: &(&str, u16)) -> Answer {
            Err(io::ErrorKind::NotFound.into())
        }
        assert_eq!(resolver.look_up(&host, late, fails).unwrap().len(), 1);
        // And it stands in for a resolver that has broken since.
        assert_eq!(resolver.look_up(&host, late, fails).unwrap().len(), 1);
        assert!(resolver.look_up(&("other".to_owned(), 7), late, fails).is_err());
    }
}
