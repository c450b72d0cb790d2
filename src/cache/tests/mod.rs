//! The stack over fake tiers: what has to be driven into one moment, and what a fault does. `tests/tiers.rs` and those beside it
//! have real servers and files.

mod away;
mod calls;
mod demoted;
mod overtaken;
mod queued;
mod updates;
mod waiting;

use super::fake::Fake;
use super::level::{Level, Queued};
use super::lower::Lower;
use super::Cache;
use crate::clock::{Clock, ManualTime};
use crate::codec::envelope::Envelope;
use crate::options::Options;
use crate::tiers::TierName;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Stack {
    cache: Arc<Cache>,
    redis: Fake,
    disk: Fake,
    clock: Clock,
    time: ManualTime,
}

const HOUR: Duration = Duration::from_secs(3600);

fn queued(interval: Duration, waits: bool) -> Queued {
    Queued { interval, max_bytes: 1 << 20, waits }
}

fn stack_with(set: &[(&str, &str)], redis_queue: Option<Queued>, disk_queue: Option<Queued>) -> Stack {
    let mut options = Options::new();
    if let Some(queued) = disk_queue {
        // What a running cache is told again.
        options.disk.commit_interval = queued.interval;
    }
    for (name, text) in set {
        options.set(name, text).unwrap();
    }
    let (clock, time) = Clock::manual();
    let (redis, disk) = (Fake::default(), Fake::default());
    let levels = vec![
        Level::new(TierName::Redis, Box::new(redis.clone()), clock.clone(), redis_queue),
        Level::new(TierName::Disk, Box::new(disk.clone()), clock.clone(), disk_queue),
    ];
    let lower = Lower::over(levels, &options, &clock);
    Stack { cache: Cache::assemble(&options, clock.clone(), Some(lower)), redis, disk, clock, time }
}

/// Both tiers are written by the caller, so that a test sees at once what became of a call.
fn stack() -> Stack {
    stack_with(&[], None, None)
}

impl Stack {
    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.cache.acquire(key).unwrap().map(|value| value.to_vec())
    }

    /// As if it had been evicted.
    fn forget_in_memory(&self, key: &[u8]) {
        self.cache.memory().remove(key);
    }

    fn in_memory(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.cache.memory().peek(key).unwrap().map(|value| value.to_vec())
    }

    fn left_in(&self, tier: &Fake, key: &[u8]) -> Option<Duration> {
        let bytes = tier.get(key)?;
        let envelope = Envelope::decode(key, &bytes).unwrap();
        envelope.remaining(self.clock.wall()).map(Duration::from_micros)
    }
}

/// Waits for what must come one day; only a hang reaches the deadline.
fn wait_for(what: &str, come: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !come() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
