use lumbung_model::{DomainId, PublicKey};
use lumbung_wire::messages::host::{HostAspect, HostDisk, SmartReading, SmartState};
use lumbung_wire::messages::register::{RetiredKind, RetirementInput, ServerKind};

use super::*;
use crate::db::agents::AgentRow;
use crate::testing::{City, START};

/// What the city's agent sees of a host with two disks.
fn host() -> HostInventory {
    HostInventory {
        memory_bytes: Some(64 << 30),
        disks: vec![disk("sda", "A"), disk("sdb", "B")],
        kernel: Some("6.1.0".into()),
        ..HostInventory::default()
    }
}

fn disk(name: &str, serial: &str) -> HostDisk {
    HostDisk {
        name: name.into(),
        model: Some("ST3500418AS".into()),
        serial: Some(serial.into()),
        bytes: Some(500_107_862_016),
        rotational: Some(true),
        removable: false,
        transport: None,
        smart_state: SmartState::Read,
        smart: Some(SmartReading {
            passed: Some(true),
            pending_sectors: Some(0),
            ..SmartReading::default()
        }),
    }
}

struct Bed {
    city: City,
    now: Timestamp,
}

impl Bed {
    fn new() -> Self {
        Self { city: City::new(), now: START }
    }

    /// Tells `seen` after so many seconds.
    fn tell(&mut self, after_s: i64, seen: &HostInventory) -> Noted {
        self.now = self.now.plus_seconds(after_s);
        let (now, agent, seen) = (self.now, self.city.agent, seen.clone());
        let noted = self.city.db.write(|tx| note(tx, now, &agent, seen)).unwrap();
        self.settle();
        noted
    }

    fn settle(&self) {
        work_off(&self.city.db, self.now).unwrap();
        let marked = self.city.db.read(|tx| rows::marked(tx, 9)).unwrap();
        assert_eq!(marked, []);
    }

    /// Open alarms: kind and text.
    fn alarms(&self) -> Vec<(String, String)> {
        let all = self.city.db.read(|tx| alarms::list(tx, None, &alarms::Wanted::default(), 99));
        let mut all: Vec<_> =
            all.unwrap().into_iter().map(|one| (one.kind, one.finding.detail)).collect();
        all.sort();
        all
    }

    fn shown(&self) -> ServerInventory {
        self.city
            .db
            .read(|tx| {
                let server = register::server(tx, &self.city.server)?.unwrap();
                shown(tx, &server)
            })
            .unwrap()
    }

    fn accept(&self, revision: u64) -> Result<ServerInventory, HostError> {
        let input = InventoryAcceptance { revision, reason: "surat 12/2026".into() };
        let act = Act::controller(self.now);
        let done = self.city.db.write(|tx| accept(tx, &act, &self.city.server, &input));
        self.settle();
        done
    }
}

#[test]
fn a_disk_that_fails_and_one_that_is_pulled_raise_alarms_that_clear() {
    let mut bed = Bed::new();
    assert_eq!(bed.tell(0, &host()), Noted::Taken);
    assert_eq!(bed.alarms(), []);

    let mut failing = host();
    let smart = failing.disks[0].smart.as_mut().unwrap();
    (smart.passed, smart.exit_status, smart.pending_sectors) = (Some(false), 216, Some(8));
    bed.tell(3600, &failing);
    let [(kind, detail)] = <[_; 1]>::try_from(bed.alarms()).unwrap();
    assert_eq!(kind, "smart");
    for part in ["sda (ST3500418AS), serial A", "says that it is failing", "cannot be read now: 8"]
    {
        assert!(detail.contains(part), "{detail}");
    }

    let mut pulled = host();
    pulled.disks.remove(0);
    bed.tell(3600, &pulled);
    let [(kind, detail)] = <[_; 1]>::try_from(bed.alarms()).unwrap();
    assert_eq!(kind, "hardware");
    assert!(detail.contains("disk A (ST3500418AS, 500 GB) is gone"), "{detail}");

    let shown = bed.shown();
    assert_eq!((shown.revision, shown.accepted_revision), (3, 1));
    assert_eq!(shown.differences[0].aspect, HostAspect::Disk);
    assert_eq!(shown.changes.iter().map(|one| one.revision).collect::<Vec<_>>(), [3, 2]);

    let error = bed.accept(2).unwrap_err();
    assert!(matches!(error, HostError::Outdated { seen: 2, found: 3 }), "{error}");
    assert_eq!(bed.alarms().len(), 1);
    let accepted = bed.accept(3).unwrap();
    assert_eq!((accepted.accepted_revision, accepted.differences.len()), (3, 0));
    assert_eq!(bed.alarms(), []);
    // What was there before is missed no more, and would be new.
    bed.tell(3600, &host());
    assert!(bed.alarms()[0].1.contains("disk A (ST3500418AS, 500 GB) is new"));
}

#[test]
fn warmth_and_hours_are_no_new_state() {
    let mut bed = Bed::new();
    bed.tell(0, &host());
    let mut later = host();
    let smart = later.disks[0].smart.as_mut().unwrap();
    (smart.temperature_c, smart.power_on_hours, smart.at) = (Some(44), Some(9), bed.now);
    bed.tell(86_400, &later);
    let shown = bed.shown();
    assert_eq!((shown.revision, shown.received, shown.changes.len()), (1, bed.now, 0));
    assert_eq!(shown.inventory, later, "the newest figures are shown all the same");
}

#[test]
fn a_disk_that_sleeps_goes_on_failing() {
    let mut bed = Bed::new();
    let mut failing = host();
    failing.disks[0].smart.as_mut().unwrap().pending_sectors = Some(1);
    bed.tell(0, &failing);
    assert_eq!(bed.alarms().len(), 1);
    failing.disks[0].smart = None;
    failing.disks[0].smart_state = SmartState::Asleep;
    bed.tell(3600, &failing);
    assert_eq!(bed.alarms().len(), 1);
    assert_eq!(bed.shown().revision, 1);
    // Asked again and healthy: over.
    bed.tell(3600, &host());
    assert_eq!(bed.alarms(), []);
}

#[test]
fn who_tells_of_another_host_each_moment_makes_few_alarms() {
    let mut bed = Bed::new();
    bed.tell(0, &host());
    let other = |n: u64| {
        let mut other = host();
        other.disks = (0..200).map(|i| disk(&format!("sd{i}"), &format!("S{n}-{i}"))).collect();
        for disk in &mut other.disks {
            disk.smart.as_mut().unwrap().passed = Some(false);
        }
        other
    };
    assert_eq!(bed.tell(1, &other(1)), Noted::TooSoon);
    assert_eq!(bed.alarms(), []);
    assert_eq!(bed.tell(APART_S, &other(1)), Noted::Taken);
    let alarms = bed.alarms();
    assert_eq!(alarms.len(), BAD_DISKS_MAX + 1, "bad disks, and one for all that are new or gone");
    assert!(alarms[0].1.contains("; and 197 more"), "{}", alarms[0].1);
    assert_eq!(bed.tell(1, &other(1)), Noted::Taken, "the same again is no change");
    for n in 2..600 {
        bed.now = bed.now.plus_seconds(APART_S);
        let (now, agent) = (bed.now, bed.city.agent);
        let mut next = host();
        next.kernel = Some(n.to_string());
        bed.city.db.write(|tx| note(tx, now, &agent, next)).unwrap();
    }
    let kept = bed.city.db.read(|tx| rows::changes(tx, &bed.city.server, 10_000)).unwrap();
    assert_eq!((kept.len(), kept[0].revision), (500, 600));
}

#[test]
fn only_the_agent_that_enrolled_last_is_listened_to() {
    let mut bed = Bed::new();
    bed.tell(0, &host());
    let newer = AgentRow {
        agent: AgentId::random(),
        server: bed.city.server,
        repository: bed.city.repository,
        key: PublicKey::from_bytes([8; 32]),
        domain: DomainId::random(),
    };
    let later = bed.now.plus_seconds(60);
    bed.city.db.write(|tx| agents::put_agent(tx, later, &newer)).unwrap();
    let mut other = host();
    other.memory_bytes = Some(1 << 30);
    assert_eq!(bed.tell(3600, &other), Noted::Taken);
    assert_eq!((bed.shown().revision, bed.alarms()), (1, vec![]));
    // The new agent's word counts, and is held against what was accepted of the old one's.
    let now = bed.now;
    bed.city.db.write(|tx| note(tx, now, &newer.agent, other)).unwrap();
    bed.settle();
    assert!(bed.alarms()[0].1.contains("memory was"), "{:?}", bed.alarms());
    let unknown = bed.city.db.write(|tx| note(tx, now, &AgentId::random(), host())).unwrap();
    assert_eq!(unknown, Noted::Unknown);
}

#[test]
fn what_the_register_says_counts_at_once_and_nothing_of_what_is_retired() {
    let mut bed = Bed::new();
    let mut virtual_host = host();
    virtual_host.platform = Some(lumbung_wire::messages::host::Platform::Kvm);
    bed.tell(0, &virtual_host);
    assert!(bed.alarms()[0].1.contains("the register says physical, its agent sees kvm"));
    let act = Act::controller(bed.now);
    let set = |kind| {
        bed.city
            .db
            .write(|tx| {
                let mut server = register::server(tx, &bed.city.server)?.unwrap();
                server.kind = kind;
                register::put_server(tx, &act, &server)
            })
            .unwrap();
        bed.settle();
    };
    set(ServerKind::Vps);
    assert_eq!(bed.alarms(), []);
    set(ServerKind::Physical);
    assert_eq!(bed.alarms().len(), 1);
    let input = RetirementInput {
        kind: RetiredKind::Server,
        id: bed.city.server.to_string(),
        from: bed.now,
        reason: "dijual".into(),
        with_contents: true,
    };
    bed.city.db.write(|tx| crate::retire::retire(tx, &act, &input)).unwrap();
    bed.settle();
    assert_eq!(bed.alarms(), []);
}

#[test]
fn an_acceptance_has_a_reason_and_stands_in_the_audit_log() {
    let mut bed = Bed::new();
    assert!(matches!(bed.accept(1), Err(HostError::Untold)));
    bed.tell(0, &host());
    let act = Act::controller(bed.now);
    let input = InventoryAcceptance { revision: 1, reason: " ".into() };
    let refused = bed.city.db.write(|tx| accept(tx, &act, &bed.city.server, &input));
    assert!(matches!(refused, Err(HostError::Reason)));
    bed.accept(1).unwrap();
    let entry: String = bed
        .city
        .db
        .read::<_, DbError>(|tx| {
            let sql = "SELECT entry FROM audit WHERE action = 'host.accept'";
            Ok(tx.query_row(sql, [], |row| row.get(0))?)
        })
        .unwrap();
    assert!(entry.contains("surat 12/2026"), "{entry}");
}
