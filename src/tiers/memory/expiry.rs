//! Who expires when: a hierarchical timing wheel of hints (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP
//! 1987, scheme 7).
//!
//! A hint is 8 bytes: where an entry's key stands in the index, and the low 32 bits of its deadline. Nothing in the entry
//! points back to it, so an entry that is overwritten or removed leaves its hint behind, and whoever takes the hint out finds
//! no entry that has this deadline. Filing costs O(1); a hint is moved at most once a level. Hints that have lost their
//! entry are weeded out when they are more than the others (see [`Wheel::weed`]).
//!
//! Belongs to one shard and is only touched under its lock. Decides nothing: the shard looks at the entry.

use crate::clock::Tick;
use std::collections::VecDeque;

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Six levels of 64 slots: 18 years. Longer deadlines wait in the last slot and are filed again.
const LEVELS: usize = 6;

/// Where to look for an entry, and what its deadline is if it is the one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hint {
    pub(super) place: u32,
    /// The low bits of the deadline.
    pub(super) deadline: u32,
}

/// What one hint takes.
pub(super) const HINT: u64 = size_of::<Hint>() as u64;

pub(super) struct Wheel {
    /// Level by level; made when the first hint is filed.
    slots: Vec<Slot>,
    /// A bit for each slot of a level that is not empty.
    occupied: [u64; LEVELS],
    due: Slot,
    /// All ticks up to this one have been dealt with: their hints are in `due`.
    tick: Tick,
    len: usize,
    /// The slot that is weeded next.
    weeded: usize,
}

/// Hints in no order, in pieces of at most [`PIECE`]: no piece is ever copied because others have come.
#[derive(Default)]
struct Slot {
    pieces: VecDeque<Vec<Hint>>,
}

/// 512 bytes: small beside what it holds, large beside what it costs to get.
const PIECE: usize = 64;
/// What a slot's first piece begins with.
const FIRST_PIECE: usize = 4;

impl Slot {
    /// False when there is no memory.
    #[must_use]
    #[inline(always)]
    fn push(&mut self, hint: Hint) -> bool {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() < piece.capacity() => {
                piece.push(hint);
                true
            }
            _ => self.push_into_more(hint),
        }
    }

    /// The same when the last piece is full, or as full as it was made.
    #[inline(never)]
    fn push_into_more(&mut self, hint: Hint) -> bool {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() < PIECE => {
                let more = piece.len().min(PIECE - piece.len());
                if piece.try_reserve_exact(more).is_err() {
                    return false;
                }
                piece.push(hint);
            }
            last => {
                let (mut piece, len) = (Vec::new(), if last.is_some() { PIECE } else { FIRST_PIECE });
                if piece.try_reserve_exact(len).is_err() || self.pieces.try_reserve(1).is_err() {
                    return false;
                }
                piece.push(hint);
                self.pieces.push_back(piece);
            }
        }
        true
    }

    fn pop(&mut self) -> Option<Hint> {
        let piece = self.pieces.back_mut()?;
        let hint = piece.pop();
        if piece.is_empty() {
            self.pieces.pop_back();
        }
        hint
    }

    /// Takes over all hints of another slot. Says how many were lost for want of memory.
    fn append(&mut self, mut other: Slot) -> usize {
        if self.pieces.is_empty() {
            *self = other;
        } else if self.pieces.try_reserve(other.pieces.len()).is_ok() {
            self.pieces.append(&mut other.pieces);
        } else {
            return other.pieces.iter().map(Vec::len).sum();
        }
        0
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl Wheel {
    pub(super) fn new(now: Tick) -> Self {
        Self { slots: Vec::new(), occupied: [0; LEVELS], due: Slot::default(), tick: now, len: 0, weeded: 0 }
    }

    /// How many hints there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What the hints take.
    pub(super) fn bytes(&self) -> u64 {
        self.len as u64 * HINT
    }

    /// How far the wheel has been turned: the clock has been read at this tick or later.
    pub(super) fn tick(&self) -> Tick {
        self.tick
    }

    /// Forgets all hints.
    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            *self = Self::new(self.tick);
        }
    }

    /// Files a hint for an entry with that deadline. Without memory for it the entry is freed when a look-up meets it or when
    /// it is evicted.
    #[inline]
    pub(super) fn insert(&mut self, place: u32, deadline: Tick) {
        self.len += usize::from(self.file(Hint { place, deadline: deadline as u32 }, deadline));
    }

    /// False when there is no memory.
    #[must_use]
    #[inline(always)]
    fn file(&mut self, hint: Hint, deadline: Tick) -> bool {
        if deadline <= self.tick {
            return self.due.push(hint);
        }
        if self.slots.is_empty() {
            if self.slots.try_reserve_exact(LEVELS * SLOTS).is_err() {
                return false;
            }
            self.slots.resize_with(LEVELS * SLOTS, Slot::default);
        }
        let farthest = self.tick + (1 << (LEVEL_BITS * LEVELS as u32)) - 1;
        let deadline = deadline.min(farthest);
        let ahead = deadline - self.tick;
        let level = (ahead.ilog2() / LEVEL_BITS) as usize;
        let slot = (deadline >> (LEVEL_BITS * level as u32)) as usize % SLOTS;
        self.occupied[level] |= 1 << slot;
        self.slots[level * SLOTS + slot].push(hint)
    }

    /// Whether [`Wheel::pop`] may have anything at `now`, without a turn of the wheel.
    #[inline(always)]
    pub(super) fn may_be_due(&self, now: Tick) -> bool {
        self.tick < now || !self.due.is_empty()
    }

    /// Whether [`Wheel::pop`] has anything at `now`; cheap when it has not.
    #[inline]
    pub(super) fn is_due(&mut self, now: Tick) -> bool {
        if self.tick < now {
            self.advance(now);
        }
        !self.due.is_empty()
    }

    /// A hint whose deadline is not after `now`.
    pub(super) fn pop(&mut self, now: Tick) -> Option<Hint> {
        if !self.is_due(now) {
            return None;
        }
        self.len -= 1;
        self.due.pop()
    }

    /// Moves all hints of the ticks up to `now` to those that are due.
    fn advance(&mut self, now: Tick) {
        while self.tick < now {
            let Some(lowest) = self.occupied.iter().position(|slots| *slots != 0) else {
                self.tick = now;
                return;
            };
            self.tick = self.next_stop(lowest).min(now);
            self.cascade();
            let slot = self.tick as usize % SLOTS;
            if self.occupied[0] & (1 << slot) != 0 {
                let due = self.take(slot);
                self.len -= self.due.append(due);
            }
        }
    }

    /// The next tick at which there is something to do, when `lowest` is the lowest level that holds anything.
    fn next_stop(&self, lowest: usize) -> Tick {
        let bits = LEVEL_BITS * lowest as u32;
        let here = self.tick >> bits;
        // The occupied slots of the level, seen from the one after this: which comes next?
        let ahead = self.occupied[lowest].rotate_right(((here + 1) % SLOTS as u64) as u32).trailing_zeros();
        // Entries of upper levels come down at the level's own boundary, and may be due before that slot.
        let boundary = ((self.tick >> (bits + LEVEL_BITS)) + 1) << (bits + LEVEL_BITS);
        ((here + 1 + u64::from(ahead)) << bits).min(boundary)
    }

    fn take(&mut self, slot: usize) -> Slot {
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        std::mem::take(&mut self.slots[slot])
    }

    /// Files the hints of the upper slots that begin at this tick again, the highest first.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let bits = LEVEL_BITS * level as u32;
            if self.tick & ((1 << bits) - 1) != 0 {
                continue;
            }
            let slot = (self.tick >> bits) as usize % SLOTS;
            if self.occupied[level] & (1 << slot) == 0 {
                continue;
            }
            let mut hints = self.take(level * SLOTS + slot);
            while let Some(hint) = hints.pop() {
                self.len -= usize::from(!self.file(hint, self.deadline_of(hint)));
            }
        }
    }

    /// The whole deadline of a hint that comes down a level: the first one from here on that has these low bits, since none
    /// is 2^32 ticks ahead any more. One that lies beyond the last level is taken for an earlier one; the shard then files
    /// it again.
    fn deadline_of(&self, hint: Hint) -> Tick {
        self.tick + u64::from(hint.deadline.wrapping_sub(self.tick as u32))
    }

    /// Takes out some of the hints that `is_alive` denies, from one slot after the other. Called when there are far more hints
    /// than entries, so that the entries that were overwritten do not fill the memory with hints.
    pub(super) fn weed(&mut self, most: usize, is_alive: impl Fn(Hint) -> bool) {
        let (mut looked, mut visited) = (0, 0);
        while looked < most && visited <= self.slots.len() {
            let Some(number) = self.occupied_from(self.weeded) else { return };
            // Once round all of them at most.
            visited += (number + self.slots.len() - self.weeded) % self.slots.len() + 1;
            let slot = &mut self.slots[number];
            // A piece at a time, the oldest of the slot, which goes to its end.
            if let Some(mut piece) = slot.pieces.pop_front() {
                let before = piece.len();
                looked += before;
                piece.retain(|hint| is_alive(*hint));
                self.len -= before - piece.len();
                for hint in piece {
                    self.len -= usize::from(!slot.push(hint));
                }
            }
            if slot.is_empty() {
                self.occupied[number / SLOTS] &= !(1 << (number % SLOTS));
            }
            // Mostly there is one slot that has nearly all; it is visited as often as any.
            self.weeded = (number + 1) % self.slots.len();
        }
    }

    /// The first slot from this one on, and round, that is not empty.
    fn occupied_from(&self, start: usize) -> Option<usize> {
        let (level, slot) = (start / SLOTS, start % SLOTS);
        for step in 0..=LEVELS {
            let level = (level + step) % LEVELS;
            let from = if step == 0 { u64::MAX << slot } else { u64::MAX };
            let occupied = self.occupied[level] & from;
            if occupied != 0 {
                return Some(level * SLOTS + occupied.trailing_zeros() as usize);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 8) % bound
        }

        /// Of any magnitude, and often next to where a level ends.
        fn step(&mut self, magnitudes: u64) -> u64 {
            let magnitude = self.below(magnitudes);
            match self.below(3) {
                0 => (1 << magnitude) + self.below(3) - 1,
                _ => self.below(1 << magnitude),
            }
        }
    }

    /// Filing, taking out and weeding in any order and in steps of any size, beside a list: what is due comes out at once, and
    /// nothing early but what lies beyond the last level.
    #[test]
    fn hints_come_out_when_they_are_due() {
        let rounds = if cfg!(miri) { 150 } else { 20_000 };
        for seed in 1..if cfg!(miri) { 2 } else { 6 } {
            let mut random = Random(seed * 0x9E37_79B9);
            let mut now = random.step(38);
            let mut wheel = Wheel::new(now);
            // Deadlines, and when they were filed, by place; each hint has a place of its own.
            let mut filed: BTreeMap<u32, (Tick, Tick)> = BTreeMap::new();
            for place in 0..rounds {
                match random.below(8) {
                    0..=3 => {
                        let deadline = now + random.step(39);
                        wheel.insert(place, deadline);
                        filed.insert(place, (deadline, wheel.tick));
                    }
                    4..=5 => now += random.step(if place % 50 == 0 { 37 } else { 12 }),
                    // To where a level ends.
                    6 => now = (now | ((1 << (LEVEL_BITS as u64 * random.below(5))) - 1)) + random.below(2),
                    _ => {
                        // Whose hint has an odd place is gone.
                        wheel.weed(64, |hint| hint.place % 2 == 0);
                    }
                }
                while let Some(hint) = wheel.pop(now) {
                    let Some((deadline, at)) = filed.get(&hint.place).copied() else { panic!("{hint:?} twice") };
                    assert_eq!(hint.deadline, deadline as u32);
                    if deadline > now {
                        assert!(deadline - at >= 1 << 36, "{hint:?} for {deadline} at {now}");
                        wheel.insert(hint.place, deadline);
                        filed.insert(hint.place, (deadline, wheel.tick));
                    } else {
                        filed.remove(&hint.place);
                    }
                }
                if filed.len().is_multiple_of(16) {
                    let late = filed.iter().find(|(place, (deadline, _))| *place % 2 == 0 && *deadline <= now);
                    assert_eq!(late, None, "at {now}");
                }
                assert!(wheel.len() <= filed.len());
            }
            // All of them gone, odd and even; a piece of each slot at a time.
            for _ in 0..rounds {
                wheel.weed(usize::MAX, |_| false);
            }
            assert_eq!((wheel.len(), wheel.bytes()), (0, 0));
            assert_eq!(wheel.occupied, [0; LEVELS]);
        }
    }
}
