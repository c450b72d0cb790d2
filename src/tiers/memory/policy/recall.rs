//! The keys that were evicted last, exactly so many, and the oldest goes when another one comes: what `ghost` is for few entries.
//!
//! A list through an array, from the newest to the oldest, and chains through the same array, by which a key is found. Twelve
//! bytes a key and two for the chain it begins; 32 bits stand for a key, so one in millions is taken for another one.

use super::super::index::Hash;

/// No place.
const NONE: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Place {
    fingerprint: u32,
    newer: u16,
    older: u16,
    /// The next one whose fingerprint begins the same chain; of a free place the next free one.
    next: u16,
}

pub(super) struct Recall {
    places: Vec<Place>,
    /// The first place of each chain; as many as a power of two.
    chains: Vec<u16>,
    newest: u16,
    oldest: u16,
    free: u16,
}

impl Recall {
    /// For so many keys, at least one. `None` when there are too many for it, or no memory.
    pub(super) fn new(keys: usize) -> Option<Box<Self>> {
        let (mut places, mut chains) = (Vec::new(), Vec::new());
        if keys >= usize::from(NONE) {
            return None;
        }
        places.try_reserve_exact(keys).ok()?;
        chains.try_reserve_exact(keys.next_power_of_two()).ok()?;
        for number in 1..=keys as u16 {
            let next = if usize::from(number) == keys { NONE } else { number };
            places.push(Place { fingerprint: 0, newer: NONE, older: NONE, next });
        }
        chains.resize(keys.next_power_of_two(), NONE);
        Some(Box::new(Self { places, chains, newest: NONE, oldest: NONE, free: 0 }))
    }

    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Self>() + size_of::<Place>() * self.places.capacity() + size_of::<u16>() * self.chains.capacity())
            as u64
    }

    /// Remembers a key, in place of the oldest if need be.
    pub(super) fn remember(&mut self, hash: Hash) {
        if self.free == NONE {
            self.take_out(self.oldest);
        }
        let (at, fingerprint, older) = (self.free, fingerprint(hash), self.newest);
        let chain = self.chain(fingerprint);
        self.free = self.places[usize::from(at)].next;
        self.places[usize::from(at)] = Place { fingerprint, newer: NONE, older, next: self.chains[chain] };
        self.chains[chain] = at;
        self.newest = at;
        match self.places.get_mut(usize::from(older)) {
            Some(older) => older.newer = at,
            None => self.oldest = at,
        }
    }

    /// Whether a key is remembered; it is forgotten by that.
    pub(super) fn take(&mut self, hash: Hash) -> bool {
        let fingerprint = fingerprint(hash);
        let mut at = self.chains[self.chain(fingerprint)];
        while let Some(place) = self.places.get(usize::from(at)) {
            if place.fingerprint == fingerprint {
                self.take_out(at);
                return true;
            }
            at = place.next;
        }
        false
    }

    fn take_out(&mut self, at: u16) {
        let Place { fingerprint, newer, older, next } = self.places[usize::from(at)];
        match self.places.get_mut(usize::from(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.places.get_mut(usize::from(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        let chain = self.chain(fingerprint);
        let (mut before, mut link) = (NONE, self.chains[chain]);
        while link != at {
            (before, link) = (link, self.places[usize::from(link)].next);
        }
        match self.places.get_mut(usize::from(before)) {
            Some(before) => before.next = next,
            None => self.chains[chain] = next,
        }
        self.places[usize::from(at)].next = self.free;
        self.free = at;
    }

    fn chain(&self, fingerprint: u32) -> usize {
        fingerprint as usize & (self.chains.len() - 1)
    }
}

/// 32 bits that are alike for no two keys because they belong to one shard.
fn fingerprint(hash: Hash) -> u32 {
    (hash.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn it_remembers_what_a_plain_list_does() {
        for keys in [1, 2, 3, 10, 100] {
            let (mut recall, mut model) = (Recall::new(keys).unwrap(), VecDeque::new());
            let mut random = 0x5EED_u64;
            for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let key = (random >> 32) % (2 * keys as u64);
                let known = model.iter().position(|known| *known == key);
                assert_eq!(recall.take(Hash(key)), known.is_some());
                known.map(|at| model.remove(at));
                if random.is_multiple_of(3) {
                    continue;
                }
                recall.remember(Hash(key));
                model.push_front(key);
                model.truncate(keys);
            }
        }
    }

    #[test]
    fn it_takes_what_it_says() {
        let recall = Recall::new(900).unwrap();
        assert_eq!(recall.bytes(), size_of::<Recall>() as u64 + 900 * 12 + 1_024 * 2);
        assert!(Recall::new(65_535).is_none() && Recall::new(65_534).is_some());
    }
}
