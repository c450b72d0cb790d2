//! The caches of one round, and what is known of every key in them.

use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::library::{Cache, Held, Library};
use crate::random::{mix, Random};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All keys begin with one of these.
pub const PREFIXES: [&str; 4] = ["a/", "b/", "bc/", "d/"];

/// What a cache is for, and so what may be expected of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A few entries.
    Tiny,
    /// Room for thousands, and values up to megabytes.
    Medium,
    /// A bound on bytes only.
    Bytes,
    /// Room for everything, and nothing is purged: each miss has to be explained by a remove or a deadline. Its capacity
    /// changes, but never to less than what is in it.
    Ledger,
    /// As the ledger, but of any size; now and then thousands of other keys come and go, so that the index grows.
    Growing,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Tiny, Kind::Medium, Kind::Bytes, Kind::Ledger, Kind::Growing];

    pub fn is_strict(self) -> bool {
        matches!(self, Kind::Ledger | Kind::Growing)
    }

    fn slots(self) -> usize {
        match self {
            Kind::Tiny => 24,
            Kind::Medium => 6_000,
            Kind::Bytes => 800,
            Kind::Ledger | Kind::Growing => 1_500,
        }
    }

    /// Of a value.
    pub fn largest(self) -> usize {
        match self {
            Kind::Tiny => 256 * KIB,
            Kind::Medium => 4 * MIB,
            Kind::Bytes => 100 * KIB,
            Kind::Ledger | Kind::Growing => 4 * KIB,
        }
    }

    /// What entries may take at most, by what the cache was told.
    fn bytes(self) -> usize {
        match self {
            Kind::Tiny => 8 * (self.largest() + KIB),
            Kind::Medium => 32 * MIB,
            Kind::Bytes => 4 * MIB,
            Kind::Ledger | Kind::Growing => self.slots() * (self.largest() + KIB) + 8 * MIB,
        }
    }

    /// Entries there are never more of, whatever the threads do.
    pub fn most_entries(self) -> u64 {
        match self {
            Kind::Tiny => 8,
            _ => u64::MAX,
        }
    }
}

/// A key, and what is known of it.
pub struct Slot {
    pub key: Vec<u8>,
    /// The key as the classic calls take it; `None` when there is a zero in it.
    pub text: Option<CString>,
    /// Stands in each of its values.
    pub id: u64,
    /// Who stores or removes the key holds this; for readers it is what the key has to have. `None` for keys that all threads
    /// may write at once: of those only the values are checked.
    claim: Option<Mutex<Record>>,
    /// Versions of keys without a claim.
    pub issued: AtomicU64,
    /// The last version whose put has returned.
    pub completed: AtomicU64,
    /// No look-up that begins now may see an older version.
    pub oldest: AtomicU64,
}

/// What a key has to have. Times are nanoseconds of the exact clock.
#[derive(Default)]
pub struct Record {
    pub version: u64,
    pub stored: Option<Stored>,
    /// The version that the library has told of what is stored; 0 if it did not.
    pub told: u64,
    /// Whether what is stored carries its key's tags.
    pub tagged: bool,
}

#[derive(Clone, Copy)]
pub struct Stored {
    /// 0 for a value that is too short to tell.
    pub version: u64,
    pub len: usize,
    /// It may not expire before this.
    pub lives_until: u64,
    /// It must have expired after this, and the promised slack.
    pub dead_at: u64,
}

impl Slot {
    fn new(id: u64, number: usize, shared: bool) -> Self {
        let mut random = Random::of(&[id]);
        // The empty key is a key too; and one is long.
        let len = match number {
            0 => 0,
            1 => 70 * KIB,
            _ if random.one_in(20) => random.below(2_000),
            _ => random.below(60),
        };
        let mut key = Vec::new();
        if number > 0 {
            key.extend(format!("{}{number}:", random.of_list(&PREFIXES)).bytes());
            key.extend((0..len).map(|_| b'a' + random.below(26) as u8));
            if random.one_in(3) {
                key.push(0);
            }
        }
        let text = CString::new(&key[..]).ok();
        let claim = (!shared).then(Mutex::default);
        let [issued, completed, oldest] = [const { AtomicU64::new(0) }; 3];
        Slot { key, text, id, claim, issued, completed, oldest }
    }

    /// The tag that no other key of the cache has.
    pub fn own_tag(&self) -> [u8; 8] {
        self.id.to_le_bytes()
    }

    /// One that some others have, too.
    pub fn tag(&self) -> &'static str {
        PREFIXES[(self.id % 4) as usize]
    }

    pub fn is_shared(&self) -> bool {
        self.claim.is_none()
    }

    /// The right to write; `None` when somebody else has it or nobody can.
    pub fn claim(&self) -> Option<MutexGuard<'_, Record>> {
        self.claim.as_ref()?.try_lock().ok()
    }
}

/// A key that is only ever counted up, in caches that lose nothing.
pub const COUNTER: &[u8] = b"counter";

/// What the library has to have counted.
#[derive(Default)]
pub struct Counts {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub puts: AtomicU64,
    pub removals: AtomicU64,
    /// Requests of which only the library knows whether they were hits: whoever waits for another's load has missed.
    pub either: AtomicU64,
    /// Loaded values of which only the library knows whether it has stored them.
    pub perhaps_puts: AtomicU64,
    /// What was added to [`COUNTER`].
    pub added: AtomicU64,
}

pub struct Member<'l> {
    pub cache: Cache<'l>,
    pub kind: Kind,
    /// Its options, for whoever reads of a failure.
    pub options: Vec<(String, String)>,
    pub slots: Vec<Slot>,
    pub counts: Counts,
    /// Whether a lifetime is what the put said, neither more nor less.
    pub exact_ttl: bool,
    /// The most entries that were seen.
    pub peak: AtomicU64,
}

impl Member<'_> {
    pub fn saw_entries(&self, entries: u64) {
        self.peak.fetch_max(entries, Ordering::Relaxed);
    }
}

/// An acquired value that waits for its release.
pub struct Kept<'l> {
    pub held: Held<'l>,
    pub id: u64,
    pub version: u64,
    pub place: (usize, usize),
}

pub struct Flock<'l> {
    pub members: Vec<Member<'l>>,
    /// Values that one thread acquired and another is to release.
    pub kept: Mutex<Vec<Kept<'l>>>,
}

/// A part of the flock's values at most waits for another thread.
pub const MOST_KEPT: usize = 64;

impl<'l> Flock<'l> {
    /// Each kind of cache for each policy that the library names.
    pub fn open(library: &'l Library, seed: u64, round: u64) -> Result<Self, String> {
        let policies: Vec<&str> = library.range("memory.policy").unwrap_or("lru").split(", ").collect();
        let mut members = Vec::new();
        for policy in policies {
            for kind in Kind::ALL {
                let mut random = Random::of(&[seed, round, members.len() as u64]);
                let options = options(library, kind, policy, &mut random);
                let cache = library.open(&options).map_err(|error| format!("{options:?}: {error}"))?;
                let id = |number: usize| mix(seed ^ mix(round ^ mix((members.len() * 100_000 + number) as u64)));
                let slot = |number| Slot::new(id(number), number, !kind.is_strict() && number % 4 == 3);
                let is = |name: &str, off: &str| options.iter().any(|(n, value)| n == name && value != off);
                members.push(Member {
                    slots: (0..kind.slots()).map(slot).collect(),
                    exact_ttl: !is("memory.sliding", "off") && !is("memory.ttl_jitter", "0"),
                    cache,
                    kind,
                    options,
                    counts: Counts::default(),
                    peak: AtomicU64::new(0),
                });
            }
        }
        Ok(Flock { members, kept: Mutex::default() })
    }

    /// What the caches may hold, by what they were told.
    pub fn configured_bytes(&self) -> u64 {
        self.members.iter().map(|member| member.kind.bytes() as u64).sum()
    }
}

/// The options of a cache that is opened, those of the library's table that concern it.
fn options(library: &Library, kind: Kind, policy: &str, random: &mut Random) -> Vec<(String, String)> {
    let mut options = Vec::new();
    let mut set = |name: &str, value: &str| {
        if library.range(name).is_some() {
            options.push((name.to_owned(), value.to_owned()));
        }
    };
    set("memory.policy", policy);
    set("memory.jemalloc", random.of_list(&["on", "off"]));
    set("memory.compression", random.of_list(&["on", "off"]));
    set("memory.compression_threshold", random.of_list(&["64", "1KiB"]));
    set("memory.shards", random.of_list(&["0", "0", "1", "3", "8"]));
    set("memory.max_value_size", &kind.largest().to_string());
    set("memory.sweep_interval", random.of_list(&["off", "5ms", "300s"]));
    set("memory.ttl_jitter", random.of_list(&["0", "0", "10", "50"]));
    match kind {
        Kind::Tiny => set("memory.capacity", &(1 + random.below(8)).to_string()),
        Kind::Medium => {
            set("memory.capacity", random.of_list(&["300", "4096", "5000"]));
            set("memory.max_bytes", &kind.bytes().to_string());
        }
        Kind::Bytes => set("memory.max_bytes", random.of_list(&["64KiB", "1MiB", "4MiB"])),
        Kind::Ledger => set("memory.capacity", random.of_list(&["4096", "100000"])),
        Kind::Growing => set("memory.capacity", "unlimited"),
    }
    if !kind.is_strict() {
        set("memory.sliding", random.of_list(&["off", "off", "on"]));
        set("memory.shrink_on_pressure", random.of_list(&["off", "off", "on"]));
    }
    options
}

/// A change of a running cache of this kind.
pub fn live_change(library: &Library, kind: Kind, random: &mut Random) -> Option<(&'static str, String)> {
    let (name, value) = match random.below(8) {
        0 | 1 => match kind {
            Kind::Tiny => ("memory.capacity", (1 + random.below(8)).to_string()),
            Kind::Medium => {
                ("memory.capacity", random.of_list(&["1", "100", "4096", "4097", "20000", "unlimited"]).to_owned())
            }
            Kind::Ledger => {
                ("memory.capacity", random.of_list(&["4096", "4097", "20000", "200000", "unlimited"]).to_owned())
            }
            Kind::Bytes => ("memory.max_bytes", random.of_list(&["64KiB", "300KiB", "1MiB", "4MiB"]).to_owned()),
            Kind::Growing => return None,
        },
        2 if !kind.is_strict() => ("memory.ttl", random.of_list(&["1ms", "30ms", "1h"]).to_owned()),
        3 if !kind.is_strict() => {
            ("memory.max_value_size", random.of_list(&[KIB, kind.largest(), kind.largest()]).to_string())
        }
        4 => ("memory.compression", random.of_list(&["on", "off"]).to_owned()),
        5 => ("memory.compression_threshold", random.of_list(&["64", "500", "1KiB"]).to_owned()),
        6 => ("memory.sweep_interval", random.of_list(&["off", "3ms", "300s"]).to_owned()),
        7 => {
            let policies: Vec<&str> = library.range("memory.policy")?.split(", ").collect();
            ("memory.policy", random.of_list(&policies).to_string())
        }
        _ => return None,
    };
    library.range(name).is_some().then_some((name, value))
}
