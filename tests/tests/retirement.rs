//! A server and a PD that are no more, over the real programs: what they leave, what stays, and how they come back.

use std::fs;

use lumbung_model::{Clock as _, SystemClock};
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::{Value, json};

use crate::policies::Bed;

fn register(bed: &Bed, words: &[&str]) -> Value {
    let mut command = bed.city.operator();
    let text = output(command.args(["--json", "register"]).args(words)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Waits until that many datasets count in the compliance table.
fn counts(bed: &Bed, datasets: u64) {
    eventually("the table counts what is not retired", || {
        let table = bed.city.compliance()?;
        let all = table["all"]["datasets"].as_u64();
        Ok((all == Some(datasets)).then_some(()).ok_or_else(|| table.to_string()))
    })
    .unwrap();
}

#[test]
fn a_retired_server_leaves_todays_figures_and_its_agent_stops_when_two_people_and_the_server_agree()
{
    let mut bed = Bed::new();
    bed.city.pds[0].start().unwrap();
    let version = |bed: &Bed| bed.entry()["published"]["version"].as_u64();
    let first =
        eventually("a policy is published", || Ok(version(&bed).ok_or("none".to_owned()))).unwrap();
    bed.tells(first, None);
    output(bed.pd().agent().args(["backup", "Data Rumah Sakit"])).unwrap();
    counts(&bed, 1);

    let retire = ["retire", "server", "srv-rsud", "--reason", "dijual"];
    let refused = any_output(bed.city.operator().args(["register"]).args(retire)).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Data Rumah Sakit"), "{said}");
    let done = register(&bed, &[&retire[..], &["--with-datasets"]].concat());
    assert_eq!(done.as_array().unwrap().len(), 2, "{done}");
    counts(&bed, 0);
    let table = bed.city.compliance().unwrap();
    assert_eq!(
        table["rows"][0]["belum_mencadangkan"], true,
        "a PD without any dataset is a finding"
    );
    let token =
        any_output(bed.city.operator().args(["token", "new", "--server", "srv-rsud"])).unwrap();
    assert!(String::from_utf8_lossy(&token.stderr).contains("retired"), "{token:?}");

    // Nothing is asked for any more: that is less, and waits at both ends.
    bed.alarm("policy-narrowed", true);
    assert_eq!(bed.paths(), 2);
    bed.approve();
    bed.tells(first, Some(first + 1));
    bed.agent(&["policy", "confirm", &(first + 1).to_string()]);
    eventually("the agent has no job, and the list of policies nothing of it", || {
        let list = output(bed.city.operator().args(["--json", "policy", "list"]))?;
        Ok((list.trim() == "[]").then_some(()).ok_or(list))
    })
    .unwrap();
    assert_eq!(bed.agent(&["status"])["jobs"], serde_json::json!([]));

    // Back again, it asks for more, which waits for nobody; the snapshots were there all the time.
    let retired = register(&bed, &["retired"]);
    assert_eq!(retired.as_array().unwrap().len(), 2, "{retired}");
    for name in ["srv-rsud", "Data Rumah Sakit"] {
        register(&bed, &["restore", name, "--reason", "salah catat"]);
    }
    counts(&bed, 1);
    bed.tells(first + 2, None);
    assert_eq!(bed.paths(), 2);
    assert!(!bed.city.compliance().unwrap()["rows"][0]["snapshot"].is_null());
    assert_eq!(register(&bed, &["retired"]), serde_json::json!([]));
}

/// Makes everything that the controller has said two days older.
fn age(bed: &mut Bed) {
    let database = rusqlite::Connection::open(bed.city.controller.database()).unwrap();
    eventually("everything is weighed", || {
        let left =
            "SELECT (SELECT count(*) FROM stale) = 0 AND (SELECT count(*) FROM verdicts) > 0";
        let weighed: bool = database.query_row(left, [], |row| row.get(0))?;
        Ok(weighed.then_some(()).ok_or_else(|| "some of it is not".to_owned()))
    })
    .unwrap();
    bed.city.controller.stop().unwrap();
    let older = "UPDATE register_history SET at_s = at_s - 172800; UPDATE verdicts SET from_s = from_s - 172800;";
    database.execute_batch(older).unwrap();
    drop(database);
    bed.city.controller.start().unwrap();
}

#[test]
fn a_pd_that_is_no_more_goes_with_all_that_is_its_own_and_the_past_still_has_it() {
    let mut bed = Bed::new();
    let more = bed.directory.path().join("more.toml");
    let text = "[[pd]]\ncode = \"RSUD\"\nname = \"Rumah Sakit\"\ncontact = \"Service desk Rumah Sakit\"\n\
                [[pd.service]]\nname = \"Pendaftaran\"\n[[pd.service.contact_person]]\nname = \"Budi\"\n\
                [[pd.application]]\nname = \"Data Rumah Sakit\"\nservice = \"Pendaftaran\"\nservers = [\"srv-rsud\"]\n";
    fs::write(&more, text).unwrap();
    register(&bed, &["import", more.to_str().unwrap()]);
    counts(&bed, 1);
    age(&mut bed);

    let retire = ["retire", "pd", "RSUD", "--reason", "digabung"];
    let refused = any_output(bed.city.operator().arg("register").args(retire)).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("server srv-rsud"), "{said}");
    let done = register(&bed, &[&retire[..], &["--with-contents"]].concat());
    assert_eq!(done.as_array().unwrap().len(), 6, "{done}");
    let asked = |bed: &Bed, words: &[&str]| {
        let text = output(bed.city.operator().arg("--json").args(words)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(bed.city.compliance().unwrap()["rows"], json!([]));
    assert_eq!(asked(&bed, &["status"])["overview"]["pds"], 0);
    for list in ["pd", "server", "service", "application", "contact", "dataset"] {
        assert_eq!(asked(&bed, &[list, "list"]), json!([]), "{list}");
    }
    let yesterday = SystemClock.now().plus_seconds(-86_400).to_utc().date_naive().to_string();
    let past = asked(&bed, &["compliance", "--as-of", &yesterday]);
    assert_eq!(past["rows"][0]["dataset_name"], "Data Rumah Sakit", "{past}");

    // Back from the top; what two have the name of is not guessed.
    let back = |name: &'static str| ["restore", name, "--reason", "batal"];
    for name in ["RSUD", "srv-rsud", "Pendaftaran", "Budi"] {
        register(&bed, &back(name));
    }
    let name = "Data Rumah Sakit";
    let refused = any_output(bed.city.operator().arg("register").args(back(name))).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("2 rows are called"), "{said}");
    for kind in ["application", "dataset"] {
        register(&bed, &[&back(name)[..], &["--kind", kind]].concat());
    }
    counts(&bed, 1);
    assert_eq!(register(&bed, &["retired"]), json!([]));
}
