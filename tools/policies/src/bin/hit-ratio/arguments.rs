//! The command line.

use std::path::PathBuf;

use catzilla_policies::traces::{self, Source};
use catzilla_replay::failure::Failure;
use lexopt::prelude::{Long, Short, ValueExt};

pub const HELP: &str = "\
hit-ratio: how often each policy hits, simulated and in the built library.

Usage: hit-ratio [options]

Takes the traces of the repository, two that are generated, and those in the folder that the
environment variable CATZILLA_TRACES names.

Options:
  --quick          four traces and three sizes: under a minute
  --trace NAME     only this trace, as often as needed
  --sizes LIST     sizes in percent of the trace's objects, at least 100 entries each
                   [default: 1,2,5,10,15,25,40]
  --csv PATH       where everything is written to [default: build/hit-ratio.csv]
  --threads N      simulations at a time [default: 2]
  --library PATH   the shared library [default: $CATZILLA_CACHE_LIBRARY, else the one beside
                   this program]
  -h, --help       print this text and stop
";

const PERCENTS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 40.0];

const QUICK_PERCENTS: [f64; 3] = [1.0, 10.0, 25.0];
/// One of each kind, and none of millions of requests.
const QUICK_TRACES: [&str; 4] = ["cache2k_web12", "mooncake_conversation", "lirs_loop", "lirs_zigzag"];

pub enum Command {
    Help,
    Run(Arguments),
}

pub struct Arguments {
    /// Empty: all that there are.
    traces: Vec<String>,
    pub percents: Vec<f64>,
    pub csv: PathBuf,
    pub threads: usize,
    pub library: Option<PathBuf>,
}

pub fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let (mut traces, mut percents, mut quick) = (Vec::new(), Vec::new(), false);
    let mut csv = PathBuf::from("build/hit-ratio.csv");
    let mut threads = 2;
    let mut library = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => quick = true,
            Long("trace") => traces.push(parser.value()?.string()?),
            Long("sizes") => percents.extend(sizes(&parser.value()?.string()?)?),
            Long("csv") => csv = parser.value()?.into(),
            Long("threads") => {
                let text = parser.value()?.string()?;
                threads =
                    text.parse().ok().filter(|threads| (1..=1024).contains(threads)).ok_or_else(|| {
                        Failure::request(format!("--threads: \"{text}\" is not a number from 1 to 1024"))
                    })?;
            }
            Long("library") => library = Some(parser.value()?.into()),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if traces.is_empty() && quick {
        traces = QUICK_TRACES.map(str::to_owned).to_vec();
    }
    if percents.is_empty() {
        percents = if quick { QUICK_PERCENTS.to_vec() } else { PERCENTS.to_vec() };
    }
    Ok(Command::Run(Arguments { traces, percents, csv, threads, library }))
}

fn sizes(list: &str) -> Result<Vec<f64>, Failure> {
    let size = |text: &str| {
        let percent =
            text.trim().trim_end_matches('%').parse().ok().filter(|percent| (0.001..=100.0).contains(percent));
        percent.ok_or_else(|| Failure::request(format!("--sizes: \"{text}\" is not a number from 0.001 to 100")))
    };
    list.split(',').map(size).collect()
}

impl Arguments {
    /// Those of the traces that were asked for.
    pub fn chosen(&self, sources: Vec<Source>) -> Result<Vec<Source>, Failure> {
        for name in &self.traces {
            if sources.iter().all(|source| source.name != *name) {
                let there: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
                return Err(Failure::request(format!(
                    "there is no trace {name}; there are {}, and what is in the folder that {} names",
                    there.join(", "),
                    traces::VARIABLE
                )));
            }
        }
        Ok(sources.into_iter().filter(|source| self.traces.is_empty() || self.traces.contains(&source.name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Arguments, Failure> {
        match parse(lexopt::Parser::from_args(arguments))? {
            Command::Run(arguments) => Ok(arguments),
            Command::Help => panic!("no help was asked for"),
        }
    }

    #[test]
    fn quick_is_a_choice_of_traces_and_sizes_that_can_be_overruled() {
        let arguments = run(&["--quick"]).expect("right");
        assert_eq!((arguments.traces.len(), arguments.percents.len()), (4, 3));
        let arguments = run(&["--quick", "--trace", "web", "--sizes", "1,2.5%"]).expect("right");
        assert_eq!((arguments.traces, arguments.percents), (vec!["web".to_owned()], vec![1.0, 2.5]));
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [&["--sizes", "0"][..], &["--sizes", "x"], &["--threads", "0"], &["--nonsense"], &["web"]] {
            assert!(run(arguments).is_err(), "{arguments:?}");
        }
    }
}
