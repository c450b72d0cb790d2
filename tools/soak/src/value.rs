//! Values that prove themselves: from the bytes alone whoever reads one can tell that all of them belong together, to this key
//! of this cache, and which put stored them.
//!
//!     key u64 | version u64 | length u64 | filling ... | checksum of all of it u64
//!
//! A value that is too short for that is made of the key alone.

use crate::random::{mix, Random};

const SHORTEST_WITH_VERSION: usize = 32;

/// Writes a value of `len` bytes into `buffer`.
pub fn make(buffer: &mut Vec<u8>, key: u64, version: u64, len: usize) {
    buffer.clear();
    if len < SHORTEST_WITH_VERSION {
        buffer.extend((0..len).map(|at| short_byte(key, at)));
        return;
    }
    for number in [key, version, len as u64] {
        buffer.extend(number.to_le_bytes());
    }
    let seed = mix(key ^ version);
    // Half of them compress well.
    if seed.is_multiple_of(2) {
        buffer.resize(len - 8, (seed >> 8) as u8);
    } else {
        let mut random = Random::of(&[seed]);
        while buffer.len() + 8 <= len - 8 {
            buffer.extend(random.next().rotate_left(8).to_le_bytes());
        }
        buffer.resize(len - 8, 7);
    }
    let sum = checksum(buffer);
    buffer.extend(sum.to_le_bytes());
}

/// The version of a whole value of this key, 0 for one that is too short to have one; or what is wrong with it.
pub fn prove(value: &[u8], key: u64) -> Result<u64, String> {
    if value.len() < SHORTEST_WITH_VERSION {
        return match (0..value.len()).all(|at| value[at] == short_byte(key, at)) {
            true => Ok(0),
            false => Err(format!("{} bytes that were never stored under this key: {value:02x?}", value.len())),
        };
    }
    let (body, sum) = value.split_at(value.len() - 8);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let (owner, version, len) = (number(&body[..8]), number(&body[8..16]), number(&body[16..24]));
    if len != value.len() as u64 {
        return Err(format!("{} bytes that say they are {len}, of version {version}", value.len()));
    }
    if owner != key {
        return Err(format!("the value of another key: {owner:#x} instead of {key:#x}, version {version}"));
    }
    if number(sum) != checksum(body) {
        return Err(format!("a torn value: its {len} bytes do not add up, version {version}"));
    }
    Ok(version)
}

fn short_byte(key: u64, at: usize) -> u8 {
    mix(key ^ at as u64) as u8
}

/// Depends on every byte and its place; eight at a time, since values are up to megabytes.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, number: u64| (sum ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::{make, prove};

    #[test]
    fn any_changed_byte_and_any_other_key_are_noticed() {
        let mut value = Vec::new();
        for len in (0..100).chain([1_000, 4_099]) {
            make(&mut value, 7, 3, len);
            assert_eq!(value.len(), len);
            assert_eq!(prove(&value, 7), Ok(if len < 32 { 0 } else { 3 }));
            assert!(len == 0 || prove(&value, 8).is_err());
            for at in 0..len {
                value[at] ^= 0x10;
                assert!(prove(&value, 7).is_err() || (8..16).contains(&at) && len < 32, "byte {at} of {len}");
                value[at] ^= 0x10;
            }
            assert!(len < 33 || prove(&value[..len - 1], 7).is_err());
        }
    }
}
