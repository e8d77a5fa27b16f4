//! Entries of the roster of who is on call.

use lumbung_model::Timestamp;
use lumbung_wire::messages::alerts::OnCallInput;

use super::super::entries::{OnCallEntry, moment};
use super::{Refusal, Run};
use crate::alerts::desk::AlertError;
use crate::alerts::roster;
use crate::register;

impl From<AlertError> for Refusal {
    fn from(error: AlertError) -> Self {
        match error {
            AlertError::Db(error) => Self::Db(error),
            AlertError::Entry(error) => error.into(),
            error => Self::Field(error.field(), error.to_string()),
        }
    }
}

impl Run<'_> {
    pub(super) fn enter_turn(&mut self, entry: &OnCallEntry) -> Result<(), Refusal> {
        let input = OnCallInput {
            tier: entry.tier,
            name: entry.name.clone(),
            from: self.moment("from", &entry.from)?,
            until: self.moment("until", &entry.until)?,
            phone: entry.phone.clone(),
            email: entry.email.clone(),
            telegram: entry.telegram.clone(),
        };
        if !self.turns.insert((input.tier, input.from, input.name.clone())) {
            let detail = format!("the turn of {:?} stands twice in this file", input.name);
            return Err(Refusal::Field(Some("from"), detail));
        }
        let change = roster::enter(self.db, self.act, &input)?;
        register::count(&mut self.outcome, change);
        Ok(())
    }

    fn moment(&self, field: &'static str, text: &str) -> Result<Timestamp, Refusal> {
        moment(text, self.profile.zone()).ok_or_else(|| {
            let found: String = text.chars().take(40).collect();
            let detail = format!(
                "{field} {found:?} is no time: write \"2026-12-01 08:00\" as the city's clocks show it, or 2026-12-01T08:00:00+07:00"
            );
            Refusal::Field(Some(field), detail)
        })
    }
}
