//! The declarations of `include/catzilla_cache.h`, repeated; that they fit is what the ABI number stands for.

use std::ffi::{c_char, c_int, c_void};

/// The ABI this file was written for.
pub(super) const ABI: u32 = 1;

pub type Status = i32;
pub const OK: Status = 0;
pub const NOT_FOUND: Status = 1;
pub const TRUNCATED: Status = 2;
pub const EXISTS: Status = 3;
pub const VERSION_MISMATCH: Status = 4;
pub const VALUE_TOO_LARGE: Status = -201;

pub const FOREVER: u64 = u64::MAX;

/// `CATZILLA_CLASSIC_RESULT_LIFETIME`.
pub const RESULT_LIFETIME: usize = 64;

pub(super) const PURGE_ALL: i32 = 0;
pub(super) const PURGE_PREFIX: i32 = 1;
pub(super) const PURGE_TAG: i32 = 2;

/// `CATZILLA_PUT_IF_ABSENT` and `CATZILLA_PUT_IF_PRESENT`.
pub(super) const PUT_IF_ABSENT: u32 = 1;
pub(super) const PUT_IF_PRESENT: u32 = 2;

/// `catzilla_options_t`, `catzilla_cache_t` and `catzilla_value_t`, of which only addresses are known here.
#[repr(C)]
pub(super) struct Opaque {
    _opaque: [u8; 0],
}

/// `catzilla_option_info_t`.
#[repr(C)]
pub(super) struct OptionInfo {
    pub(super) name: *const c_char,
    kind: *const c_char,
    default_value: *const c_char,
    pub(super) range: *const c_char,
    help: *const c_char,
    live: bool,
}

/// `catzilla_statistics_t`, as far as this tool looks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    pub(super) struct_size: usize,
    pub hits: u64,
    pub misses: u64,
    pub requests: u64,
    pub(super) hit_ratio: f64,
    pub puts: u64,
    pub removals: u64,
    pub(super) memory_hits: u64,
    pub(super) memory_misses: u64,
    pub entries: u64,
    pub capacity: u64,
    pub bytes: u64,
    pub max_bytes: u64,
    pub index_bytes: u64,
    pub lent_bytes: u64,
    pub(super) active_bytes: u64,
    pub evictions: u64,
    pub expirations: u64,
}

/// `cache_result_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Lent {
    data: *mut c_void,
    size: usize,
    pub found: bool,
}

impl Lent {
    /// The bytes of a result that was found.
    ///
    /// # Safety
    ///
    /// The thread has made at most [`RESULT_LIFETIME`] classic look-ups since, and the cache lives.
    pub unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: found, and the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.size) }
    }
}

/// `catzilla_get_t`, `catzilla_put_t` and `catzilla_remove_t`.
#[repr(C)]
pub(super) struct GetItem {
    pub(super) key: *const c_void,
    pub(super) key_len: usize,
    pub(super) buffer: *mut c_void,
    pub(super) capacity: usize,
    pub(super) value_len: usize,
    pub(super) status: Status,
}

#[repr(C)]
pub(super) struct PutItem {
    pub(super) key: *const c_void,
    pub(super) key_len: usize,
    pub(super) value: *const c_void,
    pub(super) value_len: usize,
    pub(super) ttl_ms: u64,
    pub(super) status: Status,
}

#[repr(C)]
pub(super) struct RemoveItem {
    pub(super) key: *const c_void,
    pub(super) key_len: usize,
    pub(super) status: Status,
}

/// `catzilla_bytes_t` and `catzilla_put_options_t`.
#[repr(C)]
pub(super) struct Bytes {
    pub(super) data: *const c_void,
    pub(super) len: usize,
}

#[repr(C)]
pub(super) struct PutOptions {
    pub(super) struct_size: usize,
    pub(super) ttl_ms: u64,
    pub(super) expected_version: u64,
    pub(super) flags: u32,
    pub(super) tags: *const Bytes,
    pub(super) tag_count: usize,
}

macro_rules! functions {
    ($table:ident: $($name:ident: $type:ty,)*) => {
        pub(super) struct $table { $(pub(super) $name: $type,)* }

        impl $table {
            /// Looks every function up, under its C name without `catzilla_`; the error is the first that is missing.
            pub(super) fn of(object: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($name: {
                        let symbol = concat!("catzilla_", stringify!($name));
                        // SAFETY: the type is the one the header declares for this name.
                        *unsafe { object.get::<$type>(symbol) }.map_err(|_| symbol)?
                    },)*
                })
            }
        }
    };
}

functions! { Functions:
    abi_version: unsafe extern "C" fn() -> u32,
    version: unsafe extern "C" fn() -> *const c_char,
    last_error_message: unsafe extern "C" fn() -> *const c_char,
    option_count: unsafe extern "C" fn() -> usize,
    option_info: unsafe extern "C" fn(usize) -> *const OptionInfo,
    options_create: unsafe extern "C" fn() -> *mut Opaque,
    options_set: unsafe extern "C" fn(*mut Opaque, *const c_char, *const c_char) -> Status,
    options_destroy: unsafe extern "C" fn(*mut Opaque),
    cache_open: unsafe extern "C" fn(*const Opaque, *mut *mut Opaque) -> Status,
    cache_destroy: unsafe extern "C" fn(*mut Opaque),
    cache_set_option: unsafe extern "C" fn(*mut Opaque, *const c_char, *const c_char) -> Status,
    cache_put: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, *const c_void, usize, u64) -> Status,
    cache_read: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, *mut c_void, usize, *mut usize) -> Status,
    cache_remove: unsafe extern "C" fn(*mut Opaque, *const c_void, usize) -> Status,
    cache_contains: unsafe extern "C" fn(*mut Opaque, *const c_void, usize) -> Status,
    cache_purge: unsafe extern "C" fn(*mut Opaque, i32, *const c_void, usize, *mut u64) -> Status,
    cache_acquire: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, *mut *mut Opaque) -> Status,
    value_data: unsafe extern "C" fn(*const Opaque) -> *const c_void,
    value_size: unsafe extern "C" fn(*const Opaque) -> usize,
    value_release: unsafe extern "C" fn(*mut Opaque),
    cache_statistics: unsafe extern "C" fn(*mut Opaque, *mut Statistics) -> Status,
    cache_memory_usage: unsafe extern "C" fn(*mut Opaque) -> usize,
    cache_get: unsafe extern "C" fn(*mut Opaque, *const c_char) -> Lent,
    cache_set: unsafe extern "C" fn(*mut Opaque, *const c_char, *const c_void, usize, u32) -> c_int,
    cache_delete: unsafe extern "C" fn(*mut Opaque, *const c_char) -> c_int,
    cache_exists: unsafe extern "C" fn(*mut Opaque, *const c_char) -> bool,
    cache_expire_entries: unsafe extern "C" fn(*mut Opaque) -> usize,
    release_results: unsafe extern "C" fn(),
}

// Of a later version: used where they are there.
functions! { Batches:
    cache_get_many: unsafe extern "C" fn(*mut Opaque, *mut GetItem, usize) -> Status,
    cache_put_many: unsafe extern "C" fn(*mut Opaque, *mut PutItem, usize) -> Status,
    cache_remove_many: unsafe extern "C" fn(*mut Opaque, *mut RemoveItem, usize) -> Status,
}

functions! { Updates:
    cache_put_with: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, *const c_void, usize, *const PutOptions, *mut u64) -> Status,
    cache_touch: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, u64) -> Status,
    cache_increment: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, i64, i64, u64, *mut i64) -> Status,
    iterator_open: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, *mut *mut Opaque) -> Status,
    iterator_next: unsafe extern "C" fn(*mut Opaque, *mut *const c_void, *mut usize) -> Status,
    iterator_close: unsafe extern "C" fn(*mut Opaque),
}

functions! { Loads:
    cache_get_or_load: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, Loader, *mut c_void, u64, *mut *mut Opaque) -> Status,
    loaded_set: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, u64) -> Status,
}

type Loader = unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut Opaque) -> Status;
