//! The output of a command, such as the export program of an application. Its exit status decides whether it counts.

use std::path::{Path, PathBuf};

use lumbung_engine::Halt;
use lumbung_model::Timestamp;
use serde::Deserialize;

use crate::SourceError;
use crate::child::{Running, bare};
use crate::description::{Description, Kind};
use crate::settings::Places;
use crate::source::{Inspect, Origin, Part, Prepared, Unread, file_name};

const FOLDER: &str = "/command";

/// The `[job.command]` table of an agent's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSettings {
    /// The program, by its absolute path, and its arguments. No shell: a pipe is a script of its own, with `set -o pipefail`.
    pub run: Vec<String>,
    /// The name of the file that holds its output in the snapshot.
    pub file: String,
    /// A file with mode 0600 or a systemd credential, whose path the program finds in `LUMBUNG_CREDENTIALS`.
    pub credentials: Option<crate::Credentials>,
}

pub(crate) fn prepare(
    settings: &CommandSettings,
    places: &Places,
    now: Timestamp,
) -> Result<Prepared, SourceError> {
    let description = Description::new(Kind::Command, now);
    let credentials = match &settings.credentials {
        Some(credentials) => Some(credentials.file(places.credentials.as_deref())?),
        None => None,
    };
    let part = Output { run: settings.run.clone(), credentials };
    let parts: Vec<(String, Box<dyn Part>)> =
        vec![(format!("output/{}", file_name(&settings.file)), Box::new(part))];
    Ok(Prepared::new(Path::new(FOLDER), parts, description))
}

struct Output {
    run: Vec<String>,
    credentials: Option<PathBuf>,
}

impl Part for Output {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let (program, arguments) = self.run.split_first().ok_or(SourceError::NothingThere)?;
        let mut command = bare(Path::new(program));
        command.args(arguments);
        command.envs(self.credentials.iter().map(|path| ("LUMBUNG_CREDENTIALS", path)));
        Ok((Origin::Program(Running::start(command, halt)?), Box::new(Unread)))
    }
}
