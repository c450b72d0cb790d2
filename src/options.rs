//! Every option there is, in one table: the C interface, the bindings, the documentation and the error messages are made
//! from it. To add one, add a row, a field and (if it can change while a cache runs) its use in `Memory::configure`.

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
}

/// What an option's text was found to mean.
#[derive(Clone, Copy)]
enum Value {
    Number(u64),
    Duration(Duration),
    Switch(bool),
    Policy(PolicyName),
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
        help: "Longer values are refused.",
        live: true,
        kind: Kind::Size { min: 1, max: LARGEST_VALUE, word: None },
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

    /// What the option's text stands for: `count`, `size`, `duration`, `percent`, `switch` or `policy`.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Count { .. } => "count",
            Kind::Size { .. } => "size",
            Kind::Duration { .. } => "duration",
            Kind::Percent { .. } => "percent",
            Kind::Switch => "switch",
            Kind::Policy => "policy",
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
            Kind::Duration { off, .. } => {
                format!("1ms to 100 years, with a unit: ms, s, m, h, d{}", or(off.then_some("off")))
            }
            Kind::Percent { max } => format!("0 to {max}, `%` may follow"),
            Kind::Switch => "on or off".to_owned(),
            Kind::Policy => POLICIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
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
        if bytes >= scale && bytes % scale == 0 {
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
