//! What programs need that ask the built library for recorded accesses: `trace` reads the files, `capacity` says how large
//! a cache is for them, `payload` makes keys and values, `locate` finds the library, `library` is its C interface.
//!
//! The program `replay` of this package uses all of it, `tools/policies` compares the engine with simulators by it.

#![deny(unsafe_code)]

pub mod capacity;
pub mod failure;
#[allow(unsafe_code)]
pub mod library;
pub mod locate;
pub mod payload;
pub mod trace;
