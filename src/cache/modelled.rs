//! What tests/descents needs and nobody else may have: a cache over tiers of a model's own. In builds with `--cfg shuttle` only.

use super::fake::Fake;
use super::level::Level;
use super::lower::Lower;
use super::stack::Cache;
use crate::clock::Clock;
use crate::options::Options;
use crate::tiers::TierName;
use std::sync::Arc;

impl Cache {
    /// A cache over these tiers, the faster one first: they keep everything, never fail, and are written by the calling thread.
    pub fn over_fake_tiers(options: &Options, clock: Clock, tiers: &[TierName]) -> Arc<Self> {
        let level = |name: &TierName| Level::new(*name, Box::new(Fake::default()), clock.clone(), None);
        let lower = Lower::over(tiers.iter().map(level).collect(), options, &clock);
        Self::assemble(options, clock, Some(lower))
    }
}
