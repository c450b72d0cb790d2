//! What is printed, and the CSV file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use catzilla_replay::failure::Failure;

use crate::run::{Measured, Who};

/// The sizes at which the gaps are told: those at which hit ratios are usually published.
const GAPS_AT: [f64; 3] = [1.0, 10.0, 25.0];

/// How a row is called in a table.
fn label(who: &Who) -> String {
    match who.kind() {
        "engine-1-shard" => format!("engine {}, one shard", who.name()),
        "engine" => format!("engine {}", who.name()),
        _ => who.name().to_owned(),
    }
}

/// A row for each policy, a column for each size.
pub fn table(measured: &Measured) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {} requests, {} objects", measured.trace, measured.requests, measured.objects)?;
    write!(out, "{:26}", "hit ratio in percent at")?;
    for size in &measured.sizes {
        write!(out, "{:>9}", format!("{} %", size.percent))?;
    }
    write!(out, "\n{:26}", "entries")?;
    for size in &measured.sizes {
        write!(out, "{:>9}", size.entries)?;
    }
    writeln!(out)?;
    for (who, ratios) in &measured.rows {
        write!(out, "{:26}", label(who))?;
        for ratio in ratios {
            write!(out, "{ratio:>9.2}")?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    Ok(())
}

/// By how many points each row is behind the best simulator, at the sizes of [`GAPS_AT`] that were measured.
struct Gaps {
    label: String,
    is_engine: bool,
    /// For each size the gaps, one a trace; the trace's name beside.
    at: Vec<Vec<(String, f64)>>,
}

fn gaps_of(all: &[Measured]) -> Vec<Gaps> {
    let mut found: Vec<Gaps> = Vec::new();
    for measured in all {
        for (row, (who, ratios)) in measured.rows.iter().enumerate() {
            if found.len() <= row {
                let is_engine = matches!(who, Who::Engine { .. });
                found.push(Gaps { label: label(who), is_engine, at: vec![Vec::new(); GAPS_AT.len()] });
            }
            for (gaps, percent) in found[row].at.iter_mut().zip(GAPS_AT) {
                if let Some(size) = measured.sizes.iter().position(|size| size.percent == percent) {
                    gaps.push((measured.trace.clone(), measured.best_simulator(size).1 - ratios[size]));
                }
            }
        }
    }
    found
}

/// How far each policy is behind the best one of each trace: the mean and the worst; the engine's trace by trace.
pub fn gaps(all: &[Measured]) -> Result<(), Failure> {
    let gaps = gaps_of(all);
    let mut out = io::stdout().lock();
    writeln!(out, "Points of hit ratio behind the best simulated policy of each trace (negative: ahead of it)\n")?;

    let engines: Vec<&Gaps> = gaps.iter().filter(|gaps| gaps.is_engine).collect();
    for (index, percent) in GAPS_AT.into_iter().enumerate() {
        if engines.iter().all(|gaps| gaps.at[index].is_empty()) {
            continue;
        }
        write!(out, "{:24}{:>18}", format!("at {percent} %"), "best")?;
        for engine in &engines {
            write!(out, "  {:>18}", engine.label.trim_start_matches("engine "))?;
        }
        writeln!(out)?;
        for measured in all {
            let Some(size) = measured.sizes.iter().position(|size| size.percent == percent) else { continue };
            let (best, ratio) = measured.best_simulator(size);
            write!(out, "{:24}{:>18}", measured.trace, format!("{best} {ratio:.2}"))?;
            for engine in &engines {
                let gap = engine.at[index].iter().find(|(trace, _)| *trace == measured.trace);
                write!(out, "  {:>18}", gap.map_or_else(String::new, |(_, gap)| format!("{gap:.2}")))?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }

    write!(out, "{:26}", "mean, and worst, at")?;
    for percent in GAPS_AT {
        write!(out, "{:>18}", format!("{percent} %"))?;
    }
    writeln!(out)?;
    for policy in &gaps {
        write!(out, "{:26}", policy.label)?;
        for gaps in &policy.at {
            let mean = gaps.iter().map(|(_, gap)| gap).sum::<f64>() / gaps.len().max(1) as f64;
            let worst = gaps.iter().map(|(_, gap)| *gap).reduce(f64::max).unwrap_or(0.0);
            write!(out, "{:>18}", format!("{mean:.2}, {worst:.2}"))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A line for each trace, size and policy.
pub struct Csv {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Csv {
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::request(format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        writeln!(file, "trace,requests,objects,percent,entries,kind,policy,hit_ratio").map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub fn add(&mut self, measured: &Measured) -> Result<(), Failure> {
        let Measured { trace, requests, objects, sizes, rows } = measured;
        for (who, ratios) in rows {
            for (size, ratio) in sizes.iter().zip(ratios) {
                let (percent, entries, kind, policy) = (size.percent, size.entries, who.kind(), who.name());
                let line = format!("{trace},{requests},{objects},{percent},{entries},{kind},{policy},{ratio:.4}");
                writeln!(self.file, "{line}").map_err(|error| self.failed(&error))?;
            }
        }
        Ok(())
    }

    pub fn end(mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::Output(format!("{}: {error}", self.path.display()))
    }
}
