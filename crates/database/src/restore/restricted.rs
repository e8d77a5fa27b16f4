//! A plain dump of PostgreSQL on its way into `psql`, which may run nothing but SQL.
//!
//! A dump comes from a server that somebody may have taken, and `psql` has commands of its own that start programs on this machine.
//! In its restricted mode (since 13.22, 14.19, 15.14, 16.10 and 17.6; CVE-2025-8714) it refuses them until it is told a key, which is made here and
//! which no dump knows. Newer dumps ask for the same with a key of theirs: those lines are left out, since the mode is on already.

use std::io::{self, Write};

use super::lines::Lines;

/// What `pg_dump` 17 and later sets in every dump, and no server before knows.
const SINCE_17: &[u8] = b"SET transaction_timeout = 0;";

/// Passes a dump on behind the command that restricts, to a server of this version (150018: 15.18); the key is 64 random hexadecimal digits.
pub(super) fn restricted<'a>(
    (key, server): (&str, u32),
    out: &'a mut dyn Write,
) -> io::Result<Lines<'a, impl FnMut(&[u8]) -> bool + use<>>> {
    writeln!(out, "\\restrict {key}")?;
    let knows = server >= 170_000;
    Ok(Lines::new(out, move |line: &[u8]| !is_own(line) && (knows || line != SINCE_17)))
}

/// Whether a line is one of the two that a newer dump begins and ends with. A row could be one only if a value began with a line break and
/// the rest of that word: its loss would show in the count.
fn is_own(line: &[u8]) -> bool {
    let key = line.strip_prefix(b"\\restrict ").or_else(|| line.strip_prefix(b"\\unrestrict "));
    key.is_some_and(|key| key.len() >= 20 && key.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumps_own_restriction_is_left_out_and_nothing_else() {
        let own = "a".repeat(40);
        let dump = format!(
            "\\restrict {own}\nSET transaction_timeout = 0;\nCOPY t (a) FROM stdin;\n\\restrict x\n\\.\n\\unrestrict {own}\nSELECT 1;\n\\! touch x\nlast"
        );
        let expected = "\\restrict KEY\nCOPY t (a) FROM stdin;\n\\restrict x\n\\.\nSELECT 1;\n\\! touch x\nlast";
        for piece in [1, 2, 7, 4096] {
            let mut out = Vec::new();
            let mut restricted = restricted(("KEY", 150_018), &mut out).unwrap();
            dump.as_bytes().chunks(piece).for_each(|bytes| restricted.write_all(bytes).unwrap());
            restricted.finish().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{piece}");
        }
    }
}
