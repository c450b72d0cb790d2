//! The harness behind the benchmarks: engines behind one C-shaped door, the same keys for all of them, rounds that take
//! turns, and tables with ratios. Each question is a program of its own in `src/bin`.
//!
//! It never links catzilla-cache: the built shared library is loaded the way a C program or Python loads it.
//!
//! ```text
//! bin/*  ->  turns  (parent: whose turn it is)  ->  child (processes)  ->  report (tables)
//!        ->  worker  (child: runs the rounds)    ->  engines/*  ->  engine (the door)
//!                         both use scenario, keys, args
//! ```

pub mod args;
pub mod child;
pub mod documents;
pub mod engine;
pub mod engines;
pub mod goals;
pub mod keys;
pub mod machine;
pub mod report;
pub mod scenario;
pub mod ticks;
pub mod turns;
pub mod ways;
pub mod worker;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
