//! Which keys the shadows see: those whose *value*, 32 bits of their hash, is low. A lower bound leaves some of the same keys,
//! so a sample can become thinner and what was seen before still counts.
//!
//! Bounds stand at *levels*, eight to each doubling, so that the few bits of a level that a shadow keeps of each key say
//! whether the key still belongs to the sample.
//!
//! ```text
//!  a level:  5 bits: the highest bit of the value that is set | 3 bits: those below it
//! ```

use super::super::index::Hash;

/// How many levels there are. All keys are below this one.
pub(super) const ALL: u32 = 1 << LEVEL_BITS;
pub(super) const LEVEL_BITS: u32 = 8;
/// From a level to the one with half the keys.
pub(super) const OCTAVE: u32 = 1 << STEP_BITS;
const STEP_BITS: u32 = 3;

/// Of bits that decide neither about the shard nor about the place in the index.
#[inline(always)]
pub(super) fn value(hash: Hash) -> u32 {
    (hash.0.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32) as u32
}

/// The level of a value: never falls where the value rises.
#[inline]
pub(super) fn level(value: u32) -> u32 {
    let zeros = value.leading_zeros().min(u32::BITS - 1);
    let below = value << zeros >> (u32::BITS - 1 - STEP_BITS) & (OCTAVE - 1);
    (u32::BITS - 1 - zeros) << STEP_BITS | below
}

/// The least value of a level; of [`ALL`], one more than there are values.
pub(super) fn bound(level: u32) -> u64 {
    u64::from(OCTAVE | level & (OCTAVE - 1)) << (level >> STEP_BITS) >> STEP_BITS
}

/// The highest level below which there are at most so many keys of so many.
pub(super) fn level_of(part: u64, whole: u64) -> u32 {
    if part >= whole {
        return ALL;
    }
    level((u128::from(part) << u32::BITS).div_euclid(u128::from(whole)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_begins_at_its_bound() {
        // Below, values of three bits and less: one key in half a billion.
        for step in 3 * OCTAVE..ALL {
            let least = bound(step) as u32;
            assert!(level(least) == step && level(least - 1) < step, "{least}");
            assert!(bound(step + 1) * 8 <= bound(step) * 9, "{step}");
        }
        assert_eq!((level(0), level(u32::MAX), bound(ALL)), (0, ALL - 1, 1 << 32));
    }

    #[test]
    fn a_level_for_a_part_is_not_above_it_and_little_below() {
        for (part, whole) in [(1, 8), (512, 10_000), (2_048, 1_000_000), (7, 7_001), (99, 100), (2_048, 1 << 40)] {
            let keys = (u128::from(bound(level_of(part, whole))) * u128::from(whole)) as f64 / 2_f64.powi(32);
            assert!(keys <= part as f64 && keys >= part as f64 * 8.0 / 9.0 - 0.01, "{part} of {whole}: {keys}");
        }
        assert_eq!([level_of(3, 3), level_of(4, 3)], [ALL; 2]);
    }
}
