//! foyer's in-memory cache: a lock a shard, a policy to choose, an entry that is reference-counted while it is held.

use crate::engine::{Peer, Shape};
use foldhash::fast::FixedState;
use foyer_memory::{Cache, CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

pub struct Foyer(Cache<Box<[u8]>, Box<[u8]>, FixedState>);

impl Foyer {
    pub fn s3fifo(shape: Shape) -> Foyer {
        Foyer::new(shape, S3FifoConfig::default())
    }

    pub fn lru(shape: Shape) -> Foyer {
        Foyer::new(shape, LruConfig::default())
    }

    fn new(shape: Shape, policy: impl Into<EvictionConfig>) -> Foyer {
        Foyer(
            CacheBuilder::new(shape.capacity)
                .with_eviction_config(policy)
                .with_hash_builder(FixedState::with_seed(super::HASH_SEED))
                .build(),
        )
    }
}

impl Peer for Foyer {
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|entry| with(entry.value()))
    }

    fn store(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }
}
