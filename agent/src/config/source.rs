//! What a job of the file backs up: folders, or exactly one thing that is streamed.

use std::ops::Range;
use std::path::Path;

use lumbung_database::mariadb::MariadbSettings;
use lumbung_database::postgresql::PostgresqlSettings;
use lumbung_database::sqlite::SqliteSettings;
use lumbung_database::{CommandSettings, Hook, Settings};
use toml::Spanned;

use super::JobSection;

/// Where a fault stands, its key, and what to write instead.
pub(super) type Fault = (Range<usize>, &'static str, String);

/// The source of a job that is streamed.
pub(super) fn stream(
    postgresql: Option<Spanned<PostgresqlSettings>>,
    mariadb: Option<Spanned<MariadbSettings>>,
    sqlite: Option<Spanned<SqliteSettings>>,
    command: Option<Spanned<CommandSettings>>,
) -> Option<Settings> {
    let postgresql = postgresql.map(|it| Settings::Postgresql(Box::new(it.into_inner())));
    let mariadb = mariadb.map(|it| Settings::Mariadb(Box::new(it.into_inner())));
    let sqlite = sqlite.map(|it| Settings::Sqlite(it.into_inner()));
    let command = command.map(|it| Settings::Command(it.into_inner()));
    postgresql.or(mariadb).or(sqlite).or(command)
}

/// What is wrong with the sources of a job.
pub(super) fn fault(job: &JobSection) -> Option<Fault> {
    let named: Vec<(&'static str, Range<usize>)> = [
        ("paths", job.paths.as_ref().map(Spanned::span)),
        ("postgresql", job.postgresql.as_ref().map(Spanned::span)),
        ("mariadb", job.mariadb.as_ref().map(Spanned::span)),
        ("sqlite", job.sqlite.as_ref().map(Spanned::span)),
        ("command", job.command.as_ref().map(Spanned::span)),
    ]
    .into_iter()
    .filter_map(|(key, span)| Some((key, span?)))
    .collect();
    match named.as_slice() {
        [] => Some((
            job.name.span(),
            "name",
            "nothing to back up: write paths = [\"/srv/data\"], or a table [job.postgresql], [job.mariadb], [job.sqlite] \
             or [job.command]"
                .to_owned(),
        )),
        [_] => fault_of_one(job),
        [(first, _), (key, span), ..] => Some((
            span.clone(),
            key,
            format!("{first} and {key} in one job: give each a [[job]] and a dataset of its own"),
        )),
    }
}

fn fault_of_one(job: &JobSection) -> Option<Fault> {
    if let Some(paths) = job.paths.as_ref().filter(|paths| paths.get_ref().is_empty()) {
        let message = "no path to back up: write at least one, such as paths = [\"/srv/data\"]";
        return Some((paths.span(), "paths", message.to_owned()));
    }
    if job.paths.is_none()
        && let Some(exclude) = &job.exclude
    {
        let message = "only paths can be excluded from: remove it, or name databases to be left out in the table";
        return Some((exclude.span(), "exclude", message.to_owned()));
    }
    let relative = |path: &Path| !path.is_absolute();
    if let Some(sqlite) = &job.sqlite {
        let files = &sqlite.get_ref().files;
        if files.is_empty() || files.iter().any(|file| relative(file)) {
            let message =
                "write the databases as absolute paths, such as files = [\"/srv/app/data.db\"]";
            return Some((sqlite.span(), "files", message.to_owned()));
        }
    }
    let commands = job.command.as_ref().map(|it| (it.span(), "command", &it.get_ref().run));
    let hook = |it: &Spanned<Hook>| it.get_ref().run.clone();
    let hooks = [("before", job.before.as_ref()), ("after", job.after.as_ref())];
    let hooks = hooks.into_iter().filter_map(|(key, it)| Some((it?.span(), key, hook(it?))));
    commands
        .map(|(span, key, run)| (span, key, run.clone()))
        .into_iter()
        .chain(hooks)
        .find(|(_, _, run)| run.first().is_none_or(|program| relative(Path::new(program))))
        .map(|(span, key, _)| {
            let message = "write the program by its absolute path, then its arguments: run = [\"/usr/local/bin/export\", \"--all\"]";
            (span, key, message.to_owned())
        })
}
