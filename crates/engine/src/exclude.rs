//! What a backup leaves out: patterns over absolute paths, as bytes.
//!
//! A pattern that begins with `/` is about the whole path; any other is about its last components, so
//! that `*.tmp` and `cache/thumbs` match anywhere. `?` is one byte and `*` any number of them, both
//! within a component; `[a-z]` and `[!a-z]` are sets; a component `**` is any number of components.
//! A directory that matches is not entered.

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExcludeError {
    /// It says nothing.
    #[error("an exclude pattern is empty")]
    Empty,
    /// A set has no end.
    #[error("the exclude pattern {0:?} has a '[' without its ']'")]
    OpenSet(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    anchored: bool,
    components: Vec<Vec<u8>>,
}

/// A list of patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excludes(Vec<Pattern>);

impl Excludes {
    /// Reads patterns.
    ///
    /// # Errors
    /// For the first that cannot be used.
    pub fn new<T: AsRef<[u8]>>(
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, ExcludeError> {
        patterns
            .into_iter()
            .map(|pattern| parse(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a path (relative to `/`, without a leading slash) is left out.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let components: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
        self.0.iter().any(|pattern| pattern.matches(&components))
    }
}

fn parse(text: &[u8]) -> Result<Pattern, ExcludeError> {
    let anchored = text.starts_with(b"/");
    let components: Vec<Vec<u8>> =
        text.split(|b| *b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
    if components.is_empty() {
        return Err(ExcludeError::Empty);
    }
    if components.iter().any(|component| !sets_are_closed(component)) {
        return Err(ExcludeError::OpenSet(String::from_utf8_lossy(text).into_owned()));
    }
    Ok(Pattern { anchored, components })
}

fn sets_are_closed(component: &[u8]) -> bool {
    let mut rest = component;
    while let Some(start) = rest.iter().position(|b| *b == b'[') {
        match set_length(&rest[start..]) {
            Some(length) => rest = &rest[start + length..],
            None => return false,
        }
    }
    true
}

/// Bytes of the set that `pattern` begins with, brackets included.
fn set_length(pattern: &[u8]) -> Option<usize> {
    let first = if matches!(pattern.get(1), Some(b'!' | b'^')) { 2 } else { 1 };
    // A `]` right after the opening is a member.
    (first + 1..pattern.len()).find(|i| pattern[*i] == b']').map(|end| end + 1)
}

impl Pattern {
    fn matches(&self, path: &[&[u8]]) -> bool {
        if self.anchored {
            return components_match(&self.components, path);
        }
        (0..path.len()).any(|start| components_match(&self.components, &path[start..]))
    }
}

fn components_match(pattern: &[Vec<u8>], path: &[&[u8]]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if first == b"**" {
        return (0..=path.len()).any(|skipped| components_match(rest, &path[skipped..]));
    }
    path.split_first()
        .is_some_and(|(name, below)| name_matches(first, name) && components_match(rest, below))
}

/// Glob within one component. Goes back to the last `*` only: linear in practice, never exponential.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(width) = one_matches(&pattern[p..], name[n]) {
            p += width;
            n += 1;
        } else if let Some((star_p, star_n)) = star {
            star = Some((star_p, star_n + 1));
            (p, n) = (star_p + 1, star_n + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Whether the pattern's first element takes this byte, and how long that element is.
fn one_matches(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let length = set_length(pattern)?;
            let inner = &pattern[1..length - 1];
            let (negated, inner) = match inner.split_first() {
                Some((b'!' | b'^', rest)) => (true, rest),
                _ => (false, inner),
            };
            (in_set(inner, byte) != negated).then_some(length)
        }
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    while let Some((first, rest)) = set.split_first() {
        if let [b'-', last, tail @ ..] = rest {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            set = tail;
        } else {
            if *first == byte {
                return true;
            }
            set = rest;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Excludes::new([pattern]).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, path) in [
            ("*.tmp", "home/siti/a.tmp"),
            ("/home/*/cache", "home/siti/cache"),
            ("cache/thumbs", "home/siti/cache/thumbs"),
            ("/var/**/x", "var/x"),
            ("/var/**/x", "var/a/b/x"),
            ("file[0-9]?", "d/file7a"),
            ("[!a]b", "cb"),
            ("[]]", "]"),
            (r"\*", "*"),
            ("/home/", "home"),
            ("a*b*c", "axxbyyc"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.tmp", "home/a.tmp/b"),
            ("/home/*/cache", "home/siti/x/cache"),
            ("/siti", "home/siti"),
            ("file[0-9]", "filex"),
            ("[!a]b", "ab"),
            (r"\*", "x"),
            ("a*b*c", "axxbyy"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn useless_patterns_are_refused() {
        assert_eq!(Excludes::new([""]), Err(ExcludeError::Empty));
        assert_eq!(Excludes::new(["/"]), Err(ExcludeError::Empty));
        assert_eq!(Excludes::new(["a[b"]), Err(ExcludeError::OpenSet("a[b".to_owned())));
    }
}
