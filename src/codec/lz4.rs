//! LZ4 blocks: who is compressed, and when it was worth it. The caller keeps the original length.

/// A block must be at least an eighth smaller to be kept: below that, the time of every later read buys too little.
/// Arbitrary between "any byte" and "half"; typical text and JSON save more than half, typical images nothing.
#[cfg(feature = "lz4")]
const WORTH: usize = 8;

/// The compressed form of `value`, or `None` when it is not worth keeping (or there is no memory to try).
#[cfg(feature = "lz4")]
pub(crate) fn compress(value: &[u8]) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    block.try_reserve_exact(lz4_flex::block::get_maximum_output_size(value.len())).ok()?;
    block.resize(block.capacity(), 0);
    let length = lz4_flex::block::compress_into(value, &mut block).ok()?;
    if length > value.len() - value.len() / WORTH {
        return None;
    }
    block.truncate(length);
    Some(block)
}

/// Without the feature nothing is ever worth compressing.
#[cfg(not(feature = "lz4"))]
pub(crate) fn compress(_value: &[u8]) -> Option<Vec<u8>> {
    None
}

/// Fills `value` from `block`; false when the block is not of exactly that many bytes.
#[cfg(feature = "lz4")]
pub(crate) fn decompress(block: &[u8], value: &mut [u8]) -> bool {
    lz4_flex::block::decompress_into(block, value).is_ok_and(|length| length == value.len())
}

/// Without the feature there is no block that could be read.
#[cfg(not(feature = "lz4"))]
pub(crate) fn decompress(_block: &[u8], _value: &mut [u8]) -> bool {
    false
}

#[cfg(all(test, feature = "lz4"))]
mod tests {
    use super::*;

    #[test]
    fn what_compresses_comes_back_and_what_does_not_is_left_alone() {
        let text = b"the same words again and ".repeat(100);
        let block = compress(&text).expect("repeated text compresses");
        assert!(block.len() < text.len() / 10);
        let mut back = vec![0; text.len()];
        assert!(decompress(&block, &mut back));
        assert_eq!(back, text);

        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        assert_eq!(compress(&noise.take(4_000).collect::<Vec<_>>()), None);
    }

    #[test]
    fn a_damaged_block_or_a_wrong_length_is_noticed() {
        let text = vec![7_u8; 1_000];
        let block = compress(&text).expect("one byte repeated compresses");
        assert!(!decompress(&block, &mut vec![0; 999]));
        assert!(!decompress(&block, &mut vec![0; 1_001]));
        assert!(!decompress(&block[..block.len() - 1], &mut vec![0; 1_000]));
    }
}
