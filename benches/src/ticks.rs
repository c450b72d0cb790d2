//! The finest clock there is, for single calls, and a histogram of what it says.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The processor's counter. The fences keep it from being read while loads before it are under way, or later ones from
/// starting before it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn now() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: every x86-64 processor has both.
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn now() -> u64 {
    use std::sync::OnceLock;
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    BEGINNING.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[derive(Clone, Copy)]
pub struct Scale {
    pub ns_per_tick: f64,
    /// What every interval contains of the clock itself.
    pub own_ns: f64,
}

impl Scale {
    pub fn measure() -> Scale {
        let (instant, ticks) = (Instant::now(), now());
        // Against a clock that is right to some tens of nanoseconds: an error below a hundredth of a percent.
        while instant.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let ns_per_tick = instant.elapsed().as_nanos() as f64 / (now() - ticks) as f64;
        let mut own = Histogram::new();
        for _ in 0..20_000 {
            let begun = now();
            own.add(black_box(now()) - begun);
        }
        Scale { ns_per_tick, own_ns: own.quantile(0.5) as f64 * ns_per_tick }
    }
}

/// Counts by size, in steps of a thirty-second: a quantile is at most 3% too high.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

const STEP_BITS: u32 = 5;
const STEPS: u64 = 1 << STEP_BITS;

impl Histogram {
    pub fn new() -> Histogram {
        let slots = (64 - STEP_BITS as usize + 1) << STEP_BITS;
        Histogram { counts: vec![0; slots], total: 0, max: 0 }
    }

    #[inline(always)]
    pub fn add(&mut self, number: u64) {
        self.counts[slot(number)] += 1;
        self.total += 1;
        self.max = self.max.max(number);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// The number that this share of all numbers is not above.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return largest_in(slot).min(self.max);
            }
        }
        self.max
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

/// Numbers below `STEPS` have a slot each; above, every doubling has `STEPS` slots.
#[inline(always)]
fn slot(number: u64) -> usize {
    let shift = (63 - (number | STEPS).leading_zeros()) - STEP_BITS;
    let row = if number < STEPS { 0 } else { u64::from(shift) + 1 };
    ((row << STEP_BITS) + ((number >> shift) & (STEPS - 1))) as usize
}

fn largest_in(slot: usize) -> u64 {
    let (row, step) = (slot as u64 >> STEP_BITS, slot as u64 & (STEPS - 1));
    match row {
        0 => step,
        _ => ((STEPS + step + 1) << (row - 1)).wrapping_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_too_low_and_at_most_three_percent_too_high() {
        let mut histogram = Histogram::new();
        for number in 1..=100_000u64 {
            histogram.add(number);
        }
        for share in [0.0001, 0.01, 0.5, 0.99, 0.999, 1.0] {
            let exact = (100_000.0 * share) as u64;
            let found = histogram.quantile(share);
            assert!(found >= exact && found as f64 <= exact as f64 * 1.04, "{share}: {found} instead of {exact}");
        }
        assert_eq!((histogram.total(), histogram.max()), (100_000, 100_000));
    }

    #[test]
    fn every_number_has_a_slot() {
        let mut last = 0;
        for number in (0..64).map(|bit| 1u64 << bit).chain([0, 31, 32, 33, 63, 64, u64::MAX]) {
            let slot = slot(number);
            assert!(largest_in(slot) >= number, "{number}");
            last = last.max(slot);
        }
        assert!(last < Histogram::new().counts.len());
    }

    #[test]
    fn the_clock_goes_forward() {
        let scale = Scale::measure();
        assert!(scale.ns_per_tick > 0.0 && scale.own_ns < 10_000.0);
    }
}
