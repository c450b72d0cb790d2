//! Every option there is, in one table: the C interface, the bindings, the documentation and the error messages are made
//! from it.

use super::kind::{Kind, Value, CENTURY};
use super::units::{KIB, MIB};
use super::{Options, Secret, Sync, WriteMode, LARGEST_VALUE, UNBOUNDED};
use crate::error::{Error, Result, Status};
use std::time::Duration;

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

pub(super) fn row(name: &str) -> Result<&'static OptionInfo> {
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
    pub(super) fn apply(&self, options: &mut Options, text: &str) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_of_the_table_parses_and_is_in_range() {
        for row in TABLE {
            assert!(row.kind.parse(row.name, row.default).is_ok(), "{}", row.name);
            assert!(Options::new().set(row.name, row.default).is_ok());
            assert!(row.help.ends_with('.') && !row.range().is_empty());
        }
    }
}
