//! One progress bar: drawn on a terminal, plain lines every few seconds elsewhere.

use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a plain line is written where stderr is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A running progress display; dropping it clears the bar.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    unit: &'static str,
    plain: bool,
    last_line: Instant,
}

impl Progress {
    pub(super) fn new(total: u64, unit: &'static str, terminal: bool, silent: bool) -> Self {
        let target = if terminal && !silent { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{bar:24.cyan/blue} {pos}/{len} {msg} eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        Self { bar, unit, plain: !terminal && !silent, last_line: Instant::now() }
    }

    /// Moves the bar to `position` and shows `message` beside it.
    pub fn update(&mut self, position: u64, message: &str) {
        self.bar.set_position(position);
        self.bar.set_message(message.to_owned());
        if self.plain && self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            self.plain_line(message);
        }
    }

    /// Writes a line above the bar (or plainly where there is no bar).
    pub fn line(&self, text: &str) {
        if self.plain {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn plain_line(&self, message: &str) {
        let total = self.bar.length().unwrap_or(0);
        let eta = self.bar.eta().as_secs();
        let _ =
            writeln!(std::io::stderr().lock(), "{} {}/{total} {message} eta {eta}s", self.unit, self.bar.position());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
