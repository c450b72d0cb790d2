//! How many bytes does an entry cost beyond its key and its value?

use catzilla_benches::args::Args;
use catzilla_benches::child::Child;
use catzilla_benches::engine::{Shape, HEADROOM_PERCENT};
use catzilla_benches::engines::{self, compared_with, is_ours, Settings, OURS, OURS_TTL};
use catzilla_benches::keys::Random;
use catzilla_benches::machine::{self, resident_bytes};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// With the NUL that some engines want, 33 bytes are passed; 32 count.
const KEY_LEN: usize = 32;
const VALUE_LEN: usize = 100;
/// Ten million entries in the slowest engine take about a minute on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Stands for a figure that an engine does not give.
const UNKNOWN: &str = "-";

fn main() -> ExitCode {
    let args = Args::from_command_line();
    let entries = args.entries.unwrap_or(if args.quick { 100_000 } else { 1_000_000 });
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    if let Some((engine, _)) = &args.worker {
        fill_and_tell(engine, entries, &args.settings);
        return ExitCode::SUCCESS;
    }
    machine::heading("memory: bytes an entry beyond key and value");
    println!(
        "{entries} entries, {KEY_LEN}-byte keys, {VALUE_LEN}-byte values; each engine in a process of its own, room for {HEADROOM_PERCENT}% more;\n\
         compared with `{OURS_TTL}`, where every entry has a lifetime, which the peers' have not\n\
         resident: what the process grew by, all in; allocated: what the allocator says is in use; counted: what the engine says itself"
    );
    if let Err(error) = engines::load_library() {
        eprintln!("nothing to compare with: {error}");
        return ExitCode::FAILURE;
    }
    println!(
        "\n  {:<22}{:>10}{:>11}{:>11}{:>11}{:>10}{:>9}",
        "engine", "entries", "resident", "allocated", "counted", "to ours", "fill ns"
    );
    let mut ours = Vec::new();
    let (mut lost, mut failed) = (Vec::new(), Vec::new());
    // Ours first, then whatever is compared with it.
    let mut rows = args.engines();
    rows.sort_by_key(|engine| !is_ours(engine));
    for engine in rows {
        match in_child(&engine, &args, entries) {
            Ok(figures) => {
                if is_ours(&engine) {
                    ours.push((engine.clone(), figures.resident));
                }
                let compared = ours.iter().find(|(name, _)| name == reference(&engine)).map(|(_, resident)| *resident);
                let ratio = compared.map(|ours| figures.resident / ours);
                let smaller = !is_ours(&engine) && ratio.is_some_and(|ratio| ratio < 1.0);
                print_row(&engine, &figures, ratio, smaller);
                if smaller {
                    lost.push(engine.clone());
                }
                if is_ours(&engine) && figures.wrong > 0 {
                    failed.push(format!("{engine}: {} wrong values", figures.wrong));
                }
            }
            Err(reason) => {
                println!("  {engine:<22}{reason}");
                if is_ours(&engine) {
                    failed.push(format!("{engine}: {reason}"));
                }
            }
        }
    }
    if !lost.is_empty() {
        println!("\nSmaller than we are: {}", lost.join(", "));
    }
    for line in &failed {
        println!("OUR LIBRARY FAILED: {line}");
    }
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// A lifetime takes room; it is part of what is compared here.
fn reference(engine: &str) -> &'static str {
    match compared_with(engine) {
        OURS => OURS_TTL,
        other => other,
    }
}

/// Bytes beyond key and value, per entry.
struct Figures {
    entries: u64,
    resident: f64,
    allocated: Option<f64>,
    counted: Option<f64>,
    fill_ns: f64,
    wrong: u64,
}

fn print_row(engine: &str, figures: &Figures, ratio: Option<f64>, smaller: bool) {
    let text = |number: Option<f64>| number.map_or(UNKNOWN.into(), |number| format!("{number:.1}"));
    println!(
        "  {:<22}{:>10}{:>11.1}{:>11}{:>11}{:>10}{:>9.0}{}{}",
        engine,
        figures.entries,
        figures.resident,
        text(figures.allocated),
        text(figures.counted),
        ratio.map_or(UNKNOWN.into(), |ratio| format!("{ratio:.2}")),
        figures.fill_ns,
        if smaller { "  << WE LOSE" } else { "" },
        match figures.wrong {
            0 => String::new(),
            wrong => format!("  {wrong} WRONG VALUES"),
        }
    );
}

fn in_child(engine: &str, args: &Args, entries: usize) -> Result<Figures, String> {
    let mut line = args.for_worker(engine, "fill");
    line.extend(["--entries".into(), entries.to_string()]);
    let mut child = Child::start(&line).map_err(|error| error.to_string())?;
    let answer = child.hear(PATIENCE)?;
    let words: Vec<&str> = answer.split(' ').collect();
    let [held, resident, allocated, counted, fill_ns, wrong] = words[..] else {
        return Err(answer);
    };
    let number = |word: &str| word.parse::<f64>().ok();
    let held_entries = number(held).filter(|&held| held > 0.0).ok_or("holds nothing")?;
    let beyond = |word: &str| number(word).map(|bytes| bytes / held_entries - (KEY_LEN + VALUE_LEN) as f64);
    Ok(Figures {
        entries: held_entries as u64,
        resident: beyond(resident).ok_or("resident size unknown")?,
        allocated: beyond(allocated),
        counted: beyond(counted),
        fill_ns: number(fill_ns).unwrap_or(f64::NAN) / entries as f64,
        wrong: wrong.parse().unwrap_or(u64::MAX),
    })
}

/// The child: nothing but the engine grows between the two looks at the process.
fn fill_and_tell(name: &str, entries: usize, settings: &Settings) {
    let shape = Shape::with_headroom(entries);
    let (resident, allocated) = (resident_bytes(), allocated_bytes());
    let engine = match engines::open(name, shape, settings) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("absent: {}", reason.replace('\n', " "));
            return;
        }
    };
    let begun = Instant::now();
    for id in 0..entries {
        engine.put(&key(id)[..KEY_LEN], &value(id));
    }
    engine.settle();
    let fill = begun.elapsed().as_nanos();
    let resident = resident_bytes() - resident;
    let account = engine.account();
    let allocated = match account.and_then(|account| account.active) {
        Some(active) => Some(active as i64),
        // Our library's allocator is its own; the system's knows nothing of it.
        None if is_ours(name) => None,
        None => allocated_bytes().zip(allocated).map(|(after, before)| after - before),
    };
    let (mut held, mut wrong) = (0, 0u64);
    let mut buffer = [0; VALUE_LEN];
    for id in 0..entries {
        if let Ok(len) = engine.read(&key(id)[..KEY_LEN], &mut buffer) {
            held += 1;
            wrong += u64::from(len != VALUE_LEN || buffer != value(id));
        }
    }
    let text = |bytes: Option<i64>| bytes.map_or(UNKNOWN.into(), |bytes| bytes.to_string());
    println!(
        "{held} {resident} {} {} {fill} {wrong}",
        text(allocated),
        text(account.map(|account| account.counted as i64)),
    );
}

fn key(id: usize) -> [u8; KEY_LEN + 1] {
    let mut key = [0; KEY_LEN + 1];
    let tail = Random::new(id as u64).draw();
    write!(&mut key[..KEY_LEN], "memory:{id:08}:{tail:016x}").expect("ids have eight digits");
    key
}

fn value(id: usize) -> [u8; VALUE_LEN] {
    let mut value = [0x5a; VALUE_LEN];
    value[..8].copy_from_slice(&(id as u64).to_le_bytes());
    value
}

/// What the system's allocator has handed out, its own headers included. Not known when the peers use another one.
fn allocated_bytes() -> Option<i64> {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "jemalloc")))]
    {
        // SAFETY: it has no preconditions; nothing else runs in the child.
        let info = unsafe { libc::mallinfo2() };
        Some((info.uordblks + info.hblkhd) as i64)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu", not(feature = "jemalloc"))))]
    None
}
