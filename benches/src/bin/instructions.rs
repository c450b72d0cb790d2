//! How many instructions does a get take? Counted by valgrind's callgrind: a program that makes N gets and one that makes 2 N, and
//! the difference divided by N, so that starting, filling and checking fall out.

use catzilla_benches::args::Args;
use catzilla_benches::engine::{Engine, Shape, NOT_FOUND, OK};
use catzilla_benches::engines::{self, compared_with, is_ours};
use catzilla_benches::keys::{accesses, keys, Skew, Value, VALUE_LEN};
use catzilla_benches::{machine, worker};
use std::ffi::c_void;
use std::process::{Command, ExitCode};

/// Few: counting is far slower than running, and instructions do not depend on the processor's caches.
const ENTRIES: usize = 10_000;
/// A power of two; made once, so that its making falls out too.
const ORDER_LENGTH: usize = 1 << 14;
const WARM_UPS: usize = 3;
/// What a child says when all went well. A peer may have evicted one entry in a thousand, which does not show in its figure.
const RIGHT: &str = "right";
/// The loop around the gets, and a call that finds nothing: taken off every row.
const LOOP: &str = "the-loop-itself";

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    if let Some((engine, _)) = &args.worker {
        return gets(engine, args.entries.expect("the parent says how many"), &args);
    }
    machine::heading("instructions: instructions per get, counted by callgrind; 31-character keys, 128-byte values");
    if !valgrind_is_there() {
        println!("skipped: there is no valgrind here (Debian package valgrind)");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = engines::load_library() {
        eprintln!("nothing to compare with: {error}");
        return ExitCode::FAILURE;
    }
    let gets = args.entries.unwrap_or(if args.quick { 10_000 } else { 50_000 });
    let around = match per_get(LOOP, gets, &args) {
        Ok(around) => around,
        Err(reason) => {
            println!("skipped: callgrind counted nothing: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    println!(
        "{gets} and {} gets of {ENTRIES} entries, uniform, all hits; the loop's own {around:.0} instructions are taken off",
        2 * gets
    );
    println!("\n  {:<22}{:>14}{:>9}", "engine", "instructions", "to ours");
    let mut known: Vec<(String, f64)> = Vec::new();
    let mut rows = args.engines();
    rows.sort_by_key(|engine| !is_ours(engine));
    let mut failed = false;
    for engine in rows {
        match per_get(&engine, gets, &args) {
            Ok(all) => {
                let own = all - around;
                known.push((engine.clone(), own));
                let ours = known.iter().find(|(name, _)| name == compared_with(&engine)).map(|(_, ours)| own / ours);
                println!(
                    "  {engine:<22}{own:>14.0}{:>9}{}",
                    ours.map_or("-".into(), |ratio| format!("{ratio:.2}")),
                    if !is_ours(&engine) && ours.is_some_and(|ratio| ratio < 1.0) { "  << WE LOSE" } else { "" }
                );
            }
            Err(reason) => {
                println!("  {engine:<22}{reason}");
                // Not being there, or not running under valgrind, is no fault; wrong values are.
                failed |= is_ours(&engine) && reason.contains("wrong");
            }
        }
    }
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn valgrind_is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn per_get(engine: &str, gets: usize, args: &Args) -> Result<f64, String> {
    let (one, two) = (count(engine, gets, args)?, count(engine, 2 * gets, args)?);
    Ok((two as f64 - one as f64) / gets as f64)
}

/// All instructions of a process that makes so many gets.
fn count(engine: &str, gets: usize, args: &Args) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(args.for_worker(engine, "gets"))
        .args(["--entries", &gets.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.trim() != RIGHT {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().or(words.trim().lines().last()).unwrap_or("died");
        return Err(format!("not counted: {last}"));
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let line = words.lines().find_map(|line| line.split("Collected :").nth(1));
    line.and_then(|number| number.trim().parse().ok()).ok_or("callgrind gave no number".to_owned())
}

/// The child. Says that all was right, or what was not.
fn gets(name: &str, count: usize, args: &Args) -> ExitCode {
    let opened = match name {
        // SAFETY: the functions below ignore the handle.
        LOOP => Ok(unsafe { Engine::from_raw(std::ptr::null_mut(), find_nothing, store_nothing, destroy_nothing) }),
        _ => engines::open(name, Shape::with_headroom(ENTRIES), &args.settings),
    };
    let engine = match opened {
        Ok(engine) => engine,
        Err(reason) => {
            println!("absent: {}", reason.replace('\n', " "));
            return ExitCode::SUCCESS;
        }
    };
    let keys = keys(ENTRIES);
    worker::fill(&engine, &keys);
    let order = accesses(Skew::Uniform, ENTRIES, 0, 0, ORDER_LENGTH);
    let mut buffer = [0u8; VALUE_LEN];
    // Once through everything: what engines do at an entry's first hits is not what a hit costs.
    let (mut missing, mut wrong) = (0, 0);
    for _ in 0..WARM_UPS {
        for (id, key) in keys.iter().enumerate() {
            match engine.read(key.bytes(), &mut buffer) {
                Ok(_) => wrong += usize::from(!Value::ends_match(id as u32, &buffer)),
                Err(_) => missing += 1,
            }
        }
    }
    for index in 0..count {
        let id = order[index % ORDER_LENGTH] as usize;
        missing += usize::from(engine.read(keys[id].bytes(), &mut buffer).is_err());
    }
    let bearable = if is_ours(name) { 0 } else { (count + WARM_UPS * ENTRIES) / 1000 };
    match (wrong, missing) {
        _ if name == LOOP => println!("{RIGHT}"),
        (0, missing) if missing <= bearable => println!("{RIGHT}"),
        (wrong, missing) => println!("{wrong} wrong values, {missing} missing"),
    }
    ExitCode::SUCCESS
}

#[inline(never)]
unsafe extern "C" fn find_nothing(_: *mut c_void, _: *const u8, _: usize, _: *mut u8, _: usize, _: *mut usize) -> i32 {
    NOT_FOUND
}

#[inline(never)]
unsafe extern "C" fn store_nothing(_: *mut c_void, _: *const u8, _: usize, _: *const u8, _: usize, _: u64) -> i32 {
    OK
}

unsafe extern "C" fn destroy_nothing(_: *mut c_void) {}
