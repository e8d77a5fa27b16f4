//! Verdicts as people read them: with names, articles, and the waivers that accept them.
//!
//! Invariant: an answer about now rests on what the reconciler wrote down; [`crate::report`] weighs by itself what has
//! changed since, so the table may be a moment ahead.

use std::collections::HashMap;

use lumbung_model::{PdId, Timestamp};
use lumbung_wire::messages::compliance::{
    RuleEntry, SubjectKind, VerdictEntry, VerdictState, Waiver,
};
use lumbung_wire::messages::register::{Application, Dataset, Pd, Server, Service};
use rusqlite::Connection;

use crate::db::verdicts::Interval;
use crate::db::{DbError, follow_up, history, register, services, verdicts as rows};
use crate::profile::{Profile, Rule, Subject};
use crate::report::Language;
use crate::rules::{SubjectId, is_step};

/// The rules of the profile, as they are shown.
#[must_use]
pub fn rules(profile: &Profile) -> Vec<RuleEntry> {
    profile.rules.iter().map(|rule| rule_entry(profile, rule)).collect()
}

fn rule_entry(profile: &Profile, rule: &Rule) -> RuleEntry {
    RuleEntry {
        id: rule.id.clone(),
        look: rule.look.as_str().to_owned(),
        subject: kind(rule.look.subject()),
        article: article(profile, rule),
        force: rule.force.as_str().to_owned(),
        asks_id: rule.asks.id.clone(),
        asks_en: rule.asks.en.clone(),
        within_days: rule.within_days,
        min_km: rule.min_km,
        instrument: rule.instrument.clone(),
        obligations: rule.obligations.clone(),
    }
}

/// Regulation and article; empty for a proposal.
#[must_use]
pub fn article(profile: &Profile, rule: &Rule) -> String {
    match rule.article.as_str() {
        "" => String::new(),
        article => format!("{}, {article}", profile.city.regulation),
    }
}

/// The kind of subject, as the API calls it.
#[must_use]
pub const fn kind(subject: Subject) -> SubjectKind {
    match subject {
        Subject::Dataset => SubjectKind::Dataset,
        Subject::Server => SubjectKind::Server,
        Subject::Service => SubjectKind::Service,
        Subject::Application => SubjectKind::Application,
        Subject::Pd => SubjectKind::Pd,
        Subject::City => SubjectKind::City,
    }
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of one PD.
    pub pd: Option<PdId>,
    /// By one rule; none: by the profile's rules, not the four steps alone.
    pub rule: Option<String>,
    /// In one state.
    pub state: Option<VerdictState>,
    /// Said at this moment; none: now.
    pub as_of: Option<Timestamp>,
}

/// What is said now, or was said then, by rule, PD and name.
///
/// # Errors
/// If the database fails.
pub fn list(
    db: &Connection,
    profile: &Profile,
    wanted: &Wanted,
    (now, language): (Timestamp, Language),
) -> Result<Vec<VerdictEntry>, DbError> {
    let at = wanted.as_of.unwrap_or(now);
    let by_id: HashMap<&str, &Rule> =
        profile.rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    // The four steps stand in the compliance table; here they only come if they are named.
    let asked = |interval: &Interval| match &wanted.rule {
        Some(rule) => interval.rule == *rule,
        None => !is_step(&interval.rule),
    };
    let names = match wanted.as_of {
        Some(at) => Names::at(db, at)?,
        None => Names::now(db, wanted.pd.as_ref())?,
    };
    let waivers = follow_up::waivers(db, wanted.pd.as_ref())?;
    let mut entries = Vec::new();
    for interval in rows::at(db, at, wanted.pd.as_ref())?.into_iter().filter(asked) {
        let rule = by_id.get(interval.rule.as_str()).copied();
        let waiver = waivers.iter().find(|waiver| accepts(waiver, &interval, at));
        let entry = entry(profile, rule, &names, (interval, waiver), language);
        if wanted.state.is_none_or(|state| entry.state == state) {
            entries.push(entry);
        }
    }
    entries.sort_by_cached_key(place);
    Ok(entries)
}

/// Where an entry stands in the list.
#[must_use]
pub fn place(entry: &VerdictEntry) -> (String, String, String, Option<String>) {
    let texts = (entry.rule.clone(), entry.pd_code.clone(), entry.name.clone());
    (texts.0, texts.1, texts.2, entry.subject.clone())
}

fn accepts(waiver: &Waiver, interval: &Interval, at: Timestamp) -> bool {
    waiver.rule == interval.rule
        && waiver.subject == follow_up::subject_text(&interval.subject)
        && waiver.from <= at
        && at < waiver.expires
        && waiver.revoked.is_none_or(|revoked| at < revoked)
}

fn entry(
    profile: &Profile,
    rule: Option<&Rule>,
    names: &Names,
    (interval, waiver): (Interval, Option<&Waiver>),
    language: Language,
) -> VerdictEntry {
    let state = match (interval.met, waiver) {
        (true, _) => VerdictState::Met,
        (false, Some(_)) => VerdictState::Waived,
        (false, None) => VerdictState::Unmet,
    };
    let pd = interval.pd.and_then(|pd| names.pds.get(&pd));
    VerdictEntry {
        article: rule.map(|rule| article(profile, rule)).unwrap_or_default(),
        force: rule.map(|rule| rule.force.as_str().to_owned()).unwrap_or_default(),
        asks: rule.map(|rule| language.pick(&rule.asks).to_owned()).unwrap_or_default(),
        subject_kind: interval.subject_kind.parse().unwrap_or(SubjectKind::City),
        subject: follow_up::subject_text(&interval.subject),
        name: names.of(&interval.subject),
        pd: interval.pd,
        pd_code: pd.map(|pd| pd.code.clone()).unwrap_or_default(),
        state,
        since: interval.from,
        codes: interval
            .codes
            .split(',')
            .filter(|code| !code.is_empty())
            .map(str::to_owned)
            .collect(),
        reason: match language {
            Language::Indonesian => interval.reason_id,
            Language::English => interval.reason_en,
        },
        waiver: waiver.filter(|_| state == VerdictState::Waived).map(|waiver| waiver.id),
        rule: interval.rule,
    }
}

/// What subjects were called.
struct Names {
    pds: HashMap<PdId, Pd>,
    subjects: HashMap<SubjectId, String>,
}

impl Names {
    fn at(db: &Connection, at: Timestamp) -> Result<Self, DbError> {
        Ok(Self::of_rows(
            history::rows_at(db, "pd", at)?,
            (history::rows_at(db, "server", at)?, history::rows_at(db, "dataset", at)?),
            (history::rows_at(db, "service", at)?, history::rows_at(db, "application", at)?),
        ))
    }

    /// Of one PD's subjects only, if it is one PD's verdicts that are shown: a city has a hundred thousand datasets.
    fn now(db: &Connection, pd: Option<&PdId>) -> Result<Self, DbError> {
        Ok(Self::of_rows(
            register::pds(db)?,
            (register::servers(db, pd)?, register::datasets(db, pd)?),
            (services::services(db, pd)?, services::applications(db, pd)?),
        ))
    }

    fn of_rows(
        pds: Vec<Pd>,
        (servers, datasets): (Vec<Server>, Vec<Dataset>),
        (services, applications): (Vec<Service>, Vec<Application>),
    ) -> Self {
        let names: HashMap<_, _> =
            servers.into_iter().map(|server| (server.id, server.name)).collect();
        let mut subjects = HashMap::new();
        for dataset in datasets {
            let name = match dataset.server.and_then(|server| names.get(&server)) {
                Some(server) => format!("{server}/{}", dataset.name),
                None => dataset.name,
            };
            subjects.insert(dataset.id.as_bytes().to_vec(), name);
        }
        subjects.extend(names.into_iter().map(|(id, name)| (id.as_bytes().to_vec(), name)));
        subjects.extend(pds.iter().map(|one| (one.id.as_bytes().to_vec(), one.name.clone())));
        subjects.extend(services.into_iter().map(|one| (one.id.as_bytes().to_vec(), one.name)));
        subjects.extend(applications.into_iter().map(|one| (one.id.as_bytes().to_vec(), one.name)));
        Self { pds: pds.into_iter().map(|pd| (pd.id, pd)).collect(), subjects }
    }

    fn of(&self, subject: &SubjectId) -> String {
        self.subjects.get(subject).cloned().unwrap_or_default()
    }
}
