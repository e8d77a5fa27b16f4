//! What is dear to reckon and changes slowly: kept for a while, so that no scraper makes the controller busy.

use std::sync::{Mutex, PoisonError};

use lumbung_model::Timestamp;

/// The last value, and when it was reckoned.
#[derive(Debug)]
pub(super) struct Kept<T> {
    for_s: i64,
    last: Mutex<Option<(Timestamp, T)>>,
}

impl<T: Clone> Kept<T> {
    /// Nothing yet; a value is good for so many seconds.
    pub(super) const fn new(for_s: i64) -> Self {
        Self { for_s, last: Mutex::new(None) }
    }

    /// The value: the last one while it is good, else a new one. A clock that goes back makes it new.
    pub(super) fn at<E>(
        &self,
        now: Timestamp,
        reckon: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        // Held while it is reckoned: two scrapers at once reckon once.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*last
            && (0..self.for_s).contains(&now.seconds_since(*at))
        {
            return Ok(value.clone());
        }
        let value = reckon()?;
        *last = Some((now, value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_reckoned_again_when_its_time_is_over_and_not_before() {
        let kept = Kept::new(60);
        let at = |s, value: u8| kept.at(Timestamp(s), || Ok::<_, ()>(value)).unwrap();
        assert_eq!((at(1000, 1), at(1059, 2), at(1060, 3), at(1000, 4)), (1, 1, 3, 4));
        assert_eq!(kept.at(Timestamp(2000), || Err(())), Err(()));
        assert_eq!(at(1030, 5), 4, "a failure changes nothing");
    }
}
