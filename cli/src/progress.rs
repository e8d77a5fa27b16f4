//! Progress of long runs: a bar on a terminal, a line now and then elsewhere, nothing with `--quiet`.
//!
//! Invariant: everything goes to stderr; stdout stays the result's. Called from several threads.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lumbung_engine::{Progress, Total};
use lumbung_model::ByteSize;

use crate::terminal::{Terminal, printable};

/// How often a line is printed where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);
const REFRESH_HZ: u8 = 8;
/// Room for the path beside the figures.
const PATH_CHARS: usize = 36;

enum Show {
    Nothing,
    Bar(ProgressBar),
    Lines(Mutex<Instant>),
}

/// Counts, and shows what it has counted.
pub(crate) struct Meter {
    show: Show,
    started: Instant,
    files: AtomicU64,
    bytes: AtomicU64,
    sent: AtomicU64,
    total: AtomicU64,
    verb: &'static str,
}

impl Meter {
    /// A meter for a run, which `verb` names ("backup").
    #[must_use]
    pub(crate) fn new(terminal: &Terminal, verb: &'static str) -> Self {
        let show = if terminal.draws() {
            Show::Bar(bar())
        } else if terminal.quiet || terminal.json {
            Show::Nothing
        } else {
            Show::Lines(Mutex::new(Instant::now()))
        };
        let zero = AtomicU64::default;
        Self {
            show,
            started: Instant::now(),
            files: zero(),
            bytes: zero(),
            sent: zero(),
            total: zero(),
            verb,
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(&self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }

    /// Seconds since the run began.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn say(&self, text: &str) {
        match &self.show {
            Show::Nothing => {}
            Show::Bar(bar) => bar.println(text),
            Show::Lines(_) => eprintln!("{text}"),
        }
    }

    fn tick(&self) {
        match &self.show {
            Show::Nothing => {}
            Show::Bar(bar) => {
                bar.set_position(self.bytes.load(Ordering::Relaxed));
                bar.set_prefix(format!("{} files", self.files.load(Ordering::Relaxed)));
            }
            Show::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    eprintln!("{}", self.line());
                }
            }
        }
    }

    fn line(&self) -> String {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let speed = per_second(bytes, self.started.elapsed());
        let of =
            if total > bytes { format!(" of {}", ByteSize::bytes(total)) } else { String::new() };
        format!(
            "{}: {} files, {}{of}, {}/s, {} new",
            self.verb,
            self.files.load(Ordering::Relaxed),
            ByteSize::bytes(bytes),
            ByteSize::bytes(speed),
            ByteSize::bytes(self.sent.load(Ordering::Relaxed))
        )
    }
}

/// Bytes a second.
#[must_use]
pub(crate) fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REFRESH_HZ));
    bar.set_style(style(
        "{spinner} {prefix}, {decimal_bytes}, {decimal_bytes_per_sec}  {wide_msg}",
    ));
    bar.set_prefix("0 files");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Meter {
    fn files(&self, count: u64) {
        self.files.fetch_add(count, Ordering::Relaxed);
        self.tick();
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
        self.tick();
    }

    fn new_bytes(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    fn current(&self, path: &[u8]) {
        if let Show::Bar(bar) = &self.show {
            let text = printable(path);
            let start = text.char_indices().rev().nth(PATH_CHARS).map_or(0, |(index, _)| index);
            bar.set_message(text[start..].to_owned());
        }
    }

    fn total(&self, total: Total) {
        self.total.store(total.bytes, Ordering::Relaxed);
        if let Show::Bar(bar) = &self.show {
            bar.set_length(total.bytes);
            bar.set_style(style("{bar:20} {percent}%  {prefix}, {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left  {wide_msg}"));
        }
    }

    fn message(&self, text: &str) {
        self.say(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_bytes_a_second() {
        assert_eq!(per_second(10, Duration::from_secs(2)), 5);
        assert_eq!(per_second(7, Duration::ZERO), 7_000_000);
    }
}
