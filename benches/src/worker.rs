//! The child's side of `throughput`: fills one engine, then runs a round whenever the parent says so.
//!
//! Lines out: `ready`, `absent <reason>`, and per round `<ops> <ns> <gets> <hits> <wrong> <waited ns>`, summed over
//! the threads. A line in asks for a round: `warm` for one that is not to be counted, anything else for one that is.

use crate::engine::{Engine, NOT_FOUND, OK};
use crate::engines::{self, Settings};
use crate::keys::{accesses, keys, Key, Value, PUT, VALUE_LEN};
use crate::machine::waiting_time;
use crate::scenario::{Kind, Scenario};
use std::io::BufRead;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::{Duration, Instant};

/// Accesses between two looks at the clock: below a millisecond for the slowest engine seen, below 2% of the time of 256
/// of the fastest gets.
const BATCH: usize = 256;
/// Every so many gets, all bytes of the value are compared and not only its ends. A power of two.
const FULL_CHECK_EVERY: usize = 4096;
/// Accesses after which a thread's order repeats: long enough that no predictor or cache learns it.
const ORDER_LENGTH: usize = 1 << 20;
/// A million entries take about a second to be asked for once by an engine of middling speed; some engines write to an entry
/// at its first few hits only, and a churn needs its steady state.
const WARM_UP_ROUNDS: u32 = 8;
/// How far ahead the next key's line is fetched, so that fetching keys is not what is measured: callers have just made theirs.
const PREFETCH_AHEAD: usize = 8;

#[derive(Clone, Copy, Default)]
struct Outcome {
    ops: u64,
    nanoseconds: u64,
    gets: u64,
    hits: u64,
    wrong: u64,
    /// Nanoseconds in which the thread could have run, but somebody else had the processor.
    waited: u64,
}

pub fn run(engine: &str, scenario: Scenario, round: Duration, settings: &Settings) {
    let engine = match engines::open(engine, scenario.shape(), settings) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("absent {}", reason.replace('\n', " "));
            return;
        }
    };
    let keys = keys(scenario.universe);
    fill(&engine, &keys);
    std::thread::scope(|scope| {
        let threads: Vec<(Sender<Duration>, Receiver<Outcome>)> = (0..scenario.threads)
            .map(|thread| {
                let (go, told) = channel::<Duration>();
                let (done, outcome) = channel();
                let (engine, keys) = (&engine, &keys[..]);
                scope.spawn(move || {
                    let mut lane = Lane::new(engine, keys, scenario, thread);
                    while let Ok(length) = told.recv() {
                        if done.send(lane.round(length)).is_err() {
                            break;
                        }
                    }
                });
                (go, outcome)
            })
            .collect();
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let length = match line.as_str() {
                "warm" => round * WARM_UP_ROUNDS,
                _ => round,
            };
            for (go, _) in &threads {
                go.send(length).expect("a lane lives until its channel closes");
            }
            let mut sum = Outcome::default();
            for (_, outcome) in &threads {
                let lane = outcome.recv().expect("a lane answers every call");
                sum.ops += lane.ops;
                sum.nanoseconds += lane.nanoseconds;
                sum.gets += lane.gets;
                sum.hits += lane.hits;
                sum.wrong += lane.wrong;
                sum.waited += lane.waited;
            }
            engine.settle();
            println!("{} {} {} {} {} {}", sum.ops, sum.nanoseconds, sum.gets, sum.hits, sum.wrong, sum.waited);
        }
        drop(threads);
    });
}

/// One put a key, before anything is timed.
pub fn fill(engine: &Engine, keys: &[Key]) {
    let mut value = Value::new();
    for (id, key) in keys.iter().enumerate() {
        let status = engine.put(key.bytes(), value.stamp(id as u32));
        assert_eq!(status, OK, "put of key {id} failed");
    }
    engine.settle();
}

/// One thread's place in its order of accesses.
struct Lane<'a> {
    engine: &'a Engine,
    keys: &'a [Key],
    order: Vec<u32>,
    kind: Kind,
    at: usize,
    value: Value,
}

impl<'a> Lane<'a> {
    fn new(engine: &'a Engine, keys: &'a [Key], scenario: Scenario, thread: usize) -> Lane<'a> {
        let order = accesses(scenario.skew, scenario.universe, scenario.puts_percent(), thread, ORDER_LENGTH);
        Lane { engine, keys, order, kind: scenario.kind, at: 0, value: Value::new() }
    }

    /// By time, not by count: with a count, the thread that is done first leaves the other one alone on the machine.
    fn round(&mut self, length: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let waited = waiting_time();
        let begun = Instant::now();
        loop {
            match self.kind {
                Kind::Get => self.batch::<false, false>(&mut outcome),
                Kind::Mixed => self.batch::<true, false>(&mut outcome),
                Kind::Churn => self.batch::<false, true>(&mut outcome),
            }
            let elapsed = begun.elapsed();
            if elapsed >= length {
                outcome.nanoseconds = elapsed.as_nanos() as u64;
                outcome.waited = waiting_time() - waited;
                return outcome;
            }
        }
    }

    #[inline(always)]
    fn batch<const PUTS: bool, const FILL_MISSES: bool>(&mut self, outcome: &mut Outcome) {
        let mut buffer = [0u8; VALUE_LEN];
        for index in self.at..self.at + BATCH {
            let access = self.order[index % ORDER_LENGTH];
            let ahead = self.order[(index + PREFETCH_AHEAD) % ORDER_LENGTH] & !PUT;
            self.keys[ahead as usize].prefetch();
            let id = access & !PUT;
            let key = self.keys[id as usize].bytes();
            if PUTS && access & PUT != 0 {
                let status = self.engine.put(key, self.value.stamp(id));
                outcome.wrong += u64::from(status != OK);
                continue;
            }
            outcome.gets += 1;
            match self.engine.read(key, &mut buffer) {
                Ok(len) => {
                    outcome.hits += 1;
                    let mut right = len == VALUE_LEN && Value::ends_match(id, &buffer);
                    if index % FULL_CHECK_EVERY == 0 {
                        right &= self.value.matches(id, &buffer);
                    }
                    outcome.wrong += u64::from(!right);
                }
                Err(NOT_FOUND) => {
                    if FILL_MISSES {
                        let status = self.engine.put(key, self.value.stamp(id));
                        outcome.wrong += u64::from(status != OK);
                    }
                }
                Err(_) => outcome.wrong += 1,
            }
        }
        self.at = (self.at + BATCH) % ORDER_LENGTH;
        outcome.ops += BATCH as u64;
    }
}
