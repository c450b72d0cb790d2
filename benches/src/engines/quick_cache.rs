//! quick_cache: a sharded read lock and CLOCK-PRO.

use crate::engine::{Peer, Shape};
use foldhash::fast::FixedState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::UnitWeighter;
use std::sync::Arc;

pub struct QuickCache(Cache<Box<[u8]>, Arc<[u8]>, UnitWeighter, FixedState>);

impl QuickCache {
    pub fn new(shape: Shape) -> QuickCache {
        QuickCache(Cache::with(
            shape.capacity,
            shape.capacity as u64,
            UnitWeighter,
            FixedState::with_seed(super::HASH_SEED),
            DefaultLifecycle::default(),
        ))
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
