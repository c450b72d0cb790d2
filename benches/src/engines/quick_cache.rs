//! quick_cache: a sharded read lock and CLOCK-PRO.

use crate::engine::{Peer, Shape};
use foldhash::fast::FixedState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter};
use std::sync::Arc;

pub struct QuickCache(Cache<Box<[u8]>, Arc<[u8]>, UnitWeighter, FixedState>);

/// Fewer expected entries a shard make it merge shards, so that is what a table that has to grow starts with.
const LEAST_ENTRIES_A_SHARD: usize = 32;
/// Its own default, a core.
const SHARDS_A_CORE: usize = 4;

impl QuickCache {
    pub fn new(shape: Shape) -> QuickCache {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (SHARDS_A_CORE * cores).next_power_of_two();
        let options = OptionsBuilder::new()
            .estimated_items_capacity(if shape.grows { shards * LEAST_ENTRIES_A_SHARD } else { shape.capacity })
            .weight_capacity(shape.capacity as u64)
            .build()
            .expect("both capacities are given");
        let hasher = FixedState::with_seed(super::HASH_SEED);
        QuickCache(Cache::with_options(options, UnitWeighter, hasher, DefaultLifecycle::default()))
    }
}

impl Peer for QuickCache {
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|value| with(&value))
    }

    fn store(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }
}
