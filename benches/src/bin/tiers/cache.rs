//! Caches of ours over a server and a folder, and the functions of the C interface that no peer has.

use crate::server::Server;
use catzilla_benches::engine::{Engine, Shape, OK};
use catzilla_benches::engines::{self, Settings, OURS_TTL};
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;

pub const REDIS: i32 = 1;
pub const DISK: i32 = 2;

/// A temporary folder, removed with what is in it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn make() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("catzilla-bench-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a temporary folder");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Which tiers a cache has, and options for them.
#[derive(Default)]
pub struct Tiers<'a> {
    pub server: Option<&'a Server>,
    pub folder: Option<&'a Folder>,
    pub options: &'a [(&'a str, &'a str)],
}

impl Tiers<'_> {
    /// Opens a cache whose memory holds `capacity` entries. Every value lives an hour.
    pub fn open(&self, capacity: usize) -> Engine {
        let mut options = Vec::new();
        if let Some(server) = self.server {
            options.push(("redis.url".to_owned(), format!("redis://127.0.0.1:{}", server.port)));
        }
        if let Some(folder) = self.folder {
            options.push(("disk.path".to_owned(), folder.path().join("cache").display().to_string()));
        }
        options.extend(self.options.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let settings = Settings { options, variants: Vec::new() };
        let shape = Shape { capacity, expected: capacity, grows: false };
        engines::open(OURS_TTL, shape, &settings).unwrap_or_else(|error| panic!("OUR LIBRARY FAILED: {error}"))
    }
}

/// `catzilla_get_t`.
#[repr(C)]
pub struct Get {
    pub key: *const c_void,
    pub key_len: usize,
    pub buffer: *mut c_void,
    pub capacity: usize,
    pub value_len: usize,
    pub status: i32,
}

/// The beginning of `catzilla_tier_statistics_t`, of which the library fills as much as `struct_size` says.
#[repr(C)]
#[derive(Default)]
pub struct Figures {
    struct_size: usize,
    pub hits: u64,
    pub misses: u64,
    pub puts: u64,
    removals: u64,
    pub errors: u64,
    kinds_of_errors: [u64; 5],
    too_large: u64,
    unreadable: u64,
    outdated: u64,
    is_open: u64,
    openings: u64,
    pub entries: u64,
    pub bytes: u64,
    max_bytes: u64,
    pub evictions: u64,
    expirations: u64,
    queued: u64,
    queued_bytes: u64,
    pub dropped: u64,
}

pub type GetMany = unsafe extern "C" fn(*mut c_void, *mut Get, usize) -> i32;
type Flush = unsafe extern "C" fn(*mut c_void, u64) -> i32;
type TierStatistics = unsafe extern "C" fn(*mut c_void, i32, *mut Figures) -> i32;

struct Functions {
    get_many: GetMany,
    flush: Flush,
    tier_statistics: TierStatistics,
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let library = engines::load_library().unwrap_or_else(|error| panic!("{error}"));
        let missing = "a function of the tiers is missing: the library is too old";
        // SAFETY: the signatures of the header; the library is linked never to be unloaded.
        unsafe {
            Functions {
                get_many: *library.get(b"catzilla_cache_get_many\0").expect(missing),
                flush: *library.get(b"catzilla_cache_flush\0").expect(missing),
                tier_statistics: *library.get(b"catzilla_cache_tier_statistics\0").expect(missing),
            }
        }
    })
}

pub fn get_many(engine: &Engine, items: &mut [Get]) -> bool {
    // SAFETY: the callers' items point to live keys and buffers of the lengths given.
    unsafe { (functions().get_many)(engine.handle(), items.as_mut_ptr(), items.len()) == OK }
}

/// Waits until everything is written.
pub fn flush(engine: &Engine) {
    // SAFETY: an open cache.
    let status = unsafe { (functions().flush)(engine.handle(), u64::MAX) };
    assert_eq!(status, OK, "OUR LIBRARY FAILED: flush");
}

pub fn figures(engine: &Engine, tier: i32) -> Figures {
    let mut figures = Figures { struct_size: size_of::<Figures>(), ..Figures::default() };
    // SAFETY: an open cache, and a struct of the size that it says.
    let status = unsafe { (functions().tier_statistics)(engine.handle(), tier, &mut figures) };
    assert_eq!(status, OK, "OUR LIBRARY FAILED: tier_statistics");
    figures
}
