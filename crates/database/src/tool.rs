//! The programs of a database server: where they are, and which version they have.

use std::path::{Path, PathBuf};

use lumbung_engine::Halt;

use crate::SourceError;
use crate::child::{Running, bare};

/// Finds a program: in the folder that the operator named and nowhere else, or else in `folders`, or in PATH.
pub(crate) fn find(
    tool: &str,
    named: Option<&Path>,
    folders: &[PathBuf],
    package: &'static str,
) -> Result<PathBuf, SourceError> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&in_path);
    let mut places: Vec<PathBuf> = match named {
        Some(folder) => vec![folder.to_owned()],
        None => folders.iter().cloned().chain(in_path).collect(),
    };
    places.iter_mut().for_each(|place| place.push(tool));
    places
        .into_iter()
        .find(|program| program.is_file())
        .ok_or_else(|| SourceError::ToolMissing { tool: tool.to_owned(), package })
}

/// What a program says of itself, in one line.
pub(crate) fn version(program: &Path, halt: &Halt) -> Result<String, SourceError> {
    let mut command = bare(program);
    command.arg("--version");
    let said = Running::answer(command, halt.clone())?;
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// The first word of a text that begins with a digit, as a version: `15.18` of `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
pub(crate) fn number(text: &str) -> Option<Vec<u32>> {
    let is_digit = |c: char| c.is_ascii_digit();
    let word = text.split(' ').find(|word| word.starts_with(is_digit))?;
    let digits = word.split(|c: char| !is_digit(c) && c != '.').next()?;
    Some(digits.split('.').map_while(|part| part.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let number = |text| number(text).unwrap_or_default();
        assert_eq!(number("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), [15, 18]);
        assert_eq!(number("mariadb-dump from 10.11.14-MariaDB, client 10.19 for"), [10, 11, 14]);
        assert_eq!(number("pg_dump (PostgreSQL) 17beta1"), [17]);
        assert_eq!(number("no version"), [0; 0]);
    }

    #[test]
    fn a_named_folder_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let found = find("sh", None, &[], "dash").unwrap();
        assert!(found.ends_with("sh"));
        let error = find("sh", Some(folder.path()), &[], "dash").unwrap_err().to_string();
        assert_eq!(
            error,
            "sh is not installed: install dash, or name its folder with tools = \"/…/bin\""
        );
    }
}
