//! How long does a get, a mixture and a churn take, beside the peers and the original engine?

use catzilla_benches::args::Args;
use catzilla_benches::report::Tally;
use catzilla_benches::{engines, machine, scenario, turns, worker};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        args.print_list();
        return ExitCode::SUCCESS;
    }
    if let Some((engine, name)) = &args.worker {
        let scenario = scenario::named(name).expect("the parent knows the scenarios");
        worker::run(engine, scenario, args.round, &args.settings);
        return ExitCode::SUCCESS;
    }
    machine::heading("throughput: 31-character keys, 128-byte values, nanoseconds per operation and thread");
    println!(
        "{} rounds of {} ms each, engines in turns, each in a process of its own; `to ours` above 1: we are faster",
        args.rounds,
        args.round.as_millis()
    );
    if let Err(error) = engines::load_library() {
        eprintln!("nothing to compare with: {error}");
        return ExitCode::FAILURE;
    }
    let mut tally = Tally::default();
    for scenario in args.scenarios() {
        tally.table(scenario, turns::measure(scenario, &args));
    }
    tally.goals();
    match tally.verdict() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
