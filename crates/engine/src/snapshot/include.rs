//! Which part of a snapshot is meant: paths, with everything beneath them.

/// Paths to take, with everything beneath them; none means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Include(Vec<Vec<u8>>);

impl Include {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self(Vec::new())
    }

    /// These paths; slashes around them do not matter.
    #[must_use]
    pub fn paths<T: AsRef<[u8]>>(paths: impl IntoIterator<Item = T>) -> Self {
        let trim = |path: &[u8]| {
            let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
            let end = path.iter().rposition(|b| *b != b'/').map_or(start, |last| last + 1);
            path[start..end].to_vec()
        };
        let paths: Vec<Vec<u8>> = paths.into_iter().map(|path| trim(path.as_ref())).collect();
        if paths.iter().any(Vec::is_empty) { Self::all() } else { Self(paths) }
    }

    /// The paths that are named.
    pub(crate) fn named(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Whether everything is meant.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `path` is named, or lies beneath a path that is.
    #[must_use]
    pub fn contains(&self, path: &[u8]) -> bool {
        self.is_all() || self.0.iter().any(|named| is_beneath(path, named))
    }

    /// Whether `path` is a directory on the way to a named path.
    #[must_use]
    pub fn leads_to(&self, path: &[u8]) -> bool {
        self.0.iter().any(|named| is_beneath(named, path))
    }

    /// Whether `path` is wanted, or a directory that holds something wanted.
    #[must_use]
    pub fn touches(&self, path: &[u8]) -> bool {
        self.contains(path) || self.leads_to(path)
    }
}

/// Whether `path` is `directory` or lies beneath it.
pub(crate) fn is_beneath(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_path_means_what_is_beneath_it() {
        let include = Include::paths(["/home/siti/", "etc/passwd"]);
        for path in ["home/siti", "home/siti/a/b", "etc/passwd"] {
            assert!(include.contains(path.as_bytes()), "{path}");
        }
        for path in ["home", "home/sitihajar", "etc/passwd-", "etc"] {
            assert!(!include.contains(path.as_bytes()), "{path}");
        }
        assert!(include.leads_to(b"home") && include.leads_to(b"") && !include.leads_to(b"var"));
        assert!(Include::paths(["/"]).is_all());
    }
}
