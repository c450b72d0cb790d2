//! The two traces that are arithmetic. They are those of the paper on LIRS, request by request.

/// A round of blocks asked for again and again: what LRU is worst at.
pub fn looped() -> Vec<u32> {
    const BLOCKS: u32 = 1_011;
    const ROUNDS: u32 = 500;
    (0..ROUNDS * BLOCKS).map(|request| request % BLOCKS).collect()
}

/// Blocks asked for forward and backward in turn: what LRU is best at, and LIRS worst.
pub fn zigzag() -> Vec<u32> {
    const LAST: u32 = 2_000;
    const REQUESTS: u32 = 52_001;
    (0..REQUESTS).map(|request| LAST - LAST.abs_diff(request % (2 * LAST))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_goes_round() {
        let trace = looped();
        assert_eq!(trace.len(), 505_500);
        assert_eq!(trace[1_009..1_013], [1_009, 1_010, 0, 1]);
    }

    #[test]
    fn the_zigzag_turns_at_both_ends() {
        let trace = zigzag();
        assert_eq!(trace.len(), 52_001);
        assert_eq!(trace[1_998..2_003], [1_998, 1_999, 2_000, 1_999, 1_998]);
        assert_eq!(trace[3_998..4_003], [2, 1, 0, 1, 2]);
        assert_eq!(trace.last(), Some(&0));
    }
}
