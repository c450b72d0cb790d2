//! Somebody who chooses the keys must not be able to choose how much they cost: keys that collide for a hash that is not
//! seeded, and keys that are as alike as keys can be, are put and found for what random ones of their length cost.
//!
//! No counter tells how far a look-up had to go, so cost is the processor time of the thread, which waiting for others does
//! not add to. Rounds with chosen and with random keys take turns, the cheapest of each counts, and there are more of them
//! until the two are within a factor that chance does not explain, or it is certain that they are not. A table that can be
//! flooded is measured by the same means, as the control: there the factor is in the hundreds.
#![allow(unsafe_code)]
#![cfg(not(miri))]

use catzilla_cache::{fnv1a, Cache, Options, Read, Ttl, OPTIONS};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

const KEYS: usize = 5_000;

/// Arbitrary between what is seen without flooding (1.0) and with it (above 100).
const FACTOR: u64 = 3;

const ROUNDS_AT_LEAST: usize = 3;
const ROUNDS_AT_MOST: usize = 200;

type Keys = Vec<Vec<u8>>;

/// xorshift64*; the tests have to be the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// As many keys as given, of the same lengths, with nothing in common. No two are equal: a number is in each that is long
/// enough for one, and shorter ones are not used here.
fn random_like(keys: &Keys) -> Keys {
    let mut random = Random(0x5EED);
    let like = |(number, key): (usize, &Vec<u8>)| {
        let mut bytes: Vec<u8> = (0..key.len()).map(|_| (random.next() >> 56) as u8).collect();
        bytes[..4].copy_from_slice(&(number as u32).wrapping_mul(0x9E37_79B1).to_le_bytes());
        bytes
    };
    keys.iter().enumerate().map(like).collect()
}

/// Keys with one and the same 32-bit FNV-1a (Joux, CRYPTO 2004): the hash is taken byte by byte, so two blocks that lead from
/// one state to the same next state can stand for each other. A birthday search finds such a pair in about 2^16 steps;
/// thirteen pairs, one after the other, make 2^13 keys.
fn of_one_fnv1a() -> Keys {
    let mut random = Random(1);
    let mut prefix: Vec<u8> = Vec::new();
    let mut pairs: Vec<[[u8; 8]; 2]> = Vec::new();
    while 1 << pairs.len() < KEYS {
        let mut seen: HashMap<u32, [u8; 8]> = HashMap::new();
        let pair = loop {
            let block = random.next().to_le_bytes();
            let state = fnv1a(&[&prefix[..], &block].concat());
            match seen.insert(state, block) {
                Some(other) if other != block => break [other, block],
                _ => {}
            }
        };
        prefix.extend(pair[0]);
        pairs.push(pair);
    }
    let choice = |number: usize| pairs.iter().enumerate().flat_map(|(i, pair)| pair[number >> i & 1]).collect();
    (0..KEYS).map(choice).collect()
}

/// Keys that are as alike as the families' names say.
fn alike() -> Vec<(&'static str, Keys)> {
    let numbered = |make: fn(u64) -> Vec<u8>| (0..KEYS as u64).map(make).collect::<Keys>();
    vec![
        ("numbers, the smallest byte first", numbered(|i| i.to_le_bytes().to_vec())),
        ("numbers, the largest byte first", numbered(|i| i.to_be_bytes().to_vec())),
        ("numbers that differ in their upper half", numbered(|i| (i << 32).to_le_bytes().to_vec())),
        ("multiples of a large power of two", numbered(|i| (i << 48).to_le_bytes().to_vec())),
        ("decimal numbers behind a word", numbered(|i| format!("user:{i:012}").into_bytes())),
        ("a long beginning in common", numbered(|i| [&[b'x'; 200][..], &i.to_be_bytes()].concat())),
        ("a long end in common", numbered(|i| [&i.to_be_bytes()[..], &[b'x'; 200]].concat())),
        ("the same but for one bit", numbered(one_bit)),
    ]
}

/// All zeros but for bit number `i` of 640 bytes.
fn one_bit(i: u64) -> Vec<u8> {
    let mut key = vec![0; KEYS.div_ceil(8) + 15];
    key[i as usize / 8] = 1 << (i % 8);
    key
}

/// Nanoseconds that the processor has spent on this thread.
fn processor_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the call may write.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether the keys cost more than `FACTOR` times what random ones do; with the two costs, to be shown.
fn floods(keys: &Keys, at_most: usize, cost: impl Fn(&Keys) -> u64) -> (bool, u64, u64) {
    let random = random_like(keys);
    let (mut chosen, mut usual) = (u64::MAX, u64::MAX);
    for round in 1..=at_most {
        usual = usual.min(cost(&random));
        chosen = chosen.min(cost(keys));
        if round >= ROUNDS_AT_LEAST.min(at_most) && chosen <= FACTOR * usual {
            return (false, chosen, usual);
        }
    }
    (true, chosen, usual)
}

fn cache(policy: &str, capacity: &str) -> Arc<Cache> {
    let mut options = Options::new();
    options.set("memory.policy", policy).unwrap().set("memory.capacity", capacity).unwrap();
    Cache::open(&options).unwrap()
}

/// What it costs to store all keys, to find them, and to miss as many.
fn cost_in_a_cache(policy: &str, keys: &Keys) -> u64 {
    let cache = cache(policy, "unlimited");
    let mut buffer = [0; 8];
    let begun = processor_time();
    for key in keys {
        cache.put(key, b"value", Ttl::Forever).unwrap();
    }
    for key in keys {
        assert_eq!(cache.read(key, &mut buffer), Ok(Some(Read::Copied(5))));
    }
    for key in keys {
        assert!(cache.remove(key));
        assert_eq!(cache.read(key, &mut buffer), Ok(None));
    }
    processor_time() - begun
}

#[derive(Default)]
struct Fnv(u32);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        u64::from(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        // A slice's hash ends with other bytes after it: the same for all keys of one length.
        self.0 =
            bytes.iter().fold(self.0 ^ 2_166_136_261, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619));
    }

    fn write_usize(&mut self, _length: usize) {}
}

fn cost_in_a_table_without_a_seed(keys: &Keys) -> u64 {
    let begun = processor_time();
    let mut table: HashMap<&[u8], (), BuildHasherDefault<Fnv>> = HashMap::default();
    table.extend(keys.iter().map(|key| (&key[..], ())));
    assert_eq!(table.len(), KEYS);
    processor_time() - begun
}

fn policies() -> Vec<String> {
    let row = OPTIONS.iter().find(|row| row.name == "memory.policy").expect("there is a policy to choose");
    row.range().split(", ").map(str::to_owned).collect()
}

#[test]
fn keys_that_collide_for_fnv1a_cost_no_more_than_random_ones() {
    let keys = of_one_fnv1a();
    assert!(keys.iter().all(|key| fnv1a(key) == fnv1a(&keys[0])), "they do not collide");
    let (floods_a_table, chosen, usual) = floods(&keys, 2, cost_in_a_table_without_a_seed);
    assert!(floods_a_table, "the control: {chosen} ns, random keys {usual} ns");
    for policy in policies() {
        let (floods, chosen, usual) = floods(&keys, ROUNDS_AT_MOST, |keys| cost_in_a_cache(&policy, keys));
        assert!(!floods, "{policy}: {chosen} ns, random keys {usual} ns");
    }
}

#[test]
fn keys_that_are_alike_cost_no_more_than_random_ones() {
    for policy in policies() {
        for (family, keys) in alike() {
            let (floods, chosen, usual) = floods(&keys, ROUNDS_AT_MOST, |keys| cost_in_a_cache(&policy, keys));
            assert!(!floods, "{policy}: {family}: {chosen} ns, random keys {usual} ns");
        }
    }
}

/// What a cache holds after a stream of requests, and how many of them it answered.
fn replay(policy: &str, keys: &Keys) -> (usize, Vec<bool>) {
    let cache = cache(policy, "500");
    let mut random = Random(7);
    let mut buffer = [0; 8];
    let mut hits = 0;
    for _ in 0..40_000 {
        // The product of two: some keys are wanted far more often than others.
        let (a, b) = (random.next() >> 32, random.next() >> 32);
        let key = &keys[(((a * b) >> 32) as usize * KEYS) >> 32];
        match cache.read(key, &mut buffer).unwrap() {
            Some(_) => hits += 1,
            None => cache.put(key, b"value", Ttl::Forever).unwrap(),
        }
    }
    (hits, keys.iter().map(|key| cache.contains(key)).collect())
}

/// Each cache has a seed of its own, and which entry leaves has nothing to do with it: the same requests leave the same
/// entries behind, whatever the keys are. Policies other than LRU may keep hashes of what has left, and two of those can be
/// the same by chance; so a hundredth of the requests may be answered differently. `adaptive` watches a sample of the keys,
/// which the seed draws, and may choose by another one another rule: of many caches the one in the middle is compared.
#[test]
fn which_entries_leave_depends_on_neither_the_seed_nor_the_keys() {
    const CACHES: usize = 9;
    let crafted = of_one_fnv1a();
    let random = random_like(&crafted);
    for policy in policies() {
        let (hits, there) = replay(&policy, &random);
        assert_eq!(there.iter().filter(|there| **there).count(), 500);
        assert!((4_000..36_000).contains(&hits), "{hits} hits say nothing");
        let median = |keys| {
            let mut hits: Vec<_> = (0..CACHES).map(|_| replay(&policy, keys).0).collect();
            hits.sort_unstable();
            hits[CACHES / 2]
        };
        if policy == "adaptive" {
            let (of_random, of_crafted) = (median(&random), median(&crafted));
            assert!(of_random.abs_diff(of_crafted) <= 600, "{of_random} hits and {of_crafted}");
            continue;
        }
        for keys in [&random, &crafted] {
            let again = replay(&policy, keys);
            match policy.as_str() {
                "lru" => assert!((hits, &there) == (again.0, &again.1), "{hits} hits and {}", again.0),
                _ => assert!(hits.abs_diff(again.0) <= 400, "{policy}: {hits} hits and {}", again.0),
            }
        }
    }
}
