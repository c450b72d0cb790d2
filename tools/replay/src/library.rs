//! The C interface of catzilla-cache, and the only unsafe code of this package.
//!
//! The shared object is loaded at run time and its functions are looked up by name, so nothing of the library's Rust
//! side is compiled in. The declarations repeat those of `include/catzilla_cache.h`; that they fit is what the ABI number
//! stands for, which is checked before any other call.

use std::ffi::{c_char, c_void, CStr, CString};
use std::fmt;
use std::mem::{size_of, ManuallyDrop};
use std::path::Path;
use std::ptr;

use crate::failure::Failure;

/// The ABI this file was written for.
const ABI: u32 = 1;

type Status = i32;
const OK: Status = 0;
const NOT_FOUND: Status = 1;
const TRUNCATED: Status = 2;
const VALUE_TOO_LARGE: Status = -201;

/// `catzilla_options_t` and `catzilla_cache_t`, of which only addresses are known here.
#[repr(C)]
struct RawOptions {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawCache {
    _opaque: [u8; 0],
}

/// `catzilla_option_info_t`.
#[repr(C)]
struct RawOptionInfo {
    name: *const c_char,
    kind: *const c_char,
    default_value: *const c_char,
    range: *const c_char,
    help: *const c_char,
    live: bool,
}

/// `catzilla_statistics_t`, whose fields stand in this order: the library fills as many bytes as `struct_size` offers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    struct_size: usize,
    pub hits: u64,
    pub misses: u64,
    requests: u64,
    hit_ratio: f64,
    puts: u64,
    removals: u64,
    pub memory_hits: u64,
    memory_misses: u64,
    pub memory_entries: u64,
    memory_capacity: u64,
    pub memory_bytes: u64,
    memory_max_bytes: u64,
    memory_index_bytes: u64,
    memory_lent_bytes: u64,
    memory_active_bytes: u64,
    pub memory_evictions: u64,
    memory_expirations: u64,
    memory_compressed_puts: u64,
    memory_compression_input_bytes: u64,
    memory_compression_output_bytes: u64,
    memory_compression_ratio: f64,
    memory_pressure_shrinks: u64,
    loads: u64,
    load_failures: u64,
    load_waits: u64,
    memory_untold_departures: u64,
    memory_read_samples: u64,
    pub memory_read_p50_ns: u64,
    pub memory_read_p99_ns: u64,
    memory_read_p999_ns: u64,
    memory_read_max_ns: u64,
    memory_write_samples: u64,
    memory_write_p50_ns: u64,
    memory_write_p99_ns: u64,
    memory_write_p999_ns: u64,
    memory_write_max_ns: u64,
    redis_hits: u64,
    redis_misses: u64,
    redis_errors: u64,
    disk_hits: u64,
    disk_misses: u64,
    disk_errors: u64,
}

/// `catzilla_tier_statistics_t`, in the same way.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TierStatistics {
    struct_size: usize,
    pub hits: u64,
    pub misses: u64,
    puts: u64,
    removals: u64,
    pub errors: u64,
    timeouts: u64,
    connection_errors: u64,
    refusals: u64,
    full_errors: u64,
    damage_errors: u64,
    too_large: u64,
    unreadable: u64,
    outdated: u64,
    is_open: u64,
    openings: u64,
    pub entries: u64,
    pub bytes: u64,
    max_bytes: u64,
    evictions: u64,
    expirations: u64,
    queued: u64,
    queued_bytes: u64,
    pub dropped_writes: u64,
    owed: u64,
    owed_ever: u64,
    owed_overflows: u64,
    demotions: u64,
    set_aside: u64,
    connections: u64,
    connects: u64,
    pub read_samples: u64,
    pub read_p50_ns: u64,
    pub read_p99_ns: u64,
    read_p999_ns: u64,
    read_max_ns: u64,
    write_samples: u64,
    write_p50_ns: u64,
    write_p99_ns: u64,
    write_p999_ns: u64,
    write_max_ns: u64,
}

/// `CATZILLA_TIER_DISK`.
const TIER_DISK: i32 = 2;

macro_rules! functions {
    ($($name:ident: $type:ty,)*) => {
        /// The functions the tool calls, under their C names without `catzilla_`.
        struct Functions { $($name: $type,)* }

        impl Functions {
            /// Looks every function up; the error is the name of the first that is missing.
            fn of(object: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($name: {
                        let symbol = concat!("catzilla_", stringify!($name));
                        // SAFETY: the type is the one the header declares for this name; `load` calls nothing but the
                        // ABI number before it knows that the library was built from such a header.
                        *unsafe { object.get::<$type>(symbol) }.map_err(|_| symbol)?
                    },)*
                })
            }
        }
    };
}

functions! {
    abi_version: unsafe extern "C" fn() -> u32,
    version: unsafe extern "C" fn() -> *const c_char,
    last_error_message: unsafe extern "C" fn() -> *const c_char,
    status_name: unsafe extern "C" fn(Status) -> *const c_char,
    option_count: unsafe extern "C" fn() -> usize,
    option_info: unsafe extern "C" fn(usize) -> *const RawOptionInfo,
    options_create: unsafe extern "C" fn() -> *mut RawOptions,
    options_set: unsafe extern "C" fn(*mut RawOptions, *const c_char, *const c_char) -> Status,
    options_destroy: unsafe extern "C" fn(*mut RawOptions),
    cache_open: unsafe extern "C" fn(*const RawOptions, *mut *mut RawCache) -> Status,
    cache_put: unsafe extern "C" fn(*mut RawCache, *const c_void, usize, *const c_void, usize, u64) -> Status,
    cache_read: unsafe extern "C" fn(*mut RawCache, *const c_void, usize, *mut c_void, usize, *mut usize) -> Status,
    cache_statistics: unsafe extern "C" fn(*mut RawCache, *mut Statistics) -> Status,
    cache_tier_statistics: unsafe extern "C" fn(*mut RawCache, i32, *mut TierStatistics) -> Status,
    cache_destroy: unsafe extern "C" fn(*mut RawCache),
}

/// The loaded library.
pub struct Library {
    functions: Functions,
    version: String,
    /// Keeps the functions mapped. Never unloaded: the library is linked to stay until the process ends.
    _object: ManuallyDrop<libloading::Library>,
}

/// One row of the library's table of options.
pub struct OptionRow {
    pub name: String,
    pub kind: String,
    pub default: String,
    pub range: String,
    pub help: String,
    pub live: bool,
}

/// A call that returned a failure, in the library's own words.
#[derive(Debug)]
pub struct CallFailed {
    call: &'static str,
    status: Status,
    name: String,
    message: String,
}

impl fmt::Display for CallFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} returned {} ({}): {}", self.call, self.name, self.status, self.message)
    }
}

/// What a read found.
pub enum Read {
    Hit {
        length: usize,
    },
    Miss,
    /// The value is longer than the buffer.
    Truncated {
        length: usize,
    },
}

/// What became of a put.
pub enum Put {
    Stored,
    /// Above `memory.max_value_size`.
    TooLarge,
}

impl Library {
    /// Loads the library at `path`, which is absolute.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        // SAFETY: the user names a build of catzilla-cache, whose initialisers need nothing from us; another file's
        // initialisers are as trustworthy as a program the user starts.
        let object = unsafe { libloading::Library::new(path) }
            .map_err(|error| Failure::request(format!("{shown}: cannot be loaded: {error}")))?;
        let functions = Functions::of(&object)
            .map_err(|name| Failure::request(format!("{shown}: has no function {name}: not catzilla-cache?")))?;
        // SAFETY: takes nothing and returns a number in every ABI there has been.
        let abi = unsafe { (functions.abi_version)() };
        if abi != ABI {
            return Err(Failure::request(format!("{shown}: has ABI {abi}, this program needs {ABI}")));
        }
        // SAFETY: the version is a static string (header, section "version").
        let version = unsafe { text((functions.version)()) };
        Ok(Self { functions, version, _object: ManuallyDrop::new(object) })
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn option_table(&self) -> Vec<OptionRow> {
        // SAFETY: takes nothing, returns a number.
        let count = unsafe { (self.functions.option_count)() };
        (0..count)
            .map_while(|index| {
                // SAFETY: any index is allowed; the row is NULL past the end, else static.
                let row = unsafe { (self.functions.option_info)(index).as_ref() }?;
                // SAFETY: every text of a row is a static string.
                let texts = unsafe {
                    [row.name, row.kind, row.default_value, row.range, row.help].map(|address| text(address))
                };
                let [name, kind, default, range, help] = texts;
                Some(OptionRow { name, kind, default, range, help, live: row.live })
            })
            .collect()
    }

    /// Options with these values; the library judges each name and value.
    pub fn options(&self, values: &[(String, String)]) -> Result<Options<'_>, Failure> {
        // SAFETY: takes nothing; NULL is answered below.
        let raw = unsafe { (self.functions.options_create)() };
        if raw.is_null() {
            return Err(Failure::cache(self.failed("catzilla_options_create", OK).to_string()));
        }
        let mut options = Options { raw, library: self };
        for (name, value) in values {
            options.set(name, value)?;
        }
        Ok(options)
    }

    /// Must be called on the thread that made the failing call, and before its next one.
    fn failed(&self, call: &'static str, status: Status) -> CallFailed {
        // SAFETY: both return strings that are never NULL, valid until this thread's next failing call; `text` copies.
        let (name, message) =
            unsafe { (text((self.functions.status_name)(status)), text((self.functions.last_error_message)())) };
        CallFailed { call, status, name, message }
    }
}

/// `catzilla_options_t`. Not `Send`: an options object belongs to one thread at a time.
pub struct Options<'library> {
    raw: *mut RawOptions,
    library: &'library Library,
}

impl Options<'_> {
    /// An option the library refuses is a wrong request.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let c_text = |part: &str| {
            CString::new(part).map_err(|_| Failure::request(format!("--option {name}: a zero byte is in the text")))
        };
        let (c_name, c_value) = (c_text(name)?, c_text(value)?);
        // SAFETY: `raw` came from options_create and lives until drop; both texts end in a zero and outlive the call.
        let status = unsafe { (self.library.functions.options_set)(self.raw, c_name.as_ptr(), c_value.as_ptr()) };
        match status {
            OK => Ok(()),
            status => {
                let failed = self.library.failed("catzilla_options_set", status);
                Err(Failure::request(format!("--option {name}={value}: {} ({})", failed.message, failed.name)))
            }
        }
    }
}

impl Drop for Options<'_> {
    fn drop(&mut self) {
        // SAFETY: `raw` came from options_create, and nothing uses it after this; a cache keeps no reference to it.
        unsafe { (self.library.functions.options_destroy)(self.raw) }
    }
}

/// `catzilla_cache_t`; destroyed on drop.
pub struct Cache<'library> {
    raw: *mut RawCache,
    library: &'library Library,
}

// SAFETY: the header lets every thread make every call at any time, except destroy, which needs all other calls to have
// returned: `drop` has the cache alone.
unsafe impl Send for Cache<'_> {}
// SAFETY: as above.
unsafe impl Sync for Cache<'_> {}

impl<'library> Cache<'library> {
    pub fn open(options: &Options<'library>) -> Result<Self, Failure> {
        let library = options.library;
        let mut raw = ptr::null_mut();
        // SAFETY: the options are alive, and `raw` can be written.
        match unsafe { (library.functions.cache_open)(options.raw, &mut raw) } {
            OK => Ok(Self { raw, library }),
            status => Err(Failure::request(library.failed("catzilla_cache_open", status).to_string())),
        }
    }

    /// Copies the value of `key` to the beginning of `buffer`.
    #[inline]
    pub fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<Read, CallFailed> {
        let mut length = 0;
        // SAFETY: the cache lives until drop; the library reads `key` and writes `buffer` within their lengths only.
        let status = unsafe {
            (self.library.functions.cache_read)(
                self.raw,
                key.as_ptr().cast(),
                key.len(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut length,
            )
        };
        match status {
            OK => Ok(Read::Hit { length }),
            NOT_FOUND => Ok(Read::Miss),
            TRUNCATED => Ok(Read::Truncated { length }),
            status => Err(self.library.failed("catzilla_cache_read", status)),
        }
    }

    /// Stores a copy of `value` for the cache's default lifetime.
    #[inline]
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Put, CallFailed> {
        // SAFETY: the cache lives until drop; the library reads both slices within their lengths and keeps copies.
        let status = unsafe {
            (self.library.functions.cache_put)(
                self.raw,
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
                0,
            )
        };
        match status {
            OK => Ok(Put::Stored),
            VALUE_TOO_LARGE => Ok(Put::TooLarge),
            status => Err(self.library.failed("catzilla_cache_put", status)),
        }
    }

    /// The figures of the disk tier, which the cache has to have.
    pub fn disk_statistics(&self) -> Result<TierStatistics, Failure> {
        let mut statistics = TierStatistics { struct_size: size_of::<TierStatistics>(), ..TierStatistics::default() };
        // SAFETY: the cache lives until drop; the library fills at most the `struct_size` bytes it is offered.
        match unsafe { (self.library.functions.cache_tier_statistics)(self.raw, TIER_DISK, &mut statistics) } {
            OK => Ok(statistics),
            NOT_FOUND => Err(Failure::cache("the cache has no disk tier, though disk.path was set")),
            status => Err(Failure::cache(self.library.failed("catzilla_cache_tier_statistics", status).to_string())),
        }
    }

    pub fn statistics(&self) -> Result<Statistics, Failure> {
        let mut statistics = Statistics { struct_size: size_of::<Statistics>(), ..Statistics::default() };
        // SAFETY: the cache lives until drop; the library fills at most the `struct_size` bytes it is offered.
        match unsafe { (self.library.functions.cache_statistics)(self.raw, &mut statistics) } {
            OK if statistics.struct_size < size_of::<Statistics>() => Err(Failure::request(format!(
                "catzilla_cache_statistics filled {} bytes of the {} this program shows",
                statistics.struct_size,
                size_of::<Statistics>()
            ))),
            OK => Ok(statistics),
            status => Err(Failure::cache(self.library.failed("catzilla_cache_statistics", status).to_string())),
        }
    }
}

impl Drop for Cache<'_> {
    fn drop(&mut self) {
        // SAFETY: `raw` came from cache_open, and having the cache mutably means that every other call has returned.
        unsafe { (self.library.functions.cache_destroy)(self.raw) }
    }
}

/// # Safety
///
/// `address` is NULL or a string that ends in a zero and lives until this returns.
unsafe fn text(address: *const c_char) -> String {
    if address.is_null() {
        return String::new();
    }
    // SAFETY: not NULL, and the rest is the caller's promise.
    unsafe { CStr::from_ptr(address) }.to_string_lossy().into_owned()
}
