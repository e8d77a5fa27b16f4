//! Each step and each reason, from a table: a healthy dataset, one thing changed, what must come of it.

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
const NOW: Timestamp = Timestamp(1_800_000_000);
const PUSAT: SiteId = SiteId::from_bytes([1; 16]);
const DRC: SiteId = SiteId::from_bytes([2; 16]);

fn ago(seconds: i64) -> Timestamp {
    NOW.plus_seconds(-seconds)
}

fn manifest(n: u8) -> ManifestId {
    ManifestId::from_bytes([n; 32])
}

fn copy(site: SiteId, received: Timestamp) -> CopyFacts {
    CopyFacts {
        site,
        received,
        listed: true,
        listed_before: false,
        verified: Some(ago(HOUR)),
        damaged: None,
    }
}

/// Backed up five hours ago, at both sites, verified and proven.
fn healthy() -> DatasetFacts {
    let inventory = |made| Some(InventoryFacts { number: 3, made, seen: made, chain_valid: true });
    DatasetFacts {
        dataset: DatasetId::from_bytes([7; 16]),
        pd: PdId::from_bytes([8; 16]),
        rpo_s: DAY,
        has_agent: true,
        sites: vec![
            SiteFacts { site: PUSAT, kind: SiteKind::Primary, inventory: inventory(ago(2 * HOUR)) },
            SiteFacts { site: DRC, kind: SiteKind::Drc, inventory: inventory(ago(HOUR)) },
        ],
        snapshots: vec![SnapshotFacts {
            manifest: manifest(1),
            started: ago(5 * HOUR),
            partial: false,
            authorized: true,
            bytes: 1000,
            copies: vec![copy(PUSAT, ago(4 * HOUR)), copy(DRC, ago(3 * HOUR))],
        }],
        proofs: vec![ProofFacts { manifest: manifest(1), finished: ago(30 * DAY), failed: 0 }],
    }
}

fn weigh(facts: &DatasetFacts) -> DatasetCompliance {
    evaluate(facts, &Rules::default(), NOW)
}

fn met(facts: &DatasetFacts) -> [bool; 4] {
    weigh(facts).steps().map(|step| step.met)
}

#[test]
fn a_healthy_dataset_has_all_four() {
    let result = weigh(&healthy());
    assert_eq!(result.steps().map(|step| step.met), [true; 4]);
    assert!(result.steps().iter().all(|step| step.reasons.is_empty()));
    assert_eq!(result.bytes, 1000);
    assert_eq!(result.backed_up.at, Some(ago(5 * HOUR)), "as old as its start");
    assert_eq!(result.backed_up.site, Some(PUSAT));
    assert_eq!(result.at_drc.site, Some(DRC));
}

type Change = fn(&mut DatasetFacts);

/// What, the change, the steps met, the reason of *tercadang*, the reason of *di DRC*.
type Case = (&'static str, Change, [bool; 4], Option<Reason>, Option<Reason>);

const CASES: &[Case] = &[
    (
        "no agent, nothing there",
        |f| {
            f.has_agent = false;
            f.snapshots.clear();
            f.proofs.clear();
        },
        [false; 4],
        Some(Reason::NoAgent),
        Some(Reason::NoAgent),
    ),
    (
        "agent, nothing there",
        |f| {
            f.snapshots.clear();
            f.proofs.clear();
        },
        [false; 4],
        Some(Reason::Never),
        Some(Reason::Never),
    ),
    (
        "only partial",
        |f| {
            f.snapshots[0].partial = true;
            f.proofs.clear();
        },
        [false; 4],
        Some(Reason::OnlyPartial),
        Some(Reason::OnlyPartial),
    ),
    (
        "agent in no roster",
        |f| {
            f.snapshots[0].authorized = false;
            f.proofs.clear();
        },
        [false; 4],
        Some(Reason::Unauthorized(ManifestId::from_bytes([1; 32]))),
        Some(Reason::Unauthorized(ManifestId::from_bytes([1; 32]))),
    ),
    (
        "late",
        |f| f.rpo_s = 4 * HOUR,
        [false, false, true, true],
        Some(Reason::LateSince(Timestamp(NOW.0 - HOUR))),
        Some(Reason::LateSince(Timestamp(NOW.0 - HOUR))),
    ),
    (
        "late by one second",
        |f| f.rpo_s = 5 * HOUR - 1,
        [false, false, true, true],
        Some(Reason::LateSince(Timestamp(NOW.0 - 1))),
        Some(Reason::LateSince(Timestamp(NOW.0 - 1))),
    ),
    ("exactly in time", |f| f.rpo_s = 5 * HOUR, [true; 4], None, None),
    (
        "the agent dates its start after its receipt",
        |f| {
            f.snapshots[0].started = NOW.plus_seconds(90 * DAY);
            f.rpo_s = 4 * HOUR - 1;
        },
        [false, false, true, true],
        Some(Reason::LateSince(Timestamp(NOW.0 - 1))),
        Some(Reason::LateSince(Timestamp(NOW.0 - 1))),
    ),
    (
        "agent and sites date everything ahead",
        |f| {
            f.snapshots[0].started = NOW.plus_seconds(DAY);
            f.snapshots[0].copies.iter_mut().for_each(|c| c.received = NOW.plus_seconds(DAY));
        },
        [false, false, true, true],
        Some(Reason::ClockAhead(ManifestId::from_bytes([1; 32]), Timestamp(NOW.0 + DAY))),
        Some(Reason::ClockAhead(ManifestId::from_bytes([1; 32]), Timestamp(NOW.0 + DAY))),
    ),
    (
        "never at the DRC",
        |f| f.snapshots[0].copies.truncate(1),
        [true, false, true, true],
        None,
        Some(Reason::NoReceipt(SiteKind::Drc)),
    ),
    (
        "only at the DRC",
        |f| {
            f.snapshots[0].copies.remove(0);
        },
        [false, true, true, true],
        Some(Reason::NoReceipt(SiteKind::Primary)),
        None,
    ),
    (
        "no DRC registered",
        |f| f.sites.truncate(1),
        [true, false, true, true],
        None,
        Some(Reason::NoSite(SiteKind::Drc)),
    ),
    (
        "inventory of Pusat Data 48 h and a second old",
        |f| f.sites[0].inventory.as_mut().unwrap().made = ago(48 * HOUR + 1),
        [false, true, true, true],
        Some(Reason::InventoryStale(PUSAT, Timestamp(NOW.0 - 48 * HOUR - 1))),
        None,
    ),
    (
        "inventory of Pusat Data exactly 48 h old",
        |f| {
            f.sites[0].inventory.as_mut().unwrap().made = ago(48 * HOUR);
        },
        [true; 4],
        None,
        None,
    ),
    (
        "both inventories stale",
        |f| f.sites.iter_mut().for_each(|s| s.inventory.as_mut().unwrap().made = ago(49 * HOUR)),
        [false, false, false, true],
        Some(Reason::InventoryStale(PUSAT, Timestamp(NOW.0 - 49 * HOUR))),
        Some(Reason::InventoryStale(DRC, Timestamp(NOW.0 - 49 * HOUR))),
    ),
    (
        "inventory dated ahead",
        |f| f.sites[0].inventory.as_mut().unwrap().made = NOW.plus_seconds(3 * HOUR),
        [false, true, true, true],
        Some(Reason::InventoryAhead(PUSAT, Timestamp(NOW.0 + 3 * HOUR))),
        None,
    ),
    (
        "inventory that was dated ahead when it came, and no longer is",
        |f| {
            let inventory = f.sites[0].inventory.as_mut().unwrap();
            (inventory.made, inventory.seen) = (ago(HOUR), ago(30 * DAY));
        },
        [false, true, true, true],
        Some(Reason::InventoryAhead(PUSAT, Timestamp(NOW.0 - HOUR))),
        None,
    ),
    (
        "no inventory",
        |f| f.sites[0].inventory = None,
        [false, true, true, true],
        Some(Reason::InventoryMissing(PUSAT)),
        None,
    ),
    (
        "gap or fork in the inventories",
        |f| f.sites[0].inventory.as_mut().unwrap().chain_valid = false,
        [false, true, true, true],
        Some(Reason::InventoryBroken(PUSAT, 3)),
        None,
    ),
    (
        "receipted and left out",
        |f| f.snapshots[0].copies[0].listed = false,
        [false, true, true, true],
        Some(Reason::Hidden(PUSAT, ManifestId::from_bytes([1; 32]))),
        None,
    ),
    (
        "receipted after the inventory",
        |f| {
            f.snapshots[0].copies[0].listed = false;
            f.snapshots[0].copies[0].received = ago(HOUR);
        },
        [false, true, true, true],
        Some(Reason::AwaitingInventory(PUSAT)),
        None,
    ),
    (
        "listed once, then left out, by a site that moves its receipt's time",
        |f| {
            f.snapshots[0].copies[0].listed = false;
            f.snapshots[0].copies[0].listed_before = true;
            f.snapshots[0].copies[0].received = ago(HOUR);
        },
        [false, true, true, true],
        Some(Reason::Hidden(PUSAT, ManifestId::from_bytes([1; 32]))),
        None,
    ),
    (
        "damaged at Pusat Data since it was verified",
        |f| f.snapshots[0].copies[0].damaged = Some(ago(60)),
        [false, true, true, true],
        Some(Reason::Damaged(PUSAT, ManifestId::from_bytes([1; 32]), Timestamp(NOW.0 - 60))),
        None,
    ),
    (
        "damaged once, whole again",
        |f| f.snapshots[0].copies[0].damaged = Some(ago(2 * HOUR)),
        [true; 4],
        None,
        None,
    ),
    (
        "never scrubbed",
        |f| f.snapshots[0].copies.iter_mut().for_each(|c| c.verified = None),
        [true, true, false, true],
        None,
        None,
    ),
    ("never proven", |f| f.proofs.clear(), [true, true, true, false], None, None),
    (
        "proof 180 days and a second old",
        |f| f.proofs[0].finished = ago(180 * DAY + 1),
        [true, true, true, false],
        None,
        None,
    ),
    ("proof with failures", |f| f.proofs[0].failed = 2, [true, true, true, false], None, None),
    (
        "proof from the future",
        |f| f.proofs[0].finished = NOW.plus_seconds(DAY),
        [true, true, true, false],
        None,
        None,
    ),
];

#[test]
fn one_thing_changed() {
    for (what, change, steps, backed_up, at_drc) in CASES {
        let mut facts = healthy();
        change(&mut facts);
        let result = weigh(&facts);
        assert_eq!(met(&facts), *steps, "{what}: {result:#?}");
        assert_eq!(result.backed_up.reasons.first(), backed_up.as_ref(), "{what}");
        assert_eq!(result.at_drc.reasons.first(), at_drc.as_ref(), "{what}");
    }
}

#[test]
fn an_unmet_step_always_says_why() {
    for (what, change, ..) in CASES {
        let mut facts = healthy();
        change(&mut facts);
        for step in weigh(&facts).steps() {
            assert_eq!(step.met, step.reasons.is_empty(), "{what}");
        }
    }
}

#[test]
fn verification_and_proof_say_why() {
    let reason = |change: Change, step: fn(&DatasetCompliance) -> &Step| {
        let mut facts = healthy();
        change(&mut facts);
        step(&weigh(&facts)).reasons[0]
    };
    assert_eq!(
        reason(
            |f| f.snapshots[0].copies.iter_mut().for_each(|c| c.verified = None),
            |r| &r.verified
        ),
        Reason::NotVerified
    );
    assert_eq!(
        reason(
            |f| f.snapshots[0].copies.iter_mut().for_each(|c| c.damaged = Some(NOW)),
            |r| &r.verified
        ),
        Reason::Damaged(PUSAT, manifest(1), NOW)
    );
    assert_eq!(
        reason(|f| f.snapshots[0].started = ago(8 * DAY), |r| &r.verified),
        Reason::VerificationExpired(ago(8 * DAY))
    );
    assert_eq!(reason(|f| f.proofs.clear(), |r| &r.proven), Reason::NotProven);
    assert_eq!(
        reason(|f| f.proofs[0].failed = 2, |r| &r.proven),
        Reason::ProofFailed(ago(30 * DAY), 2)
    );
    assert_eq!(
        reason(|f| f.proofs[0].finished = ago(200 * DAY), |r| &r.proven),
        Reason::ProofExpired(ago(200 * DAY))
    );
}

#[test]
fn a_newer_unlisted_snapshot_waits_while_the_older_one_counts() {
    let mut facts = healthy();
    let mut newer = facts.snapshots[0].clone();
    newer.manifest = manifest(2);
    newer.started = ago(HOUR);
    newer.copies.truncate(1);
    newer.copies[0].received = ago(60);
    newer.copies[0].listed = false;
    newer.copies[0].verified = None;
    facts.snapshots.push(newer);
    let result = weigh(&facts);
    assert_eq!(met(&facts), [true; 4]);
    assert_eq!(result.backed_up.snapshot, Some(manifest(1)), "the listed one");

    // Once an inventory made after its receipt leaves it out, the older one does not excuse it.
    facts.sites[0].inventory.as_mut().unwrap().made = ago(1);
    assert_eq!(weigh(&facts).backed_up.reasons, [Reason::Hidden(PUSAT, manifest(2))]);
}

#[test]
fn a_newer_unauthorized_snapshot_changes_nothing_but_is_named_when_late() {
    let mut facts = healthy();
    let mut newer = facts.snapshots[0].clone();
    newer.manifest = manifest(2);
    newer.started = ago(HOUR);
    newer.authorized = false;
    newer.bytes = 9;
    facts.snapshots.push(newer);
    assert_eq!(met(&facts), [true; 4]);
    assert_eq!(weigh(&facts).bytes, 1000);
    facts.rpo_s = HOUR;
    let late = Reason::LateSince(ago(4 * HOUR));
    assert_eq!(weigh(&facts).backed_up.reasons, [late, Reason::Unauthorized(manifest(2))]);
}

#[test]
fn pd_without_datasets_stay_and_bytes_add_up() {
    let (with, without) = (healthy().pd, PdId::from_bytes([9; 16]));
    let mut silent = healthy();
    silent.dataset = DatasetId::from_bytes([6; 16]);
    silent.has_agent = false;
    silent.snapshots.clear();
    silent.proofs.clear();
    let report = summarize(&[without, with], vec![weigh(&healthy()), weigh(&silent)], NOW);
    assert_eq!(report.pds.len(), 2);
    assert!(report.pds[0].never_backed_up && report.pds[0].datasets.is_empty());
    assert!(!report.pds[1].never_backed_up);
    assert_eq!(report.totals, report.pds[1].totals);
    assert_eq!(report.totals.registered, StepTotal { datasets: 2, bytes: 1000 });
    assert_eq!(report.totals.backed_up, StepTotal { datasets: 1, bytes: 1000 });
    assert_eq!(report.totals.proven, StepTotal { datasets: 1, bytes: 1000 });
}

#[test]
fn words_name_the_site() {
    let reason = Reason::InventoryStale(DRC, NOW);
    assert_eq!(reason.code(), "inventory-stale");
    assert!(reason.indonesian(|_| "DRC Binjai".into()).contains("DRC Binjai"));
    assert!(reason.to_string().contains("02020202"));
}

#[test]
fn nothing_changes_before_the_moment_that_is_named_and_every_limit_of_age_is_named() {
    let rules = Rules::default();
    for (_, change, ..) in CASES {
        let mut facts = healthy();
        change(&mut facts);
        let mut now = NOW;
        let span_s = 35 * DAY;
        let seen = |now| (evaluate(&facts, &rules, now), kept_apart(&facts, &rules, now, span_s));
        // To the end of every limit: each step from one moment to the next.
        while let Some(next) = next_change(&facts, &rules, &[span_s], now) {
            assert!(next > now);
            let between = next.plus_seconds(-1);
            assert_eq!(seen(now), seen(between), "{now} {between}");
            now = next;
        }
        assert_eq!(seen(now), seen(now.plus_seconds(400 * DAY)));
    }
}

#[test]
fn what_is_kept_apart_is_at_another_site_than_the_pusat_data() {
    let rules = Rules::default();
    let mut facts = healthy();
    assert!(kept_apart(&facts, &rules, NOW, DAY).met);
    let late = kept_apart(&facts, &rules, NOW, HOUR);
    assert_eq!(late.reasons, [Reason::ApartExpired(ago(5 * HOUR))]);
    facts.snapshots[0].copies.retain(|copy| copy.site == PUSAT);
    assert_eq!(kept_apart(&facts, &rules, NOW, DAY).reasons, [Reason::NotApart]);
}
