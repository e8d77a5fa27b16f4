//! What belongs to a PostgreSQL database and not to its content: rights on it, what is set for its sessions, how many it takes.
//!
//! Invariant: all of it comes from a snapshot of a server that somebody may have taken, so it goes into statements as identifiers and
//! literals alone, and a right is one of three words.

use std::collections::BTreeSet;

use super::postgresql::{identifier, literal};
use crate::description::{Database, Right, Setting};

/// Settings whose value is a list of names, each of which is quoted for itself (`GUC_LIST_QUOTE`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The statements that give a database what belonged to it, and what of it cannot be given here.
pub(super) fn statements(
    database: &Database,
    name: &str,
    roles: &BTreeSet<String>,
) -> (Vec<String>, Vec<String>) {
    let (mut statements, mut left_out) = (Vec::new(), Vec::new());
    let name = identifier(name);
    for setting in &database.settings {
        match set(setting, &name, roles) {
            Ok(statement) => statements.push(statement),
            Err(why) => left_out.push(why),
        }
    }
    if let Some(rights) = &database.rights {
        statements.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        for right in rights {
            match grant(right, &name, roles) {
                Ok(statement) => statements.push(statement),
                Err(why) => left_out.push(why),
            }
        }
    }
    let limit = database.connection_limit.map(|limit| limit.max(-1));
    statements.extend(limit.map(|limit| format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}")));
    (statements, left_out)
}

fn set(setting: &Setting, database: &str, roles: &BTreeSet<String>) -> Result<String, String> {
    let Setting { role, setting } = setting;
    let (name, value) =
        setting.split_once('=').ok_or_else(|| format!("{setting:?} is no setting"))?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if name.is_empty() || !name.chars().all(known) {
        return Err(format!("{name:?} is the name of no setting"));
    }
    let value = if LISTS.contains(&name) { list(value) } else { literal(value) };
    let name = name.split('.').map(identifier).collect::<Vec<_>>().join(".");
    match role.as_str() {
        "" => Ok(format!("ALTER DATABASE {database} SET {name} TO {value}")),
        role if roles.contains(role) => {
            let role = identifier(role);
            Ok(format!("ALTER ROLE {role} IN DATABASE {database} SET {name} TO {value}"))
        }
        role => Err(format!("{setting} for role {role}, which is not on this server")),
    }
}

/// A list as the server keeps it, each of its names as a literal; an empty one is a name without letters.
fn list(value: &str) -> String {
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            ' ' if !quoted => {}
            letter => name.push(letter),
        }
    }
    names.push(name);
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

fn grant(right: &Right, database: &str, roles: &BTreeSet<String>) -> Result<String, String> {
    let Right { role, privilege, grantable } = right;
    if !["CONNECT", "CREATE", "TEMPORARY"].contains(&privilege.as_str()) {
        return Err(format!("{privilege:?} is no right on a database"));
    }
    let whom = match role.as_str() {
        "" => "PUBLIC".to_owned(),
        role if roles.contains(role) => identifier(role),
        role => return Err(format!("{privilege} for role {role}, which is not on this server")),
    };
    let passed_on = if *grantable { " WITH GRANT OPTION" } else { "" };
    Ok(format!("GRANT {privilege} ON DATABASE {database} TO {whom}{passed_on}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_database_goes_into_statements_as_names_and_literals() {
        let setting =
            |role: &str, setting: &str| Setting { role: role.into(), setting: setting.into() };
        let right = |role: &str, privilege: &str| Right {
            role: role.into(),
            privilege: privilege.into(),
            grantable: role == "app",
        };
        let database = Database {
            connection_limit: Some(20),
            settings: vec![
                setting("", "search_path=\"$user\", \"a\"\"b\", public"),
                setting("app", "work_mem=64MB'; DROP ROLE app; --"),
                setting("gone", "work_mem=1MB"),
                setting("", "x; DROP DATABASE y=1"),
                setting("", "app.mode=on"),
            ],
            rights: Some(vec![
                right("", "CONNECT"),
                right("app", "CREATE"),
                right("app", "ALL; DROP"),
            ]),
            ..Database::default()
        };
        let roles = BTreeSet::from(["app".to_owned()]);
        let (statements, left_out) = statements(&database, "simrs", &roles);
        assert_eq!(
            statements,
            [
                "ALTER DATABASE \"simrs\" SET \"search_path\" TO '$user', 'a\"b', 'public'",
                "ALTER ROLE \"app\" IN DATABASE \"simrs\" SET \"work_mem\" TO '64MB''; DROP ROLE app; --'",
                "ALTER DATABASE \"simrs\" SET \"app\".\"mode\" TO 'on'",
                "REVOKE ALL ON DATABASE \"simrs\" FROM PUBLIC",
                "GRANT CONNECT ON DATABASE \"simrs\" TO PUBLIC",
                "GRANT CREATE ON DATABASE \"simrs\" TO \"app\" WITH GRANT OPTION",
                "ALTER DATABASE \"simrs\" CONNECTION LIMIT 20",
            ]
        );
        assert_eq!(left_out.len(), 3, "{left_out:?}");
        let (statements, left_out) = super::statements(&Database::default(), "simrs", &roles);
        assert!(statements.is_empty() && left_out.is_empty());
    }
}
