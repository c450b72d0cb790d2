//! How bytes are turned into fewer bytes, and into such as may leave the process. Knows nothing of caches.

pub(crate) mod envelope;
pub(crate) mod lz4;
