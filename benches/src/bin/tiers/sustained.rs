//! How many values of 1 KiB a second does a store on disk take that is bounded and full, so that each put drives another value out? Ours
//! through the C interface, beside diskcache (Python), a file for each key, and LMDB.

use crate::cache::{self, Folder, Tiers};
use crate::disk::{random_value, scattered, stamp, VALUE};
use crate::stores::{Files, Lmdb, Store};
use crate::{Goal, Verdict};
use catzilla_benches::args::Args;
use catzilla_benches::engine::OK;
use std::process::Command;
use std::time::{Duration, Instant};

const IN_MEMORY: usize = 1_000;

/// How often what is there is written anew in all: half of it into a store that is not full yet.
const TIMES_THE_BOUND: usize = 3;

/// What a store got done.
struct Done {
    puts: usize,
    seconds: f64,
    /// Whether it had to drive values out.
    was_full: bool,
}

impl Done {
    fn a_second(&self) -> f64 {
        self.puts as f64 / self.seconds
    }
}

pub fn ask(args: &Args, verdict: &mut Verdict) {
    let mib = if args.quick { 128 } else { 1024 };
    let bound = mib << 20;
    // Of others as much as time allows: some take a hundred times as long.
    let patience = Duration::from_secs(if args.quick { 4 } else { 30 });
    println!(
        "\nsustained: values of {VALUE} bytes that cannot be compressed, one thread, into {mib} MiB, puts a second"
    );
    let ours = ours(mib, verdict);
    println!("  {:<38}{:>12.0}", "catzilla, disk.max_bytes", ours.a_second());
    let folder = Folder::make();
    let rows: [(&str, Result<Done, String>); 3] = [
        (
            "LMDB (synced once a second, oldest out)",
            Lmdb::open(&folder, bound).map(|store| fill(store, bound, patience)),
        ),
        ("a file for each key (oldest out)", Files::open(&folder, bound).map(|store| fill(store, bound, patience))),
        ("diskcache (Python, size_limit)", diskcache(&folder, bound, patience)),
    ];
    for (name, done) in rows {
        match done {
            Ok(done) => {
                let ratio = ours.a_second() / done.a_second();
                let remark = if ratio < 1.0 { "  << WE LOSE" } else { "" };
                let full = if done.was_full { "" } else { "  (was not full in its time)" };
                println!("  {name:<38}{:>12.0}  ours {ratio:.2} times as many{full}{remark}", done.a_second());
            }
            Err(why) => println!("  {name:<38}{:>12}  {why}", "absent"),
        }
    }
    verdict.line("sustained puts of 1 KiB a second", ours.a_second() / 1e3, "k", Goal::AtLeast(60.0));
}

fn ours(mib: usize, verdict: &mut Verdict) -> Done {
    let folder = Folder::make();
    let max_bytes = format!("{mib}MiB");
    let options = [("disk.max_bytes", max_bytes.as_str())];
    let engine = Tiers { folder: Some(&folder), options: &options, ..Tiers::default() }.open(IN_MEMORY);
    let puts = TIMES_THE_BOUND * (mib << 20) / VALUE;
    let mut value = random_value(1);
    let (mut largest, mut longest) = (0, Duration::ZERO);
    let begun = Instant::now();
    for id in 0..puts {
        stamp(&mut value, id);
        let put = Instant::now();
        verdict.expect(engine.put(scattered(id).bytes(), &value) == OK, "sustained: a put failed");
        longest = longest.max(put.elapsed());
        if id % 4096 == 0 {
            largest = largest.max(cache::figures(&engine, cache::DISK).bytes);
        }
    }
    cache::flush(&engine);
    let seconds = begun.elapsed().as_secs_f64();
    let figures = cache::figures(&engine, cache::DISK);
    largest = largest.max(figures.bytes);
    println!(
        "  catzilla: {} of {puts} writes dropped, {} evicted, file and log at most {:.1} MiB, the longest put {:.1} ms",
        figures.dropped,
        figures.evictions,
        largest as f64 / f64::from(1 << 20),
        longest.as_secs_f64() * 1e3
    );
    verdict.expect(figures.errors == 0, "sustained: errors of the tier");
    verdict.expect(figures.evictions > 0, "sustained: nothing was evicted, so the bound was not reached");
    // What was dropped was not put.
    let dropped = usize::try_from(figures.dropped).unwrap_or(usize::MAX).min(puts);
    Done { puts: puts - dropped, seconds, was_full: figures.evictions > 0 }
}

fn fill(mut store: impl Store, bound: usize, patience: Duration) -> Done {
    let puts = TIMES_THE_BOUND * bound / VALUE;
    let mut value = random_value(1);
    let begun = Instant::now();
    let mut done = 0;
    while done < puts && (done % 256 != 0 || begun.elapsed() < patience) {
        stamp(&mut value, done);
        store.put(done, scattered(done).bytes(), &value);
        done += 1;
    }
    store.finish();
    Done { puts: done, seconds: begun.elapsed().as_secs_f64(), was_full: store.evicted() > 0 }
}

const DISKCACHE: &str = r#"
import sys, time, os
import diskcache
folder, bound, size, patience, puts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
cache = diskcache.Cache(folder, size_limit=bound, eviction_policy="least-recently-stored")
values = [os.urandom(size) for _ in range(64)]
begun, done = time.monotonic(), 0
while done < puts and (done % 64 or time.monotonic() - begun < patience):
    cache.set("bench:%08d" % (done * 61803399 % 99999989), values[done % 64])
    done += 1
print(done, time.monotonic() - begun, int(len(cache) < done))
"#;

fn diskcache(folder: &Folder, bound: usize, patience: Duration) -> Result<Done, String> {
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/../build/bench-packages");
    let output = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()))
        .args(["-c", DISKCACHE])
        .arg(folder.path().join("diskcache"))
        .args([bound, VALUE].map(|number| number.to_string()))
        .arg(patience.as_secs().to_string())
        .arg((TIMES_THE_BOUND * bound / VALUE).to_string())
        .env("PYTHONPATH", packages)
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let words: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match words[..] {
        [puts, seconds, was_full] => Ok(Done { puts: puts as usize, seconds, was_full: was_full > 0.0 }),
        _ => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(error.lines().last().unwrap_or("said nothing").to_owned())
        }
    }
}
