//! What a profile may not say.

use std::collections::HashSet;

use lumbung_model::schedule::{Expression, parse_zone};

use super::{Duty, Force, Look, Profile, ProfileError, Rule, Subject, UrgencyClass, Wording};

/// Looks for contradictions.
///
/// # Errors
/// The first that is found.
pub(super) fn check(file: &str, profile: &Profile) -> Result<(), ProfileError> {
    let found = city(profile)
        .and_then(|()| evidence(profile))
        .and_then(|()| capacity(profile))
        .and_then(|()| assets(profile))
        .and_then(|()| drills(profile))
        .and_then(|()| keys(profile))
        .and_then(|()| classes(profile))
        .and_then(|()| entries(profile));
    found.map_err(|(place, reason)| ProfileError::Value { file: file.to_owned(), place, reason })
}

/// Where, and what is wrong.
type Wrong = (String, String);

fn wrong(place: impl Into<String>, reason: impl Into<String>) -> Result<(), Wrong> {
    Err((place.into(), reason.into()))
}

fn city(profile: &Profile) -> Result<(), Wrong> {
    let word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    if profile.city.code.is_empty() || !word(&profile.city.code) {
        return wrong("city.code", "has small letters and '-', as in tebing-tinggi");
    }
    if profile.city.name.trim().is_empty() {
        return wrong("city.name", "is empty: write it as its buildings say their jurisdiction");
    }
    if let Err(error) = parse_zone(&profile.city.timezone) {
        return wrong("city.timezone", error.to_string());
    }
    let words = &profile.vocabulary;
    for (name, word) in [
        ("pd", &words.pd),
        ("pd_short", &words.pd_short),
        ("dinas", &words.dinas),
        ("dinas_short", &words.dinas_short),
        ("pusat_data", &words.pusat_data),
        ("drc", &words.drc),
    ] {
        if word.trim().is_empty() {
            return wrong(format!("vocabulary.{name}"), "is empty: write what the city calls it");
        }
    }
    Ok(())
}

fn evidence(profile: &Profile) -> Result<(), Wrong> {
    let evidence = &profile.evidence;
    if !(1..=48).contains(&evidence.inventory_max_age_h) {
        let reason = "must be 1 to 48: an older inventory can hide what is lost";
        return wrong("evidence.inventory_max_age_h", reason);
    }
    for (name, days) in [
        ("evidence.verification_days", evidence.verification_days),
        ("evidence.proof_days", evidence.proof_days),
    ] {
        if !(1..=3660).contains(&days) {
            return wrong(name, "must be 1 to 3660 days");
        }
    }
    Ok(())
}

fn capacity(profile: &Profile) -> Result<(), Wrong> {
    if !(1..=24).contains(&profile.capacity.lead_months) {
        return wrong("capacity.lead_months", "must be 1 to 24: a forecast goes no further");
    }
    if !(1..=1000).contains(&profile.capacity.daily_change_permille) {
        return wrong("capacity.daily_change_permille", "must be 1 to 1000 thousandths");
    }
    Ok(())
}

fn assets(profile: &Profile) -> Result<(), Wrong> {
    let assets = &profile.assets;
    if !(1..=50).contains(&assets.max_age_years) {
        return wrong("assets.max_age_years", "must be 1 to 50 years");
    }
    for (name, days) in [
        ("assets.warranty_days", assets.warranty_days),
        ("assets.reservation_days", assets.reservation_days),
    ] {
        if !(1..=3660).contains(&days) {
            return wrong(name, "must be 1 to 3660 days");
        }
    }
    Ok(())
}

fn drills(profile: &Profile) -> Result<(), Wrong> {
    let drills = &profile.drills;
    for (name, months) in [
        ("drills.restore_months", drills.restore_months),
        ("drills.failover_months", drills.failover_months),
        ("drills.tabletop_months", drills.tabletop_months),
    ] {
        if !(1..=120).contains(&months) {
            return wrong(name, "must be 1 to 120 months");
        }
    }
    if !(1..=3660).contains(&drills.first_days) {
        return wrong("drills.first_days", "must be 1 to 3660 days");
    }
    Ok(())
}

fn keys(profile: &Profile) -> Result<(), Wrong> {
    if (1..=3660).contains(&profile.keys.rehearsal_days) {
        return Ok(());
    }
    wrong("keys.rehearsal_days", "must be 1 to 3660 days")
}

fn classes(profile: &Profile) -> Result<(), Wrong> {
    let classes = &profile.urgency;
    for (name, class) in [
        ("critical", &classes.critical),
        ("high", &classes.high),
        ("normal", &classes.normal),
        ("low", &classes.low),
    ] {
        one_class(&format!("urgency.{name}"), class)?;
    }
    let hours = [&classes.critical, &classes.high, &classes.normal, &classes.low];
    if hours.windows(2).any(|pair| pair[0].rpo_h > pair[1].rpo_h) {
        return wrong("urgency", "is upside down: what is more urgent has the shorter rpo_h");
    }
    Ok(())
}

fn one_class(place: &str, class: &UrgencyClass) -> Result<(), Wrong> {
    if let Err(error) = class.schedule.parse::<Expression>() {
        return wrong(format!("{place}.schedule"), error.to_string());
    }
    if !(1..=8784).contains(&class.rpo_h) {
        return wrong(format!("{place}.rpo_h"), "must be 1 to 8784 hours");
    }
    if class.retention.trim().is_empty() || class.media.trim().is_empty() {
        return wrong(place, "says retention and media");
    }
    Ok(())
}

fn entries(profile: &Profile) -> Result<(), Wrong> {
    let mut ids = HashSet::new();
    for rule in &profile.rules {
        let place = format!("rule {:?}", rule.id);
        common(&place, &rule.id, &rule.obligations, (&rule.article, rule.force), &rule.asks)?;
        if !ids.insert(&rule.id) {
            return wrong(place, "stands twice");
        }
        one_rule(&place, rule)?;
    }
    for duty in &profile.duties {
        let place = format!("duty {:?}", duty.id);
        common(&place, &duty.id, &duty.obligations, (&duty.article, duty.force), &duty.asks)?;
        if !ids.insert(&duty.id) {
            return wrong(place, "stands twice, or has the name of a rule");
        }
        one_duty(&place, duty)?;
    }
    Ok(())
}

fn common(
    place: &str,
    id: &str,
    obligations: &[String],
    (article, force): (&str, Force),
    asks: &Wording,
) -> Result<(), Wrong> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(letter) {
        return wrong(place, "id has 1 to 64 small letters, digits and '-'");
    }
    let row = |text: &String| {
        text.strip_prefix('O').is_some_and(|n| n.parse::<u8>().is_ok_and(|n| (1..=99).contains(&n)))
    };
    if obligations.is_empty() || !obligations.iter().all(row) {
        return wrong(place, "obligations names rows of docs/obligations.md, as in [\"O1\"]");
    }
    if (force == Force::Proposal) != article.trim().is_empty() {
        return wrong(place, "a proposal has no article, and anything else has one");
    }
    if asks.id.trim().is_empty() || asks.en.trim().is_empty() {
        return wrong(place, "asks says it in both languages: id and en");
    }
    Ok(())
}

fn one_rule(place: &str, rule: &Rule) -> Result<(), Wrong> {
    if rule.within_days.is_some() && !rule.look.takes_days() {
        return wrong(place, format!("within_days means nothing for {}", rule.look.as_str()));
    }
    if rule.within_days.is_some_and(|days| !(1..=3660).contains(&days)) {
        return wrong(place, "within_days must be 1 to 3660");
    }
    if rule.look == Look::ApartMedium && rule.within_days.is_none() {
        return wrong(place, "within_days is missing: how old the copy apart may be");
    }
    match (rule.look, rule.min_km) {
        (Look::DrcDistance, Some(km)) if km.is_finite() && (0.0..=5000.0).contains(&km) => {}
        (Look::DrcDistance, _) => return wrong(place, "min_km is missing: 0 to 5000 kilometres"),
        (_, Some(_)) => return wrong(place, "min_km is for drc_distance only"),
        (_, None) => {}
    }
    let (applies, subject) = (&rule.applies, rule.look.subject());
    let dataset = subject == Subject::Dataset;
    if applies.hosted.is_some() && !(dataset || subject == Subject::Server) {
        return wrong(place, "where.hosted is for datasets and servers");
    }
    if !(applies.urgency.is_empty() && applies.kind.is_empty() || dataset) {
        return wrong(place, "where.urgency and where.kind are for datasets");
    }
    if applies.critical.is_some() && subject != Subject::Service {
        return wrong(place, "where.critical is for services");
    }
    if applies.pd.is_some() && subject == Subject::City {
        return wrong(place, "where.pd means nothing for the city's sites");
    }
    Ok(())
}

fn one_duty(place: &str, duty: &Duty) -> Result<(), Wrong> {
    if duty.every_months.is_some_and(|months| !(1..=120).contains(&months)) {
        return wrong(place, "every_months must be 1 to 120");
    }
    let longest = duty.every_months.unwrap_or(120);
    if duty.due_months.is_some_and(|months| !(1..=longest).contains(&months)) {
        return wrong(place, "due_months must be 1 up to every_months");
    }
    if duty.interval_by_article && (duty.every_months.is_none() || duty.force == Force::Proposal) {
        return wrong(place, "interval_by_article needs an article and every_months");
    }
    Ok(())
}
