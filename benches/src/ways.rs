//! Several ways to do the same thing, in turns within one process.

use crate::args::Args;
use crate::report::median;
use std::time::{Duration, Instant};

/// One row: a name and a call that repeats what is measured as often as it is told.
pub struct Way<'a> {
    pub name: &'static str,
    call: Box<dyn FnMut(usize) + 'a>,
    /// Nanoseconds a repetition, round by round.
    rounds: Vec<f64>,
}

pub fn way<'a>(name: &'static str, call: impl FnMut(usize) + 'a) -> Way<'a> {
    Way { name, call: Box::new(call), rounds: Vec::new() }
}

impl Way<'_> {
    pub fn median(&self) -> f64 {
        median(self.rounds.clone()).expect("at least one round")
    }

    /// This way's time divided by the other's: the median of the quotients of the same round.
    pub fn over(&self, other: &Way) -> f64 {
        let quotients = self.rounds.iter().zip(&other.rounds).map(|(mine, theirs)| mine / theirs);
        median(quotients.collect()).expect("at least one round")
    }

    /// This way's time less the other's: the median of the differences of the same round.
    pub fn less(&self, other: &Way) -> f64 {
        let differences = self.rounds.iter().zip(&other.rounds).map(|(mine, theirs)| mine - theirs);
        median(differences.collect()).expect("at least one round")
    }
}

/// The clock is looked at once in `batch` repetitions.
pub fn take_turns(ways: &mut [Way], batch: usize, args: &Args) {
    // Round 0 warms up.
    for round in 0..=args.rounds {
        for way in &mut *ways {
            let ns = time(&mut way.call, batch, args.round);
            if round > 0 {
                way.rounds.push(ns);
            }
        }
    }
}

fn time(call: &mut dyn FnMut(usize), batch: usize, length: Duration) -> f64 {
    let begun = Instant::now();
    let mut count = 0;
    loop {
        call(batch);
        count += batch;
        let elapsed = begun.elapsed();
        if elapsed >= length {
            return elapsed.as_nanos() as f64 / count as f64;
        }
    }
}
