//! Connections to one server: at most so many, made on demand, the one used last lent first. Used by everything that talks to a
//! server. Starts no thread, and makes no connection that nobody waits for.

use super::address::{Access, Place};
use super::connection::{Budget, Connection};
use super::faults::Broken;
use super::resolve::Resolver;
use super::wire::{Batch, Reply};
use crate::tiers::{Fault, FaultKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A connection that was idle for longer is looked at before it is used. A look costs a third of a microsecond; in a pool that is busy
/// nobody pays it, and one that was closed a moment ago is noticed by the first command that fails on it.
const MOMENT: Duration = Duration::from_millis(10);

/// A connection that the others have made unnecessary for so long is closed. Arbitrary: long beside the time that a new one takes, short
/// beside the idle timeouts of servers.
const UNUSED: Duration = Duration::from_secs(60);

/// How long a server that has failed is asked after all others. Arbitrary: several calls long, so that not each of them finds out anew; short
/// beside the time that a failover takes.
const LATELY: Duration = Duration::from_secs(1);

/// What all pools of a tier share.
pub(super) struct Shared {
    pub(super) access: Access,
    pub(super) resolver: Resolver,
    /// Connections that are open.
    pub(super) open: AtomicU64,
    /// Connections that were made.
    pub(super) made: AtomicU64,
}

impl Shared {
    pub(super) fn new(access: Access) -> Self {
        Self { access, resolver: Resolver::default(), open: AtomicU64::new(0), made: AtomicU64::new(0) }
    }
}

pub(super) struct Pool {
    place: Place,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// A connection, or the right to make one, has become free.
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// The one used last is the last one.
    idle: Vec<Idle>,
    /// Connections that are lent, or being made.
    lent: usize,
    /// Who waits for one. Waking nobody is a system call too.
    waiting: usize,
    /// When one could not be made or had to be given up, if none has done well since.
    failed: Option<Instant>,
}

struct Idle {
    /// In a box, as it is moved about for each exchange.
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(place: Place, shared: Arc<Shared>) -> Self {
        Self { place, shared, state: Mutex::default(), freed: Condvar::new() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// A connection, waited for or made if need be.
    pub(super) fn lease(&self, budget: &Budget) -> Result<Lease<'_>, Fault> {
        let mut now = budget.begun();
        let wait_until = now + self.shared.access.timeout;
        // Dropped when the lock is no more held.
        let mut stale = Vec::new();
        let mut state = self.lock();
        loop {
            if let Some(Idle { connection, since }) = state.idle.pop() {
                if now.saturating_duration_since(since) > MOMENT && connection.is_stale() {
                    stale.push(connection);
                    self.shared.open.fetch_sub(1, Relaxed);
                    continue;
                }
                state.lent += 1;
                return Ok(Lease { pool: self, connection: Some(connection), used: true, now });
            }
            if state.lent < self.shared.access.max_connections {
                state.lent += 1;
                break;
            }
            now = Instant::now();
            let patience = wait_until.saturating_duration_since(now);
            if patience.is_zero() {
                let message = format!(
                    "all {} connections to Redis at {} were taken for as long as one may be waited for",
                    state.lent, self.place
                );
                return Err(Fault::new(FaultKind::TimedOut, message));
            }
            state.waiting += 1;
            state = self.freed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            now = Instant::now();
        }
        drop(state);
        let mut lease = Lease { pool: self, connection: None, used: false, now };
        lease.connect(budget)?;
        Ok(lease)
    }

    pub(super) fn has_failed_lately(&self) -> bool {
        self.lock().failed.is_some_and(|failed| failed.elapsed() < LATELY)
    }

    /// Closes what is idle.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.lock().idle);
        self.shared.open.fetch_sub(idle.len() as u64, Relaxed);
    }

    /// It has not been used `since` then, or a little later.
    fn take_back(&self, connection: Option<Box<Connection>>, since: Instant) {
        let mut reusable = connection.filter(|connection| connection.is_reusable());
        let mut state = self.lock();
        state.lent -= 1;
        state.failed = reusable.is_none().then(Instant::now);
        let mut unused = None;
        if let Some(connection) = reusable.take() {
            state.idle.push(Idle { connection, since });
            if since.saturating_duration_since(state.idle[0].since) > UNUSED {
                unused = Some(state.idle.remove(0));
                self.shared.open.fetch_sub(1, Relaxed);
            }
        }
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.freed.notify_one();
        }
        drop(unused);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close_idle();
    }
}

/// A connection, lent. It goes back when this is dropped, unless something is wrong with it.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Box<Connection>>,
    /// Whether it was used before it was lent: then it may have been closed since, which is no failure.
    used: bool,
    /// When the exchange on it begins. The clock is read once a call where nothing has to be waited for: five looks cost 2% of a round
    /// trip.
    now: Instant,
}

impl Lease<'_> {
    /// Something else has taken time since it was lent.
    pub(super) fn begin_now(&mut self) {
        self.now = Instant::now();
    }

    /// Sends commands. They and the replies have the time of an answer from now on.
    pub(super) fn send(&mut self, bytes: &[u8], commands: usize, budget: &Budget) -> Result<(), Fault> {
        match self.try_send(bytes, commands, budget) {
            Err(broken) if broken.closed && self.used => {
                self.connect(budget)?;
                self.try_send(bytes, commands, budget).map_err(|broken| broken.fault)
            }
            done => done.map_err(|broken| broken.fault),
        }
    }

    /// Sends what a batch has behind what was sent of it before, which had so many bytes and commands. All of it has the time of one answer.
    pub(super) fn send_more(&mut self, batch: &Batch, sent: (usize, usize), budget: &Budget) -> Result<(), Fault> {
        let deadline = budget.until(self.now, self.pool.shared.access.timeout);
        let (bytes, commands) = sent;
        let done = match &mut self.connection {
            Some(connection) => connection.send(batch.bytes(), bytes, batch.len() - commands, self.now, deadline),
            None => Err(self.none()),
        };
        done.or_else(|broken| self.send_again(broken, batch, budget))
    }

    /// The next reply to what [`Lease::send_more`] has sent.
    pub(super) fn receive_one(&mut self, batch: &Batch, budget: &Budget) -> Result<Reply, Fault> {
        let received = match self.try_receive(1) {
            Err(broken) => {
                self.send_again(broken, batch, budget)?;
                self.try_receive(1)
            }
            received => received,
        };
        received.map_err(|broken| broken.fault)?.pop().ok_or_else(|| self.none().fault)
    }

    /// The values that the next command has as its reply, each handed to `tell` as it comes, by its place. If the reply is an error, that is
    /// returned.
    pub(super) fn receive_values(
        &mut self,
        batch: &Batch,
        count: usize,
        budget: &Budget,
        tell: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<Option<String>, Fault> {
        match self.try_receive_values(count, tell) {
            Ok(said) => Ok(said),
            Err(broken) => {
                self.send_again(broken, batch, budget)?;
                self.try_receive_values(count, tell).map_err(|broken| broken.fault)
            }
        }
    }

    /// Sends everything once more on a new connection, if the one that there was had been closed before.
    fn send_again(&mut self, broken: Broken, batch: &Batch, budget: &Budget) -> Result<(), Fault> {
        if !(broken.closed && self.used) {
            return Err(broken.fault);
        }
        self.connect(budget)?;
        self.try_send(batch.bytes(), batch.len(), budget).map_err(|broken| broken.fault)
    }

    /// The replies to what was sent last, which is sent again if the connection turns out to have been closed before.
    pub(super) fn receive(&mut self, bytes: &[u8], commands: usize, budget: &Budget) -> Result<Vec<Reply>, Fault> {
        match self.try_receive(commands) {
            Err(broken) if broken.closed && self.used => {
                self.connect(budget)?;
                self.try_send(bytes, commands, budget)
                    .and_then(|()| self.try_receive(commands))
                    .map_err(|broken| broken.fault)
            }
            done => done.map_err(|broken| broken.fault),
        }
    }

    fn try_send(&mut self, bytes: &[u8], commands: usize, budget: &Budget) -> Result<(), Broken> {
        let deadline = budget.until(self.now, self.pool.shared.access.timeout);
        match &mut self.connection {
            Some(connection) => connection.send(bytes, 0, commands, self.now, deadline),
            None => Err(self.none()),
        }
    }

    fn try_receive(&mut self, commands: usize) -> Result<Vec<Reply>, Broken> {
        let mut replies = Vec::with_capacity(commands);
        match &mut self.connection {
            Some(connection) => connection.receive(&mut replies, commands).map(|()| replies),
            None => Err(self.none()),
        }
    }

    fn try_receive_values(
        &mut self,
        count: usize,
        tell: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<Option<String>, Broken> {
        match &mut self.connection {
            Some(connection) => connection.receive_values(count, tell),
            None => Err(self.none()),
        }
    }

    /// Makes a connection, in place of the one that there was.
    fn connect(&mut self, budget: &Budget) -> Result<(), Fault> {
        let shared = &self.pool.shared;
        self.discard();
        self.used = false;
        let connection = Box::new(Connection::open(&self.pool.place, &shared.access, &shared.resolver, budget)?);
        shared.open.fetch_add(1, Relaxed);
        shared.made.fetch_add(1, Relaxed);
        self.connection = Some(connection);
        self.now = Instant::now();
        Ok(())
    }

    fn discard(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.abandon();
            self.pool.shared.open.fetch_sub(1, Relaxed);
        }
    }

    fn none(&self) -> Broken {
        let fault =
            Fault::new(FaultKind::Unreachable, format!("there is no connection to Redis at {}", self.pool.place));
        Broken { fault, closed: false }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.connection.as_ref().is_some_and(|connection| !connection.is_reusable()) {
            self.discard();
        }
        self.pool.take_back(self.connection.take(), self.now);
    }
}
