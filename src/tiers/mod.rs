//! Where entries are kept. One room a tier; memory is the only one so far.

pub(crate) mod memory;
