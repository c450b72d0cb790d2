//! The door every engine is called through: C functions behind pointers, with the signatures of `catzilla_cache_read` and
//! `catzilla_cache_put`. Our library is called directly; a peer is called through a shim of the same shape, which does what
//! the library must also do: take a pointer and a length, find the value, copy its bytes into the caller's buffer.
//!
//! The pointers are read from memory at every call and no shim is ever inlined into a timed loop.

use std::ffi::c_void;

pub const OK: i32 = 0;
pub const NOT_FOUND: i32 = 1;
pub const TRUNCATED: i32 = 2;
pub const FAILED: i32 = -900;

/// `(cache, key, key_len, buffer, capacity, value_len) -> status`
pub type Read = unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut u8, usize, *mut usize) -> i32;
/// `(cache, key, key_len, value, value_len, ttl_ms) -> status`; `ttl_ms` 0 is the engine's default.
pub type Put = unsafe extern "C" fn(*mut c_void, *const u8, usize, *const u8, usize, u64) -> i32;

/// How large a cache the scenario needs.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Entries it may hold before it evicts.
    pub capacity: usize,
    /// Entries it is going to hold; engines with a fixed number of buckets get this many.
    pub expected: usize,
    /// Engines that could lay out their table ahead are not told how large it becomes, so that it has to grow.
    pub grows: bool,
}

/// Engines that split their capacity over shards evict before it is reached; a quarter more keeps every key of a scenario
/// without evictions in every engine. The hit column of the tables shows whether it did.
pub const HEADROOM_PERCENT: usize = 25;

impl Shape {
    pub fn with_headroom(entries: usize) -> Shape {
        Shape { capacity: entries + entries * HEADROOM_PERCENT / 100, expected: entries, grows: false }
    }
}

/// What an engine says about its own memory, when it can be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnAccount {
    /// What it counts against its bound.
    pub counted: u64,
    /// The pages of its own allocator that are in use, when it has one and says so.
    pub active: Option<u64>,
    /// How many times smaller compression made the values that it was used on.
    pub compression: Option<f64>,
}

/// One opened cache. Keys given to it must be followed by a NUL byte, because some engines read C strings.
pub struct Engine {
    handle: *mut c_void,
    read: Read,
    put: Put,
    /// Passed to every put; only our own library looks at it.
    ttl_ms: u64,
    destroy: unsafe extern "C" fn(*mut c_void),
    settle: Option<unsafe extern "C" fn(*mut c_void)>,
    account: Option<Box<dyn Fn(*mut c_void) -> OwnAccount>>,
}

// SAFETY: a handle is only ever a cache whose functions may be called from several threads at once. (The original engine
// promises that too; that it does not keep the promise is why it runs in a process of its own.)
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

impl Engine {
    /// # Safety
    /// The functions belong to `handle`, which is theirs alone until `destroy`, and may be called from any thread.
    pub unsafe fn from_raw(
        handle: *mut c_void,
        read: Read,
        put: Put,
        destroy: unsafe extern "C" fn(*mut c_void),
    ) -> Engine {
        Engine { handle, read, put, ttl_ms: 0, destroy, settle: None, account: None }
    }

    pub fn with_account(mut self, account: Box<dyn Fn(*mut c_void) -> OwnAccount>) -> Engine {
        self.account = Some(account);
        self
    }

    pub fn with_ttl_ms(mut self, ttl_ms: u64) -> Engine {
        self.ttl_ms = ttl_ms;
        self
    }

    /// For functions that only one of the libraries has.
    pub fn handle(&self) -> *mut c_void {
        self.handle
    }

    /// Copies the value of the key at `key` into `buffer`; its length, or the status when there is none.
    #[inline(always)]
    pub fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<usize, i32> {
        let mut len = 0usize;
        // SAFETY: key and buffer are live slices of the lengths passed; `from_raw` vouches for the rest.
        let status =
            unsafe { (self.read)(self.handle, key.as_ptr(), key.len(), buffer.as_mut_ptr(), buffer.len(), &mut len) };
        if status == OK {
            Ok(len)
        } else {
            Err(status)
        }
    }

    #[inline(always)]
    pub fn put(&self, key: &[u8], value: &[u8]) -> i32 {
        // SAFETY: as in `read`.
        unsafe { (self.put)(self.handle, key.as_ptr(), key.len(), value.as_ptr(), value.len(), self.ttl_ms) }
    }

    /// Lets an engine that queues its bookkeeping catch up, outside anything that is timed.
    pub fn settle(&self) {
        if let Some(settle) = self.settle {
            // SAFETY: the function came with the handle.
            unsafe { settle(self.handle) }
        }
    }

    pub fn account(&self) -> Option<OwnAccount> {
        self.account.as_ref().map(|ask| ask(self.handle))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: no call is under way, since every caller borrows the engine.
        unsafe { (self.destroy)(self.handle) }
    }
}

/// A cache written in Rust, compiled into this program.
pub trait Peer: Send + Sync + 'static {
    /// Hands the value to `with` by reference, in whichever way costs this cache least.
    fn find<R>(&self, key: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R>;
    fn store(&self, key: &[u8], value: &[u8]);
    fn settle(&self) {}
}

impl<P: Peer> From<P> for Engine {
    fn from(peer: P) -> Engine {
        let handle = Box::into_raw(Box::new(peer)).cast();
        // SAFETY: the shims below take the boxed peer that `handle` is, and a Peer is Sync.
        let mut engine = unsafe { Engine::from_raw(handle, read_peer::<P>, put_peer::<P>, destroy_peer::<P>) };
        engine.settle = Some(settle_peer::<P>);
        engine
    }
}

#[inline(never)]
unsafe extern "C" fn read_peer<P: Peer>(
    cache: *mut c_void,
    key: *const u8,
    key_len: usize,
    buffer: *mut u8,
    capacity: usize,
    value_len: *mut usize,
) -> i32 {
    // SAFETY: the caller is `Engine::read`: a boxed P, live slices and a live out-pointer.
    let (peer, key) = unsafe { (&*cache.cast::<P>(), std::slice::from_raw_parts(key, key_len)) };
    let status = peer.find(key, |value| {
        // SAFETY: as above; copied only when it fits.
        unsafe {
            *value_len = value.len();
            if value.len() > capacity {
                return TRUNCATED;
            }
            std::ptr::copy_nonoverlapping(value.as_ptr(), buffer, value.len());
        }
        OK
    });
    status.unwrap_or(NOT_FOUND)
}

#[inline(never)]
unsafe extern "C" fn put_peer<P: Peer>(
    cache: *mut c_void,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    _ttl_ms: u64,
) -> i32 {
    // SAFETY: the caller is `Engine::put`: a boxed P and live slices.
    let (peer, key, value) = unsafe {
        (&*cache.cast::<P>(), std::slice::from_raw_parts(key, key_len), std::slice::from_raw_parts(value, value_len))
    };
    peer.store(key, value);
    OK
}

unsafe extern "C" fn settle_peer<P: Peer>(cache: *mut c_void) {
    // SAFETY: a boxed P.
    unsafe { &*cache.cast::<P>() }.settle();
}

unsafe extern "C" fn destroy_peer<P: Peer>(cache: *mut c_void) {
    // SAFETY: made by `Box::into_raw` above, and destroyed once.
    drop(unsafe { Box::from_raw(cache.cast::<P>()) });
}
