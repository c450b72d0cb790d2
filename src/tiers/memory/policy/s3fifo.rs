//! S3-FIFO: new entries pass through a small queue, and only those that are asked for there reach the main one; a key that
//! comes back soon after it was dropped goes to the main queue at once. Choose it when much of what is stored is never
//! asked for again, which is the common case of caches before a database or a web server, and when threads are many: a hit
//! writes at most a small counter, and that only three times. It loses to a loop a little larger than the cache.
//!
//! After Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023): the small queue a
//! tenth, the ghost of fingerprints nine tenths of the entries. As in later versions of theirs one hit is enough to reach
//! the main queue, and begins to count anew there.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::ghost::Ghost;
use super::{Clock, Policy};

/// How far hits are counted.
pub(super) const MOST: u32 = 3;

/// The small queue's part of the entries: a tenth.
const SMALL_PART: usize = 10;

/// How many entries are looked at for one victim. Each but the last has cost a hit before, so this is a bound on how long one
/// put can take, hardly ever reached.
const MOST_LOOKED_AT: usize = 1 << 8;

const SMALL: u8 = 0;
const MAIN: u8 = 1;

pub(in super::super) struct S3Fifo {
    small: List,
    main: List,
    ghost: Ghost,
}

impl S3Fifo {
    pub(super) const fn new() -> Self {
        Self { small: List::new(SMALL), main: List::new(MAIN), ghost: Ghost::new() }
    }

    fn list_of(&mut self, entry: EntryRef) -> &mut List {
        if list::tag(entry) == SMALL {
            &mut self.small
        } else {
            &mut self.main
        }
    }

    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    /// Takes an entry out of its list. An empty shard remembers nothing: only then is all of the cache's memory there for one
    /// entry that is nearly as large.
    fn take_out(&mut self, entry: EntryRef) {
        self.list_of(entry).remove(entry);
        if self.len() == 0 {
            self.ghost = Ghost::new();
        }
    }
}

impl Policy for S3Fifo {
    #[inline(always)]
    fn expect(&self, hash: Hash) {
        self.ghost.prefetch(hash);
        self.small.expect();
        self.main.expect();
    }

    fn insert(&mut self, entry: EntryRef, hash: Hash, _: &Clock) {
        if self.ghost.take(hash) {
            self.main.push(entry);
        } else {
            self.small.push(entry);
        }
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        new.set_mark(MOST.min(old.mark() + 1));
        self.list_of(old).replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.take_out(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        for _ in 0..MOST_LOOKED_AT {
            let small_is_full = self.small.len() >= (self.len() / SMALL_PART).max(1) || self.main.len() == 0;
            let list = if small_is_full { &mut self.small } else { &mut self.main };
            let oldest = list.oldest()?;
            let count = oldest.mark();
            if count == 0 {
                return Some(oldest);
            }
            list.pop();
            oldest.set_mark(if small_is_full { 0 } else { count - 1 });
            self.main.push(oldest);
        }
        self.small.oldest().or(self.main.oldest())
    }

    fn evict(&mut self, entry: EntryRef, hash: Hash) {
        if list::tag(entry) == SMALL {
            self.ghost.remember(hash, self.len());
        }
        self.take_out(entry);
    }

    fn bytes(&self) -> u64 {
        self.ghost.bytes()
    }
}
