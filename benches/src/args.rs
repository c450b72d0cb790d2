//! The command line, the same for every question.

use crate::engines::{Settings, NAMES, OURS};
use crate::scenario::{all, Scenario};
use std::time::Duration;

pub struct Args {
    pub quick: bool,
    pub rounds: usize,
    pub round: Duration,
    pub entries: Option<usize>,
    pub settings: Settings,
    pub list: bool,
    /// (engine, scenario): this process is a child.
    pub worker: Option<(String, String)>,
    engines: Vec<String>,
    scenarios: Vec<String>,
    questions: Vec<String>,
}

const HELP: &str = "\
  --quick                    fewer and shorter rounds, fewer scenarios
  --engine NAME              only engines whose name begins so (may be repeated)
  --scenario TEXT            only scenarios whose name contains this (may be repeated)
  --question NAME            only this question of a program that asks several (may be repeated)
  --rounds N  --round-ms N   how many rounds are counted, and how long one is
  --entries N                entries in the cache (batch, tags, latency, memory, json); puts (fragmentation); gets (instructions)
  --option NAME=VALUE        an option for the row `catzilla` (may be repeated)
  --variant ROW:NAME=VALUE[,NAME=VALUE...]   a further row `catzilla-ROW` with these options
  --list                     names of engines and scenarios
environment: CATZILLA_LIBRARY (our shared library), CATZILLA_ORIGINAL (the original's extension module)";

impl Args {
    pub fn from_command_line() -> Args {
        match parse(std::env::args().skip(1)) {
            Ok(args) => args,
            Err(message) => {
                eprintln!("{message}\n{HELP}");
                std::process::exit(2);
            }
        }
    }

    /// The rows asked for. Ours is always among them, since every other row is compared with it.
    pub fn engines(&self) -> Vec<String> {
        if self.engines.is_empty() {
            return self.settings.usual_rows();
        }
        let wanted = |row: &String| row.starts_with(OURS) || self.engines.iter().any(|name| row.starts_with(name));
        self.settings.rows().into_iter().filter(wanted).collect()
    }

    pub fn scenarios(&self) -> Vec<Scenario> {
        all()
            .into_iter()
            .filter(|scenario| match self.scenarios.is_empty() {
                true => scenario.quick || !self.quick,
                false => self.scenarios.iter().any(|part| scenario.name.contains(part.as_str())),
            })
            .collect()
    }

    /// Whether a program that asks several questions is to ask this one.
    pub fn asks(&self, question: &str) -> bool {
        self.questions.is_empty() || self.questions.iter().any(|wanted| wanted == question)
    }

    /// The command line of a child that measures `engine` in the same way.
    pub fn for_worker(&self, engine: &str, scenario: &str) -> Vec<String> {
        let mut line: Vec<String> = ["--worker", engine, scenario, "--round-ms"].map(String::from).into();
        line.push(self.round.as_millis().to_string());
        for (name, value) in &self.settings.options {
            line.extend(["--option".into(), format!("{name}={value}")]);
        }
        for (row, options) in &self.settings.variants {
            let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let row = row.trim_start_matches(OURS).trim_start_matches('-');
            line.extend(["--variant".into(), format!("{row}:{}", options.join(","))]);
        }
        line
    }

    pub fn print_list(&self) {
        println!("engines: {}", self.settings.rows().join(" "));
        let scenarios: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
        println!("scenarios: {}", scenarios.join(" "));
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        quick: false,
        rounds: 0,
        round: Duration::ZERO,
        entries: None,
        settings: Settings::default(),
        list: false,
        worker: None,
        engines: Vec::new(),
        scenarios: Vec::new(),
        questions: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--quick" => args.quick = true,
            "--list" => args.list = true,
            "--engine" => args.engines.push(next()?),
            "--scenario" => args.scenarios.push(next()?),
            "--question" => args.questions.push(next()?),
            "--rounds" => args.rounds = number(&next()?)?,
            "--round-ms" => args.round = Duration::from_millis(number(&next()?)? as u64),
            "--entries" => args.entries = Some(number(&next()?)?),
            "--option" => args.settings.options.push(pair(&next()?)?),
            "--variant" => {
                let text = next()?;
                let (row, options) = text.split_once(':').ok_or(format!("{text}: ROW:NAME=VALUE is wanted"))?;
                let options = options.split(',').map(pair).collect::<Result<_, _>>()?;
                args.settings.variants.push((format!("{OURS}-{row}"), options));
            }
            "--worker" => args.worker = Some((next()?, next()?)),
            "--help" | "-h" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            _ => return Err(format!("{word} is not known")),
        }
    }
    let rows = args.settings.rows();
    for engine in &args.engines {
        if !rows.iter().any(|row| row.starts_with(engine.as_str())) {
            return Err(format!("no engine begins with {engine}: {}", NAMES.join(" ")));
        }
    }
    if !args.scenarios.is_empty() && args.scenarios().is_empty() {
        return Err("no scenario has such a name; --list shows them".into());
    }
    if args.rounds == 0 {
        args.rounds = if args.quick { 3 } else { 9 };
    }
    if args.round.is_zero() {
        args.round = Duration::from_millis(if args.quick { 50 } else { 150 });
    }
    Ok(args)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or(format!("{text} is not a number above 0"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or(format!("{text}: NAME=VALUE is wanted"))?;
    Ok((name.to_owned(), value.to_owned()))
}
