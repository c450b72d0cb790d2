//! What do the tiers below memory cost, beside the barest way to the same bytes: a socket and GET, a prepared SELECT? How many
//! values a second does the disk take, beside other stores of values on disk? And what does a hit in memory pay for tiers that it
//! does not ask?
//!
//! `redis` and `disk` ask the first, `sustained` with `stores` the second, this file the third. Everything of ours goes through
//! the C interface; `server` starts a redis-server of its own, `cache` opens caches over it and over folders.

mod cache;
mod disk;
mod redis;
mod server;
mod stores;
mod sustained;

use cache::{Folder, Tiers};
use catzilla_benches::args::Args;
use catzilla_benches::keys::{accesses, keys, Skew, Value, VALUE_LEN};
use catzilla_benches::ways::{take_turns, way};
use catzilla_benches::{engines, machine, worker};
use server::Server;
use std::process::ExitCode;

/// Entries that a memory hit finds: few enough for the processor's second cache, so that what is measured is instructions.
const HOT: usize = 10_000;
const ORDER_LENGTH: usize = 1 << 16;
/// The clock is looked at once in so many gets.
const BATCH: usize = 1024;

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        println!(
            "questions: redis, disk, sustained, memory; all are asked, one after the other, or those of --question"
        );
        return ExitCode::SUCCESS;
    }
    machine::heading("tiers: what Redis and disk cost, beside the barest way to the same bytes");
    if let Err(error) = engines::load_library() {
        eprintln!("nothing to measure: {error}");
        return ExitCode::FAILURE;
    }
    println!(
        "medians of {} rounds in turns; a machine that others use shows in the figures: quote ratios",
        args.rounds
    );
    let mut verdict = Verdict::default();
    let server = Server::start();
    match &server {
        _ if !args.asks("redis") => {}
        Ok(server) => redis::ask(server, &args, &mut verdict),
        Err(why) => println!("\nredis: skipped, {why}"),
    }
    if args.asks("disk") {
        disk::ask(&args, &mut verdict);
    }
    if args.asks("sustained") {
        sustained::ask(&args, &mut verdict);
    }
    if args.asks("memory") {
        memory(server.as_ref().ok(), &args, &mut verdict);
    }
    verdict.end()
}

/// What was to be reached, and whether it was; and what went wrong.
#[derive(Default)]
pub struct Verdict {
    missed: Vec<String>,
    failed: Vec<String>,
}

impl Verdict {
    /// Prints a line: a figure, which is to be at most, or at least, the goal.
    pub fn line(&mut self, what: &str, figure: f64, unit: &str, goal: Goal) {
        let (reached, goal) = match goal {
            Goal::AtMost(most) => (figure <= most, format!("at most {most}")),
            Goal::AtLeast(least) => (figure >= least, format!("at least {least}")),
        };
        let mark = if reached { "" } else { "  << MISSED" };
        println!("  {what:<58}{figure:>12.2}{unit:<4} goal {goal}{mark}");
        if !reached {
            self.missed.push(format!("{what}: {figure:.2}{unit}, {goal}"));
        }
    }

    pub fn expect(&mut self, right: bool, what: &str) {
        if !right && !self.failed.iter().any(|known| known == what) {
            self.failed.push(what.to_owned());
        }
    }

    fn end(self) -> ExitCode {
        println!("\n{} goals missed", self.missed.len());
        self.missed.iter().for_each(|line| println!("  {line}"));
        self.failed.iter().for_each(|line| println!("OUR LIBRARY FAILED: {line}"));
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// Hits in memory with all tiers there beside hits with memory alone.
fn memory(server: Option<&Server>, args: &Args, verdict: &mut Verdict) {
    let folder = Folder::make();
    let alone = Tiers::default().open(HOT * 2);
    let tiers = Tiers { server, folder: Some(&folder), ..Tiers::default() }.open(HOT * 2);
    let keys = keys(HOT);
    worker::fill(&alone, &keys);
    worker::fill(&tiers, &keys);
    cache::flush(&tiers);
    let order = accesses(Skew::Uniform, HOT, 0, 0, ORDER_LENGTH);
    let mut wrong = 0;
    let reads = |engine| {
        let (keys, order) = (&keys, &order);
        let (mut at, mut buffer, mut wrong) = (0, [0; VALUE_LEN], 0u64);
        move |count: usize| {
            for _ in 0..count {
                let id = order[at];
                at = (at + 1) % ORDER_LENGTH;
                let read = catzilla_benches::engine::Engine::read(engine, keys[id as usize].bytes(), &mut buffer);
                wrong += u64::from(read != Ok(VALUE_LEN) || !Value::ends_match(id, &buffer));
            }
            wrong
        }
    };
    let (mut read_alone, mut read_tiers) = (reads(&alone), reads(&tiers));
    let mut ways = [
        way("memory alone", |count| wrong = read_alone(count)),
        way("with tiers", |count| assert_eq!(read_tiers(count), 0, "a wrong value")),
    ];
    take_turns(&mut ways, BATCH, args);
    let which = if server.is_some() { "three tiers" } else { "memory and disk" };
    println!("\nmemory: a hit in memory, ns");
    println!("  memory alone {:.1}, {which} configured {:.1}", ways[0].median(), ways[1].median());
    verdict.line("with the tiers, more", ways[1].less(&ways[0]), "ns", Goal::AtMost(5.0));
    drop(ways);
    verdict.expect(wrong == 0, "memory: wrong values");
}
