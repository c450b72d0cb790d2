//! TinyUFO, the cache of Cloudflare's Pingora: S3-FIFO's queues with TinyLFU's sketch for a ghost list, over a lock-free map.
//! It keeps a 64-bit hash and no key: less to do and to hold than anybody else here, and a colliding key gets another's value.

use crate::engine::{Peer, Shape};
use std::sync::Arc;
use tinyufo::TinyUfo as Cache;

/// The key type is only ever hashed and never stored, so a look-up needs no owned key; it does have to be `'static`.
#[derive(Hash)]
struct Passing(&'static [u8]);

pub struct TinyUfo(Cache<Passing, Arc<[u8]>>);

/// Entries count alike, as in every other engine.
const WEIGHT: u16 = 1;
/// What its sketch and table start with when they are not told.
const UNTOLD: usize = 1024;

impl TinyUfo {
    /// The quicker of its two tables (`new`, not `new_compact`). The hasher is its own, with a seed of its own in every run.
    pub fn new(shape: Shape) -> TinyUfo {
        TinyUfo(Cache::new(shape.capacity, if shape.grows { UNTOLD } else { shape.capacity }))
    }
}

impl Peer for TinyUfo {
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(&passing(key)).map(|value| with(&value))
    }

    fn store(&self, key: &[u8], value: &[u8]) {
        self.0.put(passing(key), value.into(), WEIGHT);
    }
}

fn passing(key: &[u8]) -> Passing {
    // SAFETY: the cache hashes the key during the call and has no place where it could keep it (its key is `PhantomData`).
    Passing(unsafe { std::slice::from_raw_parts(key.as_ptr(), key.len()) })
}
