//! Time, in one place: a coarse monotonic clock for lifetimes inside the process, a hand-driven one for tests, and
//! wall time for the one function that hands it out. Expiry never looks at the wall clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// A point of monotonic time in nanoseconds. [`FOREVER`] is never reached.
pub(crate) type Instant = u64;

/// The deadline of what never expires.
pub(crate) const FOREVER: Instant = u64::MAX;

/// A lifetime longer than this counts as forever.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How long an entry may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ttl {
    /// As long as the cache's default says.
    #[default]
    Default,
    /// This long, then never again; longer than 100 years counts as [`Ttl::Forever`].
    For(Duration),
    /// Until it is removed or evicted.
    Forever,
}

impl Ttl {
    /// The C form: 0 is the default, `u64::MAX` is forever, everything else is milliseconds.
    pub fn from_millis(millis: u64) -> Self {
        match millis {
            0 => Ttl::Default,
            u64::MAX => Ttl::Forever,
            _ => Ttl::For(Duration::from_millis(millis)),
        }
    }

    /// The classic C form: 0 is the default, everything else is seconds.
    pub fn from_secs(seconds: u32) -> Self {
        match seconds {
            0 => Ttl::Default,
            _ => Ttl::For(Duration::from_secs(seconds.into())),
        }
    }
}

/// Where a cache takes its time from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
}

/// Moves the time of a cache that was opened with [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualTime(Arc<AtomicU64>);

impl ManualTime {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock {
    /// A clock that stands still until it is told to move, so that tests of lifetimes need not sleep.
    pub fn manual() -> (Clock, ManualTime) {
        // Any start will do; one that is not a multiple of a wheel's tick finds more mistakes.
        let now = Arc::new(AtomicU64::new(1_234_567_891));
        (Clock(Source::Manual(now.clone())), ManualTime(now))
    }

    /// Now, as exact as the coarse clock (the kernel's tick, 1 to 10 ms): a precise reading costs as much as a whole get.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            Source::System => coarse::now(),
            Source::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// When something stored at `now` with this lifetime expires.
    ///
    /// Both readings of a coarse clock may lag by up to its resolution, so one resolution is added: never early, and
    /// at most two of them late.
    pub(crate) fn deadline(&self, now: Instant, lifetime: Duration) -> Instant {
        if lifetime > LONGEST {
            return FOREVER;
        }
        now.saturating_add(lifetime.as_nanos() as u64).saturating_add(self.lag())
    }

    /// What is left until a deadline, without what [`Clock::deadline`] added; `None` if it never comes.
    pub(crate) fn remaining(&self, deadline: Instant) -> Option<Duration> {
        let left = deadline.saturating_sub(self.now()).saturating_sub(self.lag());
        (deadline != FOREVER).then(|| Duration::from_nanos(left))
    }

    fn lag(&self) -> u64 {
        match self.0 {
            Source::System => coarse::resolution(),
            Source::Manual(_) => 0,
        }
    }
}

mod coarse {
    //! The kernel's coarse monotonic clock.
    #![allow(unsafe_code)]

    use std::sync::atomic::{AtomicU64, Ordering};

    const NANOS_PER_SEC: u64 = 1_000_000_000;

    fn nanos(time: libc::timespec) -> u64 {
        time.tv_sec as u64 * NANOS_PER_SEC + time.tv_nsec as u64
    }

    #[inline]
    pub(super) fn now() -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a timespec that the call may write. The clock exists on every Linux since 2.6.32, so the
        // call cannot fail.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
        nanos(time)
    }

    pub(super) fn resolution() -> u64 {
        static RESOLUTION: AtomicU64 = AtomicU64::new(0);
        match RESOLUTION.load(Ordering::Relaxed) {
            0 => {
                let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                // Miri's clocks are exact, and it cannot be asked.
                #[cfg(not(miri))]
                // SAFETY: as above; asking for the resolution has no other effect.
                unsafe {
                    libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut time);
                }
                #[cfg(miri)]
                (time.tv_nsec = 1);
                let resolution = nanos(time).max(1);
                RESOLUTION.store(resolution, Ordering::Relaxed);
                resolution
            }
            known => known,
        }
    }
}

/// Microseconds since the Unix epoch, by the wall clock.
pub fn unix_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_reached_before_its_lifetime_has_passed() {
        let clock = Clock::default();
        for _ in 0..20 {
            let begun = std::time::Instant::now();
            let deadline = clock.deadline(clock.now(), Duration::from_millis(3));
            while clock.now() < deadline {
                std::thread::yield_now();
            }
            assert!(begun.elapsed() >= Duration::from_millis(3));
        }
    }

    #[test]
    fn lifetimes_beyond_a_century_are_forever() {
        let clock = Clock::default();
        assert_eq!(clock.deadline(1, Duration::from_millis(u64::MAX - 1)), FOREVER);
        assert_ne!(clock.deadline(1, LONGEST), FOREVER);
    }
}
