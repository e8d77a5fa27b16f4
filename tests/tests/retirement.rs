//! A server that is no more, over the real programs: what it leaves, what stays, and how it comes back.

use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;

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
