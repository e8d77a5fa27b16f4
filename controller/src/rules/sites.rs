//! What is said of the city's sites: whether there is a DRC, and where.
//!
//! Invariant: what the register does not say is not met, with a reason that tells what to enter; with several DRC the
//! best one speaks.

use lumbung_model::geo::Coordinates;
use lumbung_wire::messages::register::{Building, Site, SiteKind};

use super::{Judged, Register, Verdict, words};
use crate::profile::{Look, Profile, Rule, Subject, Wording};

/// Nearer than this is the same place, kilometres: what GPS and maps differ by, and a large compound.
const SAME_PLACE_KM: f64 = 0.2;

/// What is said of the sites.
pub(super) fn judge(profile: &Profile, register: &Register) -> Judged {
    let of = |kind| move |site: &&Site| site.kind == kind;
    let pusat: Vec<_> = register.sites.iter().filter(of(SiteKind::PusatData)).collect();
    let drc: Vec<_> = register.sites.iter().filter(of(SiteKind::Drc)).collect();
    let asked = profile.rules.iter().filter(|rule| rule.look.subject() == Subject::City);
    let verdicts = asked.map(|rule| {
        if drc.is_empty() {
            let reason = words("tidak ada DRC di register", "no DRC is in the register");
            return Verdict::unmet(&rule.id, "no-drc", reason);
        }
        let each = drc.iter().map(|drc| one(rule, profile, register, &pusat, drc));
        best(&rule.id, each)
    });
    let kind = Subject::City.as_str();
    Judged { kind, subject: Vec::new(), pd: None, verdicts: verdicts.collect() }
}

/// What is said of one DRC: nothing, or why not.
type Found = Result<(), (&'static str, Wording)>;

fn best(rule: &str, each: impl Iterator<Item = Found>) -> Verdict {
    let mut first = None;
    for found in each {
        match found {
            Ok(()) => return Verdict::met(rule),
            Err(refusal) => first = first.or(Some(refusal)),
        }
    }
    let (code, reason) = first.unwrap_or(("no-drc", words("", "")));
    Verdict::unmet(rule, code, reason)
}

fn one(rule: &Rule, profile: &Profile, register: &Register, pusat: &[&Site], drc: &Site) -> Found {
    let buildings: Vec<_> = register.buildings.iter().filter(|one| one.site == drc.id).collect();
    match rule.look {
        Look::DrcExists => enrolled(drc),
        Look::DrcElsewhere => elsewhere(register, pusat, drc),
        Look::DrcOtherBuilding => other_building(register, pusat, drc),
        Look::DrcInJurisdiction => in_jurisdiction(&profile.city.name, drc, &buildings),
        Look::DrcDistance => distance(rule.min_km.unwrap_or_default(), pusat, drc),
        Look::DrcAssessed => assessed(drc, &buildings),
        _ => Ok(()),
    }
}

fn enrolled(drc: &Site) -> Found {
    if drc.receipt_key.is_some() {
        return Ok(());
    }
    let reason = words(
        format!("vault {} belum terdaftar", drc.name),
        format!("the vault of {} has not enrolled", drc.name),
    );
    Err(("drc-not-enrolled", reason))
}

fn place(site: &Site) -> Option<Coordinates> {
    Coordinates::new(site.latitude?, site.longitude?).ok()
}

/// Kilometres to the nearest Pusat Data whose place is known.
fn nearest_km(pusat: &[&Site], drc: &Site) -> Option<f64> {
    let here = place(drc)?;
    let away = pusat.iter().filter_map(|site| Some(place(site)?.distance_km(here)));
    away.min_by(f64::total_cmp)
}

fn no_coordinates(drc: &Site) -> (&'static str, Wording) {
    let reason = words(
        format!("koordinat Pusat Data atau {} belum diisi", drc.name),
        format!("the coordinates of the Pusat Data or of {} are not entered", drc.name),
    );
    ("no-coordinates", reason)
}

fn elsewhere(register: &Register, pusat: &[&Site], drc: &Site) -> Found {
    match nearest_km(pusat, drc) {
        Some(km) if km >= SAME_PLACE_KM => Ok(()),
        Some(_) => {
            let reason = words(
                format!("{} berada di tempat yang sama dengan Pusat Data", drc.name),
                format!("{} is at the same place as the Pusat Data", drc.name),
            );
            Err(("same-place", reason))
        }
        // Without coordinates, addresses that differ tell it too.
        None => other_building(register, pusat, drc).map_err(|_| no_coordinates(drc)),
    }
}

fn same_text(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ").to_lowercase()
    };
    plain(one) == plain(other)
}

/// Two buildings are one if they have the same address; without addresses, if they have the same name.
fn same_building(one: &Building, other: &Building) -> bool {
    if one.address.is_empty() || other.address.is_empty() {
        return same_text(&one.name, &other.name);
    }
    same_text(&one.address, &other.address) && same_text(&one.name, &other.name)
}

fn other_building(register: &Register, pusat: &[&Site], drc: &Site) -> Found {
    let of = |site: &Site| {
        let id = site.id;
        register.buildings.iter().filter(move |one| one.site == id).collect::<Vec<_>>()
    };
    let here = of(drc);
    let there: Vec<_> = pusat.iter().flat_map(|site| of(site)).collect();
    if here.is_empty() || there.is_empty() {
        let reason = words(
            format!("gedung Pusat Data atau {} belum diisi", drc.name),
            format!("the buildings of the Pusat Data or of {} are not entered", drc.name),
        );
        return Err(("no-building", reason));
    }
    match here.iter().find(|one| there.iter().any(|other| same_building(one, other))) {
        None => Ok(()),
        Some(shared) => {
            let reason = words(
                format!("{} berada di gedung Pusat Data: {}", drc.name, shared.name),
                format!("{} is in a building of the Pusat Data: {}", drc.name, shared.name),
            );
            Err(("same-building", reason))
        }
    }
}

fn in_jurisdiction(city: &str, drc: &Site, buildings: &[&Building]) -> Found {
    let outside: Vec<_> =
        buildings.iter().filter(|one| !same_text(&one.jurisdiction, city)).collect();
    if buildings.is_empty() || outside.iter().any(|one| one.jurisdiction.trim().is_empty()) {
        let reason = words(
            format!("wilayah hukum gedung {} belum diisi", drc.name),
            format!("the jurisdiction of the buildings of {} is not entered", drc.name),
        );
        return Err(("no-jurisdiction", reason));
    }
    match outside.first() {
        None => Ok(()),
        Some(building) => {
            let reason = words(
                format!("{} berada di {}, bukan {city}", drc.name, building.jurisdiction),
                format!("{} lies in {}, not in {city}", drc.name, building.jurisdiction),
            );
            Err(("outside-jurisdiction", reason))
        }
    }
}

fn distance(min_km: f64, pusat: &[&Site], drc: &Site) -> Found {
    match nearest_km(pusat, drc) {
        None => Err(no_coordinates(drc)),
        Some(km) if km >= min_km => Ok(()),
        Some(km) => {
            let reason = words(
                format!(
                    "{} berjarak {km:.1} km dari Pusat Data, kurang dari {min_km} km",
                    drc.name
                ),
                format!("{} is {km:.1} km from the Pusat Data, less than {min_km} km", drc.name),
            );
            Err(("too-near", reason))
        }
    }
}

fn assessed(drc: &Site, buildings: &[&Building]) -> Found {
    let is_assessed = |one: &&Building| !one.hazard_assessment.trim().is_empty();
    if !buildings.is_empty() && buildings.iter().all(is_assessed) {
        return Ok(());
    }
    let reason = words(
        format!("kajian risiko bencana dan keamanan gedung {} belum ada", drc.name),
        format!("no assessment of disaster and security risks of the buildings of {}", drc.name),
    );
    Err(("not-assessed", reason))
}
