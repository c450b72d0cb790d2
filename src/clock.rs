//! Time, in one place: a coarse monotonic clock for lifetimes inside the process, a hand-driven one for tests, and
//! wall time for the one function that hands it out. Expiry never looks at the wall clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// A point of monotonic time in nanoseconds.
type Instant = u64;

/// A point of monotonic time in steps of 2^23 ns, about 8.4 ms. [`FOREVER`] is never reached.
///
/// Deadlines are kept in ticks, rounded up, so that they fit into [`TICK_BITS`] beside other things in an entry.
pub(crate) type Tick = u64;

/// How many bits a tick has: 146 years, more than the longest lifetime and any uptime.
pub(crate) const TICK_BITS: u32 = 39;

/// The deadline of what never expires.
pub(crate) const FOREVER: Tick = (1 << TICK_BITS) - 1;

/// A tick is this power of two in nanoseconds: with the coarse clock's own step an entry outlives its lifetime by less
/// than 20 ms.
const TICK_SHIFT: u32 = 23;

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

    /// Whether what is stored with it will expire one day; a cache's default always does.
    pub(crate) fn expires(self) -> bool {
        match self {
            Ttl::Default => true,
            Ttl::For(lifetime) => lifetime <= LONGEST,
            Ttl::Forever => false,
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

/// One time by two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By [`Clock::nanos`].
    pub(crate) nanos: u64,
    /// By [`Clock::wall`].
    pub(crate) wall: u64,
}

impl Clock {
    /// A clock that stands still until it is told to move, so that tests of lifetimes need not sleep.
    pub fn manual() -> (Clock, ManualTime) {
        // Any start will do; one that is not a multiple of a wheel's tick finds more mistakes.
        let now = Arc::new(AtomicU64::new(1_234_567_891));
        (Clock(Source::Manual(now.clone())), ManualTime(now))
    }

    /// The tick that has begun, as exact as the coarse clock (the kernel's tick, 1 to 10 ms): a precise reading costs as
    /// much as a whole get.
    #[inline]
    pub(crate) fn now(&self) -> Tick {
        self.coarse() >> TICK_SHIFT
    }

    /// The tick that had begun at a time by [`Clock::nanos`].
    #[inline(always)]
    pub(crate) fn tick_of(nanos: u64) -> Tick {
        nanos >> TICK_SHIFT
    }

    /// When something stored now with this lifetime expires.
    ///
    /// Read exactly, while look-ups compare with the coarse clock: that one may lag, by a tick or by more when the kernel
    /// was late, but it is never ahead. So nothing expires early, and everything about a tick late.
    pub(crate) fn deadline(&self, lifetime: Duration) -> Tick {
        if lifetime > LONGEST {
            return FOREVER;
        }
        self.deadline_since(self.exact(), lifetime)
    }

    /// The same of what was stored at another time, by [`Clock::nanos`].
    #[inline(always)]
    pub(crate) fn deadline_since(&self, nanos: u64, lifetime: Duration) -> Tick {
        if lifetime > LONGEST {
            return FOREVER;
        }
        nanos.saturating_add(lifetime.as_nanos() as u64).div_ceil(1 << TICK_SHIFT).min(FOREVER)
    }

    /// When something that is used now expires, if its lifetime is so many ticks.
    pub(crate) fn deadline_in(&self, lifetime: Tick) -> Tick {
        (self.exact() >> TICK_SHIFT) + lifetime + 1
    }

    /// A lifetime in ticks, rounded up.
    pub(crate) fn ticks(&self, lifetime: Duration) -> Tick {
        (lifetime.as_nanos().div_ceil(1 << TICK_SHIFT)).min(FOREVER.into()) as Tick
    }

    /// What is left until a deadline, at least; `None` if it never comes.
    pub(crate) fn remaining(&self, deadline: Tick) -> Option<Duration> {
        // The deadline was rounded up from somewhere in the tick before it.
        let end = deadline.saturating_sub(1) << TICK_SHIFT;
        (deadline != FOREVER).then(|| Duration::from_nanos(end.saturating_sub(self.exact())))
    }

    /// Nanoseconds since some moment, as exact as there are: for how long something takes.
    pub(crate) fn nanos(&self) -> u64 {
        self.exact()
    }

    /// Wall time in microseconds since the Unix epoch, for what leaves the process. It may jump either way.
    pub(crate) fn wall(&self) -> u64 {
        match &self.0 {
            Source::System => unix_micros(),
            // Some moment of the year 2023; it moves as the clock does.
            Source::Manual(now) => 1_700_000_000_000_000 + now.load(Ordering::Relaxed) / 1_000,
        }
    }

    /// The time by both clocks. What is computed from it, a lifetime by one and its end by the other, is right however much later
    /// that is done.
    pub(crate) fn moment(&self) -> Moment {
        // In this order, so that whoever is held up in between finds less left and not more.
        let nanos = self.exact();
        Moment { nanos, wall: self.wall() }
    }

    /// The same while less than a tick has passed since `last`: to look at the coarse clock costs a quarter of what the others do.
    pub(crate) fn moment_near(&self, last: &mut Option<Moment>) -> Moment {
        match *last {
            Some(moment) if self.now() <= moment.nanos >> TICK_SHIFT => moment,
            _ => *last.insert(self.moment()),
        }
    }

    #[inline]
    fn coarse(&self) -> Instant {
        match &self.0 {
            Source::System => monotonic::read(libc::CLOCK_MONOTONIC_COARSE),
            Source::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    fn exact(&self) -> Instant {
        match &self.0 {
            Source::System => monotonic::read(libc::CLOCK_MONOTONIC),
            Source::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}

mod monotonic {
    //! The kernel's monotonic clocks.
    #![allow(unsafe_code)]

    const NANOS_PER_SEC: u64 = 1_000_000_000;

    /// Nanoseconds by `CLOCK_MONOTONIC` or `CLOCK_MONOTONIC_COARSE`, which have one zero.
    #[inline]
    pub(super) fn read(clock: libc::clockid_t) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a timespec that the call may write. Both clocks exist on every Linux since 2.6.32, so the call
        // cannot fail.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec as u64 * NANOS_PER_SEC + time.tv_nsec as u64
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
            let deadline = clock.deadline(Duration::from_millis(3));
            while clock.now() < deadline {
                std::thread::yield_now();
            }
            assert!(begun.elapsed() >= Duration::from_millis(3));
        }
    }

    #[test]
    fn a_moment_is_used_again_within_its_tick_and_a_lifetime_found_then_ends_when_it_would_have() {
        let (clock, time) = Clock::manual();
        let (mut last, lifetime) = (None, Duration::from_secs(5));
        let found = clock.moment_near(&mut last);
        let deadline = clock.deadline(lifetime);
        assert_eq!(clock.moment_near(&mut last).nanos, found.nanos);
        time.advance(Duration::from_millis(20));
        let later = clock.moment_near(&mut last);
        assert_eq!((later.nanos - found.nanos, later.wall - found.wall), (20_000_000, 20_000));
        assert_eq!(clock.deadline_since(found.nanos, lifetime), deadline);
        assert!(clock.deadline_since(later.nanos, lifetime) > deadline);
        assert_eq!(clock.deadline_since(found.nanos, Duration::MAX), FOREVER);
    }

    /// What the promise rests on.
    #[test]
    fn the_coarse_clock_is_never_ahead_of_the_exact_one() {
        let clock = Clock::default();
        for _ in 0..if cfg!(miri) { 10 } else { 200_000 } {
            let coarse = clock.coarse();
            assert!(coarse <= clock.exact());
        }
    }

    #[test]
    fn lifetimes_beyond_a_century_are_forever() {
        let clock = Clock::default();
        assert_eq!(clock.deadline(Duration::from_millis(u64::MAX - 1)), FOREVER);
        assert_ne!(clock.deadline(LONGEST), FOREVER);
    }
}
