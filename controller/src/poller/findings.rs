//! After a poll: what is wrong at a site becomes alarms, and what is mended clears them.

use lumbung_model::{PdId, RepositoryId};
use lumbung_pack::object_id;
use lumbung_wire::messages::VaultAlarm;

use super::site::{PollError, RETRIES, SitePoll};
use super::source::Source;
use crate::db::alarms::Finding;
use crate::db::{DbError, alarms, findings, polls};

/// A vault's own alarm is shown this long: seven days.
const VAULT_ALARM_LASTS_S: i64 = 7 * 86_400;
/// Alarms taken from one vault.
const VAULT_ALARMS: usize = 200;

/// Longest error of a site that is kept.
pub(crate) const ERROR_MAX_CHARS: usize = 300;

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// A vault's words as they are kept, so many of their characters: somebody else wrote them.
pub(crate) fn printed(words: &str, most: usize) -> String {
    words.chars().map(printable).take(most).collect()
}

impl<S: Source> SitePoll<'_, S> {
    /// What the vault itself says is wrong, as long as it is recent: its log never forgets.
    pub(super) async fn alarms(
        &self,
        registered: &[(RepositoryId, PdId)],
    ) -> Result<(), PollError> {
        let (site, now) = (self.site.keys.site, self.clock.now());
        let scope = format!("{site}/");
        let recent = |alarm: &VaultAlarm| now.seconds_since(alarm.at) <= VAULT_ALARM_LASTS_S;
        let finding = |alarm: VaultAlarm| {
            let words = printed(&format!("{}: {}", alarm.kind, alarm.detail), 500);
            // The same words about two repositories are two alarms: they may be two PDs'.
            let of = alarm.repository.map_or_else(String::new, |id| id.to_string());
            let key = RepositoryId::from_bytes(object_id(format!("{of} {words}").as_bytes()));
            let pd = registered
                .iter()
                .find(|(known, _)| Some(*known) == alarm.repository)
                .map(|(_, pd)| *pd);
            Finding {
                subject: format!("{scope}{key}"),
                pd,
                site: Some(site),
                service: None,
                detail: words,
            }
        };
        let said = self.source.alarms().await?;
        let findings: Vec<Finding> =
            said.into_iter().filter(recent).take(VAULT_ALARMS).map(finding).collect();
        self.db
            .write_async(move |tx| {
                alarms::reconcile(tx, now, "vault", &format!("{site}/"), &findings)
            })
            .await?;
        Ok(())
    }

    /// What the evidence of this site and repository shows to be wrong: raised, confirmed, or cleared.
    pub(super) async fn findings(&self, repository: RepositoryId, pd: PdId) -> Result<(), DbError> {
        let (site, now) = (self.site.keys.site, self.clock.now());
        self.db
            .write_async(move |tx| {
                let scope = format!("{site}/{repository}/");
                let whose = Some(pd);
                let hidden = findings::hidden(tx, &scope, whose, &site, &repository)?;
                alarms::reconcile(tx, now, "hidden", &scope, &hidden)?;
                let removals = findings::wrong_removals(tx, &scope, whose, &site, &repository)?;
                alarms::reconcile(tx, now, "removal", &scope, &removals)?;
                let orders =
                    findings::orders_carried_out(tx, now, &scope, whose, &site, &repository)?;
                alarms::reconcile(tx, now, "order", &scope, &orders)?;
                let gaps = findings::receipt_gaps(tx, &scope, whose, &site, &repository)?;
                alarms::reconcile(tx, now, "receipt-gap", &scope, &gaps)?;
                let faults = findings::inventory_faults(tx, &scope, whose, &site, &repository)?;
                alarms::reconcile(tx, now, "inventory", &scope, &faults)?;
                let own = format!("{repository}/");
                let forks = findings::manifest_faults(tx, &own, whose, &repository)?;
                alarms::reconcile(tx, now, "manifest", &own, &forks)?;
                let refused = polls::pending(tx, &site, &repository, RETRIES)?.into_iter().map(
                    |(manifest, _, error)| {
                        let detail = format!("snapshot {manifest} did not pass: {error}");
                        Finding {
                            subject: format!("{scope}{manifest}"),
                            pd: whose,
                            site: Some(site),
                            service: None,
                            detail,
                        }
                    },
                );
                alarms::reconcile(tx, now, "refused", &scope, &refused.collect::<Vec<_>>())
            })
            .await
    }
}
