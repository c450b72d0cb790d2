//! Replaying one trace at one capacity.
//!
//! Two kinds of runs, each on a cache of its own: *timed* runs take the time from the first request to the last and
//! nothing in between, since a clock costs as much as a get; one *clocked* run puts a clock around each get. Both check
//! every value that comes back, and afterwards that the library counted what was seen here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;

use catzilla_replay::capacity::Capacity;
use catzilla_replay::failure::Failure;
use catzilla_replay::library::{Cache, Library, Options, Put, Read, Statistics};
use catzilla_replay::payload::{is_value_of, write_value, Keys};
use catzilla_replay::trace::{Trace, ValueSizes};

use crate::arguments::CAPACITY_OPTION;
use crate::progress::Progress;

/// Requests a thread takes from the trace at a time. Threads must not drift apart, or the cache would see another trace
/// than the one that was recorded; one request at a time would make the shared position the busiest line of all.
const BATCH: usize = 32;

/// Requests between two movements of the progress bar: often enough for the eye (a fraction of a millisecond), too
/// seldom to be seen in the times.
const PROGRESS_STEP: usize = 4096;

/// Latencies above are recorded as this: a minute, in nanoseconds.
const LONGEST_LATENCY: u64 = 60_000_000_000;
/// Three digits of a latency are kept, more than two runs ever agree on.
const LATENCY_DIGITS: u8 = 3;

/// What stays the same over all capacities.
pub struct Replay<'a> {
    pub library: &'a Library,
    pub options: &'a [(String, String)],
    pub trace: &'a Trace,
    pub keys: &'a Keys,
    pub threads: usize,
    pub repeat: usize,
}

/// What came out at one capacity.
pub struct Measured {
    /// The bound on entries; `None` when there is none or the options hold it.
    pub capacity: Option<u64>,
    pub hit_ratio: f64,
    /// Median over the timed runs.
    pub operations_per_second: f64,
    pub get_latency: Histogram<u64>,
    pub evictions: u64,
    pub bytes_held: u64,
    /// Bytes held beyond keys and values, for each entry; `None` without entries.
    pub overhead_per_entry: Option<f64>,
    /// Puts the library refused as too large.
    pub refused: u64,
}

/// What the threads of a run have in common.
struct Shared<'a> {
    cache: &'a Cache<'a>,
    progress: &'a Progress,
    start: Barrier,
    /// The first request that no thread has taken.
    position: AtomicUsize,
}

/// Room of one thread for the value it reads and for the value it puts.
struct Buffers {
    found: Vec<u8>,
    made: Vec<u8>,
}

/// What one thread, or all threads of a run together, did.
#[derive(Default)]
pub struct Tally {
    pub hits: u64,
    pub misses: u64,
    puts: u64,
    refused: u64,
    get_latency: Option<Histogram<u64>>,
    time: Option<(Instant, Instant)>,
}

impl Replay<'_> {
    /// Replays the trace at `capacity`; `None` leaves the capacity to the options.
    pub fn at(&self, capacity: Option<Capacity>) -> Result<Measured, Failure> {
        let (options, entries) = self.options_at(capacity)?;
        let progress = Progress::begin(self.trace.name(), (self.trace.requests().len() * (self.repeat + 1)) as u64);
        let mut rates = Vec::with_capacity(self.repeat);
        let mut last = None;
        for _ in 0..self.repeat {
            // The cache of the last run is kept; the others go before the next one is opened, so that only one holds
            // memory at any time.
            drop(last.take());
            let cache = Cache::open(&options)?;
            let tally = self.run::<false>(&cache, &progress)?;
            let statistics = checked_statistics(&cache, &tally, entries)?;
            rates.push(tally.operations_per_second());
            last = Some((cache, tally, statistics));
        }
        let Some((cache, tally, statistics)) = last else {
            return Err(Failure::request("--repeat: at least one run is needed"));
        };
        let payload = self.live_payload(&cache)?;
        drop(cache);

        let cache = Cache::open(&options)?;
        let clocked = self.run::<true>(&cache, &progress)?;
        checked_statistics(&cache, &clocked, entries)?;
        drop(cache);
        progress.end();

        Ok(Measured {
            capacity: entries,
            hit_ratio: tally.hits as f64 / (tally.hits + tally.misses) as f64,
            operations_per_second: median(rates),
            get_latency: clocked.get_latency.unwrap_or_else(latency_histogram),
            evictions: statistics.memory_evictions,
            bytes_held: statistics.memory_bytes,
            overhead_per_entry: (statistics.memory_entries > 0)
                .then(|| (statistics.memory_bytes as f64 - payload as f64) / statistics.memory_entries as f64),
            refused: tally.refused,
        })
    }

    /// The options of a cache of this capacity, and how many entries that is.
    pub fn options_at(&self, capacity: Option<Capacity>) -> Result<(Options<'_>, Option<u64>), Failure> {
        let entries = capacity.and_then(|capacity| capacity.entries(self.trace.ids().len()));
        let mut options = self.library.options(self.options)?;
        if capacity.is_some() {
            let text = entries.map_or_else(|| "unlimited".to_owned(), |entries| entries.to_string());
            options.set(CAPACITY_OPTION, &text)?;
        }
        Ok((options, entries))
    }

    pub fn run<const CLOCKED: bool>(&self, cache: &Cache<'_>, progress: &Progress) -> Result<Tally, Failure> {
        let shared = Shared { cache, progress, start: Barrier::new(self.threads), position: AtomicUsize::new(0) };
        let tallies = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(|| self.work::<CLOCKED>(&shared))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| Err(Failure::cache("a thread of the replay panicked"))))
                .collect::<Result<Vec<Tally>, Failure>>()
        })?;
        Ok(tallies.into_iter().fold(Tally::default(), Tally::plus))
    }

    /// One thread: takes a batch of requests after the other until the trace ends or a request fails.
    fn work<const CLOCKED: bool>(&self, shared: &Shared<'_>) -> Result<Tally, Failure> {
        let end = self.trace.requests().len();
        let mut buffers = Buffers::for_values_of(self.trace);
        let mut tally = Tally { get_latency: CLOCKED.then(latency_histogram), ..Tally::default() };
        let mut unshown = 0;

        shared.start.wait();
        let began = Instant::now();
        loop {
            let first = shared.position.fetch_add(BATCH, Ordering::Relaxed);
            if first >= end {
                break;
            }
            let batch = first..(first + BATCH).min(end);
            unshown += batch.len();
            for request in batch {
                if let Err(why) = self.serve::<CLOCKED>(request, shared.cache, &mut buffers, &mut tally) {
                    // No thread shall find another request.
                    shared.position.store(end, Ordering::Relaxed);
                    return Err(Failure::cache(format!("request {request}: {why}")));
                }
            }
            if unshown >= PROGRESS_STEP {
                shared.progress.advance(unshown as u64);
                unshown = 0;
            }
        }
        tally.time = Some((began, Instant::now()));
        shared.progress.advance(unshown as u64);
        Ok(tally)
    }

    /// One request of the trace: a get and, on a miss, a put.
    #[inline]
    fn serve<const CLOCKED: bool>(
        &self,
        request: usize,
        cache: &Cache<'_>,
        buffers: &mut Buffers,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let object = self.trace.requests()[request];
        let key = self.keys.of(object);

        let asked = CLOCKED.then(Instant::now);
        let read = cache.read(key, &mut buffers.found);
        if let (Some(latency), Some(asked)) = (&mut tally.get_latency, asked) {
            latency.saturating_record(asked.elapsed().as_nanos().min(u128::from(LONGEST_LATENCY)) as u64);
        }

        match read.map_err(|failed| failed.to_string())? {
            Read::Hit { length } => {
                self.check(object, &buffers.found, length)?;
                tally.hits += 1;
            }
            Read::Miss => {
                tally.misses += 1;
                let value = &mut buffers.made[..self.trace.sizes().at(request)];
                write_value(self.trace.ids()[object as usize], key, value);
                match cache.put(key, value).map_err(|failed| failed.to_string())? {
                    Put::Stored => tally.puts += 1,
                    Put::TooLarge => tally.refused += 1,
                }
            }
            Read::Truncated { length } => {
                return Err(format!(
                    "wrong value: it has {length} bytes, no value that was put is longer than {}",
                    buffers.found.len()
                ));
            }
        }
        Ok(())
    }

    /// Whether the first `length` bytes found are a value of this object; the error says what is wrong with them.
    fn check(&self, object: u32, found: &[u8], length: usize) -> Result<(), String> {
        let (id, key) = (self.trace.ids()[object as usize], self.keys.of(object));
        let value = &found[..length.min(found.len())];
        let right_length = match self.trace.sizes() {
            ValueSizes::Same(size) => length == *size as usize,
            ValueSizes::PerRequest(_) => length == value.len(),
        };
        if right_length && is_value_of(id, key, value) {
            return Ok(());
        }
        let mut expected = vec![0; value.len()];
        write_value(id, key, &mut expected);
        let differs = value.iter().zip(&expected).position(|(one, other)| one != other);
        Err(format!(
            "wrong value: object {id}, key {}, {length} bytes, {}",
            String::from_utf8_lossy(key),
            differs
                .map_or("of another length than was put".to_owned(), |at| format!("the first wrong one is byte {at}"))
        ))
    }

    /// The bytes of the keys and values that can still be read: what an ideal cache without any overhead would hold.
    fn live_payload(&self, cache: &Cache<'_>) -> Result<u64, Failure> {
        let mut found = vec![0; self.trace.sizes().largest()];
        let mut payload = 0;
        for object in 0..self.trace.ids().len() as u32 {
            let read = cache.read(self.keys.of(object), &mut found);
            if let Read::Hit { length } = read.map_err(|failed| Failure::cache(failed.to_string()))? {
                self.check(object, &found, length)
                    .map_err(|wrong| Failure::cache(format!("after the last request: {wrong}")))?;
                payload += (self.keys.length() + length) as u64;
            }
        }
        Ok(payload)
    }
}

impl Buffers {
    fn for_values_of(trace: &Trace) -> Self {
        let longest = trace.sizes().largest();
        Self { found: vec![0; longest], made: vec![0; longest] }
    }
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        let get_latency = match (self.get_latency, other.get_latency) {
            (Some(mut one), Some(two)) => {
                // Both have the same bounds, so that adding cannot fail.
                one += two;
                Some(one)
            }
            (one, two) => one.or(two),
        };
        let time = match (self.time, other.time) {
            (Some((began, ended)), Some((also_began, also_ended))) => {
                Some((began.min(also_began), ended.max(also_ended)))
            }
            (one, two) => one.or(two),
        };
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            puts: self.puts + other.puts,
            refused: self.refused + other.refused,
            get_latency,
            time,
        }
    }

    pub fn operations_per_second(&self) -> f64 {
        let operations = self.hits + self.misses + self.puts + self.refused;
        let seconds = self.time.map_or(0.0, |(began, ended)| (ended - began).as_secs_f64());
        operations as f64 / seconds.max(1e-9)
    }
}

/// The library's counters, after comparing them with what the replay saw.
pub fn checked_statistics(cache: &Cache<'_>, seen: &Tally, capacity: Option<u64>) -> Result<Statistics, Failure> {
    let statistics = cache.statistics()?;
    if (statistics.hits, statistics.misses) != (seen.hits, seen.misses) {
        return Err(Failure::cache(format!(
            "wrong statistics: {} hits and {} misses were seen, the library counted {} and {}",
            seen.hits, seen.misses, statistics.hits, statistics.misses
        )));
    }
    match capacity {
        Some(capacity) if statistics.memory_entries > capacity => Err(Failure::cache(format!(
            "wrong statistics: {} entries in a cache of {capacity}",
            statistics.memory_entries
        ))),
        _ => Ok(statistics),
    }
}

fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_LATENCY, LATENCY_DIGITS)
        .expect("constant bounds, within what the crate allows")
}

/// What two readings of the clock cost, in nanoseconds: it is part of each latency.
pub fn clock_cost() -> u64 {
    let mut cost = latency_histogram();
    for _ in 0..10_000 {
        cost.saturating_record(Instant::now().elapsed().as_nanos() as u64);
    }
    cost.value_at_quantile(0.5)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        numbers[middle]
    } else {
        (numbers[middle - 1] + numbers[middle]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn the_tallies_of_threads_add_up_and_their_times_are_joined() {
        let began = Instant::now();
        let at = |micros| began + std::time::Duration::from_micros(micros);
        let tally = |latency, time| {
            let mut histogram = latency_histogram();
            histogram.saturating_record(latency);
            Tally { hits: 1, misses: 2, puts: 1, refused: 1, get_latency: Some(histogram), time: Some(time) }
        };
        let both = Tally::default().plus(tally(100, (at(5), at(10)))).plus(tally(200, (at(0), at(9))));
        assert_eq!((both.hits, both.misses, both.puts, both.refused), (2, 4, 2, 2));
        assert_eq!(both.operations_per_second().round(), 1_000_000.0);
        let latency = both.get_latency.expect("both were clocked");
        assert_eq!((latency.len(), latency.min(), latency.max()), (2, 100, 200));
    }
}
