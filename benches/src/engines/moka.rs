//! moka: TinyLFU admission; reads are queued and applied by whoever calls when the queue is full.

use crate::engine::{Peer, Shape};
use foldhash::fast::FixedState;
use moka::sync::Cache;
use std::sync::Arc;

pub struct Moka(Cache<Box<[u8]>, Arc<[u8]>, FixedState>);

impl Moka {
    pub fn new(shape: Shape) -> Moka {
        Moka(
            Cache::builder()
                .max_capacity(shape.capacity as u64)
                .initial_capacity(if shape.grows { 0 } else { shape.expected })
                .build_with_hasher(FixedState::with_seed(super::HASH_SEED)),
        )
    }
}

impl Peer for Moka {
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|value| with(&value))
    }

    fn store(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}
