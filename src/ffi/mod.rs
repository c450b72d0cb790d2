//! The C interface: the only exported functions, the only place C types exist. Speaks C; decides nothing.
//!
//! Every function is the same few lines in the same order: handle, inputs, the call, outputs. Its documentation is
//! written for the reader of the header, which is made from it.
//!
//! What every function here asks of its caller, so that it need not be said again at each: pointers are NULL or point to
//! what the C declaration says, for the length that comes with them; a handle came from this library and was not
//! destroyed.
#![allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]

pub mod batch;
mod boundary;
pub mod cache;
pub mod classic;
pub mod info;
pub mod iterator;
pub mod listener;
pub mod load;
pub mod memory;
pub mod multi;
pub mod options;
pub mod statistics;
pub mod status;
pub mod tiers;
pub mod types;
pub mod update;
pub mod value;

/// The number of the binary interface: raised when a program that was linked against the last one could break. Set in
/// build.rs, which puts it into the shared library's name.
const ABI: u32 = match u32::from_str_radix(env!("CATZILLA_CACHE_ABI"), 10) {
    Ok(abi) => abi,
    Err(_) => panic!("build.rs sets a number"),
};
