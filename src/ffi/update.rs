//! Writes that depend on what is there.

use super::boundary::{boundary, handle, input, key as key_of, tag as tag_of, value as value_of};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use crate::error::{Error, Result, Status};
use crate::{Condition, PutOptions, PutOutcome, TierName, Ttl};
use std::ffi::c_void;
use std::mem::offset_of;

/// For `catzilla_put_options_t`: store only if the key is not there.
pub const CATZILLA_PUT_IF_ABSENT: u32 = 1;
/// For `catzilla_put_options_t`: store only if the key is there.
pub const CATZILLA_PUT_IF_PRESENT: u32 = 2;
/// For `catzilla_put_options_t`: not to the disk. What it has of the key is removed.
pub const CATZILLA_PUT_NOT_TO_DISK: u32 = 4;
/// For `catzilla_put_options_t`: to memory alone. What Redis and the disk have of the key is removed.
pub const CATZILLA_PUT_MEMORY_ONLY: u32 = 8;
/// For `catzilla_put_options_t`: keep the value as it is, though compression is on. For what is read far more often than it is stored, or
/// is compressed already.
pub const CATZILLA_PUT_UNCOMPRESSED: u32 = 16;

/// How many tags an entry can carry.
pub const CATZILLA_MAX_TAGS: usize = 64;
/// The longest tag, in bytes.
pub const CATZILLA_MAX_TAG_LEN: usize = 255;

const _: () = assert!(CATZILLA_MAX_TAGS == crate::MAX_TAGS && CATZILLA_MAX_TAG_LEN == crate::MAX_TAG_LEN);

/// Some bytes of the caller's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct catzilla_bytes {
    /// Where they are; may be NULL when there are none.
    pub data: *const c_void,
    /// How many there are.
    pub len: usize,
}

/// See `struct catzilla_bytes`.
pub type catzilla_bytes_t = catzilla_bytes;

/// How `catzilla_cache_put_with` stores. All zeros but for the size: as `catzilla_cache_put` does with `ttl_ms` 0. New
/// members are only ever added at the end, and a struct that is too short for a member stands for 0 in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct catzilla_put_options {
    /// Set by the caller to `sizeof(catzilla_put_options_t)`.
    pub struct_size: usize,
    /// The lifetime, as for `catzilla_cache_put`: 0 is the cache's default.
    pub ttl_ms: u64,
    /// Store only if this is the version that is there, see `catzilla_value_version`; 0: whichever is.
    pub expected_version: u64,
    /// `CATZILLA_PUT_IF_ABSENT` or `CATZILLA_PUT_IF_PRESENT`, or neither; and with it, `CATZILLA_PUT_NOT_TO_DISK` or
    /// `CATZILLA_PUT_MEMORY_ONLY`, or neither; and `CATZILLA_PUT_UNCOMPRESSED`, or not.
    pub flags: u32,
    /// Names that the entry can be purged by (`CATZILLA_PURGE_TAG`): so many of these, which take the place of those that an
    /// earlier value had. At most `CATZILLA_MAX_TAGS`, of at most `CATZILLA_MAX_TAG_LEN` bytes. The entry keeps 64 bits of a
    /// hash of each: that two tags of a cache are taken for one is possible, and about as likely as one in 2^64 for each pair.
    pub tags: *const catzilla_bytes_t,
    /// How many tags there are.
    pub tag_count: usize,
}

impl Default for catzilla_put_options {
    fn default() -> Self {
        Self { struct_size: 0, ttl_ms: 0, expected_version: 0, flags: 0, tags: std::ptr::null(), tag_count: 0 }
    }
}

/// See `struct catzilla_put_options`.
pub type catzilla_put_options_t = catzilla_put_options;

// Programs were compiled with these; new members only come behind them.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<catzilla_bytes_t>() == 16 && size_of::<catzilla_put_options_t>() == 48);
    assert!(
        offset_of!(catzilla_put_options_t, expected_version) == 16 && offset_of!(catzilla_put_options_t, flags) == 24
    );
    assert!(offset_of!(catzilla_put_options_t, tags) == 32 && offset_of!(catzilla_put_options_t, tag_count) == 40);
};

/// Stores a copy of `value` under `key` if what is there allows it. Looking and storing are one step: of several threads that
/// expect one version, or absence, one stores.
///
/// `options` may be NULL for none. `version`, unless it is NULL, is told the new value's version, at the cost that
/// `catzilla_value_version` has; 0 when nothing was stored, or when the entry was too heavy to be kept (see
/// `catzilla_cache_put`). Returns: as `catzilla_cache_put`; and, nothing having changed, `CATZILLA_EXISTS` with
/// `CATZILLA_PUT_IF_ABSENT`, `CATZILLA_NOT_FOUND` with `CATZILLA_PUT_IF_PRESENT` or an expected version,
/// `CATZILLA_VERSION_MISMATCH` with an expected version; `CATZILLA_INVALID_ARGUMENT` for flags that are unknown, and for
/// `CATZILLA_PUT_IF_ABSENT` beside anything that wants the key to be there. To be refused is neither a request nor a use.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_put_with(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const catzilla_put_options_t,
    version: *mut u64,
) -> catzilla_status_t {
    boundary(|| {
        // SAFETY: NULL or a number that may be written.
        let mut version = unsafe { version.as_mut() };
        if let Some(version) = &mut version {
            **version = 0;
        }
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let value = value_of(value, value_len)?;
        let given = known(options);
        let mut tags: [&[u8]; CATZILLA_MAX_TAGS] = [&[]; CATZILLA_MAX_TAGS];
        let options = PutOptions {
            tags: tags_of(&given, &mut tags)?,
            ttl: Ttl::from_millis(given.ttl_ms),
            condition: condition(&given)?,
            lowest: lowest(&given)?,
            uncompressed: uncompressed(&given),
            tell_version: version.is_some(),
        };
        let (status, stored) = match cache.put_with(key, value, &options)? {
            PutOutcome::Stored(stored) => (Status::Ok, stored),
            PutOutcome::Exists => (Status::Exists, 0),
            PutOutcome::NotFound => (Status::NotFound, 0),
            PutOutcome::VersionMismatch => (Status::VersionMismatch, 0),
        };
        if let Some(version) = version {
            *version = stored;
        }
        Ok(status)
    })
}

/// Gives `key` a new lifetime, from now on, whether it ends sooner or later than the old one. The value and its version stay.
///
/// `ttl_ms`: as for `catzilla_cache_put`. With `memory.sliding` hits renew this lifetime from then on. Counts neither as a
/// request nor as a use of the entry. Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when it was not there. Cost: a lock, no
/// copy; values that are held tell the remaining time that they had.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_touch(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    ttl_ms: u64,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        Ok(if cache.touch(key, Ttl::from_millis(ttl_ms)) { Status::Ok } else { Status::NotFound })
    })
}

/// Adds `delta`, which may be negative, to the number that `key` has as its value, and stores the sum in `*result`, unless that
/// is NULL. Of several threads none loses what it adds.
///
/// The number is a text of decimal digits, perhaps after a minus, as `catzilla_cache_put` would store it and
/// `catzilla_cache_read` reads it. A key that is not there is stored as `initial`, to which nothing is added, with the
/// lifetime `ttl_ms` (as for `catzilla_cache_put`); a key that is there keeps the end that it has. It counts as a put and as
/// a use of the entry, not as a request, and makes another version. Returns: `CATZILLA_OK`; `CATZILLA_NOT_A_NUMBER`,
/// `CATZILLA_NUMBER_OVERFLOW`, or a failure of `catzilla_cache_put`, and the value stays as it is.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_increment(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    delta: i64,
    initial: i64,
    ttl_ms: u64,
    result: *mut i64,
) -> catzilla_status_t {
    boundary(|| {
        // SAFETY: NULL or a number that may be written.
        let mut result = unsafe { result.as_mut() };
        if let Some(result) = &mut result {
            **result = 0;
        }
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let sum = cache.increment(key, delta, initial, Ttl::from_millis(ttl_ms))?;
        if let Some(result) = result {
            *result = sum;
        }
        Ok(Status::Ok)
    })
}

/// What a caller, who may know fewer members of the struct, or more, says in it.
pub(super) fn known(options: *const catzilla_put_options_t) -> catzilla_put_options_t {
    let mut known = catzilla_put_options_t::default();
    if options.is_null() {
        return known;
    }
    // SAFETY: not NULL; the caller's struct may be shorter than ours, but has at least its first member.
    let size = unsafe { (&raw const (*options).struct_size).read() };
    /// Takes over the members that are there as a whole.
    macro_rules! take {
        ($($member:ident),+) => {$(
            if offset_of!(catzilla_put_options_t, $member) + size_of_val(&known.$member) <= size {
                // SAFETY: the caller's struct has so many bytes.
                known.$member = unsafe { (&raw const (*options).$member).read() };
            }
        )+};
    }
    take!(ttl_ms, expected_version, flags, tags, tag_count);
    known
}

/// So many tags, which may be NULL when there are none.
fn array<'a>(tags: *const catzilla_bytes_t, count: usize) -> Result<&'a [catzilla_bytes_t]> {
    if count == 0 {
        return Ok(&[]);
    }
    input(tags, "tags")?;
    // SAFETY: not NULL, so by the caller's promise so many, which nobody changes during the call.
    Ok(unsafe { std::slice::from_raw_parts(tags, count) })
}

pub(super) fn tags_of<'a>(
    options: &catzilla_put_options_t,
    tags: &'a mut [&'a [u8]; CATZILLA_MAX_TAGS],
) -> Result<&'a [&'a [u8]]> {
    let count = options.tag_count;
    if count > tags.len() {
        return Err(Error::invalid_argument(format!(
            "there are {count} tags; at most {CATZILLA_MAX_TAGS} are allowed"
        )));
    }
    for (tag, given) in tags.iter_mut().zip(array(options.tags, count)?) {
        *tag = tag_of(given.data, given.len)?;
    }
    Ok(&tags[..count])
}

/// The flags that say where a value goes.
const PLACES: u32 = CATZILLA_PUT_NOT_TO_DISK | CATZILLA_PUT_MEMORY_ONLY;

/// The lowest tier that a value is for.
pub(super) fn lowest(options: &catzilla_put_options_t) -> Result<Option<TierName>> {
    match options.flags & PLACES {
        0 => Ok(None),
        CATZILLA_PUT_NOT_TO_DISK => Ok(Some(TierName::Redis)),
        CATZILLA_PUT_MEMORY_ONLY => Ok(Some(TierName::Memory)),
        _ => Err(Error::invalid_argument("CATZILLA_PUT_MEMORY_ONLY says already that it is not for the disk")),
    }
}

/// Whether a value is kept as it is.
pub(super) fn uncompressed(options: &catzilla_put_options_t) -> bool {
    options.flags & CATZILLA_PUT_UNCOMPRESSED != 0
}

pub(super) fn condition(options: &catzilla_put_options_t) -> Result<Condition> {
    match (options.flags & !(PLACES | CATZILLA_PUT_UNCOMPRESSED), options.expected_version) {
        (0, 0) => Ok(Condition::Always),
        (CATZILLA_PUT_IF_ABSENT, 0) => Ok(Condition::IfAbsent),
        (CATZILLA_PUT_IF_PRESENT, 0) => Ok(Condition::IfPresent),
        (0 | CATZILLA_PUT_IF_PRESENT, version) => Ok(Condition::IfVersion(version)),
        (flags, _) if flags & !(CATZILLA_PUT_IF_ABSENT | CATZILLA_PUT_IF_PRESENT) != 0 => {
            Err(Error::invalid_argument(format!(
                "`flags` are {}; CATZILLA_PUT_IF_ABSENT, _IF_PRESENT, _NOT_TO_DISK, _MEMORY_ONLY and _UNCOMPRESSED are all there are",
                options.flags
            )))
        }
        _ => {
            Err(Error::invalid_argument("CATZILLA_PUT_IF_ABSENT goes with no other condition: nothing could be stored"))
        }
    }
}
