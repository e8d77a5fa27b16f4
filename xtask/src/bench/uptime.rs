//! `cargo xtask bench uptime`: a year of 600 servers in the controller's database.

use std::fs;

use anyhow::Result;

use crate::run::{check, command, target_dir};

pub(super) fn run() -> Result<()> {
    super::print_machine()?;
    let folder = target_dir().join("uptime-year");
    fs::create_dir_all(&folder)?;
    let example =
        ["run", "--release", "--package", "lumbung-controller", "--example", "uptime_year"];
    let measured = check(command("cargo", &example).arg("--").arg(&folder));
    fs::remove_dir_all(&folder)?;
    measured
}
