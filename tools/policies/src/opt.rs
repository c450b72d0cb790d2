//! OPT: as many hits as any policy can have. Belady's MIN ("A study of replacement algorithms for a virtual-storage
//! computer", 1966) drives out what is asked for again last; here an object that would be that one itself is not taken in.
//! It has to know the future, so it is made from the whole trace.

use std::collections::BTreeSet;

use crate::Policy;

/// For an object that is not asked for any more.
const NEVER: u32 = u32::MAX;

pub struct Opt {
    capacity: usize,
    /// When the object of each request is asked for the next time.
    next: Vec<u32>,
    now: usize,
    /// When each object that is held is asked for the next time. At one time one is asked for, so these are all different.
    awaited: BTreeSet<u32>,
    /// The keys of these.
    trace: Vec<u32>,
    held: Vec<bool>,
}

impl Opt {
    /// The requests that follow have to be those of `trace`, in its order.
    pub fn new(capacity: usize, trace: &[u32]) -> Self {
        let keys = trace.iter().max().map_or(0, |most| *most as usize + 1);
        let mut next = vec![NEVER; trace.len()];
        let mut later = vec![NEVER; keys];
        for (time, key) in trace.iter().enumerate().rev() {
            next[time] = later[*key as usize];
            later[*key as usize] = time as u32;
        }
        Self { capacity, next, now: 0, awaited: BTreeSet::new(), trace: trace.to_vec(), held: vec![false; keys] }
    }
}

impl Policy for Opt {
    fn request(&mut self, key: u32) -> bool {
        assert_eq!(self.trace.get(self.now), Some(&key), "another trace than it was made from");
        let hit = self.held[key as usize];
        if hit {
            self.awaited.remove(&(self.now as u32));
        }
        let next = self.next[self.now];
        self.now += 1;
        let last = if self.awaited.len() == self.capacity { self.awaited.last().copied() } else { None };
        let kept = next != NEVER && last.is_none_or(|last| next < last);
        if kept {
            if let Some(last) = last {
                self.awaited.remove(&last);
                self.held[self.trace[last as usize] as usize] = false;
            }
            self.awaited.insert(next);
        }
        self.held[key as usize] = kept;
        hit
    }

    fn contains(&self, key: u32) -> bool {
        self.held.get(key as usize).is_some_and(|held| *held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::played;

    fn opt(capacity: usize, requests: &str) -> String {
        let trace: Vec<u32> = requests.bytes().map(|letter| u32::from(letter - b'a')).collect();
        played(&mut Opt::new(capacity, &trace), requests)
    }

    #[test]
    fn what_is_asked_for_last_leaves() {
        // c would be asked for after a and b, so it is not taken in; at the end nothing is worth a place.
        assert_eq!(opt(2, "abcabcd"), "...!!..");
        assert_eq!(opt(1, "abbbac"), "..!!..");
    }

    #[test]
    fn a_loop_hits_in_all_places() {
        // Of each round of four, three places are worth three hits after the first.
        assert_eq!(opt(3, "abcdabcdabcd").matches('!').count(), 3 + 3);
    }
}
