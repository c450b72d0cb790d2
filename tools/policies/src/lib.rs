//! Simulators of eviction policies: what each of them would keep, told as plainly as its paper tells it. The engine is
//! compared with them, and so are policies with each other.
//!
//! One file a policy. They share [`queue::Queue`] and nothing else, so that a mistake in one is not a mistake in all; they
//! share no line with the engine. An object is a number and has no size, no lifetime and no value. Clarity comes first, but a
//! trace of ten million requests has to be done in seconds, so no request looks at every object.

pub mod arc;
pub mod clock;
pub mod engine;
pub mod fifo;
pub mod generated;
pub mod lfu;
pub mod lirs;
pub mod lru;
pub mod opt;
pub mod queue;
pub mod s3fifo;
pub mod sieve;
pub mod slru;
pub mod traces;
pub mod two_q;
pub mod w_tinylfu;

/// A cache of a fixed number of objects that only keeps book of which ones it holds.
pub trait Policy {
    /// Asks for `key`: whether it was there. What was not is taken in, unless the policy turns it away.
    fn request(&mut self, key: u32) -> bool;

    fn contains(&self, key: u32) -> bool;
}

/// A policy by its name.
pub struct Named {
    pub name: &'static str,
    /// An empty cache of so many objects, at least one.
    pub new: fn(usize) -> Box<dyn Policy>,
}

/// All policies that know nothing of the future; [`opt::Opt`], which does, is made from a whole trace.
pub const POLICIES: &[Named] = &[
    Named { name: "fifo", new: |capacity| Box::new(fifo::Fifo::new(capacity)) },
    Named { name: "lru", new: |capacity| Box::new(lru::Lru::new(capacity)) },
    Named { name: "lfu", new: |capacity| Box::new(lfu::Lfu::new(capacity)) },
    Named { name: "lfu-da", new: |capacity| Box::new(lfu::Lfu::with_ageing(capacity)) },
    Named { name: "clock", new: |capacity| Box::new(clock::Clock::new(capacity)) },
    Named { name: "slru", new: |capacity| Box::new(slru::Slru::new(capacity)) },
    Named { name: "2q", new: |capacity| Box::new(two_q::TwoQ::new(capacity)) },
    Named { name: "arc", new: |capacity| Box::new(arc::Arc::new(capacity)) },
    Named { name: "lirs", new: |capacity| Box::new(lirs::Lirs::new(capacity)) },
    Named { name: "sieve", new: |capacity| Box::new(sieve::Sieve::new(capacity)) },
    Named { name: "s3fifo", new: |capacity| Box::new(s3fifo::S3Fifo::new(capacity)) },
    Named { name: "w-tinylfu", new: |capacity| Box::new(w_tinylfu::WTinyLfu::new(capacity)) },
];

/// The policy of that name.
pub fn named(name: &str) -> Option<&'static Named> {
    POLICIES.iter().find(|policy| policy.name == name)
}

/// How many of the requests hit.
pub fn hits(policy: &mut dyn Policy, requests: &[u32]) -> usize {
    requests.iter().filter(|key| policy.request(**key)).count()
}

/// The hits among requests that are written as letters, `.` for a miss and `!` for a hit: what tests by hand read best.
#[cfg(test)]
fn played(policy: &mut dyn Policy, requests: &str) -> String {
    requests
        .bytes()
        .map(|letter| {
            let key = u32::from(letter - b'a');
            let was_there = policy.contains(key);
            assert_eq!(policy.request(key), was_there, "a request hits what is there");
            if was_there {
                '!'
            } else {
                '.'
            }
        })
        .collect()
}

/// The letters of what a policy holds.
#[cfg(test)]
fn held(policy: &dyn Policy) -> String {
    (0..26_u8).filter(|key| policy.contains(u32::from(*key))).map(|key| char::from(b'a' + key)).collect()
}
