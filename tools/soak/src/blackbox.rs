//! What every thread is doing, for the last words of a run that fails, crashes or hangs.
//!
//! Written before each call, without a lock and without memory, so that it can be read from a signal handler and in a forked
//! child.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of operations, and their names.
macro_rules! operations {
    ($($variant:ident $name:literal,)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Op { $($variant,)* }

        pub const NAMES: &[&str] = &[$($name,)*];

        #[cfg(test)]
        const ALL: &[Op] = &[$(Op::$variant,)*];
    };
}

operations! {
    Open "open",
    Put "put",
    PutMany "put_many",
    Set "classic set",
    PutWith "put_with",
    GetOrLoad "get_or_load",
    Touch "touch",
    Increment "increment",
    Read "read",
    ShortRead "read into a short buffer",
    Acquire "acquire",
    Release "release",
    Get "classic get",
    GetMany "get_many",
    Remove "remove",
    RemoveMany "remove_many",
    Delete "classic delete",
    Contains "contains",
    Exists "classic exists",
    PurgeAll "purge of all",
    PurgePrefix "purge of a prefix",
    PurgeTag "purge of a tag",
    Keys "iteration",
    Sweep "expire_entries",
    SetOption "set_option",
    Statistics "statistics",
    ReleaseResults "release_results",
    Burst "burst of other keys",
    Fork "fork",
    InTheChild "use in a forked child",
    Books "the books at the end",
    Destroy "destroy",
}

/// One for each thread at a time, and one for the main thread.
pub const LANES: usize = 32;

struct Lane {
    number: AtomicU64,
    /// Operation, cache, slot: 8, 8 and 32 bits.
    doing: AtomicU64,
}

static ALL_LANES: [Lane; LANES] = [const { Lane { number: AtomicU64::new(0), doing: AtomicU64::new(0) } }; LANES];

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Says which lane this thread is.
pub fn enter(lane: usize) {
    LANE.set(lane);
}

/// Writes down what this thread is about to do.
pub fn about_to(op: Op, cache: usize, slot: usize) {
    let lane = &ALL_LANES[LANE.get()];
    lane.number.store(lane.number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    lane.doing.store(op as u64 | (cache as u64) << 8 | (slot as u64) << 16, Ordering::Relaxed);
}

/// How many operations a lane has begun.
pub fn begun(lane: usize) -> u64 {
    ALL_LANES[lane].number.load(Ordering::Relaxed)
}

/// What a lane is doing, in words.
fn describe(lane: usize, out: &mut impl Write) -> std::fmt::Result {
    let number = ALL_LANES[lane].number.load(Ordering::Relaxed);
    let doing = ALL_LANES[lane].doing.load(Ordering::Relaxed);
    let (op, cache, slot) = (doing as usize & 0xff, doing >> 8 & 0xff, doing >> 16);
    let name = NAMES.get(op).unwrap_or(&"?");
    write!(out, "thread {lane}, operation {number}: {name}, cache {cache}, key {slot}")
}

/// What this thread is doing.
pub fn this_thread() -> String {
    let mut words = String::new();
    describe(LANE.get(), &mut words).map_or_else(|_| String::new(), |()| words)
}

/// What all threads are doing. Allocates nothing.
pub fn write_lanes(write: fn(&[u8])) {
    for lane in 0..LANES {
        if begun(lane) > 0 {
            let mut line = Line { bytes: [0; 160], len: 0 };
            let _ = line.write_str("soak:   ").and_then(|()| describe(lane, &mut line));
            let _ = line.write_str("\n");
            write(&line.bytes[..line.len]);
        }
    }
}

/// A line on the stack; what does not fit is left out.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = &mut self.bytes[self.len..];
        let len = room.len().min(text.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{about_to, enter, this_thread, ALL, NAMES};

    #[test]
    fn every_operation_has_its_own_name() {
        enter(31);
        for (number, op) in ALL.iter().enumerate() {
            assert_eq!(*op as usize, number);
            about_to(*op, 3, 4_000);
            assert!(this_thread().ends_with(&format!("{}, cache 3, key 4000", NAMES[number])), "{}", this_thread());
        }
    }
}
