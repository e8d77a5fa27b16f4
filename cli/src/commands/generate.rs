//! `lumbung completions` and `lumbung man`: made from the command line's own definition.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::args::Cli;
use crate::failure::{Code, Exit, Explain as _, Outcome};
use crate::terminal::{Terminal, stdout_failure, write_out};

/// Print completions for a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the man page, or write all of them into a directory
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write lumbung.1, lumbung-backup.1, … there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs `lumbung completions`.
///
/// # Errors
/// If stdout cannot be written.
pub(crate) fn completions(args: &CompletionsArgs) -> Outcome<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lumbung", &mut script);
    write_out(&script)?;
    Ok(Exit::Fine)
}

/// Runs `lumbung man`.
///
/// # Errors
/// If the pages cannot be written.
pub(crate) fn man(args: &ManArgs, terminal: &Terminal) -> Outcome<Exit> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|e| stdout_failure(&e))?;
        write_out(&page)?;
        return Ok(Exit::Fine);
    };
    let pages = write_pages(dir)?;
    let count = pages.len();
    terminal.result(&json!({ "dir": dir, "pages": pages }), || {
        format!("{}: {count} man\n", dir.display())
    })?;
    Ok(Exit::Fine)
}

fn write_pages(dir: &Path) -> Outcome<Vec<String>> {
    let what = || format!("the man pages could not be written to {}", dir.display());
    let next = "check that the directory may be written and has space";
    std::fs::create_dir_all(dir).explain(Code::Io, what, next)?;
    clap_mangen::generate_to(Cli::command(), dir).explain(Code::Io, what, next)?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(dir).explain(Code::Io, what, next)? {
        let name = entry.explain(Code::Io, what, next)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("lumbung") && name.ends_with(".1") {
            pages.push(name);
        }
    }
    pages.sort_unstable();
    Ok(pages)
}
