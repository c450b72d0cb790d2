//! What `throughput` is to show, scenario by scenario. A goal is a ratio: how many times as long another takes as we do, or how many
//! times as much two threads do as one.

use crate::keys::Skew;
use crate::scenario::{Kind, Scenario};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beside {
    /// The fastest cache of somebody else's in the same table, whichever that is.
    Fastest,
    Peer(&'static str),
    /// Ourselves with one thread.
    OneThread,
    /// The original engine, beside our classic interface.
    Original,
}

pub struct Goal {
    pub beside: Beside,
    /// None: shown, but nothing was set.
    pub at_least: Option<f64>,
}

pub fn of(scenario: &Scenario) -> Vec<Goal> {
    use Beside::{Fastest, OneThread, Original, Peer};
    let goals: &[(Beside, f64)] = match (scenario.kind, scenario.threads, scenario.is_large()) {
        (Kind::Get, 1, _) if scenario.skew == Skew::Hot => &[(Fastest, NONE), (Original, NONE)],
        // Two threads on one key are to be no slower, each of them, than one.
        (Kind::Get, _, _) if scenario.skew == Skew::Hot => &[(Fastest, NONE), (OneThread, 2.0), (Original, 12.0)],
        (Kind::Get, 1, false) => &[(Fastest, 1.0), (Peer("quick_cache"), 1.2), (Original, 5.0)],
        (Kind::Get, 1, true) => &[(Fastest, 1.2), (Original, 3.0)],
        (Kind::Get, _, _) => &[(Fastest, 1.5), (OneThread, 1.8), (Original, 12.0)],
        (Kind::Mixed, 1, _) => &[(Fastest, 1.0), (Original, NONE)],
        (Kind::Mixed, _, _) => &[(Fastest, 1.0), (Original, 8.0)],
        (Kind::Churn, _, _) => &[(Fastest, 1.0), (Original, NONE)],
    };
    goals.iter().map(|&(beside, least)| Goal { beside, at_least: (least > NONE).then_some(least) }).collect()
}

const NONE: f64 = 0.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_judged_beside_the_fastest() {
        for scenario in crate::scenario::all() {
            assert!(of(&scenario).iter().any(|goal| goal.beside == Beside::Fastest), "{}", scenario.name);
        }
    }
}
