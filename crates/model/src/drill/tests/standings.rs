use super::*;
use crate::{DatasetId, DocumentHash, DrillRunId, PdId, ServerId};

const fn hash(byte: u8) -> DocumentHash {
    DocumentHash::from_bytes([byte; 32])
}

const IS: Fingerprint = Fingerprint { plan: hash(1), subjects: hash(2) };

const fn run(ended: Timestamp, mode: DrillMode, verdict: Verdict) -> PastRun {
    PastRun { run: DrillRunId::from_bytes([7; 16]), mode, of: IS, ended, verdict }
}

fn said(
    plan: &DrillPlan,
    is: Fingerprint,
    runs: &[PastRun],
) -> (PlanState, Option<NotVerifiedWhy>) {
    let now = NINE.plus_seconds(100);
    let standing = standing(plan, is, runs, now, |ended| ended.plus_seconds(100));
    (standing.state, standing.why)
}

#[test]
fn only_a_successful_run_of_exactly_this_verifies_and_not_for_ever() {
    use NotVerifiedWhy as Why;
    let plan = plan();
    let good = run(NINE, DrillMode::Drill, Verdict::Succeeded);
    assert_eq!(said(&plan, IS, &[]), (PlanState::NotVerified, Some(Why::Never)));
    assert_eq!(said(&plan, IS, &[good]), (PlanState::Verified, None));
    let in_earnest = run(NINE, DrillMode::Real, Verdict::Succeeded);
    assert_eq!(said(&plan, IS, &[in_earnest]).0, PlanState::Verified);
    for (mode, verdict) in [
        (DrillMode::Drill, Verdict::Partly),
        (DrillMode::Drill, Verdict::Failed),
        (DrillMode::Tabletop, Verdict::Succeeded),
    ] {
        assert_eq!(said(&plan, IS, &[run(NINE, mode, verdict)]).1, Some(Why::Never), "{mode}");
    }
    let old = run(NINE.plus_seconds(-1), DrillMode::Drill, Verdict::Succeeded);
    assert_eq!(said(&plan, IS, &[old]), (PlanState::NotVerified, Some(Why::Expired)));
    assert_eq!(said(&plan, IS, &[good, old]), (PlanState::Verified, None));
    // What failed since counts, whatever succeeded before.
    let later = run(NINE.plus_seconds(1), DrillMode::Drill, Verdict::Partly);
    assert_eq!(said(&plan, IS, &[later, good]), (PlanState::NotVerified, Some(Why::LastRun)));
    let at_once = run(NINE, DrillMode::Drill, Verdict::Failed);
    assert_eq!(said(&plan, IS, &[good, at_once]).1, Some(Why::LastRun));
    let talk = run(NINE.plus_seconds(1), DrillMode::Tabletop, Verdict::Failed);
    assert_eq!(said(&plan, IS, &[talk, good]).0, PlanState::Verified);
    let other = Fingerprint { plan: hash(9), ..IS };
    assert_eq!(said(&plan, other, &[good]).1, Some(Why::PlanChanged));
    let other = Fingerprint { subjects: hash(9), ..IS };
    assert_eq!(said(&plan, other, &[good]).1, Some(Why::SubjectChanged));
    let draft = DrillPlan { draft: true, ..plan.clone() };
    assert_eq!(said(&draft, IS, &[good]).0, PlanState::Draft);
    let talk = DrillPlan { kind: DrillKind::Tabletop, ..plan };
    assert_eq!(said(&talk, IS, &[good]).1, Some(Why::Never));
    assert_eq!(
        said(&talk, IS, &[run(NINE, DrillMode::Tabletop, Verdict::Succeeded)]).0,
        PlanState::Verified
    );
}

fn text(plan: &DrillPlan) -> String {
    toml::to_string(&essence(plan)).unwrap()
}

#[test]
fn a_telephone_number_is_no_change_of_the_plan_and_a_hook_is() {
    let before = text(&plan());
    for (from, to) in [
        ("0812-0000-0001", "0812-0000-0002"),
        ("Rahmat Hidayat, S.Kom.", "Budi"),
        ("Ruang NOC DRC", "Ruang rapat"),
        ("Failover SIMRS ke DRC", "Failover SIMRS"),
        ("445/17/RSUD/2026", "445/18/RSUD/2026"),
    ] {
        assert_eq!(text(&changed(from, to)), before, "{from}");
    }
    for (from, to) in [
        ("dns-ke-drc", "dns-ke-drc2"),
        ("dns-ke-pusat", "dns-ke-pusat2"),
        ("40 min", "41 min"),
        ("rto = \"1 h\"", "rto = \"2 h\""),
        ("after = [\"pulihkan\"]", "after = [\"putus\"]"),
        ("role = \"pemimpin uji\"", "role = \"ketua\""),
        ("gangguan listrik", "kebakaran"),
        ("runner = \"0d", "runner = \"0e"),
        ("contains = \"OK\"", "contains = \"ok\""),
    ] {
        assert_ne!(text(&changed(from, to)), before, "{from}");
    }
    let draft = DrillPlan { draft: true, ..plan() };
    assert_eq!(text(&draft), before);
}

#[test]
fn what_a_plan_is_about_has_one_order() {
    let dataset = |byte| DatasetFacts {
        id: DatasetId::from_bytes([byte; 16]),
        pd: PdId::ZERO,
        kind: "mysql".into(),
        server: None,
        repository: None,
        paths: Vec::new(),
        exclude: Vec::new(),
    };
    let server = |byte| ServerFacts {
        id: ServerId::from_bytes([byte; 16]),
        pd: PdId::ZERO,
        name: "db".into(),
        kind: "vps".into(),
        site: None,
    };
    let of = |datasets: Vec<DatasetFacts>, servers: Vec<ServerFacts>| {
        Subjects { datasets, servers, services: Vec::new() }.sorted()
    };
    assert_eq!(
        of(vec![dataset(2), dataset(1)], vec![server(4), server(3), server(4)]),
        of(vec![dataset(1), dataset(2)], vec![server(3), server(4)])
    );
}
