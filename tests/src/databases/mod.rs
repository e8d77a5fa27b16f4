//! Real database servers for the tests: each in a directory of its own, reached by a socket in it.

pub mod mariadb;
pub mod postgresql;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file that only we may read.
///
/// # Errors
/// If it cannot be written.
pub fn secret(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// Ids of a user of this machine, from `/etc/passwd`.
fn ids(user: &str) -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with(&format!("{user}:")));
    let mut fields = line.with_context(|| format!("no user {user}"))?.split(':').skip(2);
    let mut next =
        || fields.next().context("a short line in /etc/passwd")?.parse().context("an id");
    Ok((next()?, next()?))
}
