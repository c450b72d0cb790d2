//! What the user reads: a heading for each trace, a line for each capacity, and below what the columns mean.

use std::io::{self, Write};

use catzilla_replay::capacity::Capacity;
use catzilla_replay::failure::Failure;
use catzilla_replay::library::{Library, OptionRow};
use catzilla_replay::trace::Trace;

use crate::arguments::Arguments;
use crate::run::Measured;

/// Headings of the columns, with their widths: the longest number that is likely, and a gap.
const COLUMNS: [(&str, usize); 9] = [
    ("capacity", 17),
    ("hit ratio", 11),
    ("operations/s", 14),
    ("get p50", 9),
    ("get p99", 10),
    ("get max", 10),
    ("bytes held", 12),
    ("per entry", 11),
    ("evictions", 12),
];

pub struct Report {
    /// Puts that were refused, with the capacity they belong to: said below the table.
    notes: Vec<String>,
}

impl Report {
    /// Prints the heading of one trace.
    pub fn begin(library: &Library, arguments: &Arguments, trace: &Trace) -> Result<Self, Failure> {
        heading(library, arguments, trace)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}", headings(&COLUMNS))?;
        out.flush()?;
        Ok(Self { notes: Vec::new() })
    }

    /// Prints the line of one capacity.
    pub fn row(&mut self, capacity: Option<Capacity>, measured: &Measured) -> Result<(), Failure> {
        let capacity = shown(capacity, measured.capacity);
        if measured.refused > 0 {
            self.notes.push(format!(
                "at {capacity}: {} puts were refused, their values being longer than memory.max_value_size",
                grouped(measured.refused)
            ));
        }
        let cells = [
            capacity,
            format!("{:.2} %", measured.hit_ratio * 100.0),
            rate(measured.operations_per_second),
            duration(measured.get_latency.value_at_quantile(0.5)),
            duration(measured.get_latency.value_at_quantile(0.99)),
            duration(measured.get_latency.max()),
            bytes(measured.bytes_held),
            measured.overhead_per_entry.map_or("-".to_owned(), |overhead| format!("{overhead:.1} B")),
            grouped(measured.evictions),
        ];
        let mut out = io::stdout().lock();
        writeln!(out, "{}", line(&COLUMNS, cells))?;
        out.flush()?;
        Ok(())
    }

    pub fn end(self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        for note in self.notes {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        Ok(())
    }
}

/// Says which trace it is and how it is replayed.
pub fn heading(library: &Library, arguments: &Arguments, trace: &Trace) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}: {} requests for {} unique objects",
        trace.name(),
        grouped(trace.requests().len() as u64),
        grouped(trace.ids().len() as u64)
    )?;
    let (least, largest) = (trace.sizes().least() as u64, trace.sizes().largest() as u64);
    let values = if least == largest { grouped(least) } else { format!("{} to {}", grouped(least), grouped(largest)) };
    writeln!(
        out,
        "catzilla-cache {}, {}: get, on a miss put; keys of {} bytes, values of {values} bytes",
        library.version(),
        plural(arguments.threads, "thread"),
        arguments.key_length
    )?;
    if !arguments.options.is_empty() {
        let options: Vec<_> = arguments.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        writeln!(out, "options: {}", options.join(" "))?;
    }
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Says what the columns mean and how they were measured.
pub fn legend(repeat: usize, clock_cost: u64) -> Result<(), Failure> {
    let runs = match repeat {
        1 => "one run on a new cache".to_owned(),
        _ => format!("the median of {repeat} runs, each on a new cache"),
    };
    text(&format!(
        "\
operations/s  gets and puts together, every value found being checked, no clock in between;
              {runs}
get p50...    of one more run on a new cache, with a clock around each get; about {clock_cost} ns
              of each number are the clock's
bytes held    what the library counts at the end: keys, values, headers, index, policy
per entry     bytes held beyond its key and value; below 0 where compression saves more
"
    ))
}

/// Prints the library's options, each with its help below.
pub fn option_table(rows: &[OptionRow]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for row in rows {
        let live = if row.live { ", can change while the cache runs" } else { "" };
        writeln!(out, "{} = {}", row.name, row.default)?;
        writeln!(out, "    {}: {}{live}", row.kind, row.range)?;
        writeln!(out, "    {}", row.help)?;
    }
    Ok(())
}

pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Cells under the headings of these columns.
pub fn line<const N: usize>(columns: &[(&str, usize); N], cells: [String; N]) -> String {
    let mut line = String::new();
    for (cell, (_, width)) in cells.iter().zip(columns) {
        line.push_str(&format!("{cell:>width$}"));
    }
    line
}

pub fn headings<const N: usize>(columns: &[(&str, usize); N]) -> String {
    line(columns, columns.map(|(heading, _)| heading.to_owned()))
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A capacity as it was asked for, and how many entries that is.
pub fn shown(capacity: Option<Capacity>, entries: Option<u64>) -> String {
    match (capacity, entries) {
        (Some(Capacity::Percent(percent)), Some(entries)) => format!("{percent} % = {}", grouped(entries)),
        (_, Some(entries)) => grouped(entries),
        (Some(_), None) => "unlimited".to_owned(),
        (None, None) => "as given".to_owned(),
    }
}

pub fn plural(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.2} k", rate / 1e3),
        rate => format!("{rate:.2}"),
    }
}

pub fn duration(nanoseconds: u64) -> String {
    match nanoseconds as f64 {
        time if time < 1e4 => format!("{} ns", grouped(nanoseconds)),
        time if time < 1e6 => format!("{:.1} us", time / 1e3),
        time if time < 1e9 => format!("{:.1} ms", time / 1e6),
        time => format!("{:.1} s", time / 1e9),
    }
}

pub fn bytes(count: u64) -> String {
    const KIB: f64 = 1024.0;
    match count as f64 {
        size if size < KIB => format!("{count} B"),
        size if size < KIB * KIB => format!("{:.1} KiB", size / KIB),
        size if size < KIB * KIB * KIB => format!("{:.1} MiB", size / (KIB * KIB)),
        size => format!("{:.1} GiB", size / (KIB * KIB * KIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_separators_and_the_unit_that_fits() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [7, 9_999, 12_345, 12_345_678, 60_000_000_000].map(duration),
            ["7 ns", "9,999 ns", "12.3 us", "12.3 ms", "60.0 s"]
        );
        assert_eq!([12, 2_048, 3 << 20, 5 << 30].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB", "5.0 GiB"]);
        assert_eq!([5_123_456.0, 51_234.0, 12.0].map(rate), ["5.12 M", "51.23 k", "12.00"]);
    }

    #[test]
    fn headings_and_cells_end_at_the_same_columns() {
        let heading = headings(&COLUMNS);
        let cells = line(&COLUMNS, COLUMNS.map(|_| "1,234 ns".to_owned()));
        assert_eq!(heading.chars().count(), cells.chars().count());
        assert!(COLUMNS.iter().all(|(heading, width)| heading.len() < *width));
    }
}
