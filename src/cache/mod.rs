//! The cache: one handle over its tiers. Says which tier is asked, in what order.

mod flight;
mod load;
mod pressure;
mod stack;
mod sweeper;
mod thread;

pub use load::{Lease, Leased};
pub use stack::{Cache, Purge};
