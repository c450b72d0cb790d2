//! What does it save to ask for many keys in one call? `catzilla_cache_get_many` beside as many single reads of the same keys,
//! and its two siblings beside single puts and removals.

use catzilla_benches::args::Args;
use catzilla_benches::engine::{Engine, Shape, NOT_FOUND, OK};
use catzilla_benches::engines::{self, FOREVER, OURS};
use catzilla_benches::keys::{accesses, keys, Key, Skew, Value, VALUE_LEN};
use catzilla_benches::ways::{take_turns, way, Way};
use catzilla_benches::{machine, worker};
use std::cell::Cell;
use std::ffi::c_void;
use std::process::ExitCode;

/// Keys in one call.
const SIZES: [usize; 5] = [8, 16, 32, 64, 256];
/// Long enough that no cache of the processor's holds what was asked for last time. A multiple of every size.
const ORDER_LENGTH: usize = 1 << 20;
/// The clock is looked at once in so many keys.
const KEYS_A_LOOK: usize = 1024;

/// `catzilla_get_t` of the header.
#[repr(C)]
struct Get {
    key: *const c_void,
    key_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    value_len: usize,
    status: i32,
}

/// `catzilla_put_t` of the header.
#[repr(C)]
struct Put {
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl_ms: u64,
    status: i32,
}

/// `catzilla_remove_t` of the header.
#[repr(C)]
struct Remove {
    key: *const c_void,
    key_len: usize,
    status: i32,
}

const _: () = assert!(size_of::<Get>() == 48 && size_of::<Put>() == 48 && size_of::<Remove>() == 24);

type GetMany = unsafe extern "C" fn(*mut c_void, *mut Get, usize) -> i32;
type PutMany = unsafe extern "C" fn(*mut c_void, *mut Put, usize) -> i32;
type RemoveMany = unsafe extern "C" fn(*mut c_void, *mut Remove, usize) -> i32;
type RemoveOne = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> i32;

/// What all comparisons work on.
struct Bench<'a> {
    engine: &'a Engine,
    keys: &'a [Key],
    order: &'a [u32],
    args: &'a Args,
    /// Calls that failed and values that were not what was stored.
    wrong: Cell<u64>,
}

fn main() -> ExitCode {
    let args = Args::from_command_line();
    let entries = args.entries.unwrap_or(if args.quick { 100_000 } else { 1_000_000 });
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    machine::heading("batch: many keys in a call beside one by one, nanoseconds per key, one thread");
    let library = match engines::load_library() {
        Ok(library) => library,
        Err(error) => {
            eprintln!("nothing to measure: {error}");
            return ExitCode::FAILURE;
        }
    };
    // SAFETY: the signatures of the header; the library is linked never to be unloaded.
    let (get_many, put_many, remove_many, remove_one) = unsafe {
        (
            library.get::<GetMany>(b"catzilla_cache_get_many\0").map(|function| *function),
            library.get::<PutMany>(b"catzilla_cache_put_many\0").map(|function| *function),
            library.get::<RemoveMany>(b"catzilla_cache_remove_many\0").map(|function| *function),
            library.get::<RemoveOne>(b"catzilla_cache_remove\0").map(|function| *function),
        )
    };
    let Ok(get_many) = get_many else {
        println!("skipped: this library has no catzilla_cache_get_many");
        return ExitCode::SUCCESS;
    };
    println!(
        "{entries} entries, uniform; {} rounds of {} ms each, ways in turns; ratio above 1: the batch is faster",
        args.rounds,
        args.round.as_millis()
    );
    let engine = match engines::open(OURS, Shape::with_headroom(entries), &args.settings) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("OUR LIBRARY FAILED: {error}");
            return ExitCode::FAILURE;
        }
    };
    let keys = keys(entries);
    worker::fill(&engine, &keys);
    let order = accesses(Skew::Uniform, entries, 0, 0, ORDER_LENGTH);
    let bench = Bench { engine: &engine, keys: &keys, order: &order, args: &args, wrong: Cell::new(0) };
    head("get", "one by one", "get_many");
    for size in SIZES {
        bench.gets(get_many, size);
    }
    if let Ok(put_many) = put_many {
        head("put, of keys that are there", "one by one", "put_many");
        for size in SIZES {
            bench.puts(put_many, size);
        }
        if let (Ok(remove_many), Ok(remove_one)) = (remove_many, remove_one) {
            head("remove, and put again", "one by one", "both _many");
            for size in SIZES {
                bench.removals(remove_many, remove_one, put_many, size);
            }
        }
    }
    bench.read_all();
    match bench.wrong.get() {
        0 => ExitCode::SUCCESS,
        wrong => {
            println!("OUR LIBRARY FAILED: {wrong} wrong values or failed calls");
            ExitCode::FAILURE
        }
    }
}

fn head(what: &str, singly: &str, together: &str) {
    println!("\n{what}\n  {:<16}{singly:>16}{together:>16}{:>18}", "keys in a call", "ratio");
}

fn print_line(size: usize, singly: &Way, together: &Way) {
    let a_key = |way: &Way| way.median() / size as f64;
    println!(
        "  {size:<16}{:>16.1}{:>16.1}{:>18.2}{}",
        a_key(singly),
        a_key(together),
        singly.over(together),
        if singly.over(together) < 1.0 { "  << NOTHING SAVED" } else { "" }
    );
}

/// Prints a line each. Both ways do the same and look at every result; what differs is the calls, and writing down what is
/// asked for is part of the call that needs it.
impl Bench<'_> {
    fn expect(&self, right: bool) {
        if !right {
            self.wrong.set(self.wrong.get() + 1);
        }
    }

    fn measure<'w>(&self, size: usize, singly: impl FnMut(usize) + 'w, together: impl FnMut(usize) + 'w) {
        let mut ways = [way("one by one", singly), way("together", together)];
        take_turns(&mut ways, (KEYS_A_LOOK / size).max(1), self.args);
        print_line(size, &ways[0], &ways[1]);
    }

    fn gets(&self, get_many: GetMany, size: usize) {
        let (mut some, mut others) = (Groups::new(self, size), Groups::new(self, size));
        let mut buffers = vec![[0u8; VALUE_LEN]; size];
        let mut found = vec![0usize; size];
        let mut own_buffers = vec![[0u8; VALUE_LEN]; size];
        let mut items: Vec<Get> = own_buffers
            .iter_mut()
            .map(|buffer| Get {
                key: std::ptr::null(),
                key_len: 0,
                buffer: buffer.as_mut_ptr().cast(),
                capacity: VALUE_LEN,
                value_len: 0,
                status: 0,
            })
            .collect();
        let singly = |groups| {
            for _ in 0..groups {
                let ids = some.next();
                for ((&id, buffer), len) in ids.iter().zip(&mut buffers).zip(&mut found) {
                    *len = self.engine.read(self.keys[id as usize].bytes(), buffer).unwrap_or(0);
                }
                for ((&id, buffer), &len) in ids.iter().zip(&buffers).zip(&found) {
                    self.expect(len == VALUE_LEN && Value::ends_match(id, buffer));
                }
            }
        };
        let together = |groups| {
            for _ in 0..groups {
                let ids = others.next();
                for (&id, item) in ids.iter().zip(&mut items) {
                    let key = self.keys[id as usize].bytes();
                    (item.key, item.key_len) = (key.as_ptr().cast(), key.len());
                }
                // SAFETY: the items' keys and buffers are live and of the lengths given.
                self.expect(unsafe { get_many(self.engine.handle(), items.as_mut_ptr(), items.len()) } == OK);
                for (&id, item) in ids.iter().zip(&items) {
                    // SAFETY: one of `own_buffers`, which nothing else touches and which are as long as a value.
                    let buffer = unsafe { std::slice::from_raw_parts(item.buffer.cast::<u8>(), VALUE_LEN) };
                    self.expect(item.status == OK && item.value_len == VALUE_LEN && Value::ends_match(id, buffer));
                }
            }
        };
        self.measure(size, singly, together);
    }

    fn puts(&self, put_many: PutMany, size: usize) {
        let (mut some, mut others) = (Groups::new(self, size), Groups::new(self, size));
        let mut value = Value::new();
        let mut batch = Batch::new(size);
        let singly = |groups| {
            for _ in 0..groups {
                for &id in some.next() {
                    self.expect(self.engine.put(self.keys[id as usize].bytes(), value.stamp(id)) == OK);
                }
            }
        };
        let together = |groups| {
            for _ in 0..groups {
                self.put_batch(put_many, &mut batch, others.next());
            }
        };
        self.measure(size, singly, together);
    }

    fn removals(&self, remove_many: RemoveMany, remove_one: RemoveOne, put_many: PutMany, size: usize) {
        let (mut some, mut others) = (Groups::new(self, size), Groups::new(self, size));
        let mut value = Value::new();
        let mut batch = Batch::new(size);
        let mut items: Vec<Remove> =
            (0..size).map(|_| Remove { key: std::ptr::null(), key_len: 0, status: 0 }).collect();
        // A key that a group has twice is gone the second time.
        let gone = |status: i32| status == OK || status == NOT_FOUND;
        let singly = |groups| {
            for _ in 0..groups {
                let ids = some.next();
                for &id in ids {
                    let key = self.keys[id as usize].bytes();
                    // SAFETY: the engine's own handle and a live key.
                    self.expect(gone(unsafe { remove_one(self.engine.handle(), key.as_ptr(), key.len()) }));
                }
                for &id in ids {
                    self.expect(self.engine.put(self.keys[id as usize].bytes(), value.stamp(id)) == OK);
                }
            }
        };
        let together = |groups| {
            for _ in 0..groups {
                let ids = others.next();
                for (&id, item) in ids.iter().zip(&mut items) {
                    let key = self.keys[id as usize].bytes();
                    (item.key, item.key_len) = (key.as_ptr().cast(), key.len());
                }
                // SAFETY: the items' keys are live and of the lengths given.
                self.expect(unsafe { remove_many(self.engine.handle(), items.as_mut_ptr(), items.len()) } == OK);
                items.iter().for_each(|item| self.expect(gone(item.status)));
                self.put_batch(put_many, &mut batch, ids);
            }
        };
        self.measure(size, singly, together);
    }

    fn put_batch(&self, put_many: PutMany, batch: &mut Batch, ids: &[u32]) {
        for ((&id, item), value) in ids.iter().zip(&mut batch.items).zip(&mut batch.values) {
            let (key, value) = (self.keys[id as usize].bytes(), value.stamp(id));
            (item.key, item.key_len) = (key.as_ptr().cast(), key.len());
            (item.value, item.value_len) = (value.as_ptr().cast(), value.len());
        }
        // SAFETY: the items' keys and values are live and of the lengths given.
        self.expect(unsafe { put_many(self.engine.handle(), batch.items.as_mut_ptr(), batch.items.len()) } == OK);
        batch.items.iter().for_each(|item| self.expect(item.status == OK));
    }

    /// After all the writing, everything has to be there.
    fn read_all(&self) {
        let mut buffer = [0u8; VALUE_LEN];
        for (id, key) in self.keys.iter().enumerate() {
            let found = self.engine.read(key.bytes(), &mut buffer);
            self.expect(found == Ok(VALUE_LEN) && Value::ends_match(id as u32, &buffer));
        }
    }
}

/// The items of a `put_many`, and what they point to.
struct Batch {
    items: Vec<Put>,
    values: Vec<Value>,
}

impl Batch {
    fn new(size: usize) -> Batch {
        let empty = || Put {
            key: std::ptr::null(),
            key_len: 0,
            value: std::ptr::null(),
            value_len: 0,
            ttl_ms: FOREVER,
            status: 0,
        };
        Batch { items: (0..size).map(|_| empty()).collect(), values: vec![Value::new(); size] }
    }
}

/// The order of keys, in groups of one size.
struct Groups<'a> {
    keys: &'a [Key],
    order: &'a [u32],
    size: usize,
    at: usize,
}

impl<'a> Groups<'a> {
    fn new(bench: &Bench<'a>, size: usize) -> Groups<'a> {
        Groups { keys: bench.keys, order: bench.order, size, at: 0 }
    }

    /// The keys of the group after this one are fetched meanwhile: a caller has just made its keys.
    fn next(&mut self) -> &'a [u32] {
        let ids = &self.order[self.at..self.at + self.size];
        self.at = (self.at + self.size) % self.order.len();
        for &id in &self.order[self.at..self.at + self.size] {
            self.keys[id as usize].prefetch();
        }
        ids
    }
}
