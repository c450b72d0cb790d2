//! When a tier is left alone because it has failed, and when it is tried again. Asked by `tended` before each call on its tier.
//!
//! A circuit breaker (Nygard, "Release It!"): the first fault opens it, and nobody asks the tier any more. Probes, which a thread
//! of the cache's own makes, come after a pause that doubles with each failure; the first that goes well closes it. What probes
//! cost, no caller pays.
//!
//! A fault that has kept its caller waiting until the deadline is costly. A tier that answers probes and lets calls wait would cost every
//! thread a deadline after each pause; so after two costly faults within [`WINDOW`] it stays open until that is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The pause after the first fault. Short, because most faults are of a server that restarts; arbitrary within reason.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: how late a tier that has come back may be noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// In any such time a thread loses at most two deadlines to a tier: the interface promises 1 s in 10 s.
const WINDOW: Duration = Duration::from_secs(10);

pub(super) struct Breaker {
    is_open: AtomicBool,
    openings: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// When the next probe is due; `None` while it is closed.
    probe_at: Option<Instant>,
    pause: Duration,
    closed_at: Option<Instant>,
    /// The last costly fault.
    cost_at: Option<Instant>,
    /// For the jitter: caches that have lost a server together should not all come back in one moment.
    random: u64,
}

impl Breaker {
    pub(super) fn new() -> Self {
        let state = State {
            probe_at: None,
            pause: FIRST_PAUSE,
            closed_at: None,
            cost_at: None,
            random: ahash::RandomState::new().hash_one(0),
        };
        Self { is_open: AtomicBool::new(false), openings: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Whether the tier is left alone.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Acquire)
    }

    /// How often it has opened.
    pub(super) fn openings(&self) -> u64 {
        self.openings.load(Relaxed)
    }

    /// The tier has failed at `now`. True when that has opened the breaker.
    pub(super) fn trip(&self, is_costly: bool, now: Instant) -> bool {
        let mut state = self.lock();
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let cost_at = state.cost_at;
        if is_costly {
            state.cost_at = Some(now);
        }
        if state.probe_at.is_some() {
            // Of a call that had begun before.
            return false;
        }
        // One that fails again soon goes on with longer pauses.
        if since(state.closed_at).is_none_or(|closed| closed > WINDOW) {
            state.pause = FIRST_PAUSE;
        }
        let mut probe_at = now + state.next_pause();
        if is_costly && since(cost_at).is_some_and(|cost| cost < WINDOW) {
            probe_at = probe_at.max(cost_at.unwrap_or(now) + WINDOW);
        }
        state.probe_at = Some(probe_at);
        self.openings.fetch_add(1, Relaxed);
        self.is_open.store(true, Release);
        true
    }

    /// How long until a probe is due; zero: now. `None`: it is closed.
    pub(super) fn until_probe(&self, now: Instant) -> Option<Duration> {
        self.lock().probe_at.map(|at| at.saturating_duration_since(now))
    }

    /// A probe has failed.
    pub(super) fn stay_open(&self, now: Instant) {
        let mut state = self.lock();
        if state.probe_at.is_some() {
            state.probe_at = Some(now + state.next_pause());
        }
    }

    /// A probe went well.
    pub(super) fn close(&self, now: Instant) {
        let mut state = self.lock();
        state.probe_at = None;
        state.closed_at = Some(now);
        self.is_open.store(false, Release);
    }

    /// In a forked child, which has a life of its own: a probe is due.
    pub(super) fn after_fork_in_child(&self) {
        let mut state = self.lock();
        if state.probe_at.is_some() {
            state.probe_at = Some(Instant::now());
        }
    }

    /// The lock, also for the time of a fork.
    pub(super) fn hold(&self) -> impl crate::fork::Hold + '_ {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The pause that comes now: between three and five quarters of what it is, and twice that the next time.
    fn next_pause(&mut self) -> Duration {
        // Any generator will do; this one is Marsaglia's xorshift.
        self.random |= 1;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause * 3 / 4 + pause * (self.random >> 56) as u32 / 512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_first_fault_opens_it_and_pauses_double_until_a_probe_goes_well() {
        let breaker = Breaker::new();
        let now = Instant::now();
        assert!(!breaker.is_open() && breaker.until_probe(now).is_none());
        assert!(breaker.trip(false, now));
        assert!(breaker.is_open());
        assert!(!breaker.trip(false, now), "it is open already");
        let mut expected = 100;
        for _ in 0..10 {
            let pause = breaker.until_probe(now).unwrap();
            assert!((millis(expected * 3 / 4)..=millis(expected * 5 / 4)).contains(&pause), "{pause:?} {expected}");
            breaker.stay_open(now);
            expected = (expected * 2).min(5_000);
        }
        breaker.close(now);
        assert!(!breaker.is_open() && breaker.until_probe(now).is_none());
        assert_eq!(breaker.openings(), 1);
    }

    #[test]
    fn a_tier_that_fails_again_soon_is_left_alone_longer_and_one_that_held_is_not() {
        let breaker = Breaker::new();
        let now = Instant::now();
        for expected in [100, 200, 400] {
            breaker.trip(false, now);
            assert!(breaker.until_probe(now).unwrap() >= millis(expected * 3 / 4));
            breaker.close(now);
        }
        let later = now + WINDOW + millis(1);
        breaker.trip(false, later);
        assert!(breaker.until_probe(later).unwrap() <= millis(125));
    }

    #[test]
    fn of_faults_that_cost_a_deadline_there_are_two_at_most_in_the_window() {
        let breaker = Breaker::new();
        let begun = Instant::now();
        let (mut now, mut costs) = (begun, Vec::new());
        // Every probe goes well, every call lets its caller wait for half a second.
        while now < begun + 10 * WINDOW {
            now += millis(500);
            breaker.trip(true, now);
            costs.push(now);
            now += breaker.until_probe(now).unwrap();
            breaker.close(now);
        }
        assert!(costs.len() > 10, "it is tried again and again");
        for (first, third) in costs.iter().zip(&costs[2..]) {
            assert!(*third - *first >= WINDOW, "three deadlines in {:?}", *third - *first);
        }
    }
}
