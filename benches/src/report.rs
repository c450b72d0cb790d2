//! The tables. A ratio is the median, over the rounds, of the engine's time divided by ours in the same round: above 1 we
//! are faster, below 1 we lose, and then the row says so.

use crate::engines::{compared_with, is_ours};
use std::collections::HashMap;

/// Below this a difference is what the same engine shows between two runs on a quiet machine of the kind measured on.
const LEVEL: f64 = 0.03;

/// Above this share of waiting, a row's figures say as much about the neighbours as about the engine: caches are shared, and
/// two threads that take turns do not get in each other's way.
const BUSY: f64 = 0.05;

/// What became of one engine in one scenario.
pub struct Row {
    pub engine: String,
    /// Nanoseconds per operation and thread; None where the engine no longer took part.
    pub rounds: Vec<Option<f64>>,
    pub gets: u64,
    pub hits: u64,
    /// Values that were not what was stored, and calls that failed.
    pub wrong: u64,
    /// Per round, the share of its time in which somebody else had the processor.
    pub waited: Vec<f64>,
    pub absent: Option<String>,
    pub ended: Option<String>,
}

impl Row {
    pub fn new(engine: &str) -> Row {
        Row {
            engine: engine.to_owned(),
            rounds: Vec::new(),
            gets: 0,
            hits: 0,
            wrong: 0,
            waited: Vec::new(),
            absent: None,
            ended: None,
        }
    }

    pub fn median(&self) -> Option<f64> {
        median(self.rounds.iter().flatten().copied().collect())
    }

    /// Its time over the other's, round by round.
    pub fn ratio_to(&self, other: &Row) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.filter_map(|(mine, theirs)| Some((*mine)? / (*theirs)?)).collect())
    }

    fn spread(&self) -> String {
        let rounds = || self.rounds.iter().flatten().copied();
        if rounds().next().is_none() {
            return String::new();
        }
        let (least, most) = rounds().fold((f64::MAX, 0f64), |(least, most), ns| (least.min(ns), most.max(ns)));
        format!("{least:.0}-{most:.0}")
    }
}

pub fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        count if count % 2 == 1 => Some(numbers[middle]),
        _ => Some((numbers[middle - 1] + numbers[middle]) / 2.0),
    }
}

/// What is remembered from table to table, for the last lines.
#[derive(Default)]
pub struct Tally {
    pub lost: Vec<String>,
    pub won: usize,
    pub level: usize,
    /// Rows that were measured while others used the machine.
    pub busy: usize,
    /// Crashes, hangs and wrong values of our own library.
    pub ours_failed: Vec<String>,
    /// Nanoseconds by (scenario, engine), for the comparison of two threads with one.
    medians: HashMap<(String, String), f64>,
}

impl Tally {
    /// Prints one scenario's table. `alone` is the scenario with one thread, when this one has more.
    pub fn table(&mut self, scenario: &str, title: &str, threads: usize, alone: Option<&str>, rows: &[Row]) {
        println!("\n{scenario}: {title}");
        println!(
            "  {:<22}{:>9}  {:<13}{:>7}{:>9}  {:<9}",
            "engine",
            "ns/op",
            "least-most",
            "hits",
            "to ours",
            if alone.is_some() { "vs 1t" } else { "" }
        );
        for row in rows {
            if let Some(reason) = &row.absent {
                println!("  {:<22}absent: {reason}", row.engine);
                continue;
            }
            let ns = row.median();
            let text = |number: Option<String>| number.unwrap_or_else(|| "-".into());
            let reference = rows.iter().find(|other| other.engine == compared_with(&row.engine));
            let ratio = reference.and_then(|reference| row.ratio_to(reference));
            if let Some(ns) = ns {
                self.medians.insert((scenario.to_owned(), row.engine.clone()), ns);
            }
            let scaling = alone
                .and_then(|alone| {
                    let one = *self.medians.get(&(alone.to_owned(), row.engine.clone()))?;
                    Some(format!("x{:.2}", threads as f64 * one / ns?))
                })
                .unwrap_or_default();
            let hits = (row.gets > 0).then(|| format!("{:.1}%", 100.0 * row.hits as f64 / row.gets as f64));
            println!(
                "  {:<22}{:>9}  {:<13}{:>7}{:>9}  {:<9}{}",
                row.engine,
                text(ns.map(|ns| format!("{ns:.1}"))),
                row.spread(),
                text(hits),
                text(ratio.map(|ratio| format!("{ratio:.2}"))),
                scaling,
                self.remarks(scenario, row, ratio),
            );
        }
    }

    fn remarks(&mut self, scenario: &str, row: &Row, ratio: Option<f64>) -> String {
        let mut remarks = Vec::new();
        let ours = is_ours(&row.engine);
        if !ours {
            match ratio {
                Some(ratio) if ratio < 1.0 - LEVEL => {
                    remarks.push("<< WE LOSE".to_owned());
                    let reference = compared_with(&row.engine);
                    self.lost.push(format!(
                        "{scenario}: {reference} takes {:.2} times as long as {}",
                        1.0 / ratio,
                        row.engine
                    ));
                }
                Some(ratio) if ratio <= 1.0 + LEVEL => self.level += 1,
                Some(_) => self.won += 1,
                None => {}
            }
        }
        if row.wrong > 0 {
            remarks.push(format!("{} WRONG VALUES", row.wrong));
        }
        remarks.extend(row.ended.clone());
        if let Some(waited) = median(row.waited.clone()).filter(|&waited| waited > BUSY) {
            self.busy += 1;
            remarks.push(format!("(machine busy: waited {:.0}%)", 100.0 * waited));
        }
        if ours && (row.wrong > 0 || row.ended.is_some()) {
            self.ours_failed.push(format!("{scenario}: {}: {}", row.engine, remarks.join(", ")));
        }
        remarks.join("  ")
    }

    /// The last lines; whether our own library did everything right.
    pub fn verdict(&self) -> bool {
        println!(
            "\nAgainst the other engines, row by row: faster {}, level (within {:.0}%) {}, slower {}.",
            self.won,
            LEVEL * 100.0,
            self.level,
            self.lost.len()
        );
        if self.busy > 0 {
            println!(
                "The machine was busy during {} rows; they say little, above all those with two threads.",
                self.busy
            );
        }
        if !self.lost.is_empty() {
            println!("Where we lose:");
        }
        for line in &self.lost {
            println!("  {line}");
        }
        for line in &self.ours_failed {
            println!("OUR LIBRARY FAILED: {line}");
        }
        self.ours_failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(engine: &str, rounds: &[Option<f64>]) -> Row {
        let mut row = Row::new(engine);
        row.rounds = rounds.to_vec();
        row
    }

    #[test]
    fn a_ratio_is_taken_round_by_round_so_that_drift_cancels() {
        let ours = row("catzilla", &[Some(10.0), Some(20.0), Some(40.0)]);
        let peer = row("moka", &[Some(20.0), Some(40.0), Some(80.0)]);
        assert_eq!(peer.ratio_to(&ours), Some(2.0));
    }

    #[test]
    fn rounds_that_an_engine_did_not_survive_do_not_count() {
        let ours = row("catzilla-classic", &[Some(10.0), Some(10.0), Some(99.0)]);
        let crashed = row("original", &[Some(30.0), Some(50.0), None]);
        assert_eq!(crashed.ratio_to(&ours), Some(4.0));
        assert_eq!(crashed.median(), Some(40.0));
        assert_eq!(row("original", &[None]).median(), None);
    }

    #[test]
    fn a_faster_peer_is_a_loss_and_wrong_values_of_ours_are_a_failure() {
        let mut tally = Tally::default();
        let mut ours = row("catzilla", &[Some(20.0)]);
        let rows = [row("quick_cache", &[Some(10.0)]), row("moka", &[Some(60.0)])];
        assert!(tally.remarks("get", &rows[0], rows[0].ratio_to(&ours)).contains("WE LOSE"));
        assert_eq!(tally.remarks("get", &rows[1], rows[1].ratio_to(&ours)), "");
        assert_eq!((tally.lost.len(), tally.won), (1, 1));
        assert!(tally.verdict());
        ours.wrong = 1;
        tally.remarks("get", &ours, None);
        assert!(!tally.verdict());
    }
}
