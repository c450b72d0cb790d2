//! A look-up that loads what is missing, once for all who miss it at the same time; and leases, for callers who load by
//! themselves. Who loads and who waits is decided in `flight`.

use super::flight::{Answer, Flights, Ticket, Turn};
use super::stack::Cache;
use crate::clock::Ttl;
use crate::codec::envelope::Body;
use crate::error::{Error, Result, Status};
use crate::tiers::memory::{Condition, PutOptions, PutOutcome, Value, MAX_KEY_LEN};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Weak;
use std::time::Duration;

/// What [`Cache::lease`] has found.
#[derive(Debug)]
pub enum Leased {
    /// The value: it was there, or somebody else has loaded it meanwhile.
    Found(Value),
    /// Somebody else has just found out that there is none.
    NotFound,
    /// Nobody is loading it: the caller does, and ends the lease.
    Lease(Lease),
}

/// The right, and the duty, to load a key: others who miss it wait until this ends. Dropped, it passes to the next of them, who
/// then loads it instead.
///
/// It can be sent to another thread. The one that it was given to may not ask for the same key before it has ended.
pub struct Lease {
    /// It does not keep the cache open.
    cache: Weak<Cache>,
    key: Box<[u8]>,
    /// `None`: it has ended.
    ticket: Option<Ticket>,
}

impl Cache {
    /// The value of a key, which `load` loads if it is not there. Of many callers who miss it at the same time one runs its
    /// loader; the others wait for that, each for at most `timeout` ([`Duration::MAX`]: as long as it takes; zero: not at
    /// all), and get what it gets: the value, `None` if it says that there is none, or its failure. Neither of the last two
    /// is kept. `timeout` bounds no loader.
    ///
    /// A loader runs on its caller's thread, without a lock, and may use the cache, but not ask for its own key. Loaders that
    /// ask for each other's keys wait for each other, until a `timeout` ends it. If one panics, the next caller who waits runs
    /// its own. A key that is written, removed or purged while it is being loaded stays as that has left it, and who calls
    /// later loads anew. Whatever becomes of it in the cache, which may have no room for it, the callers get the value.
    ///
    /// Counts as one request, and costs no more than [`Cache::acquire`] when the value is there.
    ///
    /// ```
    /// use catzilla_cache::{Cache, Options, Ttl};
    /// use std::time::Duration;
    ///
    /// let cache = Cache::open(&Options::new())?;
    /// let page = cache.get_or_load(b"page", Ttl::Default, Duration::from_secs(10), || Ok(Some("made once")))?;
    /// assert_eq!(page.as_deref(), Some(&b"made once"[..]));
    /// # Ok::<(), catzilla_cache::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the loader says, [`Status::TimedOut`], [`Status::LoadReentered`] when this thread is loading the key already, or
    /// there is no memory to hold the value.
    pub fn get_or_load<V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        ttl: Ttl,
        timeout: Duration,
        load: impl FnOnce() -> Result<Option<V>>,
    ) -> Result<Option<Value>> {
        let lease = match self.lease(key, timeout)? {
            Leased::Found(value) => return Ok(Some(value)),
            Leased::NotFound => return Ok(None),
            Leased::Lease(lease) => lease,
        };
        match load() {
            Ok(Some(value)) => lease.fulfil(value.as_ref(), &PutOptions { ttl, ..PutOptions::default() }).map(Some),
            Ok(None) => {
                lease.not_found();
                Ok(None)
            }
            Err(error) => {
                lease.fail(error.clone());
                Err(error)
            }
        }
    }

    /// As [`Cache::get_or_load`], for callers who load by themselves: where that would run the loader, this returns a
    /// [`Lease`]. With a `timeout` of zero nobody waits for anybody.
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`]; what the loader says is what another caller's lease was ended with.
    #[inline]
    pub fn lease(&self, key: &[u8], timeout: Duration) -> Result<Leased> {
        match self.memory().acquire(key)? {
            Some(value) => Ok(Leased::Found(value)),
            None => self.lease_missing(key, timeout),
        }
    }

    #[cold]
    fn lease_missing(&self, key: &[u8], timeout: Duration) -> Result<Leased> {
        if key.len() > MAX_KEY_LEN {
            let message = format!("the key has {} bytes; at most {MAX_KEY_LEN} are allowed", key.len());
            return Err(Error::new(Status::KeyTooLarge, message));
        }
        // First, so that no flight has a leader who cannot go on.
        let owned = owned(key)?;
        let ticket = match self.flights().join(key, timeout)? {
            Turn::Leads(ticket) => ticket,
            Turn::Answered(Answer::Value(value)) => return Ok(Leased::Found(value)),
            Turn::Answered(Answer::NotFound) => return Ok(Leased::NotFound),
            Turn::Answered(Answer::Failed(error)) => return Err(error),
            Turn::TimedOut => return Err(timed_out(timeout)),
        };
        let lease = Lease { cache: self.weak(), key: owned, ticket: Some(ticket) };
        // It may have come since this caller missed it: from a flight that has just ended, or from a write. Not for those who wait,
        // of whom the next leads: a write that is about to reach memory has outdated what it could find before, and who waits
        // may have come after it had ended.
        if let Some(value) = self.memory().peek(key)? {
            drop(lease);
            return Ok(Leased::Found(value));
        }
        if let Some(lower) = self.lower() {
            if let Some(value) = self.descend_for_value(lower, key)? {
                lower.answered.fetch_add(1, Relaxed);
                return Ok(match lease.land(self.flights(), Answer::Value(value)) {
                    Some(Answer::Value(value)) => Leased::Found(value),
                    _ => Leased::NotFound,
                });
            }
        }
        self.flights().count_load();
        Ok(Leased::Lease(lease))
    }

    /// Stores what was loaded, unless it is out of date, and makes the value that all who waited for it get.
    fn take_in(&self, ticket: &Ticket, key: &[u8], value: &[u8], options: &PutOptions<'_>) -> Result<Value> {
        let ready = self.memory().make_ready(value, options)?;
        let mut stored = false;
        // Whoever writes the key for so long writes something newer.
        let turn = self.lower().map(|lower| (lower, lower.turns.take(key).ok()));
        if let Some((lower, Some(_))) = &turn {
            // A purge, which takes no turns, has outdated the flight, or waits until this is written.
            lower.filling(|| {
                if self.flights().is_current(ticket) {
                    self.write_loaded_below(lower, key, ready.body(), options);
                }
            });
        }
        self.flights().store(ticket, || {
            // What is there was written by somebody who had not seen this flight, and is newer: see `flight`.
            let outcome = self.memory().put_ready(key, &ready, Condition::IfAbsent);
            // One that is too large, or without memory, is not kept; the callers get it all the same.
            stored = matches!(outcome, Ok(PutOutcome::Stored(_)));
        });
        drop(ready);
        if let Some((lower, _)) = &turn {
            lower.wrote(key);
        }
        drop(turn);
        // What it has driven out; with no lock of the flight's.
        self.memory().tell();
        if stored {
            self.stored(options.ttl);
            // As a copy of the cache's own it need not be there twice.
            if let Ok(Some(value)) = self.memory().peek(key) {
                return Ok(value);
            }
        }
        self.memory().detached(Body::Plain(value), options.ttl)
    }
}

impl Lease {
    /// Ends the lease with the value, which the cache stores, unless the key was written, removed or purged meanwhile, or
    /// there is no room for it. Everybody who waits for it gets it, and so does the caller. The condition among the options
    /// is not looked at.
    ///
    /// # Errors
    ///
    /// There are too many tags, or one is too long, or there is no memory to hold the value: then the lease passes to the
    /// next who waits. Or the cache is gone.
    pub fn fulfil(self, value: &[u8], options: &PutOptions<'_>) -> Result<Value> {
        let cache = self.cache.upgrade().ok_or_else(|| Error::invalid_argument("the cache of the lease is gone"))?;
        let Some(ticket) = &self.ticket else { return Err(Error::invalid_argument("the lease has ended")) };
        let value = cache.take_in(ticket, &self.key, value, options)?;
        match self.land(cache.flights(), Answer::Value(value)) {
            Some(Answer::Value(value)) => Ok(value),
            _ => Err(Error::invalid_argument("the lease has ended")),
        }
    }

    /// Ends the lease with "there is none", for everybody who waits. That is not kept: who calls later loads again.
    pub fn not_found(self) {
        self.end(Answer::NotFound);
    }

    /// Ends the lease with a failure, which everybody who waits gets: else each of them would try what has just failed.
    /// [`Error::load_failed`] makes one. It is not kept: who calls later loads again.
    pub fn fail(self, error: Error) {
        self.end(Answer::Failed(error));
    }

    /// The key that is to be loaded.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    fn end(self, answer: Answer) {
        if let Some(cache) = self.cache.upgrade() {
            self.land(cache.flights(), answer);
        }
    }

    fn land(mut self, flights: &Flights, answer: Answer) -> Option<Answer> {
        self.ticket.take().map(|ticket| flights.land(&ticket, answer))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            if let Some(cache) = self.cache.upgrade() {
                cache.flights().give_up(&ticket);
            }
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("key", &self.key()).finish_non_exhaustive()
    }
}

fn owned(key: &[u8]) -> Result<Box<[u8]>> {
    let mut owned = Vec::new();
    owned.try_reserve_exact(key.len()).map_err(|_| Error::out_of_memory())?;
    owned.extend_from_slice(key);
    Ok(owned.into_boxed_slice())
}

#[cold]
fn timed_out(timeout: Duration) -> Error {
    let message = format!("another caller has been loading the key, and was not done in {timeout:?}");
    Error::new(Status::TimedOut, message)
}
