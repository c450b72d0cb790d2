//! The tiers below memory, together: made from the options, asked from the top down. Nothing here looks into memory; `descent` and
//! `everywhere` bring the two together.

use super::flight::Flights;
use super::level::{Hit, Level, Look, Queued, Sealed};
use super::turns::Turns;
use crate::clock::{Clock, Tick, Ttl};
use crate::codec::envelope::{Body, Envelope, Tags};
use crate::error::{Error, Result, Status};
use crate::fork::Hold;
use crate::options::{Options, Sync, WriteMode};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use crate::sync::seed;
use crate::tiers::{Tier, TierName};
use ahash::RandomState;

/// Keys share these; two that fall together only make it less likely that what is evicted is written to disk. Arbitrary: 128 KiB.
const WRITTEN: usize = if cfg!(shuttle) { 16 } else { 1 << 14 };

pub(super) struct Lower {
    /// The faster one first.
    levels: Vec<Level>,
    /// Who writes a key.
    pub(super) turns: Turns,
    /// Who looks for a key that memory has not got. Whoever writes outdates it first.
    pub(super) descents: Flights,
    clock: Clock,
    /// The last [`Lower::stamp`].
    last_stamp: AtomicU64,
    /// When a key was last written, by its hash: what left memory before that is not put back.
    written: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Purges that are under way, and when the last one ended.
    purging: AtomicUsize,
    purged_at: AtomicU64,
    /// Threads that are about to fill a tier, or are filling it.
    fills: AtomicUsize,
    /// Requests that these tiers have answered, and those that will be made again since the buffer was too small.
    pub(super) answered: AtomicU64,
    pub(super) deferred: AtomicU64,
}

/// When a value ends.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    /// As a caller says, from when it was created.
    After(Ttl),
    /// In so many microseconds (`None`: never), if the tier's default is not shorter and that is what it got.
    In { left: Option<u64>, is_default: bool },
}

/// Which of the tiers are known not to have a key, a bit each.
pub(super) type Absent = u8;

/// A value that some tier has.
pub(super) struct Found {
    /// Which tier it is.
    pub(super) level: usize,
    pub(super) hit: Hit,
}

impl Lower {
    /// The tiers that the options ask for; `None`: none. Redis is asked for nothing yet, unless it is required.
    ///
    /// # Errors
    ///
    /// What can never work, and what is required and does not work now.
    pub(super) fn open(options: &Options, clock: &Clock) -> Result<Option<Self>> {
        let mut levels = Vec::new();
        if options.redis.url.is_some() || options.redis.nodes.is_some() {
            levels.push(redis(options, clock)?);
        }
        if options.disk.path.is_some() {
            levels.push(disk(options, clock)?);
        }
        Ok((!levels.is_empty()).then(|| Self::over(levels, options, clock)))
    }

    /// These tiers, the faster one first.
    pub(super) fn over(levels: Vec<Level>, options: &Options, clock: &Clock) -> Self {
        let lower = Self {
            levels,
            turns: Turns::new(),
            descents: Flights::locking(),
            clock: clock.clone(),
            last_stamp: AtomicU64::new(0),
            written: (0..WRITTEN).map(|_| AtomicU64::new(0)).collect(),
            hasher: seed(),
            purging: AtomicUsize::new(0),
            purged_at: AtomicU64::new(0),
            fills: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
        };
        lower.configure(options);
        lower
    }

    /// Takes over options that can change while a cache runs.
    pub(super) fn configure(&self, options: &Options) {
        for level in &self.levels {
            level.set_ttl(match level.name() {
                TierName::Disk => options.disk.ttl,
                _ => options.redis.ttl,
            });
            if level.name() == TierName::Disk {
                level.configure(options.disk.commit_interval, options.disk.max_bytes);
            }
        }
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    pub(super) fn level(&self, name: TierName) -> Option<&Level> {
        self.levels.iter().find(|level| level.name() == name)
    }

    /// Wall time in microseconds, as a moment that comes after all that were told before: of a purge and a put it is known
    /// which came first.
    pub(super) fn stamp(&self) -> u64 {
        let now = self.clock.wall();
        let next = |last: u64| Some(now.max(last + 1));
        let last = self.last_stamp.fetch_update(Relaxed, Relaxed, next).unwrap_or(now);
        now.max(last + 1)
    }

    /// A value as a tier is to have it; `None` when there is no memory, or it cannot be written in an envelope.
    pub(super) fn seal(
        &self,
        level: &Level,
        key: &[u8],
        body: Body<'_>,
        tags: Tags<'_>,
        created: u64,
        ends: Ends,
    ) -> Option<Sealed> {
        let now = self.clock.wall().max(created);
        let (expires, has_default_ttl) = match ends {
            Ends::After(Ttl::Default) => (Some(now.saturating_add(level.ttl())), true),
            Ends::After(ttl) if !ttl.expires() => (None, false),
            Ends::After(Ttl::For(lifetime)) => {
                (Some(now.saturating_add(u64::try_from(lifetime.as_micros()).unwrap_or(u64::MAX / 2))), false)
            }
            Ends::After(Ttl::Forever) => (None, false),
            Ends::In { left, is_default } => {
                let most = if is_default { level.ttl() } else { u64::MAX };
                (left.map(|left| now.saturating_add(left.min(most))), is_default)
            }
        };
        let namespace = level.namespace();
        let envelope = Envelope { created, expires, has_default_ttl, namespace, tags, body }.encode(key)?;
        Some(Sealed { envelope, expires: expires.map(|expires| expires.div_ceil(1_000)) })
    }

    /// A key will be looked for in a moment.
    pub(super) fn expect(&self, key: &[u8]) {
        self.levels.iter().for_each(|level| level.tended.tier.expect(key));
    }

    /// The first tier that has a key, and which of those above it are known not to.
    pub(super) fn find(&self, key: &[u8], counts: bool) -> (Option<Found>, Absent) {
        let mut absent = 0;
        for (number, level) in self.levels.iter().enumerate() {
            match level.look(key, counts) {
                Look::Found(hit) => return (Some(Found { level: number, hit }), absent),
                Look::Absent => absent |= 1 << number,
                Look::Away => {}
            }
        }
        (None, absent)
    }

    /// Whether any tier has a key.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.find(key, false).0.is_some()
    }

    /// A write of a key has ended. The caller still has its turn.
    pub(super) fn wrote(&self, key: &[u8]) {
        self.written[self.slot(key)].fetch_max(self.clock.nanos(), SeqCst);
    }

    /// Whether a key was written, or purged, since that time. To be asked with the turn of the key, in [`Lower::filling`].
    pub(super) fn has_changed_since(&self, key: &[u8], nanos: u64) -> bool {
        self.is_purging() || self.purged_at.load(SeqCst) >= nanos || self.written[self.slot(key)].load(SeqCst) >= nanos
    }

    /// Runs a purge, during which nothing is put back.
    pub(super) fn purging<R>(&self, purge: impl FnOnce() -> R) -> R {
        self.purging.fetch_add(1, SeqCst);
        let purged = purge();
        self.purged_at.fetch_max(self.clock.nanos(), SeqCst);
        self.purging.fetch_sub(1, SeqCst);
        purged
    }

    /// How many microseconds are left until a deadline of memory's; `None`: no end.
    pub(super) fn left_until(&self, deadline: Tick) -> Option<u64> {
        self.clock.remaining(deadline).map(|left| left.as_micros() as u64)
    }

    fn slot(&self, key: &[u8]) -> usize {
        (self.hasher.hash_one(key) >> 32) as usize % WRITTEN
    }

    /// Whether a purge is under way: what it has removed from one tier is not to come into another. To be asked in [`Lower::filling`].
    pub(super) fn is_purging(&self) -> bool {
        self.purging.load(SeqCst) > 0
    }

    /// Runs what looks whether a fill may be made, and makes it.
    pub(super) fn filling<R>(&self, fill: impl FnOnce() -> R) -> R {
        // In one order with the locks under which flights are outdated.
        self.fills.fetch_add(1, SeqCst);
        let filled = fill();
        self.fills.fetch_sub(1, SeqCst);
        filled
    }

    /// Threads that may be filling a tier.
    pub(super) fn fills(&self) -> usize {
        self.fills.load(SeqCst)
    }

    /// Everything, for the time of a fork.
    pub(super) fn hold(&self) -> Box<dyn Hold + '_> {
        let levels: Vec<_> = self.levels.iter().map(Level::hold).collect();
        let turns = self.turns.hold();
        Box::new((self.descents.hold(), turns, levels))
    }

    pub(super) fn after_fork_in_child(&self) {
        self.levels.iter().for_each(|level| level.tended.after_fork_in_child());
        self.turns.after_fork_in_child();
        self.fills.store(0, SeqCst);
        self.purging.store(0, SeqCst);
        self.descents.after_fork_in_child();
    }
}

fn redis(options: &Options, clock: &Clock) -> Result<Level> {
    let queued = (options.cache.write == WriteMode::Behind).then_some(Queued {
        // Others are not waited for: what a round trip takes is time enough for them to come.
        interval: std::time::Duration::ZERO,
        max_bytes: usize::try_from(options.cache.queue_bytes).unwrap_or(usize::MAX),
        waits: false,
    });
    let level = Level::new(TierName::Redis, redis_tier(options)?, clock.clone(), queued);
    if options.redis.required {
        level.reach().map_err(|why| {
            let message = format!("Redis is required (`redis.required`) and cannot be used: {why}");
            Error::new(Status::TierUnavailable, message)
        })?;
    }
    Ok(level)
}

fn disk(options: &Options, clock: &Clock) -> Result<Level> {
    let queued = Queued {
        interval: options.disk.commit_interval,
        max_bytes: usize::try_from(options.cache.queue_bytes).unwrap_or(usize::MAX),
        waits: options.disk.sync == Sync::Commit,
    };
    Ok(Level::new(TierName::Disk, disk_tier(options)?, clock.clone(), Some(queued)))
}

#[cfg(feature = "redis")]
fn redis_tier(options: &Options) -> Result<Box<dyn Tier>> {
    Ok(Box::new(crate::tiers::redis::Redis::open(&options.redis)?))
}

#[cfg(not(feature = "redis"))]
fn redis_tier(_: &Options) -> Result<Box<dyn Tier>> {
    Err(Error::new(Status::Unsupported, "this build of the library has no Redis tier (the feature `redis`)"))
}

#[cfg(feature = "disk")]
fn disk_tier(options: &Options) -> Result<Box<dyn Tier>> {
    Ok(Box::new(crate::tiers::disk::Disk::open(&options.disk)?))
}

#[cfg(not(feature = "disk"))]
fn disk_tier(_: &Options) -> Result<Box<dyn Tier>> {
    Err(Error::new(Status::Unsupported, "this build of the library has no disk tier (the feature `disk`)"))
}
