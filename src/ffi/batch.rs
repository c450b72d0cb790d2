//! Many keys in one call.
//!
//! The caller's items are worked on in chunks whose Rust form stands on the stack: a batch allocates nothing here, however
//! many items it has.

use super::boundary::{boundary, buffer, handle, items, key as key_of, value as value_of};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use crate::error::{Error, Result, Status};
use crate::{Cache, Get, Put, Read, Remove, Ttl};
use std::ffi::c_void;

/// One look-up of `catzilla_cache_get_many`.
#[repr(C)]
pub struct catzilla_get {
    /// In: the key.
    pub key: *const c_void,
    /// In: its length.
    pub key_len: usize,
    /// In: where the value is copied to; no other item's buffer may overlap it. May be NULL when `capacity` is 0.
    pub buffer: *mut c_void,
    /// In: how many bytes the buffer takes.
    pub capacity: usize,
    /// Out: the value's length; 0 when there is none.
    pub value_len: usize,
    /// Out: what `catzilla_cache_read` returns.
    pub status: catzilla_status_t,
}

/// See `struct catzilla_get`.
pub type catzilla_get_t = catzilla_get;

/// One value of `catzilla_cache_put_many`.
#[repr(C)]
pub struct catzilla_put {
    /// In: the key.
    pub key: *const c_void,
    /// In: its length.
    pub key_len: usize,
    /// In: the value.
    pub value: *const c_void,
    /// In: its length.
    pub value_len: usize,
    /// In: the lifetime, as for `catzilla_cache_put`: 0 is the cache's default.
    pub ttl_ms: u64,
    /// Out: what `catzilla_cache_put` returns.
    pub status: catzilla_status_t,
}

/// See `struct catzilla_put`.
pub type catzilla_put_t = catzilla_put;

/// One key of `catzilla_cache_remove_many`.
#[repr(C)]
pub struct catzilla_remove {
    /// In: the key.
    pub key: *const c_void,
    /// In: its length.
    pub key_len: usize,
    /// Out: what `catzilla_cache_remove` returns.
    pub status: catzilla_status_t,
}

/// See `struct catzilla_remove`.
pub type catzilla_remove_t = catzilla_remove;

// Items stand side by side in the caller's array, so they can never grow.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<catzilla_get_t>() == 48 && size_of::<catzilla_put_t>() == 48);
    assert!(size_of::<catzilla_remove_t>() == 24);
    assert!(offset_of!(catzilla_get_t, value_len) == 32 && offset_of!(catzilla_get_t, status) == 40);
    assert!(offset_of!(catzilla_put_t, ttl_ms) == 32 && offset_of!(catzilla_put_t, status) == 40);
    assert!(offset_of!(catzilla_remove_t, status) == 16);
};

/// Copies the values of `count` keys, each into its item's buffer.
///
/// Every item is done, and gets the status and the length that `catzilla_cache_read` would give. Returns: `CATZILLA_OK`,
/// also when keys were not found or buffers too small; when items failed (a status below 0), the status of the first of
/// them, whose message is the last error. A call that is refused as a whole gives every item its own status. `items` may be
/// NULL when `count` is 0. Threads: the items belong to the call until it returns. It is not one moment: what other threads
/// store meanwhile may be seen by some items and not by others.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_get_many(
    cache: *mut catzilla_cache_t,
    items: *mut catzilla_get_t,
    count: usize,
) -> catzilla_status_t {
    boundary(|| {
        let items = self::items(items, count)?;
        let cache = cache_for(cache, items)?;
        in_chunks(cache, items, |chunk, failures| get_chunk(cache, chunk, failures))
    })
}

/// Stores `count` values in their order, each as `catzilla_cache_put` does.
///
/// Every item is done, and gets the status that `catzilla_cache_put` would give. Returns: `CATZILLA_OK`; when items failed,
/// the status of the first of them, whose message is the last error; the others are stored. A call that is refused as a
/// whole gives every item its own status. `items` may be NULL when `count` is 0. Threads: the items belong to the call until
/// it returns; other threads may see some of the values before others.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_put_many(
    cache: *mut catzilla_cache_t,
    items: *mut catzilla_put_t,
    count: usize,
) -> catzilla_status_t {
    boundary(|| {
        let items = self::items(items, count)?;
        let cache = cache_for(cache, items)?;
        in_chunks(cache, items, |chunk, failures| put_chunk(cache, chunk, failures))
    })
}

/// Removes `count` keys.
///
/// Every item is done, and gets the status that `catzilla_cache_remove` would give. Returns: `CATZILLA_OK`, also when keys
/// were not there; when items failed, the status of the first of them, whose message is the last error; the others are
/// removed. A call that is refused as a whole gives every item its own status. `items` may be NULL when `count` is 0.
/// Threads: the items belong to the call until it returns.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_remove_many(
    cache: *mut catzilla_cache_t,
    items: *mut catzilla_remove_t,
    count: usize,
) -> catzilla_status_t {
    boundary(|| {
        let items = self::items(items, count)?;
        let cache = cache_for(cache, items)?;
        in_chunks(cache, items, |chunk, failures| remove_chunk(cache, chunk, failures))
    })
}

/// Items that are translated at a time. Arbitrary: enough for the engine to work on several at once, and 5 KiB of stack.
const CHUNK: usize = 64;

/// The same for a cache with tiers below memory, where each chunk is a round trip and a transaction of its own. As many as the thread
/// of a tier writes at once; a batch of any length would have to arrive within one deadline.
const CHUNK_WITH_TIERS: usize = 1024;

/// An item as the caller laid it out.
trait Item {
    /// Sets the outputs to nothing.
    fn reset(&mut self, status: Status);
    fn set_status(&mut self, status: Status);
}

impl Item for catzilla_get_t {
    fn reset(&mut self, status: Status) {
        self.value_len = 0;
        self.set_status(status);
    }
    fn set_status(&mut self, status: Status) {
        self.status = status.code();
    }
}

impl Item for catzilla_put_t {
    fn reset(&mut self, status: Status) {
        self.set_status(status);
    }
    fn set_status(&mut self, status: Status) {
        self.status = status.code();
    }
}

impl Item for catzilla_remove_t {
    fn reset(&mut self, status: Status) {
        self.set_status(status);
    }
    fn set_status(&mut self, status: Status) {
        self.status = status.code();
    }
}

/// The cache of a batch. Without one, every item says so; with one, each says that it was not done until it has been,
/// which is what a bug that is caught half way leaves behind.
fn cache_for<'a, I: Item>(cache: *mut catzilla_cache_t, items: &mut [I]) -> Result<&'a Cache> {
    let cache = handle(cache);
    let status = cache.as_ref().map_or_else(Error::status, |_| Status::Internal);
    for item in items {
        item.reset(status);
    }
    cache
}

/// The failures of a batch: of all there are, the caller is told the first.
#[derive(Default)]
struct Failures {
    first: Option<(usize, Error)>,
}

impl Failures {
    /// The item at `index` of its chunk failed; they need not come in order.
    fn note<I: Item>(&mut self, item: &mut I, index: usize, error: Error) {
        item.set_status(error.status());
        if self.first.as_ref().is_none_or(|(first, _)| index < *first) {
            self.first = Some((index, error));
        }
    }
}

/// Runs `work` on one chunk after the other.
fn in_chunks<I>(cache: &Cache, items: &mut [I], mut work: impl FnMut(&mut [I], &mut Failures)) -> Result<Status> {
    let mut first = None;
    let most = if cache.has_tiers_below() { CHUNK_WITH_TIERS } else { CHUNK };
    for chunk in items.chunks_mut(most) {
        let mut failures = Failures::default();
        work(chunk, &mut failures);
        first = first.or(failures.first);
    }
    first.map_or(Ok(Status::Ok), |(_, error)| Err(error))
}

/// The items of a chunk that could be translated, and where in the chunk each of them is: on the stack, or beyond `CHUNK` on the heap.
struct Translated<T> {
    few: [T; CHUNK],
    few_at: [usize; CHUNK],
    len: usize,
    many: Vec<T>,
    many_at: Vec<usize>,
    is_many: bool,
}

impl<T> Translated<T> {
    fn of<I>(chunk: &[I], empty: impl Fn() -> T) -> Self {
        let is_many = chunk.len() > CHUNK;
        let most = if is_many { chunk.len() } else { 0 };
        Self {
            few: std::array::from_fn(|_| empty()),
            few_at: [0; CHUNK],
            len: 0,
            many: Vec::with_capacity(most),
            many_at: Vec::with_capacity(most),
            is_many,
        }
    }

    fn push(&mut self, item: T, index: usize) {
        if self.is_many {
            self.many.push(item);
            self.many_at.push(index);
        } else {
            self.few[self.len] = item;
            self.few_at[self.len] = index;
            self.len += 1;
        }
    }

    fn all(&mut self) -> &mut [T] {
        if self.is_many {
            &mut self.many
        } else {
            &mut self.few[..self.len]
        }
    }

    fn into_iter(self) -> impl Iterator<Item = (T, usize)> {
        let few = self.few.into_iter().zip(self.few_at).take(self.len);
        few.chain(self.many.into_iter().zip(self.many_at))
    }
}

fn get_chunk(cache: &Cache, chunk: &mut [catzilla_get_t], failures: &mut Failures) {
    let mut gets = Translated::of(chunk, || Get::new(&[], &mut []));
    for (index, item) in chunk.iter_mut().enumerate() {
        match key_of(item.key, item.key_len).and_then(|key| Ok(Get::new(key, buffer(item.buffer, item.capacity)?))) {
            Ok(get) => gets.push(get, index),
            Err(error) => failures.note(item, index, error),
        }
    }
    cache.get_many(gets.all());
    for (get, index) in gets.into_iter() {
        let item = &mut chunk[index];
        match get.outcome {
            Ok(Some(Read::Copied(len))) => (item.status, item.value_len) = (Status::Ok.code(), len),
            Ok(Some(Read::Truncated(len))) => (item.status, item.value_len) = (Status::Truncated.code(), len),
            Ok(None) => item.set_status(Status::NotFound),
            Err(error) => failures.note(item, index, error),
        }
    }
}

fn put_chunk(cache: &Cache, chunk: &mut [catzilla_put_t], failures: &mut Failures) {
    let mut puts = Translated::of(chunk, || Put::new(&[], &[], Ttl::Default));
    for (index, item) in chunk.iter_mut().enumerate() {
        let ttl = Ttl::from_millis(item.ttl_ms);
        let key = key_of(item.key, item.key_len);
        match key.and_then(|key| Ok(Put::new(key, value_of(item.value, item.value_len)?, ttl))) {
            Ok(put) => puts.push(put, index),
            Err(error) => failures.note(item, index, error),
        }
    }
    cache.put_many(puts.all());
    for (put, index) in puts.into_iter() {
        match put.outcome {
            Ok(()) => chunk[index].set_status(Status::Ok),
            Err(error) => failures.note(&mut chunk[index], index, error),
        }
    }
}

fn remove_chunk(cache: &Cache, chunk: &mut [catzilla_remove_t], failures: &mut Failures) {
    let mut removes = Translated::of(chunk, || Remove::new(&[]));
    for (index, item) in chunk.iter_mut().enumerate() {
        match key_of(item.key, item.key_len) {
            Ok(key) => removes.push(Remove::new(key), index),
            Err(error) => failures.note(item, index, error),
        }
    }
    cache.remove_many(removes.all());
    for (remove, index) in removes.into_iter() {
        chunk[index].set_status(if remove.removed { Status::Ok } else { Status::NotFound });
    }
}
