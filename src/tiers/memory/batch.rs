//! Many keys in one call: the items of a batch, and what the tier does with them. Called by the cache. An item that fails
//! never keeps the others from being done.

use super::index::Hash;
use super::reclaim::Reader;
use super::{Layout, Memory, Read};
use crate::clock::Ttl;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering::Relaxed;

/// A look-up of a batch. Its value is copied into a buffer of its own.
#[derive(Debug)]
pub struct Get<'a> {
    /// What is looked up.
    pub key: &'a [u8],
    /// Where the value goes.
    pub buffer: &'a mut [u8],
    /// How it went, once it has been done: as [`crate::Cache::read`] says it.
    pub outcome: Result<Option<Read>>,
}

impl<'a> Get<'a> {
    /// A look-up that has not been done yet.
    pub fn new(key: &'a [u8], buffer: &'a mut [u8]) -> Self {
        Self { key, buffer, outcome: Ok(None) }
    }
}

/// A value to be stored by a batch.
#[derive(Debug)]
pub struct Put<'a> {
    /// Under which key.
    pub key: &'a [u8],
    /// What is stored.
    pub value: &'a [u8],
    /// For how long.
    pub ttl: Ttl,
    /// How it went, once it has been done: as [`crate::Cache::put`] says it.
    pub outcome: Result<()>,
}

impl<'a> Put<'a> {
    /// A value that has not been stored yet.
    pub fn new(key: &'a [u8], value: &'a [u8], ttl: Ttl) -> Self {
        Self { key, value, ttl, outcome: Ok(()) }
    }
}

/// A key to be removed by a batch.
#[derive(Debug)]
pub struct Remove<'a> {
    /// Which one.
    pub key: &'a [u8],
    /// Whether it was there, once it has been done.
    pub removed: bool,
}

impl<'a> Remove<'a> {
    /// A key that has not been removed yet.
    pub fn new(key: &'a [u8]) -> Self {
        Self { key, removed: false }
    }
}

/// Items that are worked on at once. Beyond what a processor can have on its way from memory, more bring nothing.
const AT_ONCE: usize = 16;

/// Lines of an entry that are asked for before it is known how long it is: header, key, and a small value.
const LINES: usize = 3;

impl Memory {
    /// [`Memory::read`] for each item.
    ///
    /// A look-up waits for memory twice, for a bucket and for an entry, and those of different keys need not wait for each
    /// other: so all keys are hashed and their buckets asked for, then their entries, and only then they are looked up.
    pub(crate) fn read_many(&self, gets: &mut [Get<'_>]) {
        for gets in gets.chunks_mut(AT_ONCE) {
            // Of the chunk before: what it has announced is withdrawn.
            self.tell();
            let Some(reader) = Reader::enter() else {
                for get in gets {
                    get.outcome = Err(Error::out_of_memory());
                }
                continue;
            };
            let hashes = self.hash_many(gets, |get| get.key);
            let layout = Layout(self.layout.load(Relaxed));
            for hash in &hashes[..gets.len()] {
                self.shards[layout.home(*hash)].published.prefetch_entry(reader.record(), *hash, LINES);
            }
            for (get, hash) in gets.iter_mut().zip(hashes) {
                let mut len = 0;
                let ending = self.read_sought(&reader, self.seek_hashed(hash, get.key), get.buffer, &mut len);
                get.outcome = ending.read(len);
            }
        }
    }

    /// [`Memory::put`] for each item, in their order.
    pub(crate) fn put_many(&self, puts: &mut [Put<'_>]) {
        for puts in puts.chunks_mut(AT_ONCE) {
            let hashes = self.hash_many(puts, |put| put.key);
            self.expect_entries(&hashes[..puts.len()]);
            for (put, hash) in puts.iter_mut().zip(hashes) {
                self.expect_put(hash);
                put.outcome = self.put_hashed(hash, put.key, put.value, put.ttl);
            }
            self.tell();
        }
    }

    /// [`Memory::remove`] for each item, in their order.
    pub(crate) fn remove_many(&self, removes: &mut [Remove<'_>]) {
        for removes in removes.chunks_mut(AT_ONCE) {
            let hashes = self.hash_many(removes, |remove| remove.key);
            self.expect_entries(&hashes[..removes.len()]);
            for (remove, hash) in removes.iter_mut().zip(hashes) {
                remove.removed = self.remove_hashed(hash, remove.key);
            }
            self.tell();
        }
    }

    /// Asks for the entries of these keys, those that are there.
    fn expect_entries(&self, hashes: &[Hash]) {
        let Some(reader) = Reader::enter() else { return };
        let layout = Layout(self.layout.load(Relaxed));
        for hash in hashes {
            self.shards[layout.home(*hash)].published.prefetch_entry(reader.record(), *hash, LINES);
        }
    }

    /// The hashes of at most [`AT_ONCE`] items, whose buckets are asked for on the way.
    fn hash_many<T>(&self, items: &[T], key: impl Fn(&T) -> &[u8]) -> [Hash; AT_ONCE] {
        let layout = Layout(self.layout.load(Relaxed));
        let mut hashes = [Hash(0); AT_ONCE];
        for (hash, item) in hashes.iter_mut().zip(items) {
            *hash = self.hash(key(item));
            self.shards[layout.home(*hash)].published.prefetch_bucket(*hash);
        }
        hashes
    }
}
