//! A cache that the loaded library has opened, and a value that it has given: each call as safe Rust.

use std::ffi::{c_void, CStr};
use std::mem::size_of;
use std::ptr;

use super::header::{
    Bytes, GetItem, Lent, Opaque, PutItem, PutOptions, RemoveItem, Statistics, Status, Updates, FOREVER, NOT_FOUND, OK,
    PURGE_ALL, PURGE_PREFIX, PURGE_TAG, PUT_IF_ABSENT, PUT_IF_PRESENT,
};
use super::loaded::Library;
use super::text::c_text;

/// On what a put depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    Always,
    IfAbsent,
    IfPresent,
    IfVersion(u64),
}

/// What [`load`] is to give, and whether it has.
struct Wanted<'a> {
    value: &'a [u8],
    ttl_ms: u64,
    set: unsafe extern "C" fn(*mut Opaque, *const c_void, usize, u64) -> Status,
    has_run: bool,
}

unsafe extern "C" fn load(user: *mut c_void, _key: *const c_void, _len: usize, loaded: *mut Opaque) -> Status {
    // SAFETY: `get_or_load` gives its own variable, and waits for this.
    let wanted = unsafe { &mut *user.cast::<Wanted<'_>>() };
    wanted.has_run = true;
    let (value, len) = (wanted.value.as_ptr().cast(), wanted.value.len());
    // SAFETY: as many bytes as are told, and the library's own object.
    unsafe { (wanted.set)(loaded, value, len, wanted.ttl_ms) }
}

impl Library {
    pub fn open(&self, options: &[(String, String)]) -> Result<Cache<'_>, String> {
        let f = &self.functions;
        let mut raw = ptr::null_mut();
        // SAFETY: the options object is used here only and ended; texts end in a zero and outlive the calls.
        let status = unsafe {
            let object = (f.options_create)();
            let mut status = OK;
            for (name, value) in options {
                if status == OK {
                    status = (f.options_set)(object, c_text(name).as_ptr(), c_text(value).as_ptr());
                }
            }
            if status == OK {
                status = (f.cache_open)(object, &mut raw);
            }
            (f.options_destroy)(object);
            status
        };
        match status {
            OK => Ok(Cache { raw, library: self }),
            status => Err(format!("status {status}: {}", self.last_error())),
        }
    }
}

/// `catzilla_cache_t`; destroyed on drop.
pub struct Cache<'l> {
    raw: *mut Opaque,
    library: &'l Library,
}

// SAFETY: the header lets every thread make every call at any time, except destroy: `drop` has the cache alone.
unsafe impl Send for Cache<'_> {}
// SAFETY: as above.
unsafe impl Sync for Cache<'_> {}

// SAFETY, for all calls below: the cache lives until drop, slices are read or written within their lengths only, texts end
// in a zero, and outputs are places that may be written.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<'l> Cache<'l> {
    pub fn put(&self, key: &[u8], value: &[u8], ttl_ms: u64) -> Status {
        let (k, v) = (key.as_ptr().cast(), value.as_ptr().cast());
        unsafe { (self.library.functions.cache_put)(self.raw, k, key.len(), v, value.len(), ttl_ms) }
    }

    pub fn read(&self, key: &[u8], buffer: &mut [u8]) -> (Status, usize) {
        let mut len = 0;
        let (k, b) = (key.as_ptr().cast(), buffer.as_mut_ptr().cast());
        let read = self.library.functions.cache_read;
        (unsafe { read(self.raw, k, key.len(), b, buffer.len(), &mut len) }, len)
    }

    pub fn acquire(&self, key: &[u8]) -> (Status, Option<Held<'l>>) {
        let mut raw = ptr::null_mut();
        let acquire = self.library.functions.cache_acquire;
        let status = unsafe { acquire(self.raw, key.as_ptr().cast(), key.len(), &mut raw) };
        (status, (!raw.is_null()).then_some(Held { raw, library: self.library }))
    }

    pub fn remove(&self, key: &[u8]) -> Status {
        unsafe { (self.library.functions.cache_remove)(self.raw, key.as_ptr().cast(), key.len()) }
    }

    pub fn contains(&self, key: &[u8]) -> Status {
        unsafe { (self.library.functions.cache_contains)(self.raw, key.as_ptr().cast(), key.len()) }
    }

    /// All, or what begins with the prefix.
    pub fn purge(&self, prefix: Option<&[u8]>) -> (Status, u64) {
        let what = if prefix.is_some() { PURGE_PREFIX } else { PURGE_ALL };
        self.purge_what(what, prefix.unwrap_or_default())
    }

    pub fn purge_tag(&self, tag: &[u8]) -> (Status, u64) {
        self.purge_what(PURGE_TAG, tag)
    }

    fn purge_what(&self, what: i32, selector: &[u8]) -> (Status, u64) {
        let mut removed = 0;
        let purge = self.library.functions.cache_purge;
        (unsafe { purge(self.raw, what, selector.as_ptr().cast(), selector.len(), &mut removed) }, removed)
    }

    pub fn set_option(&self, name: &str, value: &str) -> Status {
        let (name, value) = (c_text(name), c_text(value));
        unsafe { (self.library.functions.cache_set_option)(self.raw, name.as_ptr(), value.as_ptr()) }
    }

    pub fn statistics(&self) -> (Status, Statistics) {
        let mut statistics = Statistics { struct_size: size_of::<Statistics>(), ..Statistics::default() };
        (unsafe { (self.library.functions.cache_statistics)(self.raw, &mut statistics) }, statistics)
    }

    pub fn memory_usage(&self) -> u64 {
        unsafe { (self.library.functions.cache_memory_usage)(self.raw) as u64 }
    }

    pub fn get(&self, key: &CStr) -> Lent {
        unsafe { (self.library.functions.cache_get)(self.raw, key.as_ptr()) }
    }

    /// Classic: the lifetime is in seconds.
    pub fn set(&self, key: &CStr, value: &[u8], ttl: u32) -> bool {
        let set = self.library.functions.cache_set;
        unsafe { set(self.raw, key.as_ptr(), value.as_ptr().cast(), value.len(), ttl) == 0 }
    }

    pub fn delete(&self, key: &CStr) -> bool {
        unsafe { (self.library.functions.cache_delete)(self.raw, key.as_ptr()) == 0 }
    }

    pub fn exists(&self, key: &CStr) -> bool {
        unsafe { (self.library.functions.cache_exists)(self.raw, key.as_ptr()) }
    }

    pub fn sweep(&self) -> usize {
        unsafe { (self.library.functions.cache_expire_entries)(self.raw) }
    }

    /// Status and length of each. Only for a library that has batches.
    pub fn get_many(&self, keys: &[&[u8]], buffers: &mut [&mut [u8]]) -> (Status, Vec<(Status, usize)>) {
        let get = self.library.batches.as_ref().expect("asked before").cache_get_many;
        let item = |(key, buffer): (&&[u8], &mut &mut [u8])| GetItem {
            key: key.as_ptr().cast(),
            key_len: key.len(),
            buffer: buffer.as_mut_ptr().cast(),
            capacity: buffer.len(),
            value_len: usize::MAX,
            status: Status::MIN,
        };
        let mut items: Vec<GetItem> = keys.iter().zip(buffers).map(item).collect();
        let status = unsafe { get(self.raw, items.as_mut_ptr(), items.len()) };
        (status, items.iter().map(|item| (item.status, item.value_len)).collect())
    }

    pub fn put_many(&self, puts: &[(&[u8], &[u8], u64)]) -> (Status, Vec<Status>) {
        let put = self.library.batches.as_ref().expect("asked before").cache_put_many;
        let item = |(key, value, ttl_ms): &(&[u8], &[u8], u64)| PutItem {
            key: key.as_ptr().cast(),
            key_len: key.len(),
            value: value.as_ptr().cast(),
            value_len: value.len(),
            ttl_ms: *ttl_ms,
            status: Status::MIN,
        };
        let mut items: Vec<PutItem> = puts.iter().map(item).collect();
        let status = unsafe { put(self.raw, items.as_mut_ptr(), items.len()) };
        (status, items.iter().map(|item| item.status).collect())
    }

    pub fn remove_many(&self, keys: &[&[u8]]) -> (Status, Vec<Status>) {
        let remove = self.library.batches.as_ref().expect("asked before").cache_remove_many;
        let item = |key: &&[u8]| RemoveItem { key: key.as_ptr().cast(), key_len: key.len(), status: Status::MIN };
        let mut items: Vec<RemoveItem> = keys.iter().map(item).collect();
        let status = unsafe { remove(self.raw, items.as_mut_ptr(), items.len()) };
        (status, items.iter().map(|item| item.status).collect())
    }

    fn updates(&self) -> &Updates {
        self.library.updates.as_ref().expect("asked before")
    }

    /// Status, and the version of what was stored. This and the following only for a library that has updates.
    pub fn put_with(
        &self,
        key: &[u8],
        value: &[u8],
        ttl_ms: u64,
        condition: Condition,
        tags: &[&[u8]],
    ) -> (Status, u64) {
        let (mut version, (k, v)) = (u64::MAX, (key.as_ptr().cast(), value.as_ptr().cast()));
        let tags: Vec<Bytes> = tags.iter().map(|tag| Bytes { data: tag.as_ptr().cast(), len: tag.len() }).collect();
        let (flags, expected_version) = match condition {
            Condition::Always => (0, 0),
            Condition::IfAbsent => (PUT_IF_ABSENT, 0),
            Condition::IfPresent => (PUT_IF_PRESENT, 0),
            Condition::IfVersion(version) => (0, version),
        };
        let struct_size = size_of::<PutOptions>();
        let (tags, tag_count) = (tags.as_ptr(), tags.len());
        let options = PutOptions { struct_size, ttl_ms, expected_version, flags, tags, tag_count };
        let put = self.updates().cache_put_with;
        (unsafe { put(self.raw, k, key.len(), v, value.len(), &options, &mut version) }, version)
    }

    pub fn touch(&self, key: &[u8], ttl_ms: u64) -> Status {
        unsafe { (self.updates().cache_touch)(self.raw, key.as_ptr().cast(), key.len(), ttl_ms) }
    }

    /// A key that is not there gets `delta`, for ever.
    pub fn increment(&self, key: &[u8], delta: i64) -> (Status, i64) {
        let (mut sum, increment) = (0, self.updates().cache_increment);
        (unsafe { increment(self.raw, key.as_ptr().cast(), key.len(), delta, delta, FOREVER, &mut sum) }, sum)
    }

    /// The keys that begin with the prefix, or the status of the call that failed.
    pub fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, Status> {
        let (mut iterator, mut keys) = (ptr::null_mut(), Vec::new());
        let f = self.updates();
        let opened = unsafe { (f.iterator_open)(self.raw, prefix.as_ptr().cast(), prefix.len(), &mut iterator) };
        if opened != OK {
            return Err(opened);
        }
        let end = loop {
            let (mut key, mut len) = (ptr::null(), 0);
            match unsafe { (f.iterator_next)(iterator, &mut key, &mut len) } {
                OK => keys.push(unsafe { std::slice::from_raw_parts(key.cast(), len) }.to_vec()),
                status => break status,
            }
        };
        unsafe { (f.iterator_close)(iterator) };
        if end == NOT_FOUND {
            Ok(keys)
        } else {
            Err(end)
        }
    }

    /// Status, the value, and whether it is the one that was given. Waits for other loaders. Only for a library that has loads.
    pub fn get_or_load(&self, key: &[u8], value: &[u8], ttl_ms: u64) -> (Status, Option<Held<'l>>, bool) {
        let loads = self.library.loads.as_ref().expect("asked before");
        let mut wanted = Wanted { value, ttl_ms, set: loads.loaded_set, has_run: false };
        let (user, mut raw) = ((&raw mut wanted).cast(), ptr::null_mut());
        let (key, key_len) = (key.as_ptr().cast(), key.len());
        let status = unsafe { (loads.cache_get_or_load)(self.raw, key, key_len, load, user, u64::MAX, &mut raw) };
        (status, (!raw.is_null()).then_some(Held { raw, library: self.library }), wanted.has_run)
    }

    pub fn library(&self) -> &'l Library {
        self.library
    }
}

impl Drop for Cache<'_> {
    fn drop(&mut self) {
        // SAFETY: having the cache mutably means that every other call has returned.
        unsafe { (self.library.functions.cache_destroy)(self.raw) }
    }
}

/// `catzilla_value_t`; released on drop, on whichever thread.
pub struct Held<'l> {
    raw: *mut Opaque,
    library: &'l Library,
}

// SAFETY: the header lets any thread read and release a value.
unsafe impl Send for Held<'_> {}

impl Held<'_> {
    pub fn bytes(&self) -> &[u8] {
        let f = &self.library.functions;
        // SAFETY: the value is held until drop; its data is never NULL.
        unsafe { std::slice::from_raw_parts((f.value_data)(self.raw).cast(), (f.value_size)(self.raw)) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: released once, and not used after this.
        unsafe { (self.library.functions.value_release)(self.raw) }
    }
}
