//! The flights of one stripe, under its lock: found by their key, and kept in a place of their own until everybody is done with them.
//! Used by `flight` alone; decides nothing.
//!
//! Nearly every flight is alone: nobody waits for it and nobody outdates it. So it is to cost little: one look into a chain that is
//! mostly empty, and no allocation, since places and the room for their keys are used again. Who leads one knows its place, and needs
//! neither the key nor its hash to end it.

use crate::error::{Error, Result};
use crate::sync::Condvar;
use std::sync::Arc;

/// A flight, of all that a stripe has ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    place: u32,
    /// Never used twice, since places are.
    id: u64,
}

/// No place.
const NONE: u32 = u32::MAX;

/// Chains of a stripe that has few flights; a power of two.
const CHAINS: usize = 16;

/// Places that a stripe keeps, and room for keys that each of them does: what a large batch or a long key has taken beyond that is given
/// back. Arbitrary: with 32 stripes at most 800 KiB a cache, and only where so many threads have missed at the same time.
const KEPT_PLACES: usize = 64;
const KEPT_KEY: usize = 256;

pub(super) struct Flight<E> {
    /// Who loads; `None`: one of the waiting will.
    pub(super) leader: Option<u64>,
    /// Threads that sleep until something changes.
    pub(super) waiting: usize,
    pub(super) end: Option<E>,
    /// Made by the first who waits.
    pub(super) changed: Option<Arc<Condvar>>,
    /// Whether it can be found: it is not outdated, and has not ended.
    is_found: bool,
    /// 0: the place is free.
    id: u64,
    hash: u64,
    key: Vec<u8>,
    /// The next of the chain, or the next free place.
    next: u32,
}

impl<E> Flight<E> {
    pub(super) fn is_found(&self) -> bool {
        self.is_found
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Wakes all who wait.
    pub(super) fn tell(&self) {
        if let Some(changed) = &self.changed {
            changed.notify_all();
        }
    }
}

pub(super) struct Stripe<E> {
    places: Vec<Flight<E>>,
    /// The first of the free places.
    free: u32,
    /// Places in use.
    used: usize,
    /// The first flight of each chain; a power of two of them, or none before the first flight.
    chains: Vec<u32>,
    /// Flights that can be found.
    found: usize,
    last_id: u64,
}

impl<E> Stripe<E> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: NONE, used: 0, chains: Vec::new(), found: 0, last_id: 0 }
    }

    /// The flight of a key that can be found.
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<At> {
        let mut place = *self.chains.get(self.chain_of(hash))?;
        while let Some(flight) = self.places.get(place as usize) {
            if flight.hash == hash && flight.key == key {
                return Some(At { place, id: flight.id });
            }
            place = flight.next;
        }
        None
    }

    /// `None`: it is over.
    pub(super) fn get(&self, at: At) -> Option<&Flight<E>> {
        self.places.get(at.place as usize).filter(|flight| flight.id == at.id)
    }

    pub(super) fn get_mut(&mut self, at: At) -> Option<&mut Flight<E>> {
        self.places.get_mut(at.place as usize).filter(|flight| flight.id == at.id)
    }

    /// A flight that can be found from now on. None of its key can be.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(super) fn add(&mut self, hash: u64, key: &[u8], leader: u64) -> Result<At> {
        self.make_room().map_err(|()| Error::out_of_memory())?;
        let (place, chain) = (self.free, self.chain_of(hash));
        let Some(flight) = self.places.get_mut(place as usize) else { return Err(Error::out_of_memory()) };
        flight.key.try_reserve_exact(key.len()).map_err(|_| Error::out_of_memory())?;
        // From here on nothing fails.
        flight.key.extend_from_slice(key);
        self.free = flight.next;
        self.used += 1;
        self.found += 1;
        self.last_id += 1;
        (flight.id, flight.hash, flight.leader, flight.is_found) = (self.last_id, hash, Some(leader), true);
        flight.next = std::mem::replace(&mut self.chains[chain], place);
        Ok(At { place, id: self.last_id })
    }

    /// The flight cannot be found any more. False: it could not before.
    pub(super) fn hide(&mut self, at: At) -> bool {
        let Some(flight) = self.get_mut(at).filter(|flight| flight.is_found) else { return false };
        flight.is_found = false;
        let (hash, next) = (flight.hash, flight.next);
        self.found -= 1;
        let chain = self.chain_of(hash);
        if self.chains[chain] == at.place {
            self.chains[chain] = next;
            return true;
        }
        let mut before = self.chains[chain];
        while let Some(flight) = self.places.get_mut(before as usize) {
            if flight.next == at.place {
                flight.next = next;
                break;
            }
            before = flight.next;
        }
        true
    }

    /// Nobody needs the flight any more, which cannot be found. What it ended with.
    pub(super) fn remove(&mut self, at: At) -> Option<E> {
        let free = self.free;
        let flight = self.get_mut(at)?;
        debug_assert!(!flight.is_found);
        let end = flight.end.take();
        (flight.id, flight.leader, flight.waiting, flight.changed) = (0, None, 0, None);
        if flight.key.capacity() > KEPT_KEY {
            flight.key = Vec::new();
        } else {
            flight.key.clear();
        }
        flight.next = free;
        self.free = at.place;
        self.used -= 1;
        if self.used == 0 && self.places.len() > KEPT_PLACES {
            *self = Self { last_id: self.last_id, ..Self::new() };
        }
        end
    }

    /// All that are not over, whether they can be found or not.
    pub(super) fn all(&self) -> impl Iterator<Item = (At, &Flight<E>)> {
        let at = |(place, flight)| (place as u32, flight);
        let all = self.places.iter().enumerate().map(at).filter(|(_, flight): &(u32, &Flight<E>)| flight.id != 0);
        all.map(|(place, flight)| (At { place, id: flight.id }, flight))
    }

    fn chain_of(&self, hash: u64) -> usize {
        hash as usize & self.chains.len().wrapping_sub(1)
    }

    /// Makes sure that there is a free place, and chains enough for one flight more.
    fn make_room(&mut self) -> std::result::Result<(), ()> {
        if self.free == NONE {
            let place = u32::try_from(self.places.len()).ok().filter(|place| *place != NONE).ok_or(())?;
            self.places.try_reserve(1).map_err(|_| ())?;
            self.places.push(Flight {
                leader: None,
                waiting: 0,
                end: None,
                changed: None,
                is_found: false,
                id: 0,
                hash: 0,
                key: Vec::new(),
                next: NONE,
            });
            self.free = place;
        }
        if self.found >= self.chains.len() {
            let wanted = (self.chains.len() * 2).max(CHAINS);
            let mut chains = Vec::new();
            match chains.try_reserve_exact(wanted) {
                Ok(()) => chains.resize(wanted, NONE),
                // Longer chains will do, but not none.
                Err(_) if !self.chains.is_empty() => return Ok(()),
                Err(_) => return Err(()),
            }
            self.chains = chains;
            for place in 0..self.places.len() {
                if self.places[place].is_found {
                    let chain = self.chain_of(self.places[place].hash);
                    self.places[place].next = std::mem::replace(&mut self.chains[chain], place as u32);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Ends a flight that can be found, and says whether it was there.
    fn end(stripe: &mut Stripe<u64>, at: At) -> bool {
        let was_found = stripe.hide(at);
        stripe.remove(at);
        was_found
    }

    #[test]
    fn keys_that_share_a_hash_have_flights_of_their_own() {
        let mut stripe = Stripe::<u64>::new();
        let [one, other, third] = [&b"one"[..], b"other", b"third"].map(|key| stripe.add(7, key, 1).unwrap());
        assert_eq!([&b"one"[..], b"other", b"third"].map(|key| stripe.find(7, key)), [one, other, third].map(Some));
        assert_eq!(stripe.find(7, b"none"), None);
        // The one in the middle of the chain.
        assert!(end(&mut stripe, other));
        assert_eq!([&b"one"[..], b"other", b"third"].map(|key| stripe.find(7, key)), [Some(one), None, Some(third)]);
    }

    #[test]
    fn a_place_that_is_used_again_is_not_the_flight_that_was_there_before() {
        let mut stripe = Stripe::<u64>::new();
        let first = stripe.add(1, b"first", 1).unwrap();
        assert!(end(&mut stripe, first));
        let second = stripe.add(2, b"second", 2).unwrap();
        assert_eq!(second.place, first.place, "the place is used again");
        assert!(stripe.get(first).is_none() && stripe.get_mut(first).is_none());
        assert!(!stripe.hide(first) && stripe.remove(first).is_none());
        assert_eq!(stripe.find(2, b"second"), Some(second));
        assert_eq!(stripe.get(second).unwrap().key(), b"second");
    }

    #[test]
    fn one_that_is_hidden_makes_way_for_the_next_of_its_key_and_keeps_its_end() {
        let mut stripe = Stripe::new();
        let old = stripe.add(1, b"key", 1).unwrap();
        assert!(stripe.hide(old) && !stripe.hide(old));
        let new = stripe.add(1, b"key", 2).unwrap();
        stripe.get_mut(old).unwrap().end = Some(42);
        assert_eq!(stripe.find(1, b"key"), Some(new));
        assert_eq!(stripe.remove(old), Some(42));
        assert!(end(&mut stripe, new));
    }

    #[test]
    fn whatever_comes_and_goes_is_found_as_a_map_would_find_it() {
        let (mut stripe, mut model) = (Stripe::<u64>::new(), HashMap::new());
        let mut hidden: Vec<At> = Vec::new();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for step in 0..if cfg!(miri) { 500 } else { 50_000 } {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 33) % 200;
            // So few hashes that many keys share one.
            let (hash, bytes) = (key % 61, key.to_le_bytes());
            match (state >> 60, stripe.find(hash, &bytes)) {
                (0..8, None) => {
                    model.insert(key, stripe.add(hash, &bytes, step).unwrap());
                }
                (8..12, Some(at)) => {
                    assert!(stripe.hide(at));
                    hidden.push(at);
                    model.remove(&key);
                }
                (12.., Some(at)) => {
                    assert!(end(&mut stripe, at));
                    model.remove(&key);
                }
                _ => {}
            }
            assert_eq!(stripe.find(hash, &bytes), model.get(&key).copied());
            if state >> 59 == 3 {
                hidden.drain(..).for_each(|at| assert!(!end(&mut stripe, at)));
            }
            assert_eq!((stripe.found, stripe.used), (model.len(), model.len() + hidden.len()));
        }
        assert_eq!(stripe.all().count(), stripe.used);
        for (key, at) in model {
            assert_eq!(stripe.find(key % 61, &key.to_le_bytes()), Some(at));
        }
    }

    #[test]
    fn what_a_large_batch_or_a_long_key_has_taken_is_given_back() {
        let mut stripe = Stripe::<u64>::new();
        let batch: Vec<At> = (0..1_000_u64).map(|key| stripe.add(key, &key.to_le_bytes(), 1).unwrap()).collect();
        assert!(stripe.chains.len() >= 1_000 / 2);
        let last = batch[999];
        batch.into_iter().for_each(|at| assert!(end(&mut stripe, at)));
        assert_eq!((stripe.places.capacity(), stripe.chains.capacity()), (0, 0));
        let long = stripe.add(5, &[7; 1 << 16], 1).unwrap();
        assert_ne!(long.id, last.id);
        assert!(end(&mut stripe, long));
        assert!(stripe.places[0].key.capacity() <= KEPT_KEY);
    }
}
