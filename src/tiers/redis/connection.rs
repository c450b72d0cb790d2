//! One connection to one server: made and entered, then bytes out and replies back, each within its deadline. Owned by a
//! pool, lent to whoever talks to the server.

use super::address::{Access, Place};
use super::faults::{complaint, ends_connection, Broken};
use super::resolve::Resolver;
use super::stream::Stream;
use super::wire::{Batch, Inbox, Reply, Unread};
use crate::tiers::{Fault, FaultKind};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long one call may take, in all and for each of what it does.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    begun: Instant,
    end: Instant,
}

impl Budget {
    /// Of a call that begins now.
    pub(super) fn new(access: &Access) -> Self {
        let begun = Instant::now();
        Self { begun, end: begun + access.connect_timeout + access.timeout }
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// Until when something that begins at a moment and may take so long has to be done.
    pub(super) fn until(&self, begun: Instant, patience: Duration) -> Instant {
        self.end.min(begun + patience)
    }

    /// The first half of what is left.
    pub(super) fn half(&self) -> Self {
        let now = Instant::now();
        Self { begun: now, end: now + self.end.saturating_duration_since(now) / 2 }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

pub(super) struct Connection {
    stream: Stream,
    inbox: Inbox,
    place: Place,
    /// Replies that are still to come, or that are lost.
    awaited: usize,
    /// Whether something of the answer to what was sent last has been read.
    is_answered: bool,
    /// Whether it can be used no more, whatever is awaited.
    broken: bool,
}

impl Connection {
    pub(super) fn open(
        place: &Place,
        access: &Access,
        resolver: &Resolver,
        budget: &Budget,
    ) -> Result<Connection, Fault> {
        let begun = Instant::now();
        let deadline = budget.until(begun, access.connect_timeout);
        let stream = match place {
            Place::Unix(path) => Stream::unix(path, deadline),
            Place::Tcp(host, port) => resolver
                .addresses(host, *port, deadline)
                .and_then(|addresses| Stream::tcp(&addresses, deadline))
                .and_then(|stream| match &access.tls {
                    Some(config) => stream.secured(config, place),
                    None => Ok(stream),
                }),
        };
        let stream = stream.map_err(|error| Broken::by(&error, place, "connecting to Redis at").fault)?;
        let mut connection =
            Self { stream, inbox: Inbox::new(), place: place.clone(), awaited: 0, is_answered: false, broken: false };
        connection.enter(access, deadline)?;
        Ok(connection)
    }

    /// Says who we are and what we want to use. One round trip, or none where the server asks for nothing.
    fn enter(&mut self, access: &Access, deadline: Instant) -> Result<(), Fault> {
        let mut batch = Batch::new(false);
        if let Some(password) = &access.password {
            batch.begin(2 + usize::from(access.user.is_some())).text("AUTH");
            if let Some(user) = &access.user {
                batch.text(user);
            }
            batch.text(password).end();
        }
        if access.database != 0 {
            batch.begin(2).text("SELECT").text(access.database.to_string()).end();
        }
        if access.replicas {
            // A primary takes no notice of it.
            batch.begin(1).text("READONLY").end();
        }
        if batch.is_empty() {
            return Ok(());
        }
        let whole = |broken: Broken| broken.fault;
        self.send(batch.bytes(), 0, batch.len(), Instant::now(), deadline).map_err(whole)?;
        let mut replies = Vec::new();
        self.receive(&mut replies, batch.len()).map_err(whole)?;
        for reply in replies {
            if let Reply::Error(line) = reply {
                let mut fault = complaint(&line).into_fault();
                fault.kind = FaultKind::Refused;
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Sends so many commands, now: what stands behind the first `sent` bytes, which were sent at that same time without being answered
    /// since. All of them and the replies have to be through by the deadline.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        sent: usize,
        commands: usize,
        now: Instant,
        deadline: Instant,
    ) -> Result<(), Broken> {
        self.is_answered &= sent > 0;
        self.awaited += commands;
        self.stream.begin(now, deadline, sent, bytes.len());
        let sent = self.stream.write_all(&bytes[sent..]).and_then(|()| self.stream.flush());
        sent.map_err(|error| Broken::by(&error, &self.place, "writing to Redis at"))
    }

    /// The next so many replies, behind what `replies` holds.
    pub(super) fn receive(&mut self, replies: &mut Vec<Reply>, count: usize) -> Result<(), Broken> {
        let begun = replies.len();
        while replies.len() < begun + count {
            match self.inbox.reply(&mut self.stream) {
                Ok(reply) => {
                    self.awaited -= 1;
                    self.is_answered = true;
                    if let Reply::Error(line) = &reply {
                        self.broken |= ends_connection(line);
                    }
                    replies.push(reply);
                }
                Err(unread) => return Err(self.unread(&unread)),
            }
        }
        self.ends_here()
    }

    /// The next reply, which is a list of so many values, each handed to `tell` as it comes, by its place. If it is an error, that is
    /// returned.
    pub(super) fn receive_values(
        &mut self,
        count: usize,
        tell: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<Option<String>, Broken> {
        let Self { inbox, stream, is_answered, .. } = self;
        let said = inbox.values(stream, count, |number, value| {
            *is_answered = true;
            tell(number, value);
        });
        let said = said.map_err(|unread| self.unread(&unread))?;
        self.awaited -= 1;
        self.is_answered = true;
        if let Some(line) = &said {
            self.broken |= ends_connection(line);
        }
        self.ends_here().map(|()| said)
    }

    #[cold]
    fn unread(&mut self, unread: &Unread) -> Broken {
        self.broken = true;
        let mut broken = Broken::unread(unread, &self.place);
        // Once an answer has begun it was not an old end that was met.
        broken.closed &= !self.is_answered && self.inbox.is_empty();
        broken
    }

    /// Behind the last reply there is nothing.
    fn ends_here(&self) -> Result<(), Broken> {
        if self.awaited == 0 && !self.inbox.is_empty() {
            // Then what came before need not be the answers to what was asked either.
            return Err(Broken::garbled(&self.place, "more than was asked for"));
        }
        Ok(())
    }

    /// Whether the next exchange may be on this connection.
    pub(super) fn is_reusable(&self) -> bool {
        !self.broken && self.awaited == 0 && self.inbox.is_empty()
    }

    /// Ends it for good. What the server has not got yet it never gets, so that a write that was given up does not arrive behind a
    /// later one.
    pub(super) fn abandon(self) {
        if self.awaited > 0 {
            self.stream.forget_unsent();
        }
    }

    /// Whether the other side has closed it, or has sent what nobody asked for.
    pub(super) fn is_stale(&self) -> bool {
        self.stream.has_something()
    }
}
