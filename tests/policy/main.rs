//! Who leaves when the cache is full, held against a model that knows all about time: the whole cache through its calls, where
//! the policies' own tests look at one room.

mod change;
mod deciding;
mod model;
mod order;
mod popular;
mod ttl;

use catzilla_cache::{Cache, Options};
use std::sync::Arc;

fn open(policy: &str, capacity: u64, shards: &str) -> Arc<Cache> {
    let mut options = Options::new();
    options.set("memory.policy", policy).unwrap().set("memory.capacity", &capacity.to_string()).unwrap();
    options.set("memory.shards", shards).unwrap();
    Cache::open(&options).unwrap()
}

/// xorshift64; the tests have to be the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }
}
