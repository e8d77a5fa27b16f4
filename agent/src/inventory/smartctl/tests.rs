use std::fs;

use super::*;

/// A program that does this.
fn smartctl(script: &str) -> (tempfile::TempDir, Smartctl) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("smartctl");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (dir, Smartctl { program, patience: PATIENCE })
}

#[tokio::test]
async fn it_is_asked_without_a_shell_and_with_an_empty_environment() {
    let (_dir, smartctl) = smartctl("echo \"$0|$*|$LC_ALL|$HOME\"; exit 216");
    let output = String::from_utf8(smartctl.ask("sda").await.unwrap()).unwrap();
    let program = smartctl.program().display();
    assert_eq!(output, format!("{program}|--json=c -n standby -a /dev/sda|C|\n"));
}

#[tokio::test]
async fn one_that_writes_without_end_is_left() {
    for script in
        ["exec cat /dev/zero", "exec yes '{\"smartctl\":'", "head -c 1073741824 /dev/zero"]
    {
        let (_dir, smartctl) = smartctl(script);
        let error = smartctl.ask("sda").await.unwrap_err();
        assert!(matches!(error, AskError::Long), "{script}: {error:?}");
        assert!(!error.is_silence());
    }
}

#[tokio::test]
async fn one_that_never_ends_is_killed() {
    // The second has closed its output, and goes on.
    for script in ["exec sleep 100000", "exec >/dev/null; exec sleep 100000"] {
        let (_dir, smartctl) = smartctl(script);
        let smartctl = Smartctl { patience: Duration::from_millis(200), ..smartctl };
        let error = smartctl.ask("sda").await.unwrap_err();
        assert!(matches!(error, AskError::Late), "{script}: {error:?}");
        assert!(error.is_silence());
    }
}

#[tokio::test]
async fn garbage_is_given_as_it_is() {
    let (_dir, smartctl) = smartctl("printf '\\377\\376{'");
    assert_eq!(smartctl.ask("sda").await.unwrap(), b"\xff\xfe{");
}

#[tokio::test]
async fn one_that_cannot_be_run_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let smartctl = Smartctl { program: dir.path().join("gone"), patience: PATIENCE };
    let error = smartctl.ask("sda").await.unwrap_err();
    assert!(error.to_string().contains("install smartmontools"), "{error}");
}

#[test]
fn the_program_is_the_one_that_is_named() {
    let (dir, smartctl) = smartctl("");
    let settings =
        |smart, program: Option<PathBuf>| Settings { send: true, smart, smartctl: program };
    let named = Some(smartctl.program().to_owned());
    assert_eq!(find(&settings(true, named.clone())), Some(smartctl));
    assert_eq!(find(&settings(false, named)), None);
    assert_eq!(find(&settings(true, Some(dir.path().to_owned()))), None, "a directory");
    assert_eq!(find(&settings(true, Some("smartctl".into()))), None, "not from the root");
    fs::write(dir.path().join("text"), "x").unwrap();
    assert_eq!(find(&settings(true, Some(dir.path().join("text")))), None, "no program");
}
