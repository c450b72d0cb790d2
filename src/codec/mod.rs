//! How bytes are turned into fewer bytes. Knows nothing of caches.

pub(crate) mod lz4;
