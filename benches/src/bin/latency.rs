//! How long do the slowest gets take: alone, beside a thread that writes all the time, and while the table grows?

use catzilla_benches::args::Args;
use catzilla_benches::child::Child;
use catzilla_benches::engine::{Engine, Shape, OK};
use catzilla_benches::engines::{self, compared_with, is_ours};
use catzilla_benches::keys::{accesses, keys, Key, Random, Skew, Value, VALUE_LEN};
use catzilla_benches::machine::{self, waiting_time};
use catzilla_benches::ticks::{self, Histogram, Scale};
use catzilla_benches::worker;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Millions of puts into the slowest engine, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// A power of two; see `ORDER_LENGTH` in `worker`.
const ORDER_LENGTH: usize = 1 << 20;
/// Gets between two looks at whether the round is over.
const BATCH: usize = 256;
/// A round of `throughput` has too few gets for one in a thousand to be seen often.
const ROUNDS_LONGER: u32 = 3;
/// A quantile is a loss from here on. Arbitrary: tails are less steady than medians, and the histogram alone is 3% coarse. The
/// maximum is left out, since it is the system's as often as the engine's.
const LEVEL: f64 = 1.1;

#[derive(Clone, Copy, PartialEq)]
enum Situation {
    Alone,
    Writing,
    Growing,
}

const SITUATIONS: [(Situation, &str, &str); 3] = [
    (Situation::Alone, "alone", "one thread, nobody else"),
    (Situation::Writing, "writing", "while another thread overwrites entries all the time"),
    (Situation::Growing, "growing", "while another thread fills the cache from empty, as fast as it can"),
];

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    if let Some((engine, name)) = &args.worker {
        let (situation, ..) = SITUATIONS.iter().find(|(_, known, _)| known == name).expect("the parent knows them");
        measure(engine, *situation, args.entries.expect("the parent says how many"), &args);
        return ExitCode::SUCCESS;
    }
    machine::heading("latency: nanoseconds of single gets, 31-character keys, 128-byte values");
    if let Err(error) = engines::load_library() {
        eprintln!("nothing to compare with: {error}");
        return ExitCode::FAILURE;
    }
    let scale = Scale::measure();
    println!(
        "The clock itself takes {:.1} ns; they are in every figure. Each engine in a process of its own; one in 32 is the precision.",
        scale.own_ns
    );
    let mut failed = Vec::new();
    for (situation, name, title) in SITUATIONS {
        let entries = args.entries.unwrap_or(match (situation, args.quick) {
            (Situation::Growing, false) => 4_000_000,
            (Situation::Growing, true) => 400_000,
            (_, false) => 1_000_000,
            (_, true) => 100_000,
        });
        println!("\n{name}: {title}; {entries} entries, uniform");
        println!(
            "  {:<22}{:>11}{:>8}{:>9}{:>9}{:>9}{:>12}{:>11}",
            "engine", "gets", "hits", "p50", "p99", "p99.9", "max", "puts/ms"
        );
        let rows = take_turns(situation, name, entries, &args);
        for row in &rows {
            let reference = rows.iter().find(|other| other.engine == compared_with(&row.engine));
            print_row(row, reference);
            if is_ours(&row.engine) && (row.ended.is_some() || row.last.as_ref().is_some_and(|last| last.wrong > 0.0)) {
                failed.push(format!("{name}: {}", row.engine));
            }
        }
    }
    for line in &failed {
        println!("OUR LIBRARY FAILED: {line}");
    }
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What a child has measured since its beginning.
struct Figures {
    gets: f64,
    hits: f64,
    wrong: f64,
    /// p50, p99, p99.9
    quantiles: [f64; 3],
    max: f64,
    puts_a_ms: f64,
    /// Share of the reader's time in which somebody else had its processor.
    waited: f64,
}

struct Row {
    engine: String,
    last: Option<Figures>,
    absent: Option<String>,
    ended: Option<String>,
}

/// Growing happens once, all else in rounds, so that what the machine does meanwhile is shared.
fn take_turns(situation: Situation, name: &str, entries: usize, args: &Args) -> Vec<Row> {
    let mut line_up: Vec<(Row, Option<Child>)> = args
        .engines()
        .into_iter()
        .map(|engine| {
            let mut line = args.for_worker(&engine, name);
            line.extend(["--entries".into(), entries.to_string()]);
            let mut row = Row { engine, last: None, absent: None, ended: None };
            let child = match Child::start(&line) {
                Ok(mut child) => match child.hear(PATIENCE) {
                    Ok(line) if line == "ready" => Some(child),
                    Ok(line) => {
                        row.absent = Some(line);
                        None
                    }
                    Err(end) => {
                        row.ended = Some(format!("{end} while it was filled"));
                        None
                    }
                },
                Err(error) => {
                    row.absent = Some(error.to_string());
                    None
                }
            };
            (row, child)
        })
        .collect();
    let rounds = if situation == Situation::Growing { 1 } else { args.rounds };
    for round in 1..=rounds {
        for (row, slot) in &mut line_up {
            let Some(child) = slot else { continue };
            child.say("round");
            match child.hear(PATIENCE).and_then(|line| parse(&line).ok_or(format!("said {line:?}"))) {
                Ok(figures) => row.last = Some(figures),
                Err(end) => {
                    row.ended = Some(format!("{end} in round {round}"));
                    *slot = None;
                }
            }
        }
    }
    line_up.into_iter().map(|(row, _)| row).collect()
}

fn print_row(row: &Row, reference: Option<&Row>) {
    let ended = row.ended.as_deref().unwrap_or_default();
    let Some(figures) = &row.last else {
        println!("  {:<22}{}", row.engine, row.absent.as_deref().unwrap_or(ended));
        return;
    };
    let [p50, p99, p999] = figures.quantiles;
    let mut remarks = Vec::new();
    if let Some(ours) = reference.and_then(|reference| reference.last.as_ref()).filter(|_| !is_ours(&row.engine)) {
        let lost: Vec<&str> = ["p50", "p99", "p99.9"]
            .into_iter()
            .zip(figures.quantiles.iter().zip(ours.quantiles))
            .filter(|(_, (theirs, ours))| *ours > **theirs * LEVEL)
            .map(|(name, _)| name)
            .collect();
        if !lost.is_empty() {
            remarks.push(format!("<< WE LOSE at {}", lost.join(", ")));
        }
    }
    if figures.wrong > 0.0 {
        remarks.push(format!("{} WRONG VALUES", figures.wrong));
    }
    if !ended.is_empty() {
        remarks.push(ended.to_owned());
    }
    if figures.waited > 0.05 {
        remarks.push(format!("(machine busy: waited {:.0}%)", 100.0 * figures.waited));
    }
    println!(
        "  {:<22}{:>11}{:>7.1}%{:>9.0}{:>9.0}{:>9.0}{:>12.0}{:>11}  {}",
        row.engine,
        figures.gets,
        100.0 * figures.hits / figures.gets,
        p50,
        p99,
        p999,
        figures.max,
        if figures.puts_a_ms > 0.0 { format!("{:.0}", figures.puts_a_ms) } else { "-".into() },
        remarks.join("  ")
    );
}

fn parse(line: &str) -> Option<Figures> {
    let numbers: Vec<f64> = line.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [gets, hits, wrong, p50, p99, p999, max, puts_a_ms, waited] = numbers[..] else {
        return None;
    };
    Some(Figures { gets, hits, wrong, quantiles: [p50, p99, p999], max, puts_a_ms, waited })
}

/// The child: a line in asks for a round, a line out tells everything since the beginning.
fn measure(name: &str, situation: Situation, entries: usize, args: &Args) {
    let growing = situation == Situation::Growing;
    let shape = Shape { grows: growing, ..Shape::with_headroom(entries) };
    let engine = match engines::open(name, shape, &args.settings) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("absent: {}", reason.replace('\n', " "));
            return;
        }
    };
    let keys = keys(entries);
    // The clock's scale before anybody else runs.
    let scale = Scale::measure();
    let mut reader = Reader::new(&engine, &keys);
    let order = accesses(Skew::Uniform, keys.len(), 0, 1, ORDER_LENGTH);
    if !growing {
        worker::fill(&engine, &keys);
        // Engines that write to an entry at its first hits have done so.
        reader.read_until(|| keys.len(), Instant::now() + args.round * ROUNDS_LONGER);
        reader.forget();
    }
    println!("ready");
    let (mut reading, mut waited, mut puts) = (Duration::ZERO, 0, 0usize);
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        let (begun, waited_before) = (Instant::now(), waiting_time());
        match situation {
            Situation::Alone => reader.read_until(|| keys.len(), begun + args.round * ROUNDS_LONGER),
            Situation::Writing => {
                let over = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    let writer = scope.spawn(|| overwrite_until(&engine, &keys, &order, &over));
                    reader.read_until(|| keys.len(), begun + args.round * ROUNDS_LONGER);
                    over.store(true, Ordering::Relaxed);
                    puts += writer.join().expect("the writer does not panic");
                });
            }
            Situation::Growing => {
                let filled = AtomicUsize::new(0);
                std::thread::scope(|scope| {
                    scope.spawn(|| fill_and_publish(&engine, &keys, &filled));
                    reader.read_while_it_grows(&filled);
                });
                puts += keys.len();
            }
        }
        reading += begun.elapsed();
        waited += waiting_time() - waited_before;
        let ns = |ticks: u64| (ticks as f64 * scale.ns_per_tick).round();
        let histogram = &reader.histogram;
        println!(
            "{} {} {} {} {} {} {} {} {}",
            histogram.total(),
            reader.hits,
            reader.wrong,
            ns(histogram.quantile(0.5)),
            ns(histogram.quantile(0.99)),
            ns(histogram.quantile(0.999)),
            ns(histogram.max()),
            puts as f64 / reading.as_millis().max(1) as f64,
            waited as f64 / reading.as_nanos() as f64,
        );
    }
}

struct Reader<'a> {
    engine: &'a Engine,
    keys: &'a [Key],
    random: Random,
    histogram: Histogram,
    hits: u64,
    wrong: u64,
}

impl<'a> Reader<'a> {
    fn new(engine: &'a Engine, keys: &'a [Key]) -> Reader<'a> {
        Reader { engine, keys, random: Random::new(7), histogram: Histogram::new(), hits: 0, wrong: 0 }
    }

    fn forget(&mut self) {
        (self.histogram, self.hits, self.wrong) = (Histogram::new(), 0, 0);
    }

    /// Gets keys below `there()` at random.
    fn read_until(&mut self, there: impl Fn() -> usize, end: Instant) {
        while Instant::now() < end {
            self.batch(there());
        }
    }

    fn read_while_it_grows(&mut self, filled: &AtomicUsize) {
        loop {
            let there = filled.load(Ordering::Acquire);
            if there > 0 {
                self.batch(there);
            }
            if there == self.keys.len() {
                return;
            }
        }
    }

    fn batch(&mut self, there: usize) {
        let mut buffer = [0u8; VALUE_LEN];
        for _ in 0..BATCH {
            let id = self.random.below(there);
            // A copy, so that fetching the key is over before the clock starts: callers have just made theirs.
            let key = self.keys[id];
            let begun = ticks::now();
            let found = self.engine.read(key.bytes(), &mut buffer);
            self.histogram.add(ticks::now().saturating_sub(begun));
            if found.is_ok() {
                self.hits += 1;
                self.wrong += u64::from(!Value::ends_match(id as u32, &buffer));
            }
        }
    }
}

/// How many puts it made.
fn overwrite_until(engine: &Engine, keys: &[Key], order: &[u32], over: &AtomicBool) -> usize {
    let mut value = Value::new();
    let mut puts = 0;
    while !over.load(Ordering::Relaxed) {
        let id = order[puts % ORDER_LENGTH];
        assert_eq!(engine.put(keys[id as usize].bytes(), value.stamp(id)), OK);
        puts += 1;
    }
    puts
}

fn fill_and_publish(engine: &Engine, keys: &[Key], filled: &AtomicUsize) {
    let mut value = Value::new();
    for (id, key) in keys.iter().enumerate() {
        assert_eq!(engine.put(key.bytes(), value.stamp(id as u32)), OK);
        filled.store(id + 1, Ordering::Release);
    }
}
