//! The classic C interface (`catzilla_cache_get` and its like), which two libraries have: ours and the original engine.
//! Both are called through the same adapter, so that the comparison is of the same calls.

use super::reason;
use crate::engine::{Engine, OwnAccount, Shape, FAILED, NOT_FOUND, OK, TRUNCATED};
use libloading::os::unix::Library;
use std::ffi::{c_char, c_int, c_void};

#[repr(C)]
struct ClassicResult {
    data: *mut c_void,
    size: usize,
    found: bool,
}

type Create = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Get = unsafe extern "C" fn(*mut c_void, *const c_char) -> ClassicResult;
type Set = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_void, usize, u32) -> c_int;
type Destroy = unsafe extern "C" fn(*mut c_void);
type MemoryUsage = unsafe extern "C" fn(*mut c_void) -> usize;

/// An hour, which is the default TTL of both; the original takes 0 as "expired already".
const TTL_SECONDS: u32 = 3600;

struct Classic {
    cache: *mut c_void,
    get: Get,
    set: Set,
    destroy: Destroy,
}

/// Opens a cache of the classic interface in `library`, which must never be unloaded.
///
/// One bucket an expected entry: the original's buckets are chains and their number is fixed, so this is a good size for it.
/// Neither capacity nor buckets may be 0, where the original never comes back.
pub fn open(library: &Library, shape: Shape) -> Result<Engine, String> {
    assert!(shape.capacity > 0 && shape.expected > 0, "the original engine hangs on 0");
    // SAFETY: these are the signatures of the classic interface, which is frozen.
    let (create, memory_usage, classic) = unsafe {
        let create: Create = *library.get(b"catzilla_cache_create\0").map_err(reason)?;
        let memory_usage: MemoryUsage = *library.get(b"catzilla_cache_memory_usage\0").map_err(reason)?;
        let classic = Classic {
            cache: std::ptr::null_mut(),
            get: *library.get(b"catzilla_cache_get\0").map_err(reason)?,
            set: *library.get(b"catzilla_cache_set\0").map_err(reason)?,
            destroy: *library.get(b"catzilla_cache_destroy\0").map_err(reason)?,
        };
        (create, memory_usage, classic)
    };
    // SAFETY: plain numbers, neither of them 0.
    let cache = unsafe { create(shape.capacity, shape.expected) };
    if cache.is_null() {
        return Err("catzilla_cache_create returned NULL".into());
    }
    let handle = Box::into_raw(Box::new(Classic { cache, ..classic }));
    // SAFETY: the functions below take the box made here.
    let engine = unsafe { Engine::from_raw(handle.cast(), read, put, destroy) };
    Ok(engine.with_account(Box::new(move |classic| {
        // SAFETY: the box made above.
        let counted = unsafe { memory_usage((*classic.cast::<Classic>()).cache) };
        OwnAccount { counted: counted as u64, ..OwnAccount::default() }
    })))
}

#[inline(never)]
unsafe extern "C" fn read(
    classic: *mut c_void,
    key: *const u8,
    _key_len: usize,
    buffer: *mut u8,
    capacity: usize,
    value_len: *mut usize,
) -> i32 {
    // SAFETY: the box made in `open`; keys of the benchmarks are followed by a NUL; the bytes are copied at once, which is
    // as early as any caller of this interface can.
    unsafe {
        let classic = &*classic.cast::<Classic>();
        let result = (classic.get)(classic.cache, key.cast());
        if !result.found {
            return NOT_FOUND;
        }
        *value_len = result.size;
        if result.size > capacity {
            return TRUNCATED;
        }
        std::ptr::copy_nonoverlapping(result.data.cast::<u8>().cast_const(), buffer, result.size);
    }
    OK
}

#[inline(never)]
unsafe extern "C" fn put(
    classic: *mut c_void,
    key: *const u8,
    _key_len: usize,
    value: *const u8,
    value_len: usize,
    _ttl_ms: u64,
) -> i32 {
    // SAFETY: as in `read`.
    let done = unsafe {
        let classic = &*classic.cast::<Classic>();
        (classic.set)(classic.cache, key.cast(), value.cast(), value_len, TTL_SECONDS)
    };
    if done == 0 {
        OK
    } else {
        FAILED
    }
}

unsafe extern "C" fn destroy(classic: *mut c_void) {
    // SAFETY: the box made in `open`, destroyed once.
    unsafe {
        let classic = Box::from_raw(classic.cast::<Classic>());
        (classic.destroy)(classic.cache);
    }
}
