//! All files of a MariaDB server on this host, copied by `mariadb-backup` while it runs, as one stream.

use std::path::PathBuf;

use lumbung_engine::Halt;

use super::MariadbServer;
use crate::SourceError;
use crate::child::Running;
use crate::description::Description;
use crate::settings::Places;
use crate::source::{Inspect, Origin, Part};

/// What the program says last.
const MARKER: &str = "completed OK!";

pub(super) struct BaseBackup {
    server: MariadbServer,
    program: PathBuf,
    /// It wants a folder, and leaves nothing there while it streams.
    folder: PathBuf,
}

impl BaseBackup {
    pub(super) fn new(server: MariadbServer, places: &Places) -> Result<Self, SourceError> {
        let program = server.backup_program()?;
        Ok(Self { server, program, folder: places.scratch.clone() })
    }
}

impl Part for BaseBackup {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let mut command = self.server.client(&self.program);
        command.args(["--backup", "--stream=mbstream", "--binlog-info=on"]);
        command.arg(format!("--target-dir={}", self.folder.display()));
        Ok((Origin::Program(Running::start(command, halt)?), Box::new(Based)))
    }
}

struct Based;

impl Inspect for Based {
    fn see(&mut self, _: &[u8]) {}

    fn end(self: Box<Self>, said: &str, description: &mut Description) -> Result<(), SourceError> {
        if !said.ends_with(MARKER) {
            let program = "mariadb-backup".to_owned();
            return Err(SourceError::Unfinished { program, marker: MARKER });
        }
        description.log_position = place(said);
        Ok(())
    }
}

/// `MySQL binlog position: filename 'binlog.000002', position '342'`, as a dump says it.
fn place(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("binlog position: filename '")?;
    let (file, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("position '")?;
    let (position, _) = rest.split_once('\'')?;
    Some(format!("MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_the_log_is_found() {
        let said = "[00] MySQL binlog position: filename 'binlog.000002', position '342', GTID of the last change '0-1-3'; completed OK!";
        assert_eq!(place(said).unwrap(), "MASTER_LOG_FILE='binlog.000002', MASTER_LOG_POS=342");
    }
}
