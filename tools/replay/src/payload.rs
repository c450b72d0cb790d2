//! Keys and values made from object ids.
//!
//! Ids in a trace are small and dense, which no real key is; so a key is the hexadecimal text of a mixed id. A value
//! describes itself: from the key and the number of bytes alone it can be told whether every byte is right, whoever put
//! it. Its parts, cut off where the value ends:
//!
//! ```text
//! checksum of id and length, 8 bytes | the key | rows of 32 bytes: 8 of a stream seeded by the checksum, the checksum 3 times
//! ```
//!
//! The repetition inside a row lets LZ4 make a long value about 2.6 times smaller, as much as it gets out of JSON text.

use std::ops::RangeInclusive;

/// 16 hexadecimal digits hold a mixed id, so that no two keys are equal; above 1 KiB the table of all keys would not fit
/// into memory for the longer traces.
pub const KEY_LENGTHS: RangeInclusive<usize> = 16..=1024;

/// Of one value; each thread has a buffer for two.
pub const MAX_VALUE_SIZE: u32 = 1 << 30;

/// 2^64 divided by the golden ratio: the increment of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const CHECKSUM: usize = 8;
const ROW: usize = 32;

/// SplitMix64's finisher: one to one, and every bit of the result depends on every bit of the input.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The keys of all objects of a trace, made before the clock starts.
pub struct Keys {
    text: Vec<u8>,
    length: usize,
}

impl Keys {
    /// `length` is one of [`KEY_LENGTHS`].
    pub fn of_objects(ids: &[u32], length: usize) -> Self {
        debug_assert!(KEY_LENGTHS.contains(&length));
        let mut text = Vec::with_capacity(ids.len() * length);
        for &id in ids {
            let end = text.len() + length;
            let mut word = u64::from(id);
            while text.len() < end {
                word = mixed(word);
                let digits = format!("{word:016x}");
                text.extend_from_slice(&digits.as_bytes()[..digits.len().min(end - text.len())]);
            }
        }
        Self { text, length }
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// The key of the object with this index.
    pub fn of(&self, object: u32) -> &[u8] {
        let start = object as usize * self.length;
        &self.text[start..start + self.length]
    }
}

fn checksum(id: u32, length: usize) -> u64 {
    mixed(u64::from(id) | (length as u64) << 32)
}

fn row(checksum: u64, index: usize) -> [u8; ROW] {
    let mut row = [0; ROW];
    let (stream, repeated) = row.split_at_mut(8);
    stream.copy_from_slice(&mixed(checksum.wrapping_add((index as u64).wrapping_mul(GOLDEN))).to_le_bytes());
    for word in repeated.chunks_exact_mut(8) {
        word.copy_from_slice(&checksum.to_le_bytes());
    }
    row
}

/// Writes the value of an object over the whole of `value`.
pub fn write_value(id: u32, key: &[u8], value: &mut [u8]) {
    let checksum = checksum(id, value.len());
    let (head, rest) = value.split_at_mut(CHECKSUM.min(value.len()));
    head.copy_from_slice(&checksum.to_le_bytes()[..head.len()]);
    let (named, rest) = rest.split_at_mut(key.len().min(rest.len()));
    named.copy_from_slice(&key[..named.len()]);
    for (index, chunk) in rest.chunks_mut(ROW).enumerate() {
        chunk.copy_from_slice(&row(checksum, index)[..chunk.len()]);
    }
}

/// Whether `value` is what [`write_value`] writes for this object at this length.
pub fn is_value_of(id: u32, key: &[u8], value: &[u8]) -> bool {
    let checksum = checksum(id, value.len());
    let (head, rest) = value.split_at(CHECKSUM.min(value.len()));
    let (named, rest) = rest.split_at(key.len().min(rest.len()));
    head == &checksum.to_le_bytes()[..head.len()]
        && named == &key[..named.len()]
        && rest.chunks(ROW).enumerate().all(|(index, chunk)| chunk == &row(checksum, index)[..chunk.len()])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_are_distinct_hexadecimal_text_of_the_length_asked_for() {
        let ids: Vec<u32> = (0..1000).chain(u32::MAX - 1000..=u32::MAX).collect();
        for length in [16, 17, 32, 100, 1024] {
            let keys = Keys::of_objects(&ids, length);
            let distinct: HashSet<&[u8]> = (0..ids.len() as u32).map(|object| keys.of(object)).collect();
            assert_eq!(distinct.len(), ids.len());
            assert!(distinct.iter().all(|key| key.len() == length && key.iter().all(u8::is_ascii_hexdigit)));
        }
    }

    #[test]
    fn a_key_depends_on_the_id_and_not_on_its_place_in_the_trace() {
        let (one, other) = (Keys::of_objects(&[7, 9], 32), Keys::of_objects(&[9, 7], 32));
        assert_eq!(one.of(0), other.of(1));
        assert_ne!(one.of(0), one.of(1));
    }

    #[test]
    fn a_value_is_recognised_and_every_changed_byte_of_it_is_noticed() {
        let keys = Keys::of_objects(&[3, 4], 32);
        for length in [1, 7, 8, 9, 40, 41, 72, 73, 128, 1000] {
            let mut value = vec![0; length];
            write_value(3, keys.of(0), &mut value);
            assert!(is_value_of(3, keys.of(0), &value), "{length} bytes");
            for at in 0..length {
                value[at] ^= 0x10;
                assert!(!is_value_of(3, keys.of(0), &value), "byte {at} of {length}");
                value[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn the_value_of_another_object_or_one_cut_short_is_wrong() {
        let keys = Keys::of_objects(&[3, 4], 32);
        let mut value = vec![0; 128];
        write_value(3, keys.of(0), &mut value);
        assert!(!is_value_of(4, keys.of(1), &value));
        assert!(!is_value_of(3, keys.of(0), &value[..127]));
        assert!(is_value_of(3, keys.of(0), &[]), "no bytes can be wrong");
    }
}
