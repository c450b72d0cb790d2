//! `hit-ratio`: how often each policy hits, the simulated ones and those of the built library, on every trace there is and at
//! several sizes of the cache. Prints a table for each trace and at the end how far the engine is behind the best policy
//! that one could have chosen beforehand; writes everything into a CSV file too, which `hit-ratio-chart` draws.
//!
//! `arguments` reads the command line, `run` measures, `report` prints and writes.

mod arguments;
mod report;
mod run;

use std::process::ExitCode;

use catzilla_policies::traces;
use catzilla_replay::failure::Failure;
use catzilla_replay::library::Library;
use catzilla_replay::locate;

use arguments::Command;

fn main() -> ExitCode {
    match act(lexopt::Parser::from_env()) {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hit-ratio: {failure}");
            failure.exit_code()
        }
    }
}

fn act(parser: lexopt::Parser) -> Result<(), Failure> {
    let arguments = match arguments::parse(parser)? {
        Command::Help => {
            print!("{}", arguments::HELP);
            return Ok(());
        }
        Command::Run(arguments) => arguments,
    };
    let library = Library::load(&locate::library(arguments.library.as_deref())?)?;
    let sources = arguments.chosen(traces::all()?)?;
    // Before anything takes time.
    let mut csv = report::Csv::create(&arguments.csv)?;
    let mut all = Vec::new();
    for source in &sources {
        let trace = source.load()?;
        let measured = run::measure(&trace, &library, &arguments.percents, arguments.threads)?;
        report::table(&measured)?;
        csv.add(&measured)?;
        all.push(measured);
    }
    report::gaps(&all)?;
    csv.end()
}
