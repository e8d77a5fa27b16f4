//! Shows a run to whoever started it by hand: a bar on a terminal, a plain line every few seconds
//! elsewhere. Both on standard error, so that the result stands alone on standard output.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lumbung_engine::{Progress, Total};
use lumbung_model::ByteSize;

const LINE_EVERY: Duration = Duration::from_secs(5);
/// Nobody reads faster, and each drawing costs a lock.
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// Shows one run.
pub struct Console {
    bar: Option<ProgressBar>,
    name: String,
    started: Instant,
    files: AtomicU64,
    bytes: AtomicU64,
    new_bytes: AtomicU64,
    total: Mutex<Total>,
    last_shown: Mutex<Instant>,
}

impl Console {
    /// Shows the run of the job `name`.
    #[must_use]
    pub fn new(name: &str, terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let template = "{spinner} {prefix} {wide_bar} {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::no_length().with_style(style.progress_chars("=> "));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            bar,
            name: name.to_owned(),
            started: Instant::now(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            new_bytes: AtomicU64::new(0),
            total: Mutex::new(Total::default()),
            last_shown: Mutex::new(Instant::now()),
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            elapsed: self.started.elapsed(),
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            new_bytes: self.new_bytes.load(Ordering::Relaxed),
            total: self.total.lock().map_or_else(|e| *e.into_inner(), |total| *total),
        }
    }

    fn show(&self) {
        let every = if self.bar.is_some() { REDRAW_EVERY } else { LINE_EVERY };
        // Whoever finds it locked leaves the drawing to the one that draws.
        let Ok(mut last) = self.last_shown.try_lock() else { return };
        if last.elapsed() < every {
            return;
        }
        *last = Instant::now();
        let seen = self.seen();
        match &self.bar {
            Some(bar) => {
                if seen.total.bytes > 0 {
                    bar.set_length(seen.total.bytes.max(seen.bytes));
                }
                bar.set_position(seen.bytes);
                bar.set_message(seen.line());
            }
            None => eprintln!("{}: {}", self.name, seen.line()),
        }
    }

    /// Takes the bar away; what the run came to is said elsewhere.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Console {
    fn files(&self, count: u64) {
        self.files.fetch_add(count, Ordering::Relaxed);
        self.show();
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
        self.show();
    }

    fn new_bytes(&self, count: u64) {
        self.new_bytes.fetch_add(count, Ordering::Relaxed);
    }

    fn total(&self, total: Total) {
        if let Ok(mut known) = self.total.lock() {
            *known = total;
        }
    }

    fn message(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{}: {text}", self.name)),
            None => eprintln!("{}: {text}", self.name),
        }
    }
}

/// How far a run is.
struct Seen {
    elapsed: Duration,
    files: u64,
    bytes: u64,
    new_bytes: u64,
    total: Total,
}

impl Seen {
    /// `12/40 files, 1.00 GB/2.00 GB, 300 MB new, 50.0 MB/s, 0:20 left`.
    fn line(&self) -> String {
        let millis = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = self.bytes.saturating_mul(1000) / millis;
        let of =
            |total: u64, text: String| if total > 0 { format!("/{text}") } else { String::new() };
        let size = |bytes| ByteSize::bytes(bytes).to_string();
        let mut line = format!(
            "{}{} files, {}{}, {} new, {}/s",
            self.files,
            of(self.total.files, self.total.files.to_string()),
            size(self.bytes),
            of(self.total.bytes, size(self.total.bytes)),
            size(self.new_bytes),
            size(speed),
        );
        if speed > 0 && self.total.bytes > self.bytes {
            let left = (self.total.bytes - self.bytes) / speed;
            line.push_str(&format!(", {} left", minutes(left)));
        }
        line
    }
}

/// `1:02:03`, `2:03`.
fn minutes(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_files_bytes_speed_and_time_left() {
        let total = Total { files: 40, bytes: 2_000_000_000 };
        let seen = Seen {
            elapsed: Duration::from_secs(20),
            files: 12,
            bytes: 1_000_000_000,
            new_bytes: 300_000_000,
            total,
        };
        assert_eq!(seen.line(), "12/40 files, 1.00 GB/2.00 GB, 300 MB new, 50.0 MB/s, 0:20 left");
        let early = Seen {
            elapsed: Duration::ZERO,
            files: 0,
            bytes: 0,
            new_bytes: 0,
            total: Total::default(),
        };
        assert_eq!(early.line(), "0 files, 0 B, 0 B new, 0 B/s");
        assert_eq!(minutes(3723), "1:02:03");
    }
}
