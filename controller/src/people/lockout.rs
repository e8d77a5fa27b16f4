//! How long an account takes no login after failures. Pure.

/// So many failures cost nothing: people mistype.
const FREE: u32 = 4;
/// The first lock.
const FIRST_S: i64 = 60;
/// The longest: whoever guesses gets a try an hour, and nobody is locked out for good by a stranger.
const LONGEST_S: i64 = 3600;

/// How many seconds an account is locked after this many failures in a row.
pub(super) fn lock_s(failures: u32) -> Option<i64> {
    let beyond = failures.checked_sub(FREE + 1)?;
    Some(FIRST_S.saturating_mul(1 << beyond.min(10)).min(LONGEST_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_double_up_to_an_hour() {
        let locks: Vec<_> = (3..13).map(lock_s).collect();
        let s = Some;
        assert_eq!(
            locks,
            [None, None, s(60), s(120), s(240), s(480), s(960), s(1920), s(3600), s(3600)]
        );
        assert_eq!(lock_s(u32::MAX), Some(3600));
    }
}
