//! What do tags cost, and what do they save? A purge by a tag that some entries carry, as the cache and the tag grow, beside a purge
//! that has to look at every entry; and puts with tags beside puts without, over entries that are there and driving others out.

use catzilla_benches::args::Args;
use catzilla_benches::engine::{Engine, Shape, OK};
use catzilla_benches::engines::{self, FOREVER, OURS};
use catzilla_benches::keys::{keys, Key, Random, Value, VALUE_LEN};
use catzilla_benches::machine;
use catzilla_benches::report::median;
use catzilla_benches::ways::{take_turns, way};
use std::cell::Cell;
use std::ffi::c_void;
use std::process::ExitCode;
use std::time::Instant;

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Entries that one tag of a purge is on.
const CARRIERS: [usize; 4] = [1, 10, 100, 1_000];
/// Tags of each kind that are purged.
const PURGES: usize = 9;
/// Entries that share a tag where puts are measured.
const SHARING: usize = 200;
/// The clock is looked at once in so many puts.
const PUTS_A_LOOK: usize = 1024;
const PURGE_PREFIX: i32 = 1;
const PURGE_TAG: i32 = 2;

/// `catzilla_bytes_t` of the header.
#[repr(C)]
#[derive(Clone, Copy)]
struct Bytes {
    data: *const c_void,
    len: usize,
}

/// `catzilla_put_options_t` of the header.
#[repr(C)]
struct PutOptions {
    struct_size: usize,
    ttl_ms: u64,
    expected_version: u64,
    flags: u32,
    tags: *const Bytes,
    tag_count: usize,
}

type PutWith =
    unsafe extern "C" fn(*mut c_void, *const u8, usize, *const u8, usize, *const PutOptions, *mut u64) -> i32;
type Purge = unsafe extern "C" fn(*mut c_void, i32, *const u8, usize, *mut u64) -> i32;

/// A cache, and what is called of it.
struct Bench<'a> {
    engine: Engine,
    put_with: PutWith,
    purge: Purge,
    keys: &'a [Key],
    /// Calls that failed and counts that were not right.
    wrong: Cell<u64>,
}

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    machine::heading("tags: what a purge by tag takes, and what tags cost a put; one thread");
    let library = match engines::load_library() {
        Ok(library) => library,
        Err(error) => {
            eprintln!("nothing to measure: {error}");
            return ExitCode::FAILURE;
        }
    };
    // SAFETY: the signatures of the header; the library is linked never to be unloaded.
    let functions = unsafe {
        (
            library.get::<PutWith>(b"catzilla_cache_put_with\0").map(|function| *function),
            library.get::<Purge>(b"catzilla_cache_purge\0").map(|function| *function),
        )
    };
    let (Ok(put_with), Ok(purge)) = functions else {
        println!("skipped: this library has no catzilla_cache_put_with or no catzilla_cache_purge");
        return ExitCode::SUCCESS;
    };
    let sizes: Vec<usize> = match args.entries {
        Some(entries) => vec![entries],
        None => SIZES[..if args.quick { 2 } else { 3 }].to_vec(),
    };
    let keys = keys(2 * sizes.iter().max().copied().unwrap_or(0));
    let open = |capacity: usize| {
        let shape = Shape { capacity, expected: capacity, grows: false };
        let engine = engines::open(OURS, shape, &args.settings)?;
        Ok::<_, String>(Bench { engine, put_with, purge, keys: &keys, wrong: Cell::new(0) })
    };
    let mut wrong = 0;
    println!("\na purge, in microseconds: by a tag that so many entries carry; by a prefix that no key has");
    println!("  {:<12}{:>10}{:>10}{:>10}{:>10}{:>14}", "entries", 1, 10, 100, 1_000, "looks at all");
    for &entries in &sizes {
        match open(entries + entries / 4) {
            Ok(bench) => wrong += bench.purges(entries),
            Err(error) => return failed(&error),
        }
    }
    println!(
        "\na put, in nanoseconds: without tags, with one of its own, with one that {SHARING} share, and with both"
    );
    println!("  {:<34}{:>8}{:>8}{:>8}{:>8}", "", "none", "own", "shared", "both");
    for &entries in &sizes {
        for (what, capacity) in [("over one that is there", entries + entries / 4), ("driving one out", entries / 2)] {
            let benches: Result<Vec<_>, String> = (0..4).map(|_| open(capacity)).collect();
            match benches {
                Ok(benches) => wrong += puts(what, &benches, entries, &args),
                Err(error) => return failed(&error),
            }
        }
    }
    match wrong {
        0 => ExitCode::SUCCESS,
        wrong => failed(&format!("{wrong} wrong counts or failed calls")),
    }
}

fn failed(why: &str) -> ExitCode {
    println!("OUR LIBRARY FAILED: {why}");
    ExitCode::FAILURE
}

impl Bench<'_> {
    fn expect(&self, right: bool) {
        if !right {
            self.wrong.set(self.wrong.get() + 1);
        }
    }

    fn put(&self, id: usize, value: &mut Value, tags: &[&[u8]]) {
        let named: [Bytes; 2] = std::array::from_fn(|number| {
            let tag = tags.get(number).copied().unwrap_or_default();
            Bytes { data: tag.as_ptr().cast(), len: tag.len() }
        });
        let options = PutOptions {
            struct_size: size_of::<PutOptions>(),
            ttl_ms: FOREVER,
            expected_version: 0,
            flags: 0,
            tags: named.as_ptr(),
            tag_count: tags.len(),
        };
        let (key, value) = (self.keys[id].bytes(), value.stamp(id as u32));
        // SAFETY: key, value and tags are live slices of the lengths passed, and no version is asked for.
        let status = unsafe {
            (self.put_with)(
                self.engine.handle(),
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                VALUE_LEN,
                &options,
                std::ptr::null_mut(),
            )
        };
        self.expect(status == OK);
    }

    /// How long it took, in microseconds.
    fn purged(&self, what: i32, selector: &[u8], expected: u64) -> f64 {
        let mut removed = 0;
        let begun = Instant::now();
        // SAFETY: a live slice and a live number.
        let status =
            unsafe { (self.purge)(self.engine.handle(), what, selector.as_ptr(), selector.len(), &mut removed) };
        let took = begun.elapsed().as_nanos() as f64 / 1e3;
        self.expect(status == OK && removed == expected);
        took
    }

    /// Says how many calls were wrong.
    fn purges(&self, entries: usize) -> u64 {
        let mut value = Value::new();
        // Entries of one tag lie anywhere among the others, as they do when a site's pages share one.
        let mut order: Vec<usize> = (0..entries).collect();
        let mut random = Random::new(1);
        (1..entries).rev().for_each(|at| order.swap(at, random.below(at + 1)));
        let mut tags: Vec<(String, usize)> = Vec::new();
        for number in 0..PURGES {
            tags.extend(CARRIERS.map(|carriers| (format!("{carriers} carriers, {number}"), carriers)));
        }
        let mut tag_of: Vec<Option<usize>> = vec![None; entries];
        let mut rest = order.as_slice();
        tags.retain(|(_, carriers)| *carriers <= entries / PURGES / 2);
        for (number, (_, carriers)) in tags.iter().enumerate() {
            let (these, others) = rest.split_at(*carriers);
            these.iter().for_each(|&id| tag_of[id] = Some(number));
            rest = others;
        }
        for (id, tag) in tag_of.into_iter().enumerate() {
            match tag {
                Some(tag) => self.put(id, &mut value, &[tags[tag].0.as_bytes()]),
                None => self.put(id, &mut value, &[]),
            }
        }
        print!("  {entries:<12}");
        for carriers in CARRIERS {
            let these = tags.iter().filter(|(_, of)| *of == carriers);
            match median(these.map(|(tag, _)| self.purged(PURGE_TAG, tag.as_bytes(), carriers as u64)).collect()) {
                Some(took) => print!("{took:>10.1}"),
                None => print!("{:>10}", "-"),
            }
        }
        let all = (0..PURGES).map(|_| self.purged(PURGE_PREFIX, b"no key begins like this", 0)).collect();
        println!("{:>14.1}", median(all).unwrap_or(0.0));
        self.wrong.get()
    }
}

/// Prints a line: puts of all keys again and again, in four caches of which each has one kind of tags. Says how many calls were wrong.
fn puts(what: &str, benches: &[Bench<'_>], entries: usize, args: &Args) -> u64 {
    let own: Vec<String> = (0..entries).map(|id| format!("own {id}")).collect();
    let shared: Vec<String> = (0..entries.div_ceil(SHARING)).map(|tag| format!("shared {tag}")).collect();
    let mut ways: Vec<_> = ["none", "own", "shared", "both"]
        .into_iter()
        .zip(benches)
        .map(|(kind, bench)| {
            let (own, shared, mut value, mut id) = (&own, &shared, Value::new(), 0);
            let mut put = move || {
                // Neighbours do not share a tag.
                let (alone, together) = (own[id].as_bytes(), shared[id % shared.len()].as_bytes());
                let tags: &[&[u8]] = match kind {
                    "none" => &[],
                    "own" => &[alone],
                    "shared" => &[together],
                    _ => &[alone, together],
                };
                bench.put(id, &mut value, tags);
                id = (id + 1) % entries;
            };
            (0..entries).for_each(|_| put());
            way(kind, move |puts| (0..puts).for_each(|_| put()))
        })
        .collect();
    take_turns(&mut ways, PUTS_A_LOOK, args);
    print!("  {:<34}", format!("{entries} keys, {what}"));
    ways.iter().for_each(|way| print!("{:>8.0}", way.median()));
    println!();
    benches.iter().map(|bench| bench.wrong.get()).sum()
}
