//! The roster of who is on call, as a file.

use super::*;

#[test]
fn a_roster_is_imported_again_and_again_and_what_it_says_now_holds() {
    let (_dir, db) = db();
    let table = RegisterTable::OnCall;
    let header = "tier,name,from,until,email\n";
    let enter_rows = |rows: &str| {
        let text = format!("{header}{rows}");
        let outcome = enter(&db, Source::Csv(table, &text)).unwrap();
        (outcome.created, outcome.updated, outcome.unchanged)
    };
    let first = "2,Rina,2027-01-15 08:00,2027-01-22 08:00,rina@example.go.id\n";
    let second = "2,Budi,2027-01-22 08:00,2027-01-29 08:00,budi@example.go.id\n";
    assert_eq!(enter_rows(&format!("{first}{second}")), (2, 0, 0));
    assert_eq!(enter_rows(&format!("{first}{second}")), (0, 0, 2));
    // Another end: a turn is not changed, it is taken back, and the new one stands in its place.
    let longer = second.replace("29 08:00", "30 08:00");
    assert_eq!(enter_rows(&format!("{first}{longer}")), (0, 1, 1));
    let turns = |all| db.read(|tx| crate::db::on_call::list(tx, NOW, all)).unwrap();
    assert_eq!((turns(false).len(), turns(true).len()), (2, 3));
    // Later, what is over and as it was stays; what is over and new is refused, with its line.
    let later = Act::console(NOW.plus_seconds(10 * 86_400));
    let text = format!(
        "{header}{first}{longer}2,Siti,2026-01-15 08:00,2026-01-22 08:00,s@example.go.id\n"
    );
    let profile = crate::testing::profile();
    let refused =
        db.write(|tx| import(tx, &later, ("r", Source::Csv(table, &text)), &profile, false));
    let Err(ImportError::Refused(faults)) = refused else { panic!("{refused:?}") };
    assert_eq!(faults.count, 1, "{faults:?}");
    assert!(
        faults.first[0].line == 4 && faults.first[0].detail.contains("after now"),
        "{faults:?}"
    );
    for (row, field, part) in [
        ("1,A,2027-02-01 08:00,2027-02-02 08:00,a@b", "tier", "2 (the Dinas) or 3"),
        ("2,A,01/02/2027 08:00,2027-02-02 08:00,a@b", "from", "is no time"),
        ("2,A,2027-02-01 08:00,2027-02-31 08:00,a@b", "until", "is no time"),
        ("2,A,2027-02-02 08:00,2027-02-01 08:00,a@b", "until", "ends after it begins"),
        ("2,A,2027-02-01 08:00,2027-02-02 08:00,", "email", "nobody can be told"),
        ("2,A,2027-02-01 08:00,2027-02-02 08:00,a b@c", "email", "NAME@HOST"),
    ] {
        let text = format!("{header}{row}\n");
        let Err(ImportError::Refused(faults)) = enter(&db, Source::Csv(table, &text)) else {
            panic!("{row}")
        };
        let fault = &faults.first[0];
        assert_eq!((faults.count, fault.line, fault.field.as_deref()), (1, 2, Some(field)));
        assert!(fault.detail.contains(part), "{fault:?}");
    }
    // The same moment, written in another way.
    let otherwise = first.replace("2027-01-15 08:00", "2027-01-15T01:00:00Z");
    for twice in [format!("{header}{first}{first}"), format!("{header}{first}{otherwise}")] {
        let Err(ImportError::Refused(faults)) = enter(&db, Source::Csv(table, &twice)) else {
            panic!("{twice}")
        };
        assert!(faults.first[0].detail.contains("twice"), "{faults:?}");
    }
}
