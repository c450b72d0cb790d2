//! One thread's calls: whatever comes, on whichever cache, and a look at every byte that comes back.
//!
//! This file decides which call comes next. `prepare` has what is drawn before one, `judge` says whether its answer is
//! right; every other file makes the calls of one subject with the help of these two.

mod child;
mod held;
mod judge;
mod many;
mod prepare;
mod read;
mod updates;
mod whole;
mod write;

use std::collections::VecDeque;

use crate::blackbox::NAMES;
use crate::flock::{Flock, Kept};
use crate::random::Random;

pub use child::use_in_child;
pub use held::check_kept;
use held::LentOut;
pub use judge::wrong;

pub type Tally = [u64; NAMES.len()];

pub struct Worker<'f, 'l> {
    flock: &'f Flock<'l>,
    random: Random,
    tally: Tally,
    value: Vec<u8>,
    buffer: Vec<u8>,
    kept: VecDeque<Kept<'l>>,
    lent: VecDeque<LentOut>,
}

impl<'f, 'l> Worker<'f, 'l> {
    pub fn new(flock: &'f Flock<'l>, seed: &[u64]) -> Self {
        let largest = flock.members.iter().map(|member| member.kind.largest()).max().unwrap_or(0);
        Worker {
            flock,
            random: Random::of(seed),
            tally: [0; NAMES.len()],
            value: Vec::new(),
            buffer: vec![0; largest],
            kept: VecDeque::new(),
            lent: VecDeque::new(),
        }
    }

    /// Makes so many calls and lets go of what it holds, or leaves it to another thread, or to the thread's end.
    pub fn work(mut self, calls: usize) -> Tally {
        for _ in 0..calls {
            self.one();
        }
        for lent in std::mem::take(&mut self.lent) {
            self.check_lent(&lent);
        }
        if self.random.one_in(2) {
            self.flock.members[0].cache.library().release_results();
        }
        while let Some(kept) = self.kept.pop_front() {
            self.let_go(kept);
        }
        self.tally
    }

    fn one(&mut self) {
        let cache = self.random.below(self.flock.members.len());
        let member = &self.flock.members[cache];
        let at = self.somewhere(member, cache);
        let library = member.cache.library();
        let (batches, updates, loads) = (library.has_batches(), library.has_updates(), library.has_loads());
        match self.random.below(1_000) {
            0..=189 => self.put(at),
            190..=209 if updates => self.put_with(at),
            210..=229 if loads => self.get_or_load(at),
            190..=229 => self.put(at),
            230..=249 => self.set(at),
            250..=419 => self.read(at),
            420..=429 => self.short_read(at),
            430..=439 if updates => self.touch(at),
            440..=449 if updates => self.increment(at),
            430..=579 => self.acquire(at),
            580..=729 => self.get(at),
            730..=799 => self.remove(at),
            800..=814 => self.delete(at),
            815..=864 => self.contains(at),
            865..=879 => self.exists(at),
            880..=919 if batches => self.get_many(member, cache),
            920..=939 if batches => self.put_many(member, cache),
            940..=949 if batches => self.remove_many(member, cache),
            950..=951 => self.purge(member, cache),
            952..=953 if updates => self.purge_tag(at),
            954 if updates => self.keys(member, cache),
            955..=964 => self.sweep(member, cache),
            965..=979 => self.set_option(member, cache),
            980..=994 => self.statistics(member, cache),
            995 => self.release_results(cache),
            996 if self.random.one_in(20) => self.burst(member, cache),
            _ => self.release(),
        }
    }
}
