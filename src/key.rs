//! The documented key format of HTTP-like requests, and FNV-1a: both are part of the classic interface and of what
//! programs store, so neither may ever change.

/// 32-bit FNV-1a (Fowler, Noll, Vo). For keys that programs compute themselves; the engine's own index uses a seeded
/// hash, because an unseeded one can be flooded.
pub fn fnv1a(bytes: &[u8]) -> u32 {
    const OFFSET_BASIS: u32 = 2_166_136_261;
    const PRIME: u32 = 16_777_619;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME))
}

/// The parts of `METHOD:path?query:hhhhhhhh` in order; `?query` is left out when `query` is empty.
pub(crate) fn request_key<'a>(method: &'a [u8], path: &'a [u8], query: &'a [u8], hash: &'a [u8; 8]) -> [&'a [u8]; 7] {
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    [method, b":", path, mark, query, b":", hash]
}

/// `%08x` of the headers' hash.
pub(crate) fn hex8(hash: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(hash >> (28 - 4 * i)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_the_published_values() {
        // From the reference test vectors of the hash's authors.
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn a_request_key_reads_as_documented() {
        let hash = hex8(0xbeef);
        assert_eq!(request_key(b"GET", b"/a", b"x=1", &hash).concat(), b"GET:/a?x=1:0000beef");
        assert_eq!(request_key(b"GET", b"/a", b"", &hash).concat(), b"GET:/a:0000beef");
    }
}
