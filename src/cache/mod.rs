//! The cache: one handle over its tiers. Says which tier is asked, in what order.

mod stack;

pub use stack::{Cache, Purge};
