//! The same keys, values and order of access for every engine: all of it follows from constants in this file.

/// Keys are 31 characters and a NUL, since some engines read C strings.
pub const KEY_LEN: usize = 31;
pub const VALUE_LEN: usize = 128;

const KEY_SEED: u64 = 1;
const SCRAMBLE_SEED: u64 = 2;
const ACCESS_SEED: u64 = 3;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and any seed is a good one.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One key in half a cache line.
#[repr(align(32))]
#[derive(Clone, Copy)]
pub struct Key([u8; KEY_LEN + 1]);

impl Key {
    pub fn of(id: usize) -> Key {
        let tail = Random::new(KEY_SEED ^ ((id as u64) << 8)).draw();
        let text = format!("bench:{id:08}:{tail:016x}\0");
        Key(text.as_bytes().try_into().expect("ids have at most eight digits"))
    }

    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.0[..KEY_LEN]
    }

    /// Fetches it into the processor's cache.
    #[inline(always)]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint about an address that is valid anyhow.
        unsafe {
            use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(self).cast());
        }
    }
}

pub fn keys(count: usize) -> Vec<Key> {
    (0..count).map(Key::of).collect()
}

/// A value that says whose it is at both ends, so that a wrong or torn one is noticed.
#[derive(Clone)]
pub struct Value([u8; VALUE_LEN]);

impl Value {
    pub fn new() -> Value {
        let mut random = Random::new(KEY_SEED);
        Value(std::array::from_fn(|_| random.draw() as u8))
    }

    #[inline(always)]
    pub fn stamp(&mut self, id: u32) -> &[u8] {
        let id = u64::from(id);
        self.0[..8].copy_from_slice(&id.to_le_bytes());
        self.0[VALUE_LEN - 8..].copy_from_slice(&(!id).to_le_bytes());
        &self.0
    }

    /// Both ends; cheap enough for every get.
    #[inline(always)]
    pub fn ends_match(id: u32, found: &[u8]) -> bool {
        let id = u64::from(id);
        found.len() == VALUE_LEN && found[..8] == id.to_le_bytes() && found[VALUE_LEN - 8..] == (!id).to_le_bytes()
    }

    /// Every byte.
    pub fn matches(&mut self, id: u32, found: &[u8]) -> bool {
        self.stamp(id) == found
    }
}

impl Default for Value {
    fn default() -> Self {
        Value::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Skew {
    Uniform,
    /// Rank r is asked for in proportion to 1 / r^s.
    Zipf(f64),
    /// One key, always.
    Hot,
}

/// What a thread does one after the other: ids, and in the top bit whether the access is a put.
pub fn accesses(skew: Skew, universe: usize, puts_percent: usize, thread: usize, length: usize) -> Vec<u32> {
    let mut random = Random::new(ACCESS_SEED + thread as u64);
    let pick: Box<dyn Fn(&mut Random) -> u32> = match skew {
        Skew::Uniform => Box::new(move |random| random.below(universe) as u32),
        Skew::Zipf(exponent) => zipf(universe, exponent),
        Skew::Hot => Box::new(move |_| (universe / 2) as u32),
    };
    (0..length)
        .map(|_| {
            let put = random.below(100) < puts_percent;
            pick(&mut random) | if put { PUT } else { 0 }
        })
        .collect()
}

pub const PUT: u32 = 1 << 31;

/// By the table of the distribution: exact, and its cost is paid before anything is timed. Ranks are scattered over the ids,
/// so that popular keys were not all stored next to each other.
fn zipf(universe: usize, exponent: f64) -> Box<dyn Fn(&mut Random) -> u32> {
    let mut ids: Vec<u32> = (0..universe as u32).collect();
    let mut scramble = Random::new(SCRAMBLE_SEED);
    for last in (1..universe).rev() {
        ids.swap(last, scramble.below(last + 1));
    }
    let mut sum = 0.0;
    let table: Vec<f64> = (1..=universe)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    Box::new(move |random| {
        let point = random.unit() * sum;
        ids[table.partition_point(|&edge| edge <= point).min(universe - 1)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_end_in_nul() {
        let keys = keys(1000);
        let different: std::collections::HashSet<&[u8]> = keys.iter().map(Key::bytes).collect();
        assert_eq!(different.len(), 1000);
        assert!(keys.iter().all(|key| key.0[KEY_LEN] == 0 && !key.bytes().contains(&0)));
    }

    #[test]
    fn zipf_asks_for_the_first_rank_as_often_as_it_should() {
        let count = 200_000;
        let mut seen = vec![0usize; 1000];
        for id in accesses(Skew::Zipf(0.99), 1000, 0, 0, count) {
            seen[id as usize] += 1;
        }
        let sum: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-0.99)).sum();
        seen.sort_unstable_by(|a, b| b.cmp(a));
        for rank in [1, 2, 10] {
            let expected = f64::from(rank).powf(-0.99) / sum * count as f64;
            let found = seen[rank as usize - 1] as f64;
            assert!((found / expected - 1.0).abs() < 0.1, "rank {rank}: {found} instead of {expected}");
        }
    }

    #[test]
    fn one_access_in_ten_is_a_put_when_ten_percent_are_asked_for() {
        let puts = accesses(Skew::Uniform, 1000, 10, 0, 100_000).iter().filter(|&&access| access & PUT != 0).count();
        assert!((9_500..10_500).contains(&puts), "{puts} puts");
    }

    #[test]
    fn the_value_of_another_key_is_noticed() {
        let mut value = Value::new();
        let mut found = value.stamp(7).to_vec();
        assert!(Value::ends_match(7, &found) && !Value::ends_match(8, &found));
        found[60] ^= 1;
        assert!(Value::ends_match(7, &found) && !value.matches(7, &found));
    }
}
