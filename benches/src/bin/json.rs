//! How much memory does a million JSON documents of 10 KiB take, and how small does LZ4 make them? Ours alone: no other cache
//! here compresses.

use catzilla_benches::args::Args;
use catzilla_benches::child::Child;
use catzilla_benches::documents::{Documents, DOCUMENT_LEN};
use catzilla_benches::engine::{Shape, OK};
use catzilla_benches::engines::{self, Settings, OURS_TTL};
use catzilla_benches::keys::Key;
use catzilla_benches::machine::{self, resident_bytes};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Ten gigabytes to write and compress, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);
/// A million documents are to fit into less.
const LIMIT_GB: f64 = 10.0;
const LIMIT_IS_FOR: usize = 1_000_000;
/// Every so many documents one is read back and compared, all of it.
const CHECK_EVERY: usize = 10;

fn main() -> ExitCode {
    let args = Args::from_command_line();
    let entries = args.entries.unwrap_or(if args.quick { 20_000 } else { 1_000_000 });
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    if args.worker.is_some() {
        fill_and_tell(entries, &args.settings);
        return ExitCode::SUCCESS;
    }
    machine::heading("json: the memory of compressed documents");
    println!("{entries} documents of {DOCUMENT_LEN} bytes, lifetime of an hour, in a process of its own");
    match in_child(&args, entries) {
        Ok(figures) => print(entries, &figures),
        Err(reason) => {
            println!("OUR LIBRARY FAILED: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn print(entries: usize, figures: &[f64]) -> ExitCode {
    let &[held, resident, counted, compression, put_ns, read_ns, wrong] = figures else {
        println!("OUR LIBRARY FAILED: said {figures:?}");
        return ExitCode::FAILURE;
    };
    let plain = (entries * DOCUMENT_LEN) as f64;
    println!("\n  {:<34}{:>12}", "documents held", held);
    println!("  {:<34}{:>12.2} GB", "their bytes", plain / 1e9);
    println!("  {:<34}{:>12.2} GB", "resident: what the process grew by", resident / 1e9);
    println!("  {:<34}{:>12.2} GB", "counted: what the library says", counted / 1e9);
    println!("  {:<34}{:>12.2}", "LZ4 makes them smaller by", compression);
    println!("  {:<34}{:>12.2}", "their bytes / resident", plain / resident);
    println!("  {:<34}{:>12.1} us", "a put, making the document included", put_ns / 1e3);
    println!("  {:<34}{:>12.1} us", "a read", read_ns / 1e3);
    if entries == LIMIT_IS_FOR {
        let kept = resident / 1e9 < LIMIT_GB;
        println!("  {:<34}{:>12}", format!("below {LIMIT_GB} GB"), if kept { "yes" } else { "NO" });
    }
    if wrong > 0.0 || held < entries as f64 {
        println!("OUR LIBRARY FAILED: {wrong} wrong documents, {} missing", entries as f64 - held);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn in_child(args: &Args, entries: usize) -> Result<Vec<f64>, String> {
    let mut line = args.for_worker(OURS_TTL, "json");
    line.extend(["--entries".into(), entries.to_string()]);
    let mut child = Child::start(&line).map_err(|error| error.to_string())?;
    let answer = child.hear(PATIENCE)?;
    answer.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>().ok_or(answer)
}

fn fill_and_tell(entries: usize, settings: &Settings) {
    let mut documents = Documents::new();
    let mut buffer = vec![0u8; DOCUMENT_LEN];
    let before = resident_bytes();
    let engine = match engines::open(OURS_TTL, Shape::with_headroom(entries), settings) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("absent: {}", reason.replace('\n', " "));
            return;
        }
    };
    let begun = Instant::now();
    for id in 0..entries {
        assert_eq!(engine.put(Key::of(id).bytes(), documents.make(id)), OK, "put of document {id} failed");
    }
    let put_ns = begun.elapsed().as_nanos() as f64 / entries as f64;
    let resident = resident_bytes() - before;
    let (mut held, mut wrong, mut reading) = (0, 0u64, Duration::ZERO);
    for id in 0..entries {
        let key = Key::of(id);
        let begun = Instant::now();
        let found = engine.read(key.bytes(), &mut buffer);
        reading += begun.elapsed();
        held += usize::from(found.is_ok());
        if found.is_ok() && id % CHECK_EVERY == 0 {
            wrong += u64::from(found != Ok(DOCUMENT_LEN) || buffer != documents.make(id));
        }
    }
    let account = engine.account().unwrap_or_default();
    println!(
        "{held} {resident} {} {} {put_ns} {} {wrong}",
        account.counted,
        account.compression.unwrap_or(1.0),
        reading.as_nanos() as f64 / entries as f64,
    );
}
