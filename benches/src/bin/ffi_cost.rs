//! What does the C boundary cost, which way through it is the cheapest, and from which size on is a pinned value cheaper
//! than a copied one? One thread, one key that is in the processor's cache: nothing is left but instructions.

use catzilla_benches::args::Args;
use catzilla_benches::ways::{self, way, Way};
use catzilla_benches::{engines, machine};
use libloading::os::unix::Library;
use std::ffi::{c_char, c_void};
use std::hint::black_box;
use std::process::ExitCode;

const KEY: &std::ffi::CStr = c"bench:00000000:0123456789abcdef";
const ABSENT: &std::ffi::CStr = c"bench:00000000:0000000000000000";
/// Empty, the size of the other benchmarks, two that are typical of pages and fragments, and one that no cache level likes.
/// The last three are above the size from which values are compressed, so that is switched off here.
const SIZES: [usize; 5] = [0, 128, 1 << 10, 8 << 10, 64 << 10];
/// The clock is looked at once in so many calls: below 1% of the cheapest.
const BATCH: usize = 4096;

type Handle = *mut c_void;

#[repr(C)]
struct ClassicResult {
    data: *mut c_void,
    size: usize,
    found: bool,
}

/// The functions whose cost is asked for, by the names and signatures of the header.
struct Calls {
    abi_version: unsafe extern "C" fn() -> u32,
    options_create: unsafe extern "C" fn() -> Handle,
    options_set: unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> i32,
    options_destroy: unsafe extern "C" fn(Handle),
    open: unsafe extern "C" fn(Handle, *mut Handle) -> i32,
    destroy: unsafe extern "C" fn(Handle),
    put: unsafe extern "C" fn(Handle, *const c_void, usize, *const c_void, usize, u64) -> i32,
    read: unsafe extern "C" fn(Handle, *const c_void, usize, *mut c_void, usize, *mut usize) -> i32,
    contains: unsafe extern "C" fn(Handle, *const c_void, usize) -> i32,
    acquire: unsafe extern "C" fn(Handle, *const c_void, usize, *mut Handle) -> i32,
    value_data: unsafe extern "C" fn(Handle) -> *const c_void,
    value_size: unsafe extern "C" fn(Handle) -> usize,
    value_release: unsafe extern "C" fn(Handle),
    classic_get: unsafe extern "C" fn(Handle, *const c_char) -> ClassicResult,
    classic_exists: unsafe extern "C" fn(Handle, *const c_char) -> bool,
}

impl Calls {
    fn of(library: &Library) -> Result<Calls, libloading::Error> {
        // SAFETY: the signatures of the header, which the library was loaded for.
        unsafe {
            Ok(Calls {
                abi_version: *library.get(b"catzilla_abi_version\0")?,
                options_create: *library.get(b"catzilla_options_create\0")?,
                options_set: *library.get(b"catzilla_options_set\0")?,
                options_destroy: *library.get(b"catzilla_options_destroy\0")?,
                open: *library.get(b"catzilla_cache_open\0")?,
                destroy: *library.get(b"catzilla_cache_destroy\0")?,
                put: *library.get(b"catzilla_cache_put\0")?,
                read: *library.get(b"catzilla_cache_read\0")?,
                contains: *library.get(b"catzilla_cache_contains\0")?,
                acquire: *library.get(b"catzilla_cache_acquire\0")?,
                value_data: *library.get(b"catzilla_value_data\0")?,
                value_size: *library.get(b"catzilla_value_size\0")?,
                value_release: *library.get(b"catzilla_value_release\0")?,
                classic_get: *library.get(b"catzilla_cache_get\0")?,
                classic_exists: *library.get(b"catzilla_cache_exists\0")?,
            })
        }
    }

    /// A cache with one entry.
    fn cache_of(&self, value: &[u8], settings: &[(String, String)]) -> Result<Handle, String> {
        let text = |text: &str| std::ffi::CString::new(text).map_err(|error| error.to_string());
        let plain = ("memory.compression".to_owned(), "off".to_owned());
        // SAFETY: live strings, out-pointers and buffers of the lengths passed.
        unsafe {
            let options = (self.options_create)();
            let mut status = 0;
            for (name, value) in std::iter::once(&plain).chain(settings) {
                status = status.min((self.options_set)(options, text(name)?.as_ptr(), text(value)?.as_ptr()));
            }
            let mut cache = std::ptr::null_mut();
            if status == 0 {
                status = (self.open)(options, &mut cache);
            }
            (self.options_destroy)(options);
            if status == 0 {
                let key = KEY.to_bytes();
                status = (self.put)(cache, key.as_ptr().cast(), key.len(), value.as_ptr().cast(), value.len(), 0);
            }
            match status {
                0 => Ok(cache),
                status => Err(format!("status {status} while a cache was set up")),
            }
        }
    }
}

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    machine::heading("ffi_cost: what the C boundary costs, nanoseconds per call, one thread, one hot key");
    let calls = engines::load_library().and_then(|library| {
        Calls::of(&library).map_err(|error| error.to_string()).inspect(|_| std::mem::forget(library))
    });
    let calls = match calls {
        Ok(calls) => calls,
        Err(error) => {
            eprintln!("nothing to measure: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{} rounds of {} ms each, ways in turns", args.rounds, args.round.as_millis());
    let done =
        boundary(&calls, &args).and_then(|()| SIZES.iter().try_for_each(|&size| read_or_pin(&calls, size, &args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("OUR LIBRARY FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Calls that copy nothing, from the emptiest to a look-up.
fn boundary(calls: &Calls, args: &Args) -> Result<(), String> {
    let cache = calls.cache_of(&[7; 128], &args.settings.options)?;
    let (key, absent) = (KEY.to_bytes(), ABSENT.to_bytes());
    // SAFETY (every block below): the cache lives until `destroy`, keys are live and of the length passed.
    let mut ways = vec![
        way("an empty C function of this program, by pointer", |count| {
            let call: extern "C" fn(Handle, *const c_void, usize) -> i32 = black_box(nothing);
            for _ in 0..count {
                black_box(call(cache, key.as_ptr().cast(), key.len()));
            }
        }),
        way("catzilla_abi_version: into the library and back", |count| {
            for _ in 0..count {
                // SAFETY: no preconditions.
                black_box(unsafe { (calls.abi_version)() });
            }
        }),
        way("catzilla_cache_contains, absent", |count| {
            for _ in 0..count {
                // SAFETY: see above.
                black_box(unsafe { (calls.contains)(cache, absent.as_ptr().cast(), absent.len()) });
            }
        }),
        way("catzilla_cache_contains, present", |count| {
            for _ in 0..count {
                // SAFETY: see above.
                black_box(unsafe { (calls.contains)(cache, key.as_ptr().cast(), key.len()) });
            }
        }),
        way("catzilla_cache_exists, present (C string)", |count| {
            for _ in 0..count {
                // SAFETY: see above.
                black_box(unsafe { (calls.classic_exists)(cache, KEY.as_ptr()) });
            }
        }),
    ];
    take_turns(&mut ways, args);
    print_table("the boundary, and a look-up behind it", &ways);
    drop(ways);
    // SAFETY: opened above, no call is under way.
    unsafe { (calls.destroy)(cache) };
    Ok(())
}

/// The three ways to the bytes of a value of `size`; each reads the first and the last of them.
fn read_or_pin(calls: &Calls, size: usize, args: &Args) -> Result<(), String> {
    let stored: Vec<u8> = (0..size).map(|at| at as u8 ^ 0x35).collect();
    let cache = calls.cache_of(&stored, &args.settings.options)?;
    let key = KEY.to_bytes();
    let (copy, pinned, classic) = (Source::default(), Source::default(), Source::default());
    let mut buffer = vec![0u8; size.max(1)];
    let mut ways = vec![
        way("catzilla_cache_read: a copy", |count| {
            for _ in 0..count {
                let mut len = 0;
                // SAFETY: see `boundary`; the buffer is as long as it says.
                let status = unsafe {
                    (calls.read)(
                        cache,
                        key.as_ptr().cast(),
                        key.len(),
                        buffer.as_mut_ptr().cast(),
                        buffer.len(),
                        &mut len,
                    )
                };
                copy.saw(status == 0, &stored, buffer.as_ptr(), len);
            }
        }),
        way("catzilla_cache_acquire, data, size, release", |count| {
            for _ in 0..count {
                let mut value = std::ptr::null_mut();
                // SAFETY: see `boundary`; the value is held until it is released.
                unsafe {
                    let status = (calls.acquire)(cache, key.as_ptr().cast(), key.len(), &mut value);
                    let data = (calls.value_data)(value);
                    let len = (calls.value_size)(value);
                    pinned.saw(status == 0, &stored, data.cast(), len);
                    (calls.value_release)(value);
                }
            }
        }),
        way("catzilla_cache_get: a lent result (C string)", |count| {
            for _ in 0..count {
                // SAFETY: see `boundary`; the result outlives the next 63 gets of this thread.
                unsafe {
                    let result = (calls.classic_get)(cache, KEY.as_ptr());
                    classic.saw(result.found, &stored, result.data.cast(), result.size);
                }
            }
        }),
    ];
    take_turns(&mut ways, args);
    print_table(&format!("a value of {size} bytes"), &ways);
    drop(ways);
    // SAFETY: opened above, nothing of it is held any more.
    unsafe { (calls.destroy)(cache) };
    match copy.wrong.get() + pinned.wrong.get() + classic.wrong.get() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} wrong values of {size} bytes")),
    }
}

/// Counts what a way to the bytes got wrong.
#[derive(Default)]
struct Source {
    wrong: std::cell::Cell<u64>,
}

impl Source {
    #[inline(always)]
    fn saw(&self, found: bool, stored: &[u8], data: *const u8, len: usize) {
        let right = found
            && len == stored.len()
            && (len == 0
                // SAFETY: `data` points to `len` bytes, as the call that gave it says.
                || unsafe { *data == stored[0] && *data.add(len - 1) == stored[len - 1] });
        if !right {
            self.wrong.set(self.wrong.get() + 1);
        }
    }
}

#[inline(never)]
extern "C" fn nothing(_: Handle, _: *const c_void, _: usize) -> i32 {
    black_box(0)
}

fn take_turns(ways: &mut [Way], args: &Args) {
    ways::take_turns(ways, BATCH, args);
}

fn print_table(title: &str, ways: &[Way]) {
    println!("\n{title}");
    println!("  {:<50}{:>9}{:>10}", "call", "ns", "to first");
    for way in ways {
        println!("  {:<50}{:>9.1}{:>10.2}", way.name, way.median(), way.over(&ways[0]),);
    }
}
