//! Random calls of the whole C interface against a naive model, on tiny caches.

mod interpreter;

use proptest::prelude::{any, prop, proptest, ProptestConfig};
use proptest::test_runner::RngSeed;

/// Under Miri every step costs a thousand times as much.
const CASES: u32 = if cfg!(miri) { 3 } else { 2_000 };
const LONGEST: usize = if cfg!(miri) { 150 } else { 900 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        // The same every time; the fuzz target looks for new ones.
        rng_seed: RngSeed::Fixed(0x00C0_FFEE),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_answers_as_the_model_does(bytes in prop::collection::vec(any::<u8>(), 0..LONGEST)) {
        interpreter::run(&bytes);
    }
}
