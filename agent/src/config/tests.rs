use std::path::Path;

use lumbung_model::Timestamp;

use super::*;

const DATASET: &str = "00112233445566778899aabbccddeeff";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("agent.toml"), text)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn job(more: &str) -> String {
    format!("[[job]]\nname = \"files\"\ndataset = \"{DATASET}\"\npaths = [\"/srv\"]\n{more}\n")
}

#[test]
fn the_example_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/agent.toml");
    let config = Config::load(&path).unwrap();
    assert!(!config.jobs.is_empty() && !config.sites.is_empty() && !config.rates.is_unlimited());
}

#[test]
fn the_examples_metrics_are_valid() {
    let example = include_str!("../../../config/agent.toml");
    let (_, metrics) = example.split_once("# [metrics]\n").unwrap();
    let (metrics, _) = metrics.split_once("\n\n").unwrap();
    let config = parse(&format!("[metrics]\n{}", metrics.replace("# ", ""))).unwrap();
    assert_eq!(config.metrics.unwrap().listen().to_string(), "127.0.0.1:9741");
    assert!(parse("").unwrap().metrics.is_none());
}

#[test]
fn an_empty_file_has_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.state, Path::new(DEFAULT_STATE));
    assert_eq!(config.heartbeat_interval, Period::seconds(60));
    assert!(config.jobs.is_empty() && config.rates.is_unlimited());
}

#[test]
fn a_job_without_schedule_runs_by_hand_only() {
    let config = parse(&job("")).unwrap();
    let job = config.job("files").unwrap();
    assert!(job.schedule.is_none() && job.catch_up && job.enabled);
    assert_eq!(job.label, "files");
}

#[test]
fn the_zone_of_a_job_is_its_own_or_the_agents() {
    let text = format!(
        "[agent]\ntimezone = \"WIT\"\n{}\n[[job]]\nname = \"b\"\ndataset = \"{}\"\npaths = [\"/b\"]\nschedule = \"0 2 * * *\"\ntimezone = \"UTC\"\n",
        job("schedule = \"0 2 * * *\""),
        DATASET.replace('0', "1"),
    );
    let config = parse(&text).unwrap();
    let next = |name| {
        config.job(name).unwrap().schedule.as_ref().unwrap().next_after(Timestamp(0)).unwrap().0
    };
    assert_eq!(next("files"), 17 * 3600, "02:00 in Jayapura is 17:00 UTC of the day before");
    assert_eq!(next("b"), 2 * 3600);
}

#[test]
fn errors_have_line_key_and_what_to_write() {
    for (text, parts) in [
        (
            job("scheduel = \"0 2 * * *\""),
            &["line 5", "scheduel", "did you mean \"schedule\"?"][..],
        ),
        (job("one_filesystem = true"), &["line 5", "did you mean \"one_file_system\"?"]),
        (job("colour = 1"), &["line 5", "colour", "unknown key; here can stand: name, dataset"]),
        (job("retry = { attempt = 3 }"), &["line 5", "did you mean \"attempts\"?"]),
        (job("schedule = \"0 25 * * *\""), &["line 5", "schedule", "hour \"25\"", "0-23"]),
        (job("schedule = \"0 2 * *\""), &["line 5", "has five"]),
        (job("timezone = \"Jakarta\""), &["line 5", "timezone", "Asia/Jakarta"]),
        (job("jitter = \"ten\""), &["line 5", "jitter", "15 min"]),
        (job("jitter = 10"), &["line 5", "jitter"]),
        (job("exclude = [\"a[\"]"), &["line 5", "exclude", "']'"]),
        (job("catch_up = \"yes\""), &["line 5", "catch_up", "boolean"]),
        (job("").replace("/srv", "srv"), &["line 4", "paths", "absolute path"]),
        (job("").replace("/srv", "/srv/../etc"), &["line 4", "absolute path"]),
        (job("").replace("[\"/srv\"]", "[]"), &["line 4", "at least one"]),
        (job("").replace(DATASET, "12"), &["line 3", "dataset", "32 hexadecimal digits"]),
        (job("").replace("\"files\"", "\"a b\""), &["line 2", "name", "letters"]),
        (format!("{}{}", job(""), job("")), &["line 7", "two jobs are called \"files\""]),
        (
            format!("{}{}", job(""), job("").replace("files", "b")),
            &["line 8", "dataset", "same dataset"],
        ),
        ("[agnet]\n".to_owned(), &["line 1", "agnet", "did you mean \"agent\"?"]),
        (
            "[agent]\nheartbeat_interval = \"1 s\"\n".to_owned(),
            &["line 2", "heartbeat_interval", "5 s"],
        ),
        (
            "[[site]]\nname = \"PD\"\nurl = \"http://x\"\n".to_owned(),
            &["line 3", "url", "https://"],
        ),
        (
            "[[window]]\nfrom = \"7\"\nto = \"18:00\"\nrate = \"1 MB/s\"\n".to_owned(),
            &["line 2", "from", "07:30"],
        ),
        (
            "[[window]]\nfrom = \"07:00\"\nto = \"18:00\"\nrate = \"fast\"\n".to_owned(),
            &["line 4", "rate", "20 Mbit/s"],
        ),
        (
            "[metrics]\nlisten = \"0.0.0.0:9741\"\n".to_owned(),
            &["line 1", "allow_remote = true", "127.0.0.1:9741"],
        ),
        ("[metrics]\nlisten = \"loopback\"\n".to_owned(), &["line 2", "listen"]),
        ("[[job]]\nname = \"x\"\n".to_owned(), &["line 1", "missing field `dataset`"]),
        ("a = [\n".to_owned(), &["agent.toml, line"]),
    ] {
        let message = refusal(&text);
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}\n{text}");
        }
    }
}

#[test]
fn a_missing_file_says_so() {
    let error = Config::load(Path::new("/nonexistent/agent.toml")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/agent.toml"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
