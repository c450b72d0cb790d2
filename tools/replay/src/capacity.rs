//! The capacities a trace is replayed at: a share of its unique objects, a number of entries, or no bound.

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// Percent of the trace's unique objects.
    Percent(f64),
    Entries(u64),
    /// Bounded by another option only (`memory.max_bytes`), or not at all.
    Unlimited,
}

impl Capacity {
    /// The sizes at which hit ratios are usually published: small, common, generous.
    pub const DEFAULT: [Self; 3] = [Self::Percent(1.0), Self::Percent(10.0), Self::Percent(25.0)];

    /// Reads `1%,10%,5000,unlimited`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Failure> {
        text.split(',').map(|item| Self::parse(item.trim())).collect()
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let parsed = match text.strip_suffix('%') {
            Some(number) => number
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|percent| percent.is_finite() && *percent > 0.0)
                .map(Self::Percent),
            None => text.parse::<u64>().ok().filter(|entries| *entries > 0).map(Self::Entries),
        };
        parsed.ok_or_else(|| {
            Failure::request(format!(
                "--capacity: \"{text}\" is neither a share (10%), nor a number of entries above 0 (5000), nor \"unlimited\""
            ))
        })
    }

    /// How many entries this is for a trace of `unique` objects; `None` when there is no bound.
    ///
    /// A share is rounded to the nearest number, and a cache always has room for one entry.
    pub fn entries(self, unique: usize) -> Option<u64> {
        match self {
            Self::Percent(percent) => Some(((unique as f64 * percent / 100.0).round() as u64).max(1)),
            Self::Entries(entries) => Some(entries),
            Self::Unlimited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_mixes_shares_numbers_and_unlimited() {
        assert_eq!(
            Capacity::parse_list("1%, 0.5 %,5000,unlimited"),
            Ok(vec![Capacity::Percent(1.0), Capacity::Percent(0.5), Capacity::Entries(5000), Capacity::Unlimited])
        );
    }

    #[test]
    fn what_is_no_capacity_is_refused_by_name() {
        for text in ["", "0", "0%", "-1", "-1%", "ten", "10%%", "NaN%", "inf%", "1%,", "1.5", "18446744073709551616"] {
            let failure = Capacity::parse_list(text).expect_err(text);
            assert!(matches!(failure, Failure::Request(_)), "{text}: {failure:?}");
            let item = text.trim_end_matches(',').rsplit(',').next().unwrap_or_default();
            let named = failure.to_string();
            assert!(named.contains(&format!("\"{item}\"")) || named.contains("\"\""), "{named}");
        }
    }

    #[test]
    fn a_share_is_rounded_to_at_least_one_entry() {
        assert_eq!(Capacity::Percent(1.0).entries(13_756), Some(138));
        assert_eq!(Capacity::Percent(25.0).entries(13_756), Some(3_439));
        assert_eq!(Capacity::Percent(100.0).entries(13_756), Some(13_756));
        assert_eq!(Capacity::Percent(1.0).entries(7), Some(1));
        assert_eq!(Capacity::Entries(9).entries(7), Some(9));
        assert_eq!(Capacity::Unlimited.entries(7), None);
    }
}
