//! When memory that was taken out of a shard may be given back: when no thread can be reading it any more.
//!
//! # Protocol
//!
//! Readers take no lock. What they read is kept by hazard pointers (Michael, "Hazard Pointers: Safe Memory Reclamation for
//! Lock-Free Objects", IEEE TPDS 2004), of which each thread's record has three and the slots of its leases:
//!
//! 1. A reader writes the address of what it is going to read into a slot of its record ([`hazard::announce`]), passes the light
//!    half of the barrier pair, and looks whether the place where it found the address still holds it. If it does, the
//!    thing may be read until the slot is overwritten or cleared; else the reader begins again.
//! 2. A writer, under the shard's lock, first takes a thing out of every place where readers can find it, and then
//!    retires it ([`Retired`]).
//! 3. To give memory back it passes the heavy half of the barrier pair, and then looks into all slots. A reader that
//!    announced before that is seen; one that announced later finds the place changed, since that came before. What stands
//!    in no slot is freed. Nor is the barrier needed once every thread has seen, or rests since, a moment that began after step 2:
//!    see `moments`.
//! 4. Slots are written with release order and read with acquire order: whoever no longer finds an address in any slot may
//!    free it, since all reads under the former announcement came before.
//!
//! So a reader that is stopped in the middle holds back what it announced (an entry, and the one or two tables it is
//! looking into), not what was retired after it. What waits is bounded: by a count that follows the number of slots there
//! are, and by bytes.
//!
//! [`hazard::announce`]: super::hazard::announce
//! [`hazard::acknowledge`]: super::hazard::acknowledge
#![allow(unsafe_code)]

mod garbage;
mod reader;
mod retired;

use super::arena::{Heap, Magazine};
use super::entry::EntryRef;
pub(super) use garbage::Garbage;
pub(super) use reader::Reader;
pub(super) use retired::Retired;

/// The end of an entry of a cache that is being destroyed: freed, unless a value pins it.
pub(super) fn give_up(entry: EntryRef, heap: &Heap) {
    if !heap.pins.orphan(entry, || heap.detach(entry.size(heap))) {
        // SAFETY: nobody is in a call on this cache any more, its classic results have ended, and no value pins the entry.
        unsafe { entry.free(heap, &mut Magazine::none()) };
    }
}
