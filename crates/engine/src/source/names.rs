//! Names of users and groups, from `/etc/passwd` and `/etc/group`.
//!
//! Read once a run. Names that only a directory service knows stay empty: numbers are what counts.

use std::collections::HashMap;
use std::path::Path;

/// Names by number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Names {
    /// Reads this machine's tables; one that cannot be read counts as empty.
    pub(crate) fn of_this_machine() -> Self {
        Self { users: read(Path::new("/etc/passwd")), groups: read(Path::new("/etc/group")) }
    }

    /// The user's name, or nothing.
    pub(crate) fn user(&self, uid: u32) -> &[u8] {
        self.users.get(&uid).map_or(b"", Vec::as_slice)
    }

    /// The group's name, or nothing.
    pub(crate) fn group(&self, gid: u32) -> &[u8] {
        self.groups.get(&gid).map_or(b"", Vec::as_slice)
    }
}

fn read(path: &Path) -> HashMap<u32, Vec<u8>> {
    parse(&std::fs::read(path).unwrap_or_default())
}

/// Lines of `name:password:number:…`; the first name of a number counts.
fn parse(table: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in table.split(|b| *b == b'\n') {
        let mut fields = line.split(|b| *b == b':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
        let number = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok());
        if let Some(number) = number.filter(|_| !name.is_empty() && !name.starts_with(b"#")) {
            names.entry(number).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let names =
            parse(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\n#x:x:7:\n+::::\nsiti:x:1001:\n");
        assert_eq!(names.get(&0).map(Vec::as_slice), Some(&b"root"[..]));
        assert_eq!(names.get(&1001).map(Vec::as_slice), Some(&b"siti"[..]));
        assert_eq!(names.len(), 2);
    }
}
