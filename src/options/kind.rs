//! What an option's text may be, what it was found to mean, and what is said of one that is refused.

use super::units::{parse_scaled, size_text, Parsed, DURATION_UNITS, SIZE_UNITS};
use super::{PolicyName, POLICIES, UNBOUNDED};
use crate::error::{Error, Result, Status};
use std::time::Duration;

pub(super) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What an option's text may be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A plain number, or the word that means "no bound".
    Count { min: u64, max: u64, word: Option<&'static str> },
    /// Bytes with an optional unit, or the word that means "no bound".
    Size { min: u64, max: u64, word: Option<&'static str> },
    /// Time with a unit; where `off` is true also `0` or that word, for no time at all.
    Duration { min: Duration, max: Duration, off: bool },
    /// A part of a hundred.
    Percent { max: u64 },
    /// On or off.
    Switch,
    /// One name of a list.
    Policy,
    /// One word of these.
    Choice { words: &'static [&'static str] },
    /// Any text; what it may be is said in words. Empty: none, where that is allowed.
    Text { allowed: &'static str, may_be_empty: bool },
}

/// What an option's text was found to mean.
#[derive(Clone)]
pub(super) enum Value {
    Number(u64),
    Duration(Duration),
    Switch(bool),
    Policy(PolicyName),
    /// Which of the words.
    Choice(usize),
    Text(String),
}

impl Value {
    pub(super) fn number(self) -> u64 {
        match self {
            Value::Number(number) => number,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    pub(super) fn duration(self) -> Duration {
        match self {
            Value::Duration(duration) => duration,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    pub(super) fn switch(self) -> bool {
        match self {
            Value::Switch(on) => on,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    pub(super) fn policy(self) -> PolicyName {
        match self {
            Value::Policy(policy) => policy,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    pub(super) fn choice(self) -> usize {
        match self {
            Value::Choice(choice) => choice,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Value::Text(text) => text,
            _ => unreachable!("the table pairs this row with another kind"),
        }
    }

    /// `None` for an empty text.
    pub(super) fn given(self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }
}

impl Kind {
    pub(super) fn range(self) -> String {
        let or = |word: Option<&str>| word.map_or(String::new(), |word| format!(" or `{word}`"));
        match self {
            Kind::Count { min, max, word } if max == UNBOUNDED - 1 => format!("{min} or more{}", or(word)),
            Kind::Count { min, max, word } => format!("{min} to {max}{}", or(word)),
            Kind::Size { min, max, word } if max == UNBOUNDED - 1 => format!("{} or more{}", size_text(min), or(word)),
            Kind::Size { min, max, word } => format!("{} to {}{}", size_text(min), size_text(max), or(word)),
            Kind::Duration { max, off, .. } => {
                let most = if max == CENTURY { "100 years".to_owned() } else { format!("{}s", max.as_secs()) };
                format!("1ms to {most}, with a unit: ms, s, m, h, d{}", or(off.then_some("off")))
            }
            Kind::Percent { max } => format!("0 to {max}, `%` may follow"),
            Kind::Switch => "on or off".to_owned(),
            Kind::Policy => POLICIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
            Kind::Choice { words } => words.join(" or "),
            Kind::Text { allowed, .. } => allowed.to_owned(),
        }
    }

    pub(super) fn parse(self, option: &str, text: &str) -> Result<Value> {
        let text = text.trim();
        let bad = |status, why: &str| {
            let allowed = self.range();
            Err(Error::new(status, format!("`{option}` was given `{text}`, which is {why}; allowed: {allowed}")))
        };
        match self {
            Kind::Count { min, max, word } | Kind::Size { min, max, word } => {
                if word.is_some_and(|word| word == text) {
                    return Ok(Value::Number(UNBOUNDED));
                }
                let (number, what) = match self {
                    Kind::Size { .. } => (parse_scaled(text, SIZE_UNITS, 1), "not a size"),
                    _ => (parse_scaled(text, &[], 1), "not a whole number"),
                };
                match number {
                    Parsed::Not => bad(Status::InvalidOption, what),
                    Parsed::Number(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
                    Parsed::Number(_) | Parsed::TooLarge => bad(Status::OptionOutOfRange, "out of range"),
                }
            }
            Kind::Duration { off: true, .. } if text == "off" || text == "0" => Ok(Value::Duration(Duration::ZERO)),
            Kind::Duration { min, max, off } => match parse_scaled(text, DURATION_UNITS, 0) {
                Parsed::Number(0) if off => Ok(Value::Duration(Duration::ZERO)),
                Parsed::Not => bad(Status::InvalidOption, "not a time with a unit"),
                Parsed::Number(millis) if (min..=max).contains(&Duration::from_millis(millis)) => {
                    Ok(Value::Duration(Duration::from_millis(millis)))
                }
                Parsed::Number(_) | Parsed::TooLarge => bad(Status::OptionOutOfRange, "out of range"),
            },
            Kind::Percent { max } => match parse_scaled(text, &[("%", 1)], 1) {
                Parsed::Not => bad(Status::InvalidOption, "not a whole number of percent"),
                Parsed::Number(number) if number <= max => Ok(Value::Number(number)),
                Parsed::Number(_) | Parsed::TooLarge => bad(Status::OptionOutOfRange, "out of range"),
            },
            Kind::Switch => match text {
                "on" | "true" | "yes" | "1" => Ok(Value::Switch(true)),
                "off" | "false" | "no" | "0" => Ok(Value::Switch(false)),
                _ => bad(Status::InvalidOption, "neither on nor off"),
            },
            Kind::Policy => match POLICIES.iter().find(|(name, _)| *name == text) {
                Some((_, policy)) => Ok(Value::Policy(*policy)),
                None => bad(Status::InvalidOption, "not a policy of this version"),
            },
            Kind::Choice { words } => match words.iter().position(|word| *word == text) {
                Some(word) => Ok(Value::Choice(word)),
                None => bad(Status::InvalidOption, "neither of the words"),
            },
            Kind::Text { may_be_empty, .. } if text.is_empty() && !may_be_empty => {
                bad(Status::InvalidOption, "nothing")
            }
            Kind::Text { .. } => Ok(Value::Text(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::units::MIB;
    use super::super::Options;
    use super::*;

    fn error(name: &str, text: &str) -> Error {
        Options::new().set(name, text).expect_err("the option should have been refused")
    }

    #[test]
    fn sizes_and_durations_take_units() {
        let mut options = Options::new();
        options.set("memory.max_bytes", "512MiB").unwrap().set("memory.ttl", "300ms").unwrap();
        assert_eq!(options.memory.max_bytes, 512 * MIB);
        assert_eq!(options.memory.ttl, Duration::from_millis(300));
        options.set("memory.max_bytes", "2 gb").unwrap().set("memory.ttl", "2d").unwrap();
        assert_eq!(options.memory.max_bytes, 2_000_000_000);
        assert_eq!(options.memory.ttl, Duration::from_secs(2 * 86_400));
    }

    #[test]
    fn the_sweeper_is_switched_off_by_0_in_any_unit_and_by_off() {
        for text in ["0", "0s", "0ms", "off"] {
            let mut options = Options::new();
            assert_eq!(options.memory.sweep_interval, Duration::from_secs(300));
            options.set("memory.sweep_interval", text).unwrap();
            assert_eq!(options.memory.sweep_interval, Duration::ZERO, "{text}");
        }
        assert_eq!(error("memory.sweep_interval", "5").status(), Status::InvalidOption);
        assert!(error("memory.sweep_interval", "on").message().ends_with("ms, s, m, h, d or `off`"));
    }

    #[test]
    fn percents_take_their_sign() {
        let mut options = Options::new();
        options.set("memory.ttl_jitter", "10").unwrap();
        assert_eq!(options.memory.ttl_jitter, 10);
        options.set("memory.ttl_jitter", "50 %").unwrap();
        assert_eq!(options.memory.ttl_jitter, 50);
        assert_eq!(error("memory.ttl_jitter", "51").status(), Status::OptionOutOfRange);
        assert_eq!(error("memory.ttl_jitter", "-1").status(), Status::InvalidOption);
        assert_eq!(error("memory.ttl_jitter", "1.5").status(), Status::InvalidOption);
    }

    #[test]
    fn a_refusal_names_the_option_what_was_given_and_what_is_allowed() {
        let range = error("memory.capacity", "0");
        assert_eq!(range.status(), Status::OptionOutOfRange);
        assert_eq!(
            range.message(),
            "`memory.capacity` was given `0`, which is out of range; allowed: 1 or more or `unlimited`"
        );
        assert_eq!(error("memory.capacity", "ten").status(), Status::InvalidOption);
        assert_eq!(error("memory.capacity", "-1").status(), Status::InvalidOption);
        assert_eq!(error("memory.capacity", "99999999999999999999999").status(), Status::OptionOutOfRange);
        assert_eq!(error("memory.ttl", "5").status(), Status::InvalidOption);
        assert_eq!(error("memory.ttl", "0s").status(), Status::OptionOutOfRange);
        assert_eq!(error("memory.compression", "maybe").status(), Status::InvalidOption);
        assert_eq!(error("memory.policy", "mru").status(), Status::InvalidOption);
        let unknown = error("cache.capacity", "1");
        assert_eq!(unknown.status(), Status::UnknownOption);
        assert!(unknown.message().contains("`cache.capacity`; there are: memory.capacity"));
    }
}
