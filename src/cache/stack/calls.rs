//! What a call about keys does: memory first, and what memory alone cannot answer or do goes below.

use super::super::lower::Lower;
use super::Cache;
use crate::clock::Ttl;
use crate::error::Result;
use crate::tiers::memory::{Ending, Get, Lent, Put, PutOptions, PutOutcome, Read, Remove, Value};
use std::sync::atomic::Ordering::Relaxed;

impl Cache {
    /// Stores a value under a key, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// The key or the value is too large, or there is no memory; an earlier value of the key stays.
    pub fn put(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        if let Some(lower) = &self.lower {
            let options = PutOptions { ttl, ..PutOptions::default() };
            return self.put_everywhere(lower, key, value, &options).map(|_| ());
        }
        self.flights.outdate(key);
        let stored = self.memory.put(key, value, ttl);
        if stored.is_ok() {
            self.sweeper.stored(ttl);
        }
        self.memory.tell();
        stored
    }

    /// Stores a value if what is there allows it, and tells its version if that is wanted. Looking and storing are one step:
    /// of several threads that expect one version, one stores.
    ///
    /// # Errors
    ///
    /// As [`Cache::put`], and there are too many tags, or one is too long.
    pub fn put_with(&self, key: &[u8], value: &[u8], options: &PutOptions<'_>) -> Result<PutOutcome> {
        if let Some(lower) = &self.lower {
            return self.put_everywhere(lower, key, value, options);
        }
        self.flights.outdate(key);
        let outcome = self.memory.put_with(key, value, options);
        if let Ok(PutOutcome::Stored(_)) = outcome {
            self.sweeper.stored(options.ttl);
        }
        self.memory.tell();
        outcome
    }

    /// Adds `delta` to the number that a key has as its value, in decimal digits, and says what that makes. A key that is not
    /// there is stored as `initial`, for `ttl`; one that is keeps its end. Of several threads none loses what it adds.
    ///
    /// # Errors
    ///
    /// The value is not a number, or the sum does not fit into 64 bits; and as [`Cache::put`]. The value stays.
    pub fn increment(&self, key: &[u8], delta: i64, initial: i64, ttl: Ttl) -> Result<i64> {
        if let Some(lower) = &self.lower {
            return self.increment_everywhere(lower, key, delta, initial, ttl);
        }
        self.flights.outdate(key);
        let sum = self.memory.increment(key, delta, initial, ttl);
        if sum.is_ok() {
            self.sweeper.stored(ttl);
        }
        self.memory.tell();
        sum
    }

    /// Gives a key a new lifetime, from now on, sooner or later than it had. False when it was not there. Neither a request
    /// nor a use.
    pub fn touch(&self, key: &[u8], ttl: Ttl) -> bool {
        if let Some(lower) = &self.lower {
            return self.touch_everywhere(lower, key, ttl).unwrap_or(false);
        }
        let touched = self.memory.touch(key, ttl);
        if touched {
            self.sweeper.stored(ttl);
        }
        self.memory.tell();
        touched
    }

    /// Copies a value into `buffer`. `None` is a miss.
    ///
    /// # Errors
    ///
    /// A thread's first look-up finds no memory for what the library keeps of a thread, or the value was damaged in memory.
    #[inline]
    pub fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<Read>> {
        let mut len = 0;
        let ending = self.read_into(key, buffer, &mut len);
        ending.read(len)
    }

    /// The same for the C interface, which has a place for the length.
    #[inline(always)]
    pub(crate) fn read_into(&self, key: &[u8], buffer: &mut [u8], len: &mut usize) -> Ending {
        let ending = self.memory.read(key, buffer, len);
        if ending.is_miss() {
            if let Some(lower) = &self.lower {
                return self.read_below(lower, key, buffer, len);
            }
        }
        ending
    }

    #[cold]
    #[inline(never)]
    fn read_below(&self, lower: &Lower, key: &[u8], buffer: &mut [u8], len: &mut usize) -> Ending {
        Ending::of(self.descend(lower, key).and_then(|got| self.copy_out(lower, got, buffer)), len)
    }

    /// Shows `show` the value that memory has of a key, where it lies; no other tier is asked, nothing is waited for. False: it
    /// has none, which counts as a miss only if it is the `last` look-up, after which the caller asks nobody else.
    ///
    /// `show` must be short, for the memory of what is removed meanwhile waits for it, and may call nothing of any cache.
    ///
    /// # Errors
    ///
    /// As [`Cache::read`], and there is no memory to decompress the value into.
    #[inline]
    pub fn visit_memory(&self, key: &[u8], last: bool, show: impl FnOnce(&[u8])) -> Result<bool> {
        self.memory.visit(key, last, show)
    }

    /// A value that stays readable until it is dropped. `None` is a miss.
    ///
    /// # Errors
    ///
    /// There is no memory to hold it, or to decompress it into.
    pub fn acquire(&self, key: &[u8]) -> Result<Option<Value>> {
        match (self.memory.acquire(key)?, &self.lower) {
            (None, Some(lower)) => {
                let value = self.descend_for_value(lower, key)?;
                lower.answered.fetch_add(u64::from(value.is_some()), Relaxed);
                Ok(value)
            }
            (value, _) => Ok(value),
        }
    }

    /// The classic look-up, see [`Memory::lend`](crate::tiers::memory::Memory::lend).
    #[inline(always)]
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>> {
        // Field by field, so that a hit stays in registers: what is put together in memory and read back at once is waited for.
        match self.memory.lend(key) {
            Ok(Some(Lent { data, len })) => Ok(Some(Lent { data, len })),
            Ok(None) => match &self.lower {
                Some(lower) => self.lend_below(lower, key),
                None => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    #[cold]
    #[inline(never)]
    fn lend_below(&self, lower: &Lower, key: &[u8]) -> Result<Option<Lent>> {
        let Some(value) = self.descend_for_value(lower, key)? else { return Ok(None) };
        lower.answered.fetch_add(1, Relaxed);
        self.memory.lend_detached(key, &value).map(Some)
    }

    /// Removes a key. False when it was not there.
    pub fn remove(&self, key: &[u8]) -> bool {
        if let Some(lower) = &self.lower {
            return self.remove_everywhere(lower, key);
        }
        self.flights.outdate(key);
        let removed = self.memory.remove(key);
        self.memory.tell();
        removed
    }

    /// Whether a key is there. Neither a request nor a use of the entry.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.memory.contains(key) || self.lower.as_ref().is_some_and(|lower| lower.contains(key))
    }

    /// Whether a call may have to ask more than memory.
    pub(crate) fn has_tiers_below(&self) -> bool {
        self.lower.is_some()
    }

    /// Looks many keys up, each as [`Cache::read`] does; every item says how it went.
    pub fn get_many(&self, gets: &mut [Get<'_>]) {
        self.memory.read_many(gets);
        self.memory.tell();
        if let Some(lower) = &self.lower {
            if gets.iter().any(|get| matches!(get.outcome, Ok(None))) {
                self.descend_many(lower, gets);
            }
        }
    }

    /// Stores many values, each as [`Cache::put`] does and in their order; every item says how it went.
    pub fn put_many(&self, puts: &mut [Put<'_>]) {
        if let Some(lower) = &self.lower {
            self.put_many_everywhere(lower, puts);
        } else {
            self.flights.outdate_many(puts.iter().map(|put| put.key));
            self.memory.put_many(puts);
        }
        self.sweeper.stored_many(puts.iter().filter(|put| put.outcome.is_ok()).map(|put| put.ttl));
    }

    /// Removes many keys, each as [`Cache::remove`] does; every item says whether it was there.
    pub fn remove_many(&self, removes: &mut [Remove<'_>]) {
        if let Some(lower) = &self.lower {
            return self.remove_many_everywhere(lower, removes);
        }
        self.flights.outdate_many(removes.iter().map(|remove| remove.key));
        self.memory.remove_many(removes);
    }
}
