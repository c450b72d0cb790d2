//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, ValueExt};

pub const HELP: &str = "\
soak: uses catzilla-cache in every way at once and checks every byte that comes back.

Usage: soak [options]

Rounds of many caches: every policy, tiny, medium, bounded by bytes, and one of each policy
that may forget nothing; threads that come and go mix all calls on them; the process forks.
Stops at the first thing that is wrong.

Options:
  --seconds N     how long [default: 60]
  --round N       seconds of one round, after which all caches are ended and what they
                  leave behind is looked at [default: 10]
  --threads N     threads at a time, 1 to 30 [default: 4]
  --seed N        makes the same choices as the run that printed it; threads meet in other
                  ways all the same [default: from the clock]
  --patience N    seconds after which what should come is said to be missing [default: 120]
  --library PATH  the shared library [default: $CATZILLA_CACHE_LIBRARY, else the one beside
                  this program]
  -h, --help      print this text and stop

Exit code: 0 all is well, 1 the library misbehaved, 2 the request was wrong.
";

#[derive(Debug)]
pub struct Arguments {
    pub time: Duration,
    pub round: Duration,
    pub threads: usize,
    pub seed: u64,
    pub patience: u64,
    pub library: Option<PathBuf>,
}

/// `None` when the help was asked for.
pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Arguments>, lexopt::Error> {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut arguments = Arguments {
        time: Duration::from_secs(60),
        round: Duration::from_secs(10),
        threads: 4,
        seed: since.as_nanos() as u64 >> 10 & 0xffff_ffff,
        patience: 120,
        library: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => arguments.time = Duration::from_secs(parser.value()?.parse()?),
            Long("round") => arguments.round = Duration::from_secs(parser.value()?.parse()?),
            Long("threads") => {
                arguments.threads = parser.value()?.parse_with(|text| match text.parse() {
                    Ok(threads @ 1..=30) => Ok(threads),
                    _ => Err("not a number from 1 to 30"),
                })?;
            }
            Long("seed") => arguments.seed = parser.value()?.parse()?,
            Long("patience") => arguments.patience = parser.value()?.parse()?,
            Long("library") => arguments.library = Some(PathBuf::from(parser.value()?)),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}
