//! The command line: what may be asked, and what is refused before anything is loaded.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use catzilla_replay::capacity::Capacity;
use catzilla_replay::failure::Failure;
use catzilla_replay::payload::{KEY_LENGTHS, MAX_VALUE_SIZE};

pub const HELP: &str = "\
replay: plays recorded cache accesses against catzilla-cache through its C interface.

Usage: replay TRACE... [options]
       replay --list-options

For each capacity a new cache is opened; every key of the trace is read in order and, on a
miss, a value is put. Every value that comes back is checked.

TRACE is NAME.key.u32.zst: one 32-bit little-endian object id per request, compressed by
zstd; or NAME.u32: the same, not compressed.

Options:
  --capacity LIST      sizes of the cache, separated by commas: shares of the trace's unique
                       objects (10%), numbers of entries (5000) or \"unlimited\"
                       [default: 1%,10%,25%]
  --option NAME=VALUE  any option of the library, as often as needed; with memory.capacity
                       here, --capacity is left out
  --list-options       print the library's table of options and stop
  --value-size N       bytes of every value [default: the sizes in NAME.size.u32.zst when
                       that file is there, else 128]
  --key-length N       bytes of every key, 16 to 1024 [default: 32]
  --threads N          threads that share the trace's requests in turn [default: 1]
  --restart            over memory and a disk tier in a temporary folder: one run on nothing, then
                       the cache is destroyed and opened anew, and another run; what each tier
                       answered, and how fast. --repeat has no effect
  --repeat N           runs the operations per second are the median of [default: 3]
  --library PATH       the shared library [default: $CATZILLA_CACHE_LIBRARY, else the one
                       beside this program]
  -h, --help           print this text and stop
  -V, --version        print the version of this program and stop

Exit code: 0 done, 1 the cache misbehaved (a wrong value, a failing call), 2 the request was
wrong (an argument, a trace, an option).
";

const DEFAULT_KEY_LENGTH: usize = 32;
const DEFAULT_REPEAT: usize = 3;
/// Arbitrary: far above any machine the tool runs on, low enough that a slip of the keyboard is caught.
const MAX_THREADS: usize = 1024;
const MAX_REPEAT: usize = 1_000_000;

/// The option that `--capacity` fills in.
pub const CAPACITY_OPTION: &str = "memory.capacity";

/// The option that `--restart` fills in.
pub const FOLDER_OPTION: &str = "disk.path";

#[derive(Debug)]
pub enum Command {
    Help,
    Version,
    ListOptions { library: Option<PathBuf> },
    Replay(Arguments),
}

#[derive(Debug)]
pub struct Arguments {
    pub traces: Vec<PathBuf>,
    /// `None` when `memory.capacity` stands among the options.
    pub capacities: Vec<Option<Capacity>>,
    pub options: Vec<(String, String)>,
    pub value_size: Option<u32>,
    pub key_length: usize,
    pub threads: usize,
    pub restart: bool,
    pub repeat: usize,
    pub library: Option<PathBuf>,
}

pub fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut traces = Vec::new();
    let mut capacities = Vec::new();
    let mut options = Vec::new();
    let mut value_size = None;
    let mut key_length = DEFAULT_KEY_LENGTH;
    let mut threads = 1;
    let mut repeat = DEFAULT_REPEAT;
    let mut library = None;
    let mut list_options = false;
    let mut restart = false;

    while let Some(argument) = parser.next()? {
        match argument {
            Value(path) => traces.push(PathBuf::from(path)),
            Long("capacity") => capacities.extend(Capacity::parse_list(&parser.value()?.string()?)?),
            Long("option") => options.push(assignment(parser.value()?)?),
            Long("list-options") => list_options = true,
            Long("restart") => restart = true,
            Long("value-size") => {
                let size = number("--value-size", parser.value()?, 0, MAX_VALUE_SIZE as usize)?;
                value_size = Some(size as u32);
            }
            Long("key-length") => {
                key_length = number("--key-length", parser.value()?, *KEY_LENGTHS.start(), *KEY_LENGTHS.end())?;
            }
            Long("threads") => threads = number("--threads", parser.value()?, 1, MAX_THREADS)?,
            Long("repeat") => repeat = number("--repeat", parser.value()?, 1, MAX_REPEAT)?,
            Long("library") => library = Some(PathBuf::from(parser.value()?)),
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            other => return Err(other.unexpected().into()),
        }
    }

    if list_options {
        return Ok(Command::ListOptions { library });
    }
    if traces.is_empty() {
        return Err(Failure::request("no trace was given (see --help)"));
    }
    let fixed_capacity = options.iter().any(|(name, _)| name == CAPACITY_OPTION);
    if fixed_capacity && !capacities.is_empty() {
        return Err(Failure::request(format!(
            "--capacity and --option {CAPACITY_OPTION} exclude each other: give one of them"
        )));
    }
    if restart && options.iter().any(|(name, _)| name == FOLDER_OPTION) {
        return Err(Failure::request(format!(
            "--restart and --option {FOLDER_OPTION} exclude each other: the folder of --restart is a temporary one"
        )));
    }
    let capacities = if fixed_capacity {
        vec![None]
    } else if capacities.is_empty() {
        Capacity::DEFAULT.map(Some).to_vec()
    } else {
        capacities.into_iter().map(Some).collect()
    };
    Ok(Command::Replay(Arguments {
        traces,
        capacities,
        options,
        value_size,
        key_length,
        threads,
        restart,
        repeat,
        library,
    }))
}

/// Splits `name=value`; what the name and the value may be is for the library to say.
fn assignment(argument: OsString) -> Result<(String, String), Failure> {
    let text = argument.string()?;
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::request(format!("--option: \"{text}\" is not NAME=VALUE"))),
    }
}

fn number(name: &str, argument: OsString, least: usize, most: usize) -> Result<usize, Failure> {
    let text = argument.string()?;
    text.parse::<usize>()
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| Failure::request(format!("{name}: \"{text}\" is not a number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, Failure> {
        parse(lexopt::Parser::from_args(arguments))
    }

    fn replay(arguments: &[&str]) -> Arguments {
        match parsed(arguments) {
            Ok(Command::Replay(arguments)) => arguments,
            other => panic!("{arguments:?} gave {other:?}"),
        }
    }

    #[test]
    fn without_options_the_defaults_of_the_help_hold() {
        let arguments = replay(&["web.key.u32.zst"]);
        assert_eq!(arguments.traces, [PathBuf::from("web.key.u32.zst")]);
        assert_eq!(arguments.capacities, Capacity::DEFAULT.map(Some));
        assert_eq!((arguments.key_length, arguments.threads, arguments.repeat), (32, 1, 3));
        assert_eq!(arguments.value_size, None);
        assert!(HELP.contains("[default: 32]") && HELP.contains("[default: 3]") && HELP.contains("16 to 1024"));
    }

    #[test]
    fn options_and_traces_come_in_any_order_and_number() {
        let arguments = replay(&[
            "--option",
            "memory.policy=lru",
            "a.u32",
            "--option=memory.ttl=1h",
            "--capacity=5%",
            "b.u32",
            "--capacity",
            "7",
        ]);
        assert_eq!(arguments.traces.len(), 2);
        assert_eq!(arguments.options[0], ("memory.policy".to_owned(), "lru".to_owned()));
        assert_eq!(arguments.options[1], ("memory.ttl".to_owned(), "1h".to_owned()));
        assert_eq!(arguments.capacities, [Some(Capacity::Percent(5.0)), Some(Capacity::Entries(7))]);
    }

    #[test]
    fn a_capacity_among_the_options_replaces_the_list() {
        let arguments = replay(&["a.u32", "--option", "memory.capacity=10"]);
        assert_eq!(arguments.capacities, [None]);
        let both = parsed(&["a.u32", "--option", "memory.capacity=10", "--capacity", "1%"]);
        assert!(matches!(both, Err(Failure::Request(message)) if message.contains("exclude")));
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_loaded() {
        for arguments in [
            &[][..],
            &["--capacity", "1%"],
            &["a.u32", "--nonsense"],
            &["a.u32", "--capacity"],
            &["a.u32", "--capacity", "many"],
            &["a.u32", "--option", "memory.policy"],
            &["a.u32", "--option", "=lru"],
            &["a.u32", "--threads", "0"],
            &["a.u32", "--repeat", "0"],
            &["a.u32", "--key-length", "15"],
            &["a.u32", "--key-length", "1025"],
            &["a.u32", "--value-size", "-1"],
            &["a.u32", "--value-size", "4294967296"],
            &["a.u32", "--restart", "--option", "disk.path=here"],
        ] {
            let answer = parsed(arguments);
            assert!(matches!(answer, Err(Failure::Request(_))), "{arguments:?} gave {answer:?}");
        }
    }
}
