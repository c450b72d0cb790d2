//! scc's HashCache: buckets of 32 places with a lock each; a full bucket evicts one of its own. It has two ways to a value,
//! and each is a row: `get_sync` locks the bucket alone and makes the entry its newest; `read_sync` shares the lock and leaves
//! no trace, so that what is read often goes as early as what is never read.

use crate::engine::{Peer, Shape};
use foldhash::fast::FixedState;
use scc::HashCache;

type Map = HashCache<Box<[u8]>, Box<[u8]>, FixedState>;

pub struct Scc(Map);

pub struct SccFifo(Map);

/// Its capacity is a power of two, the next one; `churn` asks for one, elsewhere the extra room keeps buckets from filling.
fn map(shape: Shape) -> Map {
    let at_once = if shape.grows { 0 } else { shape.capacity };
    HashCache::with_capacity_and_hasher(at_once, shape.capacity, FixedState::with_seed(super::HASH_SEED))
}

fn store(map: &Map, key: &[u8], value: &[u8]) {
    map.entry_sync(key.into()).put_entry(value.into());
}

impl Scc {
    pub fn new(shape: Shape) -> Scc {
        Scc(map(shape))
    }
}

impl SccFifo {
    pub fn new(shape: Shape) -> SccFifo {
        SccFifo(map(shape))
    }
}

impl Peer for Scc {
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get_sync(key).map(|entry| with(entry.get()))
    }

    fn store(&self, key: &[u8], value: &[u8]) {
        store(&self.0, key, value);
    }
}

impl Peer for SccFifo {
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.read_sync(key, |_, value| with(value))
    }

    fn store(&self, key: &[u8], value: &[u8]) {
        store(&self.0, key, value);
    }
}
