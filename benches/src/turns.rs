//! The parent's side of `throughput`: one child an engine, all filled before the first round, then rounds in turns, so that
//! whatever the machine does meanwhile, it does to all of them.

use crate::args::Args;
use crate::child::Child;
use crate::report::Row;
use crate::scenario::Scenario;
use std::time::Duration;

/// Filling a million entries takes the slowest engine a few seconds, on a busy machine several times that.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn measure(scenario: Scenario, args: &Args) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut children = Vec::new();
    for engine in args.engines() {
        let mut row = Row::new(&engine);
        let child = Child::start(&args.for_worker(&engine, scenario.name));
        let child = match child {
            Ok(mut child) => match child.hear(PATIENCE) {
                Ok(line) if line == "ready" => Some(child),
                Ok(line) => {
                    row.absent = Some(line.trim_start_matches("absent ").to_owned());
                    None
                }
                Err(end) => {
                    row.ended = Some(format!("{end} while it was filled"));
                    None
                }
            },
            Err(error) => {
                row.absent = Some(error.to_string());
                None
            }
        };
        rows.push(row);
        children.push(child);
    }
    // Round 0 warms up and is not counted, though what goes wrong in it is.
    for round in 0..=args.rounds {
        for (row, slot) in rows.iter_mut().zip(&mut children) {
            let Some(child) = slot else {
                if round > 0 {
                    row.rounds.push(None);
                }
                continue;
            };
            child.say(if round == 0 { "warm" } else { "round" });
            let heard =
                child.hear(PATIENCE).and_then(|line| parse(&line, scenario.threads).ok_or(format!("said {line:?}")));
            match heard {
                Ok(figures) => {
                    row.gets += figures.gets;
                    row.hits += figures.hits;
                    row.wrong += figures.wrong;
                    if round > 0 {
                        row.waited.push(figures.waited);
                        row.rounds.push(Some(figures.nanoseconds));
                    }
                }
                Err(end) => {
                    row.ended = Some(format!("{end} in round {round}"));
                    *slot = None;
                    if round > 0 {
                        row.rounds.push(None);
                    }
                }
            }
        }
    }
    rows
}

struct Figures {
    nanoseconds: f64,
    gets: u64,
    hits: u64,
    wrong: u64,
    waited: f64,
}

fn parse(line: &str, threads: usize) -> Option<Figures> {
    let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [ops, nanoseconds, gets, hits, wrong, waited] = numbers[..] else {
        return None;
    };
    // Waiting for a processor that somebody else had is not the engine's time. With several threads it stays in, because taking
    // it off would make threads that could not run at the same time look as if they scaled.
    let own = match threads {
        1 => nanoseconds.saturating_sub(waited),
        _ => nanoseconds,
    };
    Some(Figures {
        nanoseconds: own as f64 / ops as f64,
        gets,
        hits,
        wrong,
        waited: waited as f64 / nanoseconds as f64,
    })
}
