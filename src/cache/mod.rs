//! The cache: one handle over its tiers. Says which tier is asked, in what order.

mod pressure;
mod stack;
mod sweeper;

pub use stack::{Cache, Purge};
