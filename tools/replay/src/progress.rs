//! The bar that shows how far a replay is: on standard error, and only when that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar is drawn by a thread of its own at this interval, so that the threads being measured only add to a counter.
const REDRAW: Duration = Duration::from_millis(100);

pub struct Progress(ProgressBar);

impl Progress {
    pub fn begin(name: &str, steps: u64) -> Self {
        let bar = ProgressBar::new(steps);
        if !bar.is_hidden() {
            let style = ProgressStyle::with_template("  {msg} [{bar:40}] {percent:>3} %  {elapsed}")
                .expect("a constant template, tried by every run on a terminal")
                .progress_chars("=> ");
            bar.set_style(style);
            bar.set_message(name.to_owned());
            bar.enable_steady_tick(REDRAW);
        }
        Self(bar)
    }

    pub fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// Removes the bar, so that the line it stood on is free for a result.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// Also when a replay stops early: its message must not be drawn over.
impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
