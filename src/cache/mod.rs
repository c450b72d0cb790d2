//! The cache: one handle over its tiers. Says which tier is asked, in what order.

mod backlog;
mod breaker;
mod demotion;
mod descent;
mod everywhere;
#[cfg(any(test, shuttle))]
#[cfg_attr(not(test), allow(dead_code))]
mod fake;
mod flight;
mod inherited;
mod level;
mod load;
mod lower;
#[cfg(shuttle)]
mod modelled;
mod owed;
mod party;
mod pressure;
mod queue;
mod sight;
mod stack;
mod stripe;
mod sweeper;
mod tend;
mod tended;
#[cfg(test)]
mod tests;
mod turns;

pub use load::{Lease, Leased};
pub use stack::{Cache, Purge};
