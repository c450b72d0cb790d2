//! Which of a cluster's 16,384 slots a key belongs to: CRC-16 of the key, or of what stands in its first braces. As the
//! cluster specification of Redis says, so that we and the servers agree.

pub(super) const SLOTS: usize = 16_384;

/// CRC-16/XMODEM of each byte.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

pub(super) fn of(key: &[u8]) -> u16 {
    crc(tagged(key)) % SLOTS as u16
}

/// What stands between the first `{` and the first `}` behind it, if that is anything; else all of the key.
fn tagged(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // Its own example.
        assert_eq!(crc(b"123456789"), 0x31C3);
        assert_eq!(of(b"{user1000}.following"), of(b"user1000"));
        assert_eq!(of(b"foo{}{bar}"), crc(b"foo{}{bar}") % 16_384);
        assert_eq!(of(b"foo{{bar}}zap"), of(b"{bar"));
        assert_eq!(of(b"foo{bar}{zap}"), of(b"bar"));
        assert_eq!(of(b"foo{bar"), crc(b"foo{bar") % 16_384);
        // What `redis-cli cluster keyslot` says.
        assert_eq!(of(b"foo"), 12_182);
    }
}
