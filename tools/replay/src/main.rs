//! `replay`: plays recorded accesses to a cache against catzilla-cache and prints what it measured.
//!
//! The tool is a stranger to the library: it loads the built shared object and calls nothing but the C interface, so
//! what it shows is what a C program gets. For each capacity it opens a new cache, reads every key of the trace in order
//! and, on a miss, puts a value. Every value that comes back is checked byte for byte.
//!
//! `arguments` reads the command line, `run` does the work, `restart` does it over a disk that stays, `progress` and `report` talk to the user. What other programs
//! can use as well is in the library of this package: traces, keys and values, and the C interface.

#![deny(unsafe_code)]

mod arguments;
mod progress;
mod report;
mod restart;
mod run;

use std::process::ExitCode;

use catzilla_replay::failure::Failure;
use catzilla_replay::library::Library;
use catzilla_replay::locate;
use catzilla_replay::payload::Keys;
use catzilla_replay::trace::Trace;

use arguments::{Arguments, Command};
use report::Report;
use run::Replay;

fn main() -> ExitCode {
    match act(lexopt::Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("replay: {failure}");
            failure.exit_code()
        }
    }
}

fn act(parser: lexopt::Parser) -> Result<(), Failure> {
    match arguments::parse(parser)? {
        Command::Help => report::text(arguments::HELP),
        Command::Version => report::text(concat!("replay ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::ListOptions { library } => {
            let library = Library::load(&locate::library(library.as_deref())?)?;
            report::option_table(&library.option_table())
        }
        Command::Replay(arguments) => replay(&arguments),
    }
}

fn replay(arguments: &Arguments) -> Result<(), Failure> {
    let library = Library::load(&locate::library(arguments.library.as_deref())?)?;
    // Asked before any trace is read, so that a typing error is answered at once.
    library.options(&arguments.options)?;

    for path in &arguments.traces {
        let trace = Trace::load(path, arguments.value_size)?;
        let keys = Keys::of_objects(trace.ids(), arguments.key_length);
        let replay = Replay {
            library: &library,
            options: &arguments.options,
            trace: &trace,
            keys: &keys,
            threads: arguments.threads,
            repeat: arguments.repeat,
        };
        if arguments.restart {
            report::heading(&library, arguments, &trace)?;
            restart::report(&replay, &arguments.capacities)?;
            continue;
        }
        let mut report = Report::begin(&library, arguments, &trace)?;
        for &capacity in &arguments.capacities {
            let measured = replay.at(capacity)?;
            report.row(capacity, &measured)?;
        }
        report.end()?;
    }
    if arguments.restart {
        return restart::legend();
    }
    report::legend(arguments.repeat, run::clock_cost())
}
