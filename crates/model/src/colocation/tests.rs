use proptest::prelude::*;

use super::*;
use crate::{Day, DeviceId, PdId, ReservationId};

const FRONT: (bool, bool) = (true, false);
const REAR: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn span(lowest_u: u8, height_u: u8, faces: (bool, bool)) -> Span {
    Span::new(lowest_u, height_u, faces).unwrap()
}

fn device(n: u8, pd: u8, span: Span) -> Standing {
    let (id, pd) = (DeviceId::from_bytes([n; 16]), PdId::from_bytes([pd; 16]));
    Standing { id, name: format!("web-{n}"), pd, code: "DINKES".into(), span }
}

fn reserved(n: u8, pd: u8, span: Span, until: &str) -> Reserved {
    let (id, pd) = (ReservationId::from_bytes([n; 16]), PdId::from_bytes([pd; 16]));
    Reserved { id, name: format!("rencana {n}"), pd, code: "RSUD".into(), span, until: day(until) }
}

#[test]
fn a_span_has_a_face_and_lies_within_the_tallest_rack() {
    for (lowest, height, faces) in
        [(0, 1, FRONT), (1, 0, FRONT), (60, 2, FRONT), (255, 255, BOTH), (1, 1, (false, false))]
    {
        assert_eq!(Span::new(lowest, height, faces), None, "{lowest} {height}");
    }
    assert_eq!(span(1, 60, BOTH).top_u(), 60);
    assert_eq!(span(60, 1, REAR).to_string(), "U60 (rear)");
    assert_eq!(span(10, 2, BOTH).to_string(), "U10-U11 (front and rear)");
}

#[test]
fn two_half_depth_devices_share_a_unit_back_to_back_and_nothing_else_does() {
    let front = span(10, 2, FRONT);
    assert!(!front.overlaps(&span(10, 2, REAR)));
    assert!(front.overlaps(&span(11, 1, BOTH)));
    assert!(front.overlaps(&span(9, 2, FRONT)));
    assert!(!front.overlaps(&span(12, 1, BOTH)));
}

#[test]
fn what_stands_there_is_told() {
    let today = day("2026-11-29");
    let there = [device(1, 1, span(10, 2, BOTH))];
    let refused = |new: &Standing| device_fits(42, today, (&there, &[]), new).unwrap_err();
    assert_eq!(
        refused(&device(2, 2, span(11, 1, REAR))).to_string(),
        r#"device "web-1" of DINKES stands in U10-U11 (front and rear) already: take other units, or move it first"#
    );
    assert_eq!(
        refused(&device(2, 2, span(42, 2, FRONT))).to_string(),
        r#"U42-U43 (front) of "web-2" ends above the rack, which has 42 units: take lower ones"#
    );
    // It is not in its own way.
    assert_eq!(device_fits(42, today, (&there, &[]), &device(1, 1, span(11, 2, BOTH))), Ok(()));
}

#[test]
fn a_reservation_binds_others_to_the_end_of_its_last_day() {
    let kept = [reserved(1, 7, span(20, 4, BOTH), "2026-12-31")];
    let fits =
        |pd, today| device_fits(42, day(today), (&[], &kept), &device(1, pd, span(21, 1, FRONT)));
    assert_eq!(fits(7, "2026-12-31"), Ok(()), "its own PD may use it");
    assert_eq!(
        fits(8, "2026-12-31").unwrap_err().to_string(),
        r#"U20-U23 (front and rear) is reserved for RSUD until 2026-12-31 ("rencana 1"): take other units, or end that reservation first"#
    );
    assert_eq!(fits(8, "2027-01-01"), Ok(()), "it has lapsed");
}

#[test]
fn a_reservation_keeps_off_others_and_what_others_have() {
    let today = day("2026-11-29");
    let devices = [device(1, 1, span(10, 2, BOTH))];
    let others = [
        reserved(1, 7, span(20, 4, BOTH), "2026-12-31"),
        reserved(2, 7, span(30, 4, BOTH), "2026-01-31"),
    ];
    let fits = |new: &Reserved| reservation_fits(42, today, (&devices, &others), new);
    let own = reserved(3, 1, span(9, 3, BOTH), "2026-12-31");
    assert_eq!(fits(&own), Ok(()), "over its own PD's device");
    let foreign = reserved(3, 7, span(9, 3, BOTH), "2026-12-31");
    assert!(matches!(fits(&foreign), Err(Misfit::Occupied(_))));
    let twice = reserved(3, 7, span(23, 1, REAR), "2026-12-31");
    assert!(matches!(fits(&twice), Err(Misfit::Reserved(_))), "even of the same PD");
    assert_eq!(fits(&reserved(3, 8, span(30, 4, BOTH), "2026-12-31")), Ok(()), "that one lapsed");
    assert_eq!(fits(&reserved(3, 8, span(10, 2, BOTH), "2026-11-28")), Ok(()), "this one has");
    assert!(fits(&reserved(3, 8, span(40, 4, BOTH), "2026-11-28")).is_err());
}

#[test]
fn a_rack_does_not_get_shorter_than_what_is_in_it() {
    let today = day("2026-11-29");
    let devices = [device(1, 1, span(10, 2, BOTH))];
    let kept = [reserved(1, 7, span(20, 4, BOTH), "2026-12-31")];
    assert_eq!(rack_holds(23, today, (&devices, &kept)), Ok(()));
    assert!(rack_holds(22, today, (&devices, &kept)).is_err());
    assert_eq!(rack_holds(22, day("2027-01-01"), (&devices, &kept)), Ok(()));
    assert!(rack_holds(10, day("2027-01-01"), (&devices, &kept)).is_err());
}

fn draw(n: u8, draw_w: u32) -> Draw {
    Draw {
        id: DeviceId::from_bytes([n; 16]),
        name: format!("web-{n}"),
        code: "RSUD".into(),
        draw_w,
    }
}

#[test]
fn a_feed_carries_its_share_and_tells_what_is_on_it() {
    // 16 A at 230 V, of which 80 % are allowed.
    assert_eq!(usable_w(16 * 230, 80), 2944);
    let there = [draw(1, 1500), draw(2, 1000)];
    assert_eq!(carries(2944, &there, Some(&draw(3, 444))), Ok(()));
    assert_eq!(
        carries(2944, &there, Some(&draw(3, 445))).unwrap_err().to_string(),
        r#"it may carry 2944 W, and would carry 2945 W; now it carries 2500 W: "web-1" of RSUD 1500 W, "web-2" of RSUD 1000 W"#
    );
    // A device that draws more than before counts once.
    assert_eq!(carries(2944, &there, Some(&draw(2, 1444))), Ok(()));
    assert!(carries(2499, &there, None).is_err());
    let many: Vec<_> = (0..13).map(|n| draw(n, 1000)).collect();
    assert!(carries(2944, &many, None).unwrap_err().to_string().ends_with("and 3 more"));
}

#[test]
fn a_pool_gives_what_it_has_left() {
    let pool = Share { vcpus: usable_vcpus(32, 400), memory_bytes: 64 << 30, disk_bytes: 1 << 40 };
    let used = Share { vcpus: 120, memory_bytes: 60 << 30, disk_bytes: 1 << 39 };
    let asked = Share { vcpus: 8, memory_bytes: 4 << 30, disk_bytes: 1 << 39 };
    assert_eq!(pool.holds(used, asked), Ok(()));
    let refused = pool.holds(used, Share { memory_bytes: 8 << 30, ..asked }).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "it has 8 vCPU, 4 GiB of memory and 512 GiB of disk left, and 8 vCPU, 8 GiB of memory and 512 GiB of disk are asked for"
    );
    assert!(pool.holds(used, Share { vcpus: 9, ..asked }).is_err());
    assert!(pool.holds(used, Share { disk_bytes: u64::MAX, ..asked }).is_err());
}

fn any_span() -> impl Strategy<Value = Span> {
    (1_u8..=12, 1_u8..=4, prop::sample::select(vec![FRONT, REAR, BOTH]))
        .prop_map(|(lowest, height, faces)| span(lowest, height, faces))
}

proptest! {
    /// Unit by unit and face by face, the same as by bounds.
    #[test]
    fn spans_overlap_where_they_share_a_unit_and_a_face(one in any_span(), other in any_span()) {
        let shared = (1..=RACK_MAX_U).any(|unit| {
            let ((a, b), (c, d)) = (one.takes(unit), other.takes(unit));
            a && c || b && d
        });
        prop_assert_eq!(one.overlaps(&other), shared);
        prop_assert_eq!(other.overlaps(&one), shared);
    }

    /// Whatever is tried, no unit is taken twice, and none that is kept for another PD.
    #[test]
    fn whatever_fits_takes_no_unit_twice(tried in prop::collection::vec((any_span(), 0_u8..3, any::<bool>()), 1..40)) {
        let today = day("2026-11-29");
        let (mut devices, mut kept) = (Vec::new(), Vec::new());
        for (n, (span, pd, is_device)) in tried.into_iter().enumerate() {
            let n = u8::try_from(n).unwrap();
            if is_device {
                let new = device(n, pd, span);
                if device_fits(12, today, (&devices, &kept), &new).is_ok() { devices.push(new); }
            } else {
                let new = reserved(n, pd, span, "2026-12-31");
                if reservation_fits(12, today, (&devices, &kept), &new).is_ok() { kept.push(new); }
            }
        }
        for unit in 1..=RACK_MAX_U {
            for face in [|(front, _): (bool, bool)| front, |(_, rear): (bool, bool)| rear] {
                let here: Vec<_> = devices.iter().filter(|one| face(one.span.takes(unit))).collect();
                let owners: Vec<_> = kept.iter().filter(|one| face(one.span.takes(unit))).collect();
                prop_assert!(here.len() <= 1 && owners.len() <= 1);
                prop_assert!(here.iter().all(|one| owners.iter().all(|owner| owner.pd == one.pd)));
                prop_assert!(unit <= 12 || here.is_empty() && owners.is_empty());
            }
        }
    }
}
