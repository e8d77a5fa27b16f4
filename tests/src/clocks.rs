//! A machine whose clocks are ahead: what takes months is seen in a minute, with the real programs.
//!
//! Both clocks move, since Lumbung believes neither alone: the wall clock by `libfaketime`, and the time since the machine was
//! started, which retention counts, by a time namespace. Timers are not touched. Needs root and Debian's package `faketime`.

use std::path::Path;
use std::process::Command;

/// The dynamic linker puts the machine's own library directory for `$LIB`.
const LIBFAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// How far a machine's clocks are ahead.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clocks {
    ahead_s: u64,
}

impl Clocks {
    /// Moves them on.
    pub fn pass_days(&mut self, days: u32) {
        self.ahead_s += u64::from(days) * 86_400;
    }

    /// A program that sees these clocks.
    #[must_use]
    pub fn command(self, program: &Path) -> Command {
        if self.ahead_s == 0 {
            return Command::new(program);
        }
        let mut command = Command::new("unshare");
        command
            .args(["--time", "--boottime", &self.ahead_s.to_string()])
            .arg(program)
            .env("LD_PRELOAD", LIBFAKETIME)
            .env("FAKETIME", format!("+{}s", self.ahead_s))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        command
    }
}
