use super::*;

fn told(plan: &DrillPlan) -> Vec<String> {
    faults(plan).iter().map(ToString::to_string).collect()
}

/// The only thing that is wrong with the plan.
fn fault(plan: &DrillPlan) -> String {
    let told = told(plan);
    assert_eq!(told.len(), 1, "{told:#?}");
    told.into_iter().next().unwrap()
}

#[test]
fn a_plan_is_read_as_it_is_written_and_has_no_fault() {
    let plan = plan();
    assert_eq!(told(&plan), Vec::<String>::new());
    let text = toml::to_string(&plan).unwrap();
    assert_eq!(toml::from_str::<DrillPlan>(&text).unwrap(), plan, "{text}");
}

#[test]
fn a_command_line_is_no_hook() {
    let error = toml::from_str::<DrillPlan>(
        &FAILOVER.replace("\"dns-ke-drc\"", "\"/usr/sbin/nsupdate -k /etc/key\""),
    )
    .unwrap_err();
    assert!(error.to_string().contains("is no name in the runner's file"), "{error}");
}

#[test]
fn dependencies_are_told_apart() {
    assert_eq!(
        fault(&changed("after = [\"pulihkan\"]", "after = [\"pulihken\"]")),
        "step alih-dns waits for pulihken, which is no step of this plan; did you mean pulihkan?"
    );
    assert_eq!(
        fault(&changed("after = [\"putus\"]", "after = [\"cek-simrs\"]")),
        "these steps wait for each other and could never begin: pulihkan → cek-simrs → alih-dns → pulihkan"
    );
    assert_eq!(
        fault(&changed("after = [\"putus\"]", "after = [\"pulihkan\"]")),
        "these steps wait for each other and could never begin: pulihkan → pulihkan"
    );
    assert_eq!(
        fault(&changed(
            "title = \"Putuskan Pusat Data\"\n",
            "title = \"Putuskan\"\nafter = [\"tunggu\"]\n"
        )),
        "step putus waits for tunggu, which is no step of this plan"
    );
    let mut later = plan();
    later.steps.swap(3, 2);
    assert_eq!(
        fault(&later),
        "step cek-simrs waits for alih-dns, which is written after it: move alih-dns up, plans are read from top to bottom"
    );
    let mut twice = plan();
    twice.steps[4].id = id("cek-simrs");
    assert_eq!(fault(&twice), "two steps have the id cek-simrs: give each its own");
}

#[test]
fn every_circle_is_told_once() {
    let mut plan = plan();
    plan.steps[0].after = vec![id("pulihkan")];
    plan.steps[2].after = vec![id("cek-simrs")];
    let told = told(&plan);
    assert_eq!(
        told,
        [
            "these steps wait for each other and could never begin: putus → pulihkan → putus",
            "these steps wait for each other and could never begin: alih-dns → cek-simrs → alih-dns",
        ]
    );
}

#[test]
fn whatever_changes_something_can_be_put_back() {
    for step in ["putus", "pulihkan", "alih-dns"] {
        let mut plan = plan();
        let at = plan.position(&id(step)).unwrap();
        let undo = plan.steps[at].undo.take();
        assert_eq!(
            fault(&plan),
            format!(
                "step {step} changes something outside the scratch place and has no [steps.undo]: name the hook that puts it back"
            )
        );
        // Nothing of a tabletop is carried out.
        plan.kind = DrillKind::Tabletop;
        assert!(!told(&plan).iter().any(|one| one.contains("[steps.undo]")));
        plan.kind = DrillKind::Failover;
        plan.steps[at].undo = undo.clone();
        plan.steps[3].undo = undo;
        assert_eq!(
            fault(&plan),
            "step cek-simrs changes nothing outside the scratch place: take its [steps.undo] away"
        );
    }
    // What is restored to a scratch place is wiped without being told to.
    let mut plan = changed("to = \"standby\"", "to = \"scratch\"");
    plan.steps[1].undo = None;
    assert_eq!(told(&plan), Vec::<String>::new());
    let run = Run::new(&plan);
    assert!(
        matches!(run.undo_of(&id("pulihkan")), Some(UndoWork::Wipe(place)) if place.as_str() == "db-siaga")
    );
    assert_eq!(run.undo_of(&id("cek-simrs")), None);
}

#[test]
fn parts_and_people_that_are_not_there_are_told() {
    for (from, to, expected) in [
        (
            "dataset = \"simrs-db\"",
            "dataset = \"simpeg\"",
            "step pulihkan names the dataset simpeg, which the plan does not list under [[datasets]]",
        ),
        (
            "service = \"simrs\",",
            "service = \"simpeg\",",
            "step cek-simrs names the service simpeg, which the plan does not list under [[services]]",
        ),
    ] {
        let told = told(&changed(from, to));
        assert!(told.iter().any(|one| one == expected), "{told:#?}");
        // And what is listed has nobody any more who restores or checks it.
        assert!(told.iter().any(|one| one.contains("could not be measured")), "{told:#?}");
    }
    assert_eq!(
        fault(&changed("who = \"pemilik data\"", "who = \"direktur\"")),
        "step dokter: no participant has the role \"direktur\"; the roles are: pemilik data, pemimpin uji"
    );
    assert_eq!(
        fault(&changed("key = \"simrs\"\n", "key = \"simrs-db\"\n").tap(|plan| {
            plan.steps[3].action = DrillAction::Check {
                service: Some("simrs-db".parse().unwrap()),
                health: Health::Named("sehat".parse().unwrap()),
            };
        })),
        "the key simrs-db is given twice: the steps could not tell which is meant"
    );
    let mut twice = plan();
    twice.servers = vec![crate::ServerId::ZERO; 2];
    assert!(fault(&twice).ends_with("is listed twice: once is enough"));
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
impl Tap for DrillPlan {}

#[test]
fn limits_probes_and_isolation_are_told() {
    let limit = "step cek-simrs: a limit is from 1 s to 7 d";
    assert_eq!(fault(&changed("limit = \"10 min\"", "limit = \"0 s\"")), limit);
    assert_eq!(fault(&changed("limit = \"10 min\"", "limit = \"8 d\"")), limit);
    let until = WaitFor::Passed("16 min".parse().unwrap());
    assert_eq!(
        fault(&plan().tap(|plan| plan.steps[4].action = DrillAction::Wait { until })),
        "step dokter waits longer than its own limit: give it a longer one"
    );
    assert_eq!(
        fault(&changed("https://simrs.kota.go.id/sehat", "tcp://simrs.kota.go.id:443")),
        "step cek-simrs: `contains` belongs to an HTTP target: leave it out"
    );
    assert_eq!(
        fault(&plan().tap(|plan| plan.isolates = None)),
        "a failover plan cuts one site off: name it (`isolates`), and write one step of kind isolate"
    );
    let hook = || "putus".parse().unwrap();
    assert_eq!(
        fault(&plan().tap(|plan| plan.steps[2].action = DrillAction::Isolate { hook: hook() })),
        "steps putus and alih-dns both isolate: one is enough"
    );
    assert_eq!(
        fault(&plan().tap(|plan| plan.kind = DrillKind::Restore)),
        "only a failover plan isolates a site, this is one of kind restore: take `isolates` and the isolate steps away"
    );
    assert_eq!(
        fault(&plan().tap(|plan| plan.runner = None)),
        "`runner`: name the server whose agent carries the plan out"
    );
    assert_eq!(
        fault(&plan().tap(|plan| plan.targets.rto = "0 s".parse().unwrap())),
        "targets: RTO and RPO are longer than 0 s"
    );
}

#[test]
fn what_would_disturb_a_page_is_no_text() {
    for bad in ["", " ", "a\u{1b}[2J", "a\nb", "a\u{202e}b", &"x".repeat(201)] {
        let told = fault(&plan().tap(|plan| plan.title = bad.into()));
        assert_eq!(told, "title: write up to 200 characters, without control characters");
    }
    let told = fault(&plan().tap(|plan| plan.scenario = String::new()));
    assert_eq!(told, "scenario: write up to 4000 characters, without control characters");
    assert!(!told.is_empty());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let plan = plan().tap(|plan| {
        plan.title.clear();
        plan.runner = None;
        plan.steps[1].after = vec![id("tidak-ada")];
        plan.steps[2].undo = None;
    });
    assert_eq!(told(&plan).len(), 4, "{:#?}", told(&plan));
}
