//! A base backup of the whole server by `pg_basebackup`, as one tar, with the log that makes it consistent by itself.

use lumbung_engine::Halt;

use super::{Server, wal};
use crate::SourceError;
use crate::child::Running;
use crate::description::Description;
use crate::source::{Inspect, Origin, Part};

/// The label is the first file of the tar: a header of 512 bytes and some lines.
const HEAD_BYTES: usize = 4 << 10;
/// Two blocks of zeros end a tar (POSIX.1-2017, pax, "ustar Interchange Format").
const END_BYTES: usize = 1 << 10;

pub(super) struct BaseBackup {
    pub(super) server: Server,
}

impl Part for BaseBackup {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let mut command = self.server.client(self.server.basebackup()?, "postgres");
        command.args(["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast"]);
        command.args(["--no-estimate-size", "--label=lumbung"]);
        Ok((Origin::Program(Running::start(command, halt)?), Box::new(Based::default())))
    }
}

#[derive(Default)]
struct Based {
    head: Vec<u8>,
    zeros: usize,
}

impl Inspect for Based {
    fn see(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let behind = bytes.iter().rev().take_while(|byte| **byte == 0).take(END_BYTES).count();
        self.zeros = if behind == bytes.len() { self.zeros + behind } else { behind };
    }

    fn end(self: Box<Self>, _: &str, description: &mut Description) -> Result<(), SourceError> {
        let unfinished =
            |marker| SourceError::Unfinished { program: "pg_basebackup".to_owned(), marker };
        if self.zeros < END_BYTES {
            return Err(unfinished("two blocks of zeros"));
        }
        let text = String::from_utf8_lossy(&self.head);
        let begin = text.find("START WAL LOCATION").ok_or_else(|| unfinished("backup_label"))?;
        let label = wal::label(&text[begin..]).ok_or_else(|| unfinished("backup_label"))?;
        description.log_position = Some(label.start);
        description.log_segment = Some(label.segment.to_string());
        Ok(())
    }
}
