//! The situations that `throughput` measures. A scenario is a row of `all()`; its name is what `--scenario` matches.

use crate::engine::Shape;
use crate::keys::Skew;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Gets of keys that are all there.
    Get,
    /// Of 100 calls, 90 gets and 10 overwriting puts.
    Mixed,
    /// The cache holds a tenth of the keys; a miss is followed by a put of that key.
    Churn,
}

#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub kind: Kind,
    pub skew: Skew,
    /// Different keys that are asked for.
    pub universe: usize,
    pub threads: usize,
    /// Part of `--quick`.
    pub quick: bool,
}

/// The smaller figure is a working set that second-level caches nearly hold; the larger one lives in memory.
const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;
/// A tenth of it is 8,192: a power of two, the only kind of capacity that one of the peers has.
const CHURN_UNIVERSE: usize = 81_920;

/// As in the trace literature's usual web skew.
const ZIPF: Skew = Skew::Zipf(0.99);
/// Less skewed, so that a tenth of the keys misses often.
const CHURN_ZIPF: Skew = Skew::Zipf(0.9);

pub fn all() -> Vec<Scenario> {
    use Kind::{Churn, Get, Mixed};
    use Skew::{Hot, Uniform};
    let row = |name, kind, skew, universe, threads, quick| Scenario { name, kind, skew, universe, threads, quick };
    vec![
        row("get-10k-uniform-1t", Get, Uniform, SMALL, 1, true),
        row("get-10k-uniform-2t", Get, Uniform, SMALL, 2, true),
        row("get-10k-zipf-1t", Get, ZIPF, SMALL, 1, false),
        row("get-10k-zipf-2t", Get, ZIPF, SMALL, 2, false),
        row("get-1m-uniform-1t", Get, Uniform, LARGE, 1, true),
        row("get-1m-uniform-2t", Get, Uniform, LARGE, 2, false),
        row("get-1m-zipf-1t", Get, ZIPF, LARGE, 1, false),
        row("get-1m-zipf-2t", Get, ZIPF, LARGE, 2, false),
        row("hot-1t", Get, Hot, SMALL, 1, true),
        row("hot-2t", Get, Hot, SMALL, 2, true),
        row("mixed-10k-uniform-1t", Mixed, Uniform, SMALL, 1, true),
        row("mixed-10k-uniform-2t", Mixed, Uniform, SMALL, 2, true),
        row("mixed-1m-uniform-1t", Mixed, Uniform, LARGE, 1, false),
        row("mixed-1m-uniform-2t", Mixed, Uniform, LARGE, 2, false),
        row("churn-1t", Churn, CHURN_ZIPF, CHURN_UNIVERSE, 1, true),
        row("churn-2t", Churn, CHURN_ZIPF, CHURN_UNIVERSE, 2, true),
    ]
}

pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    pub fn shape(&self) -> Shape {
        match self.kind {
            Kind::Churn => Shape { capacity: self.universe / 10, expected: self.universe / 10, grows: false },
            Kind::Get | Kind::Mixed => Shape::with_headroom(self.universe),
        }
    }

    /// Whether the entries are too many for any cache of the processor's.
    pub fn is_large(&self) -> bool {
        self.universe == LARGE
    }

    pub fn puts_percent(&self) -> usize {
        match self.kind {
            Kind::Mixed => 10,
            Kind::Get | Kind::Churn => 0,
        }
    }

    /// The scenario that differs from this one only in having one thread.
    pub fn on_one_thread(&self) -> Option<Scenario> {
        (self.threads > 1).then(|| {
            all()
                .into_iter()
                .find(|other| {
                    (other.kind, other.skew, other.universe, other.threads) == (self.kind, self.skew, self.universe, 1)
                })
                .expect("every scenario exists with one thread")
        })
    }

    pub fn title(&self) -> String {
        let keys = match self.universe {
            LARGE => "1,000,000",
            CHURN_UNIVERSE => "81,920",
            _ => "10,000",
        };
        let skew = match self.skew {
            Skew::Uniform => "uniform".to_owned(),
            Skew::Zipf(exponent) => format!("Zipf {exponent}"),
            Skew::Hot => "always the same key".to_owned(),
        };
        let what = match self.kind {
            Kind::Get => format!("get, {keys} entries"),
            Kind::Mixed => format!("90% get and 10% put, {keys} entries"),
            Kind::Churn => format!("get, and put when missed, {keys} keys, room for a tenth"),
        };
        let threads = match self.threads {
            1 => "1 thread".to_owned(),
            many => format!("{many} threads"),
        };
        format!("{what}, {skew}, {threads}")
    }
}
