//! Numbers with a unit behind them: how a text gives one, and how one is told. Which units an option takes, `kind` decides.

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

pub(super) const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// In milliseconds.
pub(super) const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

pub(super) enum Parsed {
    Number(u64),
    TooLarge,
    Not,
}

/// Digits and then one of `units`; without a unit the number counts `bare`, or is not accepted where that is 0.
pub(super) fn parse_scaled(text: &str, units: &[(&str, u64)], bare: u64) -> Parsed {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let scale = match unit {
        "" => bare,
        unit => units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map_or(0, |(_, scale)| *scale),
    };
    if digits == 0 || scale == 0 {
        return Parsed::Not;
    }
    // Only digits are left, so the one way to fail is to be too large.
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)) {
        Some(number) => Parsed::Number(number),
        None => Parsed::TooLarge,
    }
}

pub(super) fn size_text(bytes: u64) -> String {
    for (unit, scale) in [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}
