//! Our library, loaded as a C program or Python loads it, through its modern interface. `catzilla_cache_read` and
//! `catzilla_cache_put` are called as they are: they have the signatures the door has.

use super::reason;
use crate::engine::{Engine, OwnAccount, Put, Read, Shape};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_char, c_void, CStr, CString};
use std::path::PathBuf;

pub const ENV: &str = "CATZILLA_LIBRARY";

/// The header's `CATZILLA_TTL_FOREVER`.
pub const FOREVER: u64 = u64::MAX;
pub const HOUR_MS: u64 = 3_600_000;

/// What the rows use where the library has it: the policy that was made for what they measure. Options from the command line
/// come after it.
const POLICY: (&str, &str) = ("memory.policy", "s3fifo");

/// The start of `catzilla_statistics_t`; the library fills as much of it as `struct_size` says.
#[repr(C)]
#[derive(Default)]
struct Statistics {
    struct_size: usize,
    hits: u64,
    misses: u64,
    requests: u64,
    hit_ratio: f64,
    puts: u64,
    removals: u64,
    memory_hits: u64,
    memory_misses: u64,
    memory_entries: u64,
    memory_capacity: u64,
    memory_bytes: u64,
    memory_max_bytes: u64,
    memory_index_bytes: u64,
    memory_lent_bytes: u64,
    memory_active_bytes: u64,
    memory_evictions: u64,
    memory_expirations: u64,
    memory_compressed_puts: u64,
    memory_compression_input_bytes: u64,
    memory_compression_output_bytes: u64,
    memory_compression_ratio: f64,
}

type OptionsCreate = unsafe extern "C" fn() -> *mut c_void;
type OptionsSet = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> i32;
type OptionsDestroy = unsafe extern "C" fn(*mut c_void);
type Open = unsafe extern "C" fn(*const c_void, *mut *mut c_void) -> i32;
type Destroy = unsafe extern "C" fn(*mut c_void);
type AskStatistics = unsafe extern "C" fn(*mut c_void, *mut Statistics) -> i32;
type Text = unsafe extern "C" fn() -> *const c_char;

pub fn find() -> PathBuf {
    std::env::var_os(ENV).map_or_else(|| super::repository().join("target/release/libcatzilla_cache.so"), PathBuf::from)
}

/// Loads the library for good (it is linked never to be unloaded).
pub fn load() -> Result<Library, String> {
    let path = find();
    // SAFETY: loading it runs no code of ours beyond the allocator's set-up.
    unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| format!("{}; build it with `make build`, or name it in {ENV}", reason(error)))
}

/// Opens a cache with `options` (name, value) on top of the capacity that the scenario asks for. Every put passes `ttl_ms`.
pub fn open(library: &Library, shape: Shape, ttl_ms: u64, options: &[(String, String)]) -> Result<Engine, String> {
    // SAFETY: the signatures of the header; the option object and the out-pointer live through the calls.
    unsafe {
        let create: OptionsCreate = *library.get(b"catzilla_options_create\0").map_err(reason)?;
        let set: OptionsSet = *library.get(b"catzilla_options_set\0").map_err(reason)?;
        let drop_options: OptionsDestroy = *library.get(b"catzilla_options_destroy\0").map_err(reason)?;
        let open: Open = *library.get(b"catzilla_cache_open\0").map_err(reason)?;
        let read: Read = *library.get(b"catzilla_cache_read\0").map_err(reason)?;
        let put: Put = *library.get(b"catzilla_cache_put\0").map_err(reason)?;
        let destroy: Destroy = *library.get(b"catzilla_cache_destroy\0").map_err(reason)?;
        let ask: AskStatistics = *library.get(b"catzilla_cache_statistics\0").map_err(reason)?;

        let object = create();
        let capacity = ("memory.capacity".to_owned(), shape.capacity.to_string());
        // A library that does not know the policy leaves the options as they were.
        try_policy(set, object);
        let mut status = 0;
        for (name, value) in std::iter::once(&capacity).chain(options) {
            let name = CString::new(name.as_str()).map_err(|error| error.to_string())?;
            let value = CString::new(value.as_str()).map_err(|error| error.to_string())?;
            status = set(object, name.as_ptr(), value.as_ptr());
            if status != 0 {
                break;
            }
        }
        let mut cache = std::ptr::null_mut();
        if status == 0 {
            status = open(object, &mut cache);
        }
        drop_options(object);
        if status != 0 {
            return Err(text(library, b"catzilla_last_error_message\0")?);
        }
        let engine = Engine::from_raw(cache, read, put, destroy).with_ttl_ms(ttl_ms);
        Ok(engine.with_account(Box::new(move |cache| {
            let mut statistics = Statistics { struct_size: size_of::<Statistics>(), ..Statistics::default() };
            ask(cache, &mut statistics);
            OwnAccount {
                counted: statistics.memory_bytes,
                active: Some(statistics.memory_active_bytes).filter(|&active| active > 0),
                compression: (statistics.memory_compressed_puts > 0).then_some(statistics.memory_compression_ratio),
            }
        })))
    }
}

/// # Safety
/// `set` is the library's function and `object` an options object of it.
unsafe fn try_policy(set: OptionsSet, object: *mut c_void) -> bool {
    let [name, value] = [POLICY.0, POLICY.1].map(|text| CString::new(text).expect("a constant without NUL"));
    // SAFETY: see above; the strings live through the call.
    unsafe { set(object, name.as_ptr(), value.as_ptr()) == 0 }
}

/// The policy of the rows that do not name one.
pub fn policy(library: &Library) -> Option<String> {
    // SAFETY: the signatures of the header.
    let known = unsafe {
        let create: OptionsCreate = *library.get(b"catzilla_options_create\0").ok()?;
        let set: OptionsSet = *library.get(b"catzilla_options_set\0").ok()?;
        let drop_options: OptionsDestroy = *library.get(b"catzilla_options_destroy\0").ok()?;
        let object = create();
        let known = try_policy(set, object);
        drop_options(object);
        known
    };
    match known {
        true => Some(POLICY.1.to_owned()),
        false => option_default(library, POLICY.0),
    }
}

/// What a function without arguments that returns a C string says.
pub fn text(library: &Library, function: &[u8]) -> Result<String, String> {
    // SAFETY: such functions of the header never return NULL.
    unsafe {
        let function: Text = *library.get(function).map_err(reason)?;
        Ok(CStr::from_ptr(function()).to_string_lossy().into_owned())
    }
}

#[repr(C)]
struct OptionInfo {
    name: *const c_char,
    kind: *const c_char,
    default_value: *const c_char,
}

/// The default of an option, as the library's own table gives it.
fn option_default(library: &Library, wanted: &str) -> Option<String> {
    // SAFETY: the signatures of the header; the records are static storage and begin with these three strings.
    unsafe {
        let count: unsafe extern "C" fn() -> usize = *library.get(b"catzilla_option_count\0").ok()?;
        let info: unsafe extern "C" fn(usize) -> *const OptionInfo = *library.get(b"catzilla_option_info\0").ok()?;
        (0..count())
            .map(|index| &*info(index))
            .find(|row| CStr::from_ptr(row.name).to_bytes() == wanted.as_bytes())
            .map(|row| CStr::from_ptr(row.default_value).to_string_lossy().into_owned())
    }
}
