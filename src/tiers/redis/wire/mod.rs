//! The protocol of Redis (RESP2) as bytes: commands packed behind one another, and replies read back. Used by whoever talks to a
//! server; knows nothing of sockets, keys or tiers.
//!
//! The `redis` crate has both too. Its reader costs 1.5 to 1.7 times a bare socket for an MGET of 100 values, and its
//! connections wait for as long as bytes keep dribbling in; here a value is copied once, out of the buffer into the
//! vector that the caller gets, and every read ends at the reader's own deadline.

mod command;
mod reply;

pub(super) use command::Batch;
pub(super) use reply::{Inbox, Reply, Unread};

/// Redis itself takes nothing longer (`proto-max-bulk-len`), so neither sends it such a thing.
pub(super) const LONGEST_VALUE: usize = 512 << 20;
