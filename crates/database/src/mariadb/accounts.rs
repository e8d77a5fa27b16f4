//! Accounts and roles of a server, and what they may, as statements that make them again.
//!
//! MariaDB's own dump program writes them. MySQL's does not: the server is asked for each account (`SHOW CREATE USER`, `SHOW GRANTS`; MySQL
//! Reference Manual 8.0, 13.7.7), and its answers are put in an order in which they can be run: accounts before what names them.

use std::io::Cursor;

use lumbung_engine::Halt;

use super::{MARKER, MariadbServer, unhex};
use crate::SourceError;
use crate::child::Running;
use crate::description::Description;
use crate::source::{Inspect, Origin, Part, Tail, Unread, ask};
use crate::tool;

/// Who writes them.
pub(super) enum AccountsDump {
    /// `mariadb-dump`.
    Mariadb(MariadbServer),
    /// A MySQL server of this version.
    Mysql(MariadbServer, String),
}

impl Part for AccountsDump {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        match self {
            Self::Mariadb(server) => {
                let mut command = server.client(&server.dump);
                command.args(["--system=users", "--skip-dump-date", "--insert-ignore"]);
                Ok((Origin::Program(Running::start(command, halt)?), Box::new(Dumped::default())))
            }
            Self::Mysql(server, version) => {
                let text = Asked { server, halt: &halt }.statements(version)?;
                Ok((Origin::Text(Cursor::new(text.into_bytes())), Box::new(Unread)))
            }
        }
    }
}

#[derive(Default)]
struct Dumped(Tail);

impl Inspect for Dumped {
    fn see(&mut self, bytes: &[u8]) {
        self.0.see(bytes);
    }

    fn end(self: Box<Self>, _: &str, _: &mut Description) -> Result<(), SourceError> {
        self.0.check("mariadb-dump", MARKER)
    }
}

/// Accounts that a server of MySQL makes for itself.
const OWN: [&str; 3] = ["mysql.sys", "mysql.session", "mysql.infoschema"];
/// Accounts that are asked for in one session: their statements stand on its command line, which is bounded.
const AT_A_TIME: usize = 100;
/// Names in backticks, whatever the server's mode; and passwords, of which only some are text, as hexadecimal digits where the server can
/// (MySQL 8.0.17).
const READABLE: &str = "SET SESSION sql_mode = '', sql_quote_show_create = 1; /*!80017 SET print_identified_with_as_hex = ON */";

/// User and host.
type Account = (String, String);

struct Asked<'a> {
    server: &'a MariadbServer,
    halt: &'a Halt,
}

impl Asked<'_> {
    fn statements(&self, version: &str) -> Result<String, SourceError> {
        let number = tool::number(version).unwrap_or_default();
        let accounts =
            self.accounts("SELECT HEX(User), HEX(Host) FROM mysql.user ORDER BY 1, 2")?;
        let accounts: Vec<&[String]> = accounts
            .iter()
            .map(Vec::as_slice)
            .filter(|one| !OWN.contains(&one[0].as_str()))
            .collect();
        let (mut made, mut granted) = (String::new(), String::new());
        for some in accounts.chunks(AT_A_TIME) {
            // Before 5.7 what an account may says how it is let in as well.
            if number.as_slice() >= [5, 7].as_slice() {
                for line in self.show("CREATE USER", some)? {
                    made.push_str(&self.making(&line)?);
                }
            }
            for line in self.show("GRANTS FOR", some)? {
                granted.push_str(&self.whole(&line, &["GRANT ", "REVOKE "])?);
            }
        }
        let mut text =
            format!("-- MySQL {}: accounts and what they may\n{made}{granted}", version.trim());
        if number.first() >= Some(&8) {
            text.push_str(&self.default_roles()?);
        }
        Ok(text)
    }

    fn ask(&self, statements: &str) -> Result<String, SourceError> {
        let mut command = self.server.session();
        command.args(["--batch", "--raw", "--skip-column-names"]);
        command.arg(format!("--execute={statements}"));
        ask(command, self.halt, &self.server.name())
    }

    /// Rows of names, which come as hexadecimal digits so that none can be taken for something else.
    fn accounts(&self, query: &str) -> Result<Vec<Vec<String>>, SourceError> {
        let answer = self.ask(query)?;
        let row = |line: &str| line.split('\t').map(unhex).collect::<Option<Vec<_>>>();
        answer.lines().map(|line| row(line).ok_or_else(|| self.unclear(line))).collect()
    }

    fn show(&self, what: &str, accounts: &[&[String]]) -> Result<Vec<String>, SourceError> {
        let of = |account: &&[String]| format!("; SHOW {what} {}", quoted(account));
        let statements: String = accounts.iter().map(of).collect();
        let answer = self.ask(&format!("{READABLE}{statements}"))?;
        Ok(answer.lines().map(str::to_owned).collect())
    }

    fn unclear(&self, line: &str) -> SourceError {
        let said = format!("an answer about accounts that is not understood: {line:?}");
        SourceError::Refused { server: self.server.name(), said }
    }

    /// A line as a statement, if it is one of those.
    fn whole(&self, line: &str, verbs: &[&str]) -> Result<String, SourceError> {
        let known = verbs.iter().any(|verb| line.starts_with(verb));
        if known { Ok(format!("{line};\n")) } else { Err(self.unclear(line)) }
    }

    /// A statement that makes an account; which roles it begins with comes when they are granted.
    fn making(&self, line: &str) -> Result<String, SourceError> {
        let rest = line.strip_prefix("CREATE USER ").ok_or_else(|| self.unclear(line))?;
        let rest = match rest.split_once(" DEFAULT ROLE ") {
            Some((before, behind)) => {
                let (_, behind) =
                    behind.split_once(" REQUIRE ").ok_or_else(|| self.unclear(line))?;
                format!("{before} REQUIRE {behind}")
            }
            None => rest.to_owned(),
        };
        Ok(format!("CREATE USER IF NOT EXISTS {rest};\n"))
    }

    fn default_roles(&self) -> Result<String, SourceError> {
        let rows = self.accounts(
            "SELECT HEX(USER), HEX(HOST), HEX(DEFAULT_ROLE_USER), HEX(DEFAULT_ROLE_HOST) FROM mysql.default_roles ORDER BY 1, 2, 3, 4",
        )?;
        let mut of: std::collections::BTreeMap<Account, Vec<String>> =
            std::collections::BTreeMap::new();
        for row in rows {
            let [user, host, role @ ..] = row.as_slice() else { continue };
            of.entry((user.clone(), host.clone())).or_default().push(quoted(role));
        }
        let statement = |((user, host), roles): (Account, Vec<String>)| {
            format!("SET DEFAULT ROLE {} TO {};\n", roles.join(", "), quoted(&[user, host]))
        };
        Ok(of.into_iter().map(statement).collect())
    }
}

/// `` `user`@`host` ``.
fn quoted(account: &[String]) -> String {
    let parts: Vec<String> =
        account.iter().map(|part| format!("`{}`", part.replace('`', "``"))).collect();
    parts.join("@")
}
