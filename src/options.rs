//! Every option there is, in one table: the C interface, the bindings, the documentation and the error messages are made
//! from it. To add one, add a row, a field and (if it can change while a cache runs) its use where the cache is configured.

use crate::error::{Error, Result, Status};
use std::time::Duration;

/// Stands for "no bound" in counts and sizes.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The longest value any configuration can allow: lengths inside an entry are 32 bits wide.
pub(crate) const LARGEST_VALUE: u64 = 4 * GIB - 64 * MIB;

/// How a cache is to be made; read by [`crate::Cache::open`]. Starts out with the defaults of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub(crate) memory: MemoryOptions,
    pub(crate) redis: RedisOptions,
    pub(crate) disk: DiskOptions,
    pub(crate) cache: CacheOptions,
}

/// The options that begin with `memory.`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemoryOptions {
    /// `None`: not given, see [`MemoryOptions::entries`].
    pub(crate) capacity: Option<u64>,
    pub(crate) max_bytes: u64,
    pub(crate) policy: PolicyName,
    /// In percent of the requests: `lru-lfu` goes by frequency when more of them hit, by recency when fewer do.
    pub(crate) lru_lfu_threshold: u64,
    pub(crate) ttl: Duration,
    pub(crate) max_value_size: u64,
    pub(crate) shards: u64,
    pub(crate) compression: bool,
    pub(crate) compression_threshold: u64,
    pub(crate) jemalloc: bool,
    /// How often what has expired is freed without being met; zero: never.
    pub(crate) sweep_interval: Duration,
    /// By up to how many percent of itself a lifetime is lengthened at random.
    pub(crate) ttl_jitter: u64,
    pub(crate) sliding: bool,
    pub(crate) shrink_on_pressure: bool,
}

/// The options that begin with `redis.`; the tier exists when there is a URL or a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RedisOptions {
    pub(crate) url: Option<Secret>,
    /// Of a cluster: URLs or `host:port`, with commas between them.
    pub(crate) nodes: Option<Secret>,
    pub(crate) ttl: Duration,
    pub(crate) max_connections: u64,
    pub(crate) key_prefix: String,
    pub(crate) required: bool,
    pub(crate) connect_timeout: Duration,
    /// For an answer once there is a connection, and for a connection of the pool to become free.
    pub(crate) timeout: Duration,
    pub(crate) read_from_replicas: bool,
    /// PEM files.
    pub(crate) ca_file: Option<String>,
    pub(crate) certificate_file: Option<String>,
    pub(crate) key_file: Option<String>,
}

/// The options that begin with `disk.`; the tier exists when there is a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskOptions {
    /// A folder.
    pub(crate) path: Option<String>,
    pub(crate) max_bytes: u64,
    pub(crate) ttl: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) sync: Sync,
}

/// The options that begin with `cache.`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CacheOptions {
    pub(crate) write: WriteMode,
    pub(crate) demote: bool,
    /// Bytes of keys and values that may wait to be written to one tier.
    pub(crate) queue_bytes: u64,
}

/// When a put returns, as far as the disk tier is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Once it is queued.
    Interval,
    /// When it has been committed.
    Commit,
}

/// When a put returns, as far as the Redis tier is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// When Redis has answered.
    Through,
    /// Once it is queued.
    Behind,
}

/// A text that may hold a password, which is not for logs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(given)")
    }
}

impl MemoryOptions {
    /// The bound on entries. A bound on bytes alone takes the default bound on entries away.
    pub(crate) fn entries(&self) -> u64 {
        match self.capacity {
            Some(capacity) => capacity,
            None if self.max_bytes != UNBOUNDED => UNBOUNDED,
            None => DEFAULT_CAPACITY,
        }
    }
}

const DEFAULT_CAPACITY: u64 = 10_000;

/// The eviction policies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyName {
    Lru,
    Lfu,
    Fifo,
    Ttl,
    Sieve,
    S3Fifo,
    Adaptive,
    WTinyLfu,
    LruLfu,
}

const POLICIES: &[(&str, PolicyName)] = &[
    ("lru", PolicyName::Lru),
    ("lfu", PolicyName::Lfu),
    ("fifo", PolicyName::Fifo),
    ("ttl", PolicyName::Ttl),
    ("sieve", PolicyName::Sieve),
    ("s3fifo", PolicyName::S3Fifo),
    ("adaptive", PolicyName::Adaptive),
    ("w-tinylfu", PolicyName::WTinyLfu),
    ("lru-lfu", PolicyName::LruLfu),
];

/// A row of the table.
pub struct OptionInfo {
    /// The full name, `tier.option`.
    pub name: &'static str,
    /// What its text looks like when nobody sets it.
    pub default: &'static str,
    /// One line for documentation and error messages.
    pub help: &'static str,
    /// Whether it can change while a cache runs.
    pub live: bool,
    kind: Kind,
    set: fn(&mut Options, Value),
}

/// What an option's text may be.
#[derive(Clone, Copy)]
enum Kind {
    /// A plain number, or the word that means "no bound".
    Count { min: u64, max: u64, word: Option<&'static str> },
    /// Bytes with an optional unit, or the word that means "no bound".
    Size { min: u64, max: u64, word: Option<&'static str> },
    /// Time with a unit; where `off` is true also `0` or that word, for no time at all.
    Duration { min: Duration, max: Duration, off: bool },
    /// A part of a hundred.
    Percent { max: u64 },
    /// On or off.
    Switch,
    /// One name of a list.
    Policy,
    /// One word of these.
    Choice { words: &'static [&'static str] },
    /// Any text; what it may be is said in words. Empty: none, where that is allowed.
    Text { allowed: &'static str, may_be_empty: bool },
}

/// What an option's text was found to mean.
#[derive(Clone)]
enum Value {
    Number(u64),
    Duration(Duration),
    Switch(bool),
    Policy(PolicyName),
    /// Which of the words.
    Choice(usize),
    Text(String),
}

impl Value {
    fn number(self) -> u64 {
        match self {
            Value::Number(number) => number,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    fn duration(self) -> Duration {
        match self {
            Value::Duration(duration) => duration,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    fn switch(self) -> bool {
        match self {
            Value::Switch(on) => on,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    fn policy(self) -> PolicyName {
        match self {
            Value::Policy(policy) => policy,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    fn choice(self) -> usize {
        match self {
            Value::Choice(choice) => choice,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    fn text(self) -> String {
        match self {
            Value::Text(text) => text,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    /// `None` for an empty text.
    fn given(self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }
}

/// The table.
pub static TABLE: &[OptionInfo] = &[
    OptionInfo {
        name: "memory.capacity",
        default: "10000",
        help: "How many entries memory holds; unlimited also when only memory.max_bytes is given.",
        live: true,
        kind: Kind::Count { min: 1, max: UNBOUNDED - 1, word: Some("unlimited") },
        set: |options, value| options.memory.capacity = Some(value.number()),
    },
    OptionInfo {
        name: "memory.max_bytes",
        default: "none",
        help: "Bound on bytes: of the entries as the allocator rounds them, and of what finds, orders and expires them.",
        live: true,
        kind: Kind::Size { min: 64 * KIB, max: UNBOUNDED - 1, word: Some("none") },
        set: |options, value| options.memory.max_bytes = value.number(),
    },
    OptionInfo {
        name: "memory.policy",
        default: "adaptive",
        help: "Which entry leaves when the cache is full. lru: the one used longest ago. lfu: the one used least often, what was \
               popular once ageing. fifo: the one stored first. ttl: the one that expires soonest. sieve: the one stored first \
               of those not asked for lately. s3fifo: first those never asked for again. adaptive: what the traffic of late rewards, \
               recency, frequency or keeping what is there; choose it when you do not know. w-tinylfu: what was asked for least often \
               of late, new or old. lru-lfu: as lfu while many requests hit, as lru while few do, see memory.lru_lfu_threshold.",
        live: true,
        kind: Kind::Policy,
        set: |options, value| options.memory.policy = value.policy(),
    },
    OptionInfo {
        name: "memory.lru_lfu_threshold",
        default: "70",
        help: "With memory.policy=lru-lfu: the part of recent requests that has to hit for eviction by frequency; below it, by \
               recency. Two points above or below, for a change.",
        live: true,
        kind: Kind::Percent { max: 100 },
        set: |options, value| options.memory.lru_lfu_threshold = value.number(),
    },
    OptionInfo {
        name: "memory.ttl",
        default: "1h",
        help: "Lifetime in memory of what is stored without one.",
        live: true,
        kind: Kind::Duration { min: Duration::from_millis(1), max: CENTURY, off: false },
        set: |options, value| options.memory.ttl = value.duration(),
    },
    OptionInfo {
        name: "memory.max_value_size",
        default: "100MiB",
        help: "Longer values are not kept in memory: without a tier below it they are refused. 0: memory keeps nothing.",
        live: true,
        kind: Kind::Size { min: 0, max: LARGEST_VALUE, word: None },
        set: |options, value| options.memory.max_value_size = value.number(),
    },
    OptionInfo {
        name: "memory.shards",
        default: "0",
        help: "Parts that writers lock separately, each with an order of eviction of its own; 0: chosen from the capacity.",
        live: false,
        kind: Kind::Count { min: 0, max: 256, word: None },
        set: |options, value| options.memory.shards = value.number(),
    },
    OptionInfo {
        name: "memory.compression",
        default: "on",
        help: "LZ4 for values of memory.compression_threshold and more, when it makes them at least an eighth smaller.",
        live: true,
        kind: Kind::Switch,
        set: |options, value| options.memory.compression = value.switch(),
    },
    OptionInfo {
        name: "memory.compression_threshold",
        default: "1KiB",
        help: "Values shorter than this are never compressed.",
        live: true,
        kind: Kind::Size { min: 64, max: LARGEST_VALUE, word: None },
        set: |options, value| options.memory.compression_threshold = value.number(),
    },
    OptionInfo {
        name: "memory.jemalloc",
        default: "on",
        help: "A jemalloc arena of the cache's own, given back whole when the cache is destroyed; off: the system's malloc.",
        live: false,
        kind: Kind::Switch,
        set: |options, value| options.memory.jemalloc = value.switch(),
    },
    OptionInfo {
        name: "memory.sweep_interval",
        default: "300s",
        help: "How often a background thread frees what has expired and is never asked for again.",
        live: true,
        kind: Kind::Duration { min: Duration::from_millis(1), max: CENTURY, off: true },
        set: |options, value| options.memory.sweep_interval = value.duration(),
    },
    OptionInfo {
        name: "memory.ttl_jitter",
        default: "0",
        help: "Lengthens each lifetime at random by up to this much, so that what is stored together does not expire together.",
        live: true,
        kind: Kind::Percent { max: 50 },
        set: |options, value| options.memory.ttl_jitter = value.number(),
    },
    OptionInfo {
        name: "memory.sliding",
        default: "off",
        help: "Each hit gives an entry its whole lifetime anew.",
        live: false,
        kind: Kind::Switch,
        set: |options, value| options.memory.sliding = value.switch(),
    },
    OptionInfo {
        name: "memory.shrink_on_pressure",
        default: "off",
        help: "Gives back a tenth of what is held, each second that the system or the process's cgroup is short of memory.",
        live: true,
        kind: Kind::Switch,
        set: |options, value| options.memory.shrink_on_pressure = value.switch(),
    },
    OptionInfo {
        name: "redis.url",
        default: "",
        help: "A Redis server as the second tier: redis://[user:password@]host[:port][/database], rediss:// with TLS, or redis+unix:///path/of/socket.",
        live: false,
        kind: Kind::Text { allowed: "a URL that begins with redis://, rediss:// or redis+unix://, or nothing", may_be_empty: true },
        set: |options, value| options.redis.url = value.given().map(Secret),
    },
    OptionInfo {
        name: "redis.nodes",
        default: "",
        help: "Some nodes of a Redis Cluster as the second tier, with commas between them; the others are found by asking these.",
        live: false,
        kind: Kind::Text { allowed: "URLs or host:port with commas between them, or nothing", may_be_empty: true },
        set: |options, value| options.redis.nodes = value.given().map(Secret),
    },
    OptionInfo {
        name: "redis.ttl",
        default: "24h",
        help: "Lifetime in Redis of what is stored without one.",
        live: true,
        kind: Kind::Duration { min: Duration::from_millis(1), max: CENTURY, off: false },
        set: |options, value| options.redis.ttl = value.duration(),
    },
    OptionInfo {
        name: "redis.max_connections",
        default: "10",
        help: "Connections that are open at the same time at most, in a cluster to each node; a call that finds all of them taken waits for one, up to redis.timeout.",
        live: false,
        kind: Kind::Count { min: 1, max: 1024, word: None },
        set: |options, value| options.redis.max_connections = value.number(),
    },
    OptionInfo {
        name: "redis.key_prefix",
        default: "catzilla:",
        help: "What every key of ours in Redis begins with. Caches that share entries have the same; only what begins with it is ever removed.",
        live: false,
        kind: Kind::Text { allowed: "one character or more", may_be_empty: false },
        set: |options, value| options.redis.key_prefix = value.text(),
    },
    OptionInfo {
        name: "redis.required",
        default: "off",
        help: "Whether a cache cannot be opened while Redis does not answer; off: it joins when it comes up.",
        live: false,
        kind: Kind::Switch,
        set: |options, value| options.redis.required = value.switch(),
    },
    OptionInfo {
        name: "redis.connect_timeout",
        default: "250ms",
        help: "How long a connection may take to be made.",
        live: false,
        kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(60), off: false },
        set: |options, value| options.redis.connect_timeout = value.duration(),
    },
    OptionInfo {
        name: "redis.timeout",
        default: "250ms",
        help: "How long Redis may take to answer, and a connection of the pool to become free.",
        live: false,
        kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(60), off: false },
        set: |options, value| options.redis.timeout = value.duration(),
    },
    OptionInfo {
        name: "redis.read_from_replicas",
        default: "off",
        help: "Whether a cluster's replicas are asked too; they may be a little behind their primary.",
        live: false,
        kind: Kind::Switch,
        set: |options, value| options.redis.read_from_replicas = value.switch(),
    },
    OptionInfo {
        name: "redis.ca_file",
        default: "",
        help: "Certificates (PEM) of who may vouch for a server reached by TLS; without it, those that the system trusts.",
        live: false,
        kind: Kind::Text { allowed: "the path of a file, or nothing", may_be_empty: true },
        set: |options, value| options.redis.ca_file = value.given(),
    },
    OptionInfo {
        name: "redis.certificate_file",
        default: "",
        help: "The certificate (PEM) that this client shows a server reached by TLS; goes with redis.key_file.",
        live: false,
        kind: Kind::Text { allowed: "the path of a file, or nothing", may_be_empty: true },
        set: |options, value| options.redis.certificate_file = value.given(),
    },
    OptionInfo {
        name: "redis.key_file",
        default: "",
        help: "The private key (PEM) of redis.certificate_file.",
        live: false,
        kind: Kind::Text { allowed: "the path of a file, or nothing", may_be_empty: true },
        set: |options, value| options.redis.key_file = value.given(),
    },
    OptionInfo {
        name: "disk.path",
        default: "",
        help: "A folder for the disk tier, the last one; it is made if it is not there, and has to be the user's own.",
        live: false,
        kind: Kind::Text { allowed: "the path of a folder, or nothing", may_be_empty: true },
        set: |options, value| options.disk.path = value.given(),
    },
    OptionInfo {
        name: "disk.max_bytes",
        default: "1GiB",
        help: "Bound on the size of the disk tier's file; what was stored or used longest ago goes.",
        live: true,
        kind: Kind::Size { min: MIB, max: UNBOUNDED - 1, word: Some("none") },
        set: |options, value| options.disk.max_bytes = value.number(),
    },
    OptionInfo {
        name: "disk.ttl",
        default: "7d",
        help: "Lifetime on disk of what is stored without one.",
        live: true,
        kind: Kind::Duration { min: Duration::from_millis(1), max: CENTURY, off: false },
        set: |options, value| options.disk.ttl = value.duration(),
    },
    OptionInfo {
        name: "disk.commit_interval",
        default: "20ms",
        help: "How long a write may wait for others to be committed together with it.",
        live: true,
        kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(60), off: false },
        set: |options, value| options.disk.commit_interval = value.duration(),
    },
    OptionInfo {
        name: "disk.sync",
        default: "interval",
        help: "interval: a put returns once its write to disk is queued, and is committed within disk.commit_interval. commit: when it has been committed.",
        live: false,
        kind: Kind::Choice { words: &["interval", "commit"] },
        set: |options, value| options.disk.sync = [Sync::Interval, Sync::Commit][value.choice()],
    },
    OptionInfo {
        name: "cache.write",
        default: "through",
        help: "through: a put returns when Redis has answered. behind: once its write to Redis is queued.",
        live: false,
        kind: Kind::Choice { words: &["through", "behind"] },
        set: |options, value| options.cache.write = [WriteMode::Through, WriteMode::Behind][value.choice()],
    },
    OptionInfo {
        name: "cache.demote",
        default: "off",
        help: "Whether what memory evicts before its time is written to disk if it is not there.",
        live: false,
        kind: Kind::Switch,
        set: |options, value| options.cache.demote = value.switch(),
    },
    OptionInfo {
        name: "cache.queue_bytes",
        default: "64MiB",
        help: "How much may wait to be written to one tier; a put that finds more waits a little, then only what is on that tier is removed.",
        live: false,
        kind: Kind::Size { min: 64 * KIB, max: UNBOUNDED - 1, word: None },
        set: |options, value| options.cache.queue_bytes = value.number(),
    },
];

impl Default for Options {
    fn default() -> Self {
        let mut options = Options {
            memory: MemoryOptions {
                capacity: None,
                max_bytes: UNBOUNDED,
                policy: PolicyName::Adaptive,
                lru_lfu_threshold: 0,
                ttl: Duration::ZERO,
                max_value_size: 0,
                shards: 0,
                compression: false,
                compression_threshold: 0,
                jemalloc: false,
                sweep_interval: Duration::ZERO,
                ttl_jitter: 0,
                sliding: false,
                shrink_on_pressure: false,
            },
            redis: RedisOptions {
                url: None,
                nodes: None,
                ttl: Duration::ZERO,
                max_connections: 0,
                key_prefix: String::new(),
                required: false,
                connect_timeout: Duration::ZERO,
                timeout: Duration::ZERO,
                read_from_replicas: false,
                ca_file: None,
                certificate_file: None,
                key_file: None,
            },
            disk: DiskOptions {
                path: None,
                max_bytes: 0,
                ttl: Duration::ZERO,
                commit_interval: Duration::ZERO,
                sync: Sync::Interval,
            },
            cache: CacheOptions { write: WriteMode::Through, demote: false, queue_bytes: 0 },
        };
        for row in TABLE {
            // The table's own texts parse: a test goes through all of them.
            let parsed = row.apply(&mut options, row.default);
            debug_assert!(parsed.is_ok(), "the default of {}: {parsed:?}", row.name);
        }
        options.memory.capacity = None;
        options
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the option `name` to what `text` says.
    ///
    /// # Errors
    ///
    /// An unknown name, a text that is not of the option's type, a value out of its range. The options stay as they were.
    pub fn set(&mut self, name: &str, text: &str) -> Result<&mut Self> {
        row(name)?.apply(self, text)?;
        Ok(self)
    }

    /// As [`Options::set`], but only an option that can change while a cache runs.
    pub(crate) fn set_live(&mut self, name: &str, text: &str) -> Result<()> {
        let row = row(name)?;
        if !row.live {
            let live: Vec<&str> = TABLE.iter().filter(|row| row.live).map(|row| row.name).collect();
            let live = live.join(", ");
            let message = format!("`{name}` cannot change while a cache runs; these can: {live}");
            return Err(Error::new(Status::OptionNotLive, message));
        }
        row.apply(self, text)
    }
}

fn row(name: &str) -> Result<&'static OptionInfo> {
    TABLE.iter().find(|row| row.name == name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    let mut nearest: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    let given = name.rsplit('.').next().unwrap_or(name);
    nearest.sort_by_key(|known| !known.ends_with(given));
    let known = nearest.join(", ");
    Error::new(Status::UnknownOption, format!("there is no option `{name}`; there are: {known}"))
}

impl OptionInfo {
    fn apply(&self, options: &mut Options, text: &str) -> Result<()> {
        let value = self.kind.parse(self.name, text)?;
        (self.set)(options, value);
        Ok(())
    }

    /// What the option's text stands for: `count`, `size`, `duration`, `percent`, `switch`, `policy`, `choice` or
    /// `text`.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Count { .. } => "count",
            Kind::Size { .. } => "size",
            Kind::Duration { .. } => "duration",
            Kind::Percent { .. } => "percent",
            Kind::Switch => "switch",
            Kind::Policy => "policy",
            Kind::Choice { .. } => "choice",
            Kind::Text { .. } => "text",
        }
    }

    /// What is allowed, in words.
    pub fn range(&self) -> String {
        self.kind.range()
    }
}

impl Kind {
    fn range(self) -> String {
        let or = |word: Option<&str>| word.map_or(String::new(), |word| format!(" or `{word}`"));
        match self {
            Kind::Count { min, max, word } if max == UNBOUNDED - 1 => format!("{min} or more{}", or(word)),
            Kind::Count { min, max, word } => format!("{min} to {max}{}", or(word)),
            Kind::Size { min, max, word } if max == UNBOUNDED - 1 => format!("{} or more{}", size_text(min), or(word)),
            Kind::Size { min, max, word } => format!("{} to {}{}", size_text(min), size_text(max), or(word)),
            Kind::Duration { max, off, .. } => {
                let most = if max == CENTURY { "100 years".to_owned() } else { format!("{}s", max.as_secs()) };
                format!("1ms to {most}, with a unit: ms, s, m, h, d{}", or(off.then_some("off")))
            }
            Kind::Percent { max } => format!("0 to {max}, `%` may follow"),
            Kind::Switch => "on or off".to_owned(),
            Kind::Policy => POLICIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
            Kind::Choice { words } => words.join(" or "),
            Kind::Text { allowed, .. } => allowed.to_owned(),
        }
    }

    fn parse(self, option: &str, text: &str) -> Result<Value> {
        let text = text.trim();
        let bad = |status, why: &str| {
            let allowed = self.range();
            Err(Error::new(status, format!("`{option}` was given `{text}`, which is {why}; allowed: {allowed}")))
        };
        match self {
            Kind::Count { min, max, word } | Kind::Size { min, max, word } => {
                if word.is_some_and(|word| word == text) {
                    return Ok(Value::Number(UNBOUNDED));
                }
                let (number, what) = match self {
                    Kind::Size { .. } => (parse_scaled(text, SIZE_UNITS, 1), "not a size"),
                    _ => (parse_scaled(text, &[], 1), "not a whole number"),
                };
                match number {
                    Parsed::Not => bad(Status::InvalidOption, what),
                    Parsed::Number(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
                    Parsed::Number(_) | Parsed::TooLarge => bad(Status::OptionOutOfRange, "out of range"),
                }
            }
            Kind::Duration { off: true, .. } if text == "off" || text == "0" => Ok(Value::Duration(Duration::ZERO)),
            Kind::Duration { min, max, off } => match parse_scaled(text, DURATION_UNITS, 0) {
                Parsed::Number(0) if off => Ok(Value::Duration(Duration::ZERO)),
                Parsed::Not => bad(Status::InvalidOption, "not a time with a unit"),
                Parsed::Number(millis) if (min..=max).contains(&Duration::from_millis(millis)) => {
                    Ok(Value::Duration(Duration::from_millis(millis)))
                }
                Parsed::Number(_) | Parsed::TooLarge => bad(Status::OptionOutOfRange, "out of range"),
            },
            Kind::Percent { max } => match parse_scaled(text, &[("%", 1)], 1) {
                Parsed::Not => bad(Status::InvalidOption, "not a whole number of percent"),
                Parsed::Number(number) if number <= max => Ok(Value::Number(number)),
                Parsed::Number(_) | Parsed::TooLarge => bad(Status::OptionOutOfRange, "out of range"),
            },
            Kind::Switch => match text {
                "on" | "true" | "yes" | "1" => Ok(Value::Switch(true)),
                "off" | "false" | "no" | "0" => Ok(Value::Switch(false)),
                _ => bad(Status::InvalidOption, "neither on nor off"),
            },
            Kind::Policy => match POLICIES.iter().find(|(name, _)| *name == text) {
                Some((_, policy)) => Ok(Value::Policy(*policy)),
                None => bad(Status::InvalidOption, "not a policy of this version"),
            },
            Kind::Choice { words } => match words.iter().position(|word| *word == text) {
                Some(word) => Ok(Value::Choice(word)),
                None => bad(Status::InvalidOption, "neither of the words"),
            },
            Kind::Text { may_be_empty, .. } if text.is_empty() && !may_be_empty => {
                bad(Status::InvalidOption, "nothing")
            }
            Kind::Text { .. } => Ok(Value::Text(text.to_owned())),
        }
    }
}

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// In milliseconds.
const DURATION_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

enum Parsed {
    Number(u64),
    TooLarge,
    Not,
}

/// Digits and then one of `units`; without a unit the number counts `bare`, or is not accepted where that is 0.
fn parse_scaled(text: &str, units: &[(&str, u64)], bare: u64) -> Parsed {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let scale = match unit {
        "" => bare,
        unit => units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map_or(0, |(_, scale)| *scale),
    };
    if digits == 0 || scale == 0 {
        return Parsed::Not;
    }
    // Only digits are left, so the one way to fail is to be too large.
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)) {
        Some(number) => Parsed::Number(number),
        None => Parsed::TooLarge,
    }
}

fn size_text(bytes: u64) -> String {
    for (unit, scale) in [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, text: &str) -> Error {
        Options::new().set(name, text).expect_err("the option should have been refused")
    }

    #[test]
    fn every_default_of_the_table_parses_and_is_in_range() {
        for row in TABLE {
            assert!(row.kind.parse(row.name, row.default).is_ok(), "{}", row.name);
            assert!(Options::new().set(row.name, row.default).is_ok());
            assert!(row.help.ends_with('.') && !row.range().is_empty());
        }
    }

    #[test]
    fn sizes_and_durations_take_units() {
        let mut options = Options::new();
        options.set("memory.max_bytes", "512MiB").unwrap().set("memory.ttl", "300ms").unwrap();
        assert_eq!(options.memory.max_bytes, 512 * MIB);
        assert_eq!(options.memory.ttl, Duration::from_millis(300));
        options.set("memory.max_bytes", "2 gb").unwrap().set("memory.ttl", "2d").unwrap();
        assert_eq!(options.memory.max_bytes, 2_000_000_000);
        assert_eq!(options.memory.ttl, Duration::from_secs(2 * 86_400));
    }

    #[test]
    fn a_bound_on_bytes_alone_lifts_the_bound_on_entries() {
        let mut options = Options::new();
        assert_eq!(options.memory.entries(), DEFAULT_CAPACITY);
        options.set("memory.max_bytes", "1MiB").unwrap();
        assert_eq!(options.memory.entries(), UNBOUNDED);
        options.set("memory.capacity", "5").unwrap();
        assert_eq!(options.memory.entries(), 5);
    }

    #[test]
    fn the_sweeper_is_switched_off_by_0_in_any_unit_and_by_off() {
        for text in ["0", "0s", "0ms", "off"] {
            let mut options = Options::new();
            assert_eq!(options.memory.sweep_interval, Duration::from_secs(300));
            options.set("memory.sweep_interval", text).unwrap();
            assert_eq!(options.memory.sweep_interval, Duration::ZERO, "{text}");
        }
        assert_eq!(error("memory.sweep_interval", "5").status(), Status::InvalidOption);
        assert!(error("memory.sweep_interval", "on").message().ends_with("ms, s, m, h, d or `off`"));
    }

    #[test]
    fn percents_take_their_sign() {
        let mut options = Options::new();
        options.set("memory.ttl_jitter", "10").unwrap();
        assert_eq!(options.memory.ttl_jitter, 10);
        options.set("memory.ttl_jitter", "50 %").unwrap();
        assert_eq!(options.memory.ttl_jitter, 50);
        assert_eq!(error("memory.ttl_jitter", "51").status(), Status::OptionOutOfRange);
        assert_eq!(error("memory.ttl_jitter", "-1").status(), Status::InvalidOption);
        assert_eq!(error("memory.ttl_jitter", "1.5").status(), Status::InvalidOption);
    }

    #[test]
    fn a_refusal_names_the_option_what_was_given_and_what_is_allowed() {
        let range = error("memory.capacity", "0");
        assert_eq!(range.status(), Status::OptionOutOfRange);
        assert_eq!(
            range.message(),
            "`memory.capacity` was given `0`, which is out of range; allowed: 1 or more or `unlimited`"
        );
        assert_eq!(error("memory.capacity", "ten").status(), Status::InvalidOption);
        assert_eq!(error("memory.capacity", "-1").status(), Status::InvalidOption);
        assert_eq!(error("memory.capacity", "99999999999999999999999").status(), Status::OptionOutOfRange);
        assert_eq!(error("memory.ttl", "5").status(), Status::InvalidOption);
        assert_eq!(error("memory.ttl", "0s").status(), Status::OptionOutOfRange);
        assert_eq!(error("memory.compression", "maybe").status(), Status::InvalidOption);
        assert_eq!(error("memory.policy", "mru").status(), Status::InvalidOption);
        let unknown = error("cache.capacity", "1");
        assert_eq!(unknown.status(), Status::UnknownOption);
        assert!(unknown.message().contains("`cache.capacity`; there are: memory.capacity"));
    }
}
