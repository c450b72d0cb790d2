//! What does memory that was used for values of one size cost later, when sizes have changed? A cache bounded in bytes, several
//! million puts of 64 bytes to 64 KiB whose typical size moves up and down, with an arena of the cache's own and with the
//! system's malloc.

use catzilla_benches::args::Args;
use catzilla_benches::child::Child;
use catzilla_benches::engine::{Engine, Shape, OK};
use catzilla_benches::engines::{self, OURS_TTL};
use catzilla_benches::keys::{Key, Random};
use catzilla_benches::machine::{self, resident_bytes};
use std::ffi::c_void;
use std::process::ExitCode;
use std::time::Duration;

const BOUND: &str = "512MiB";
const PATIENCE: Duration = Duration::from_secs(600);
const SAMPLES: usize = 16;
/// The typical size goes from small to large and back so many times.
const WAVES: f64 = 2.0;
/// Sizes are drawn from so many doublings around the typical one ...
const WINDOW: f64 = 3.0;
/// ... except one in so many, which is of any size: old neighbours of new values.
const ANY_SIZE: usize = 5;
const LEAST_LOG2: f64 = 6.0;
const MOST_LOG2: f64 = 16.0;
/// One put in so many overwrites a recent key with another size, and every put is followed by a get of a recent key, so that
/// lifetimes differ.
const OVERWRITE: usize = 4;
const RECENT: usize = 20_000;
/// An allocator may hand pages back a little later.
const CALM: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = Args::from_command_line();
    let puts = args.entries.unwrap_or(if args.quick { 300_000 } else { 4_000_000 });
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    if let Some((_, jemalloc)) = &args.worker {
        churn(jemalloc, puts, &args);
        return ExitCode::SUCCESS;
    }
    machine::heading("fragmentation: resident memory of a cache bounded in bytes, while sizes of values change");
    println!("{puts} puts, bound {BOUND}, no compression; held: what the cache counts against its bound; sizes in MiB");
    let sides = ["on", "off"].map(|jemalloc| (jemalloc, in_child(jemalloc, puts, &args)));
    println!("\n  {:<24}{:>12}   {:>26}   {:>26}", "", "", "memory.jemalloc=on", "memory.jemalloc=off");
    print!("  {:<24}{:>12}", "after", "typical size");
    for _ in &sides {
        print!("   {:>8}{:>10}{:>8}", "held", "resident", "ratio");
    }
    println!();
    for line in 0..sides.iter().filter_map(|(_, side)| Some(side.as_ref().ok()?.len())).max().unwrap_or(0) {
        let any = sides.iter().find_map(|(_, side)| side.as_ref().ok()?.get(line));
        let Some(any) = any else { break };
        print!("  {:<24}{:>12}", any.when, any.typical);
        for (_, side) in &sides {
            match side.as_ref().ok().and_then(|lines| lines.get(line)) {
                Some(sample) if sample.held > 1.0 => {
                    print!("   {:>8.1}{:>10.1}{:>8.2}", sample.held, sample.resident, sample.resident / sample.held);
                }
                Some(sample) => print!("   {:>8.1}{:>10.1}{:>8}", sample.held, sample.resident, "-"),
                None => print!("   {:>26}", "-"),
            }
        }
        println!();
    }
    let mut right = true;
    for (jemalloc, side) in &sides {
        if let Err(reason) = side {
            println!("OUR LIBRARY FAILED: memory.jemalloc={jemalloc}: {reason}");
            right = false;
        }
    }
    match right {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct Sample {
    when: String,
    typical: String,
    held: f64,
    resident: f64,
}

fn in_child(jemalloc: &str, puts: usize, args: &Args) -> Result<Vec<Sample>, String> {
    let mut line = args.for_worker(OURS_TTL, jemalloc);
    line.extend(["--entries".into(), puts.to_string()]);
    let mut child = Child::start(&line).map_err(|error| error.to_string())?;
    let mut samples = Vec::new();
    loop {
        let answer = child.hear(PATIENCE)?;
        if answer == "done" {
            return Ok(samples);
        }
        let words: Vec<&str> = answer.split('\t').collect();
        let [when, typical, held, resident] = words[..] else {
            return Err(answer);
        };
        let mebibytes = |word: &str| word.parse::<f64>().map_or(f64::NAN, |bytes| bytes / f64::from(1 << 20));
        samples.push(Sample {
            when: when.into(),
            typical: typical.into(),
            held: mebibytes(held),
            resident: mebibytes(resident),
        });
    }
}

/// The child: a line a sample.
fn churn(jemalloc: &str, puts: usize, args: &Args) {
    let mut random = Random::new(5);
    // Bytes that do not compress; a value is a piece of them.
    let bytes: Vec<u8> = (0..2 << 16).map(|_| random.draw() as u8).collect();
    // Of ones, so that its pages are there before anything is measured.
    let mut buffer = vec![1u8; 1 << 16];
    let options = [
        ("memory.capacity", "unlimited"),
        ("memory.max_bytes", BOUND),
        ("memory.compression", "off"),
        ("memory.jemalloc", jemalloc),
    ];
    let mut settings = args.settings.clone();
    let mut all: Vec<(String, String)> =
        options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    all.append(&mut settings.options);
    settings.options = all;
    let before = resident_bytes();
    // The capacity is taken back by the options.
    let shape = Shape { capacity: 1, expected: 1, grows: true };
    let opened = engines::open(OURS_TTL, shape, &settings).and_then(|engine| Ok((engine, clear_function()?)));
    let (engine, clear) = match opened {
        Ok(opened) => opened,
        Err(reason) => {
            println!("absent: {}", reason.replace('\n', " "));
            return;
        }
    };
    let tell = |when: &str, typical: &str, engine: Option<&Engine>| {
        let held = engine.and_then(Engine::account).map_or(0, |account| account.counted);
        println!("{when}\t{typical}\t{held}\t{}", (resident_bytes() - before).max(0));
    };
    let mut newest = 0usize;
    for put in 0..puts {
        let middle = typical_log2(put as f64 / puts as f64);
        let log2 = match random.below(ANY_SIZE) {
            0 => LEAST_LOG2 + random.unit() * (MOST_LOG2 - LEAST_LOG2),
            _ => middle + (random.unit() - 0.5) * WINDOW,
        };
        let len = log2.exp2() as usize;
        let id = match random.below(OVERWRITE) {
            0 => newest - random.below(newest.min(RECENT) + 1),
            _ => {
                newest += 1;
                newest
            }
        };
        let from = random.below(bytes.len() - len);
        assert_eq!(engine.put(Key::of(id).bytes(), &bytes[from..from + len]), OK, "put of {len} bytes failed");
        let recent = newest - random.below(newest.min(RECENT) + 1);
        let _ = engine.read(Key::of(recent).bytes(), &mut buffer);
        if (put + 1) % (puts / SAMPLES).max(1) == 0 {
            let typical = middle.exp2() as usize;
            tell(&format!("{} puts", put + 1), &format!("{typical} B"), Some(&engine));
        }
    }
    // SAFETY: the engine's own handle; no call is under way.
    unsafe { clear(engine.handle()) };
    tell("clear", "", Some(&engine));
    std::thread::sleep(CALM);
    tell("clear, and 2 s", "", Some(&engine));
    drop(engine);
    tell("destroy", "", None);
    println!("done");
}

/// A wave between the ends, so that the window of sizes stays within them.
fn typical_log2(time: f64) -> f64 {
    let phase = (time * WAVES).fract();
    let height = if phase < 0.5 { 2.0 * phase } else { 2.0 - 2.0 * phase };
    LEAST_LOG2 + WINDOW / 2.0 + height * (MOST_LOG2 - LEAST_LOG2 - WINDOW)
}

fn clear_function() -> Result<unsafe extern "C" fn(*mut c_void), String> {
    let library = engines::load_library()?;
    // SAFETY: the signature of the header; the library is linked never to be unloaded.
    unsafe { library.get(b"catzilla_cache_clear\0").map(|function| *function).map_err(|error| error.to_string()) }
}
