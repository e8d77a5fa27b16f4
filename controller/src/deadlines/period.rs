//! Periods of whole months of the calendar, and when something that is owed for one is due.
//!
//! Invariants: periods of one length follow each other without a gap, counted from January of the year 0; so a year goes
//! from January to December, and two years begin with an even one. A period has one label, by which it is known for ever.

use std::fmt;

use lumbung_model::Day;

/// A span of whole months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first month, counted from January of the year 0.
    first: i64,
    months: u32,
}

impl Period {
    /// The period of that many months (at least 1) in which a day lies.
    #[must_use]
    pub fn containing(day: Day, months: u32) -> Self {
        let months = months.max(1);
        let length = i64::from(months);
        Self { first: day.month().div_euclid(length) * length, months }
    }

    /// The one that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self { first: self.first + i64::from(self.months), ..self }
    }

    /// Its first day.
    #[must_use]
    pub fn begins(self) -> Day {
        Day::first_of_month(self.first)
    }

    /// The last day on which something that is owed for it is in time: its own last day, or the last one of
    /// `due_months` months from its beginning.
    #[must_use]
    pub fn due(self, due_months: Option<u32>) -> Day {
        self.begins().plus_months(due_months.unwrap_or(self.months)).previous()
    }
}

impl fmt::Display for Period {
    /// `2026`, `2026/2027`, `2026-07`, `2026-07/2026-09`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = |months: i64| (months.div_euclid(12), months.rem_euclid(12) + 1);
        let ((year, first), (last_year, last)) = (month(self.first), month(self.next().first - 1));
        match (self.months, first) {
            (12, 1) => write!(f, "{year}"),
            (months, 1) if months.is_multiple_of(12) => write!(f, "{year}/{last_year}"),
            (1, _) => write!(f, "{year}-{first:02}"),
            _ => write!(f, "{year}-{first:02}/{last_year}-{last:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    /// Label, first day, last day.
    fn of(text: &str, months: u32) -> (String, String, String) {
        let period = Period::containing(day(text), months);
        (period.to_string(), period.begins().to_string(), period.due(None).to_string())
    }

    #[test]
    fn periods_follow_the_calendar() {
        for (text, months, label, first, last) in [
            ("2026-01-01", 12, "2026", "2026-01-01", "2026-12-31"),
            ("2026-12-31", 12, "2026", "2026-01-01", "2026-12-31"),
            ("2026-07-19", 24, "2026/2027", "2026-01-01", "2027-12-31"),
            ("2027-07-19", 24, "2026/2027", "2026-01-01", "2027-12-31"),
            ("2028-02-29", 1, "2028-02", "2028-02-01", "2028-02-29"),
            ("2027-02-28", 1, "2027-02", "2027-02-01", "2027-02-28"),
            ("2026-08-01", 3, "2026-07/2026-09", "2026-07-01", "2026-09-30"),
            ("2026-08-01", 6, "2026-07/2026-12", "2026-07-01", "2026-12-31"),
        ] {
            let expected = (label.to_owned(), first.to_owned(), last.to_owned());
            assert_eq!(of(text, months), expected, "{text}, {months} months");
        }
    }

    #[test]
    fn periods_of_every_length_leave_no_gap() {
        for months in 1..=120 {
            let mut period = Period::containing(day("2026-02-14"), months);
            for _ in 0..20 {
                let next = period.next();
                assert_eq!(period.due(None).plus_days(1), next.begins(), "{months} months");
                assert_eq!(Period::containing(next.begins(), months), next);
                assert_eq!(Period::containing(next.due(None), months), next);
                assert_ne!(period.to_string(), next.to_string());
                period = next;
            }
        }
    }

    #[test]
    fn a_deadline_may_lie_within_its_period() {
        let year = Period::containing(day("2028-05-05"), 12);
        assert_eq!(year.due(Some(2)), day("2028-02-29"));
        assert_eq!(year.next().due(Some(2)), day("2029-02-28"));
        assert_eq!(year.due(Some(12)), year.due(None));
    }
}
