//! The tables. A ratio is the median, over the rounds, of the engine's time divided by ours in the same round: above 1 we
//! are faster, below 1 we lose, and then the row says so.

use crate::engines::{compared_with, is_ours, is_peer, ORIGINAL, OURS, OURS_CLASSIC};
use crate::goals::{self, Beside};
use crate::scenario::{Kind, Scenario};

/// Below this a difference is what the same engine shows between two runs on a quiet machine of the kind measured on.
pub const LEVEL: f64 = 0.03;

/// Above this share of waiting, a row's figures say as much about the neighbours as about the engine: caches are shared, and
/// two threads that take turns do not get in each other's way.
const BUSY: f64 = 0.05;

/// Hits that are missing where all should be there are work not done; this few do not show in the time.
const ALL_THERE: f64 = 0.999;

/// What became of one engine in one scenario.
#[derive(Clone)]
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

    /// The share of gets that found something.
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.gets > 0).then(|| self.hits as f64 / self.gets as f64)
    }

    /// The share of waiting, when it is so large that the figures say little.
    pub fn busy(&self) -> Option<f64> {
        median(self.waited.clone()).filter(|&waited| waited > BUSY)
    }

    /// Whether its time can stand beside another's: it came to the end, and kept what it was to keep.
    fn did_the_work(&self, scenario: Scenario) -> bool {
        let kept = scenario.kind == Kind::Churn || self.hit_ratio().is_some_and(|hits| hits > ALL_THERE);
        self.absent.is_none() && self.ended.is_none() && self.wrong == 0 && kept
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
    /// Every table so far: what the last one is made from.
    measured: Vec<(Scenario, Vec<Row>)>,
}

impl Tally {
    /// Prints one scenario's table.
    pub fn table(&mut self, scenario: Scenario, rows: Vec<Row>) {
        println!("\n{}: {}", scenario.name, scenario.title());
        println!(
            "  {:<22}{:>9}  {:<13}{:>7}{:>9}  {:<9}",
            "engine",
            "ns/op",
            "least-most",
            "hits",
            "to ours",
            if scenario.threads > 1 { "vs 1t" } else { "" }
        );
        for row in &rows {
            if let Some(reason) = &row.absent {
                println!("  {:<22}absent: {reason}", row.engine);
                continue;
            }
            let text = |number: Option<String>| number.unwrap_or_else(|| "-".into());
            let reference = rows.iter().find(|other| other.engine == compared_with(&row.engine));
            let ratio = reference.and_then(|reference| row.ratio_to(reference));
            let scaling = self.scaling(scenario, row);
            println!(
                "  {:<22}{:>9}  {:<13}{:>7}{:>9}  {:<9}{}",
                row.engine,
                text(row.median().map(|ns| format!("{ns:.1}"))),
                row.spread(),
                text(row.hit_ratio().map(|hits| format!("{:.1}%", 100.0 * hits))),
                text(ratio.map(|ratio| format!("{ratio:.2}"))),
                scaling.map_or(String::new(), |scaling| format!("x{scaling:.2}")),
                self.remarks(scenario.name, row, ratio),
            );
        }
        self.measured.push((scenario, rows));
    }

    /// The throughput of all threads together as a multiple of the same engine's on one thread.
    fn scaling(&self, scenario: Scenario, row: &Row) -> Option<f64> {
        let alone = self.row(scenario.on_one_thread()?.name, &row.engine)?;
        Some(scenario.threads as f64 * alone.median()? / row.median()?)
    }

    fn row(&self, scenario: &str, engine: &str) -> Option<&Row> {
        let (_, rows) = self.measured.iter().find(|(measured, _)| measured.name == scenario)?;
        rows.iter().find(|row| row.engine == engine)
    }

    /// What was to be reached, and whether it was.
    pub fn goals(&self) {
        let (mut reached, mut all) = (0, 0);
        println!("\nGoals: how many times as long as we take, or what two threads do as a multiple of one");
        println!(
            "  {:<22}{:>9}  {:<29}{:>9}{:>8}{:>8}  reached",
            "scenario", "ours ns", "beside", "ns", "ratio", "goal"
        );
        for (scenario, rows) in &self.measured {
            for goal in goals::of(scenario) {
                let Some(found) = self.compare(*scenario, rows, goal.beside) else { continue };
                let verdict = goal.at_least.map_or("", |goal| judge(found.ratio, goal));
                all += usize::from(goal.at_least.is_some());
                reached += usize::from(verdict == REACHED);
                println!(
                    "  {:<22}{:>9.1}  {:<29}{:>9.1}{:>8.2}{:>8}  {verdict}{}",
                    scenario.name,
                    found.ours_ns,
                    found.beside,
                    found.ns,
                    found.ratio,
                    goal.at_least.map_or("-".into(), |goal| format!("{goal:.1}")),
                    if found.busy { "  (machine busy)" } else { "" },
                );
            }
        }
        println!("  {reached} of {all} reached");
    }

    fn compare(&self, scenario: Scenario, rows: &[Row], beside: Beside) -> Option<Found> {
        let named = |name: &str| rows.iter().find(|row| row.engine == name);
        let ours = named(match beside {
            Beside::Original => OURS_CLASSIC,
            _ => OURS,
        })?;
        let ours_ns = ours.median()?;
        if let Beside::OneThread = beside {
            let alone = self.row(scenario.on_one_thread()?.name, OURS)?;
            return Some(Found {
                ours_ns,
                beside: "catzilla on one thread".into(),
                ns: alone.median()?,
                ratio: self.scaling(scenario, ours)?,
                busy: ours.busy().or(alone.busy()).is_some(),
            });
        }
        let (row, title) = match beside {
            Beside::Fastest => {
                let peers = rows.iter().filter(|row| is_peer(&row.engine) && row.did_the_work(scenario));
                let fastest = peers.min_by(|a, b| {
                    let ratio = |row: &Row| row.ratio_to(ours).unwrap_or(f64::MAX);
                    ratio(a).total_cmp(&ratio(b))
                })?;
                (fastest, format!("fastest: {}", fastest.engine))
            }
            Beside::Peer(name) => (named(name)?, name.to_owned()),
            Beside::Original => (named(ORIGINAL)?, ORIGINAL.to_owned()),
            Beside::OneThread => unreachable!("returned above"),
        };
        let crashed = if row.ended.is_some() { " (until its end)" } else { "" };
        Some(Found {
            ours_ns,
            beside: format!("{title}{crashed}"),
            ns: row.median()?,
            ratio: row.ratio_to(ours)?,
            busy: ours.busy().or(row.busy()).is_some(),
        })
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
        if let Some(waited) = row.busy() {
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

/// Two figures of one run, side by side.
struct Found {
    ours_ns: f64,
    beside: String,
    ns: f64,
    ratio: f64,
    busy: bool,
}

const REACHED: &str = "yes";

fn judge(ratio: f64, goal: f64) -> &'static str {
    match ratio {
        _ if ratio >= goal => REACHED,
        _ if ratio >= goal * (1.0 - LEVEL) => "within 3%",
        _ => "NO",
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

    #[test]
    fn the_fastest_peer_is_one_that_did_the_work() {
        let scenario = crate::scenario::named("get-10k-uniform-1t").unwrap();
        let peer = |engine: &str, ns: f64, hits: u64| {
            let mut row = row(engine, &[Some(ns)]);
            (row.gets, row.hits) = (1000, hits);
            row
        };
        let rows = [
            peer("catzilla", 20.0, 1000),
            peer("moka", 60.0, 1000),
            peer("tinyufo", 10.0, 700),
            peer("quick_cache", 30.0, 1000),
            peer("original", 5.0, 1000),
        ];
        let found = Tally::default().compare(scenario, &rows, Beside::Fastest).unwrap();
        assert_eq!((found.beside.as_str(), found.ratio), ("fastest: quick_cache", 1.5));
    }

    #[test]
    fn a_goal_that_is_missed_by_little_is_said_to_be_missed_by_little() {
        assert_eq!([1.21, 1.2, 1.18, 1.1].map(|ratio| judge(ratio, 1.2)), ["yes", "yes", "within 3%", "NO"]);
    }
}
