//! `lumbung capacity`, `bandwidth`: when what the city has is used up, and whether its lines carry what has to move.
//!
//! Invariant: no line is wider than 80 columns: a chart is read on the console of a data centre.

use clap::Args;
use lumbung_model::ByteSize;
use lumbung_wire::messages::capacity::{
    BandwidthEntry, CapacityCrossing, CapacityEntry, CapacityKind, CapacityReport,
};

use crate::commands::status::query;
use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::table::Table;
use crate::terminal::{Lang, Terminal, printable};

/// Columns of a bar.
const BAR: usize = 38;
/// Days of traffic that are drawn.
const DAYS: usize = 14;

/// Show when storage, rack units and pools of VPS are used up, 24 months ahead
#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// Every month, not only every third
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Show what moved over the lines of PD and sites, and whether they carry what has to
#[derive(Debug, Args)]
pub(crate) struct BandwidthArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung capacity`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn capacity(args: &CapacityArgs, terminal: &Terminal) -> Outcome<Exit> {
    let report: CapacityReport = args.controller.connect()?.get("/api/v1/capacity")?;
    let step = if args.all { 1 } else { 3 };
    terminal.result(&report, || text_of(&report, step, terminal))?;
    Ok(Exit::Fine)
}

fn text_of(report: &CapacityReport, step: usize, terminal: &Terminal) -> String {
    if report.entries.is_empty() {
        let none = terminal.pick(
            "Belum ada yang diukur: vault menjawab pada putaran berikutnya.\n",
            "Nothing was measured yet: the vaults answer at the next round.\n",
        );
        return none.to_owned();
    }
    let mut text = String::new();
    for entry in &report.entries {
        text.push_str(&head(entry, terminal));
        text.push_str(&chart(entry, step));
        text.push('\n');
    }
    let set = match report.instrument.as_str() {
        "" => terminal.pick("usulan", "a proposal").to_owned(),
        instrument => printable(instrument.as_bytes()),
    };
    let (months, percent) = (report.lead_months, report.interval_percent);
    text.push_str(&match terminal.lang {
        Lang::Id => {
            format!("'-': rentang {percent} %. Alarm {months} bulan sebelum penuh:\n  {set}\n")
        }
        Lang::En => {
            format!(
                "'-': {percent} % interval. Alarm {months} months before it is full:\n  {set}\n"
            )
        }
    });
    text
}

/// What it is, how full, and when it is full.
fn head(entry: &CapacityEntry, terminal: &Terminal) -> String {
    let amount = |value| amount(entry.kind, value);
    let of = entry.limit.map(|limit| {
        let percent = (u128::from(entry.used) * 100).checked_div(limit.into()).unwrap_or(100);
        format!(" {} {} ({percent} %)", terminal.pick("dari", "of"), amount(limit))
    });
    let name: String = printable(entry.name.as_bytes()).chars().take(26).collect();
    format!(
        "{} · {name}: {}{}, {}\n  {}\n",
        entry.kind,
        amount(entry.used),
        of.unwrap_or_default(),
        entry.measured,
        when_full(entry, terminal),
    )
}

/// When something is full, in one line; also for the morning.
pub(crate) fn when_full(entry: &CapacityEntry, terminal: &Terminal) -> String {
    let full = entry.limit.is_some_and(|limit| entry.used >= limit);
    match entry.crossing {
        _ if full => terminal.pick("sudah penuh", "full already").to_owned(),
        _ if entry.missing_days > 0 => {
            let (have, days) = (entry.history_days, entry.missing_days);
            match terminal.lang {
                Lang::Id => format!("riwayat baru {have} hari: ramalan ada dalam {days} hari"),
                Lang::En => {
                    format!("only {have} days of history: there is a forecast in {days} days")
                }
            }
        }
        _ if entry.limit.is_none() => terminal
            .pick(
                "batasnya tidak diketahui: isi `capacity` di vault.toml",
                "its limit is not known: set `capacity` in vault.toml",
            )
            .to_owned(),
        None => terminal.pick("tidak penuh dalam 24 bulan", "not full within 24 months").to_owned(),
        Some(crossing) => of_crossing(&crossing, terminal),
    }
}

fn of_crossing(crossing: &CapacityCrossing, terminal: &Terminal) -> String {
    let beyond = || terminal.pick("> 24 bulan", "> 24 months").to_owned();
    let day = |day: Option<lumbung_model::Day>| day.map_or_else(beyond, |day| day.to_string());
    format!(
        "{} {} ({} {}, {} {})",
        terminal.pick("penuh sekitar", "full around"),
        day(crossing.expected),
        terminal.pick("tercepat", "earliest"),
        crossing.earliest,
        terminal.pick("terlambat", "latest"),
        day(crossing.latest),
    )
}

fn amount(kind: CapacityKind, value: u64) -> String {
    if kind.is_bytes() { ByteSize::bytes(value).to_string() } else { value.to_string() }
}

/// Month by month: `#` up to the lower bound, `-` up to the upper one, `o` what is expected, `|` the limit.
fn chart(entry: &CapacityEntry, step: usize) -> String {
    let high = entry.months.iter().map(|point| point.high).max().unwrap_or(0);
    let top = high.max(entry.limit.unwrap_or(0)).max(1);
    let mut text = String::new();
    for point in entry.months.iter().skip(step - 1).step_by(step) {
        let bar = bar(top, (point.low, point.expected, point.high), entry.limit);
        let range =
            format!("{} … {}", amount(entry.kind, point.low), amount(entry.kind, point.high));
        let line =
            format!("  {} {bar} {:>9}  {range}", point.day, amount(entry.kind, point.expected));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn bar(top: u64, (low, expected, high): (u64, u64, u64), limit: Option<u64>) -> String {
    let column = |value: u64| {
        let place = u128::from(value) * (BAR as u128 - 1) / u128::from(top);
        usize::try_from(place).unwrap_or(0).min(BAR - 1)
    };
    let mut cells = [' '; BAR];
    cells[..=column(high)].fill('-');
    cells[..column(low)].fill('#');
    if let Some(limit) = limit.filter(|limit| *limit <= top) {
        cells[column(limit)] = '|';
    }
    cells[column(expected)] = 'o';
    cells.iter().collect()
}

/// Runs `lumbung bandwidth`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn bandwidth(args: &BandwidthArgs, terminal: &Terminal) -> Outcome<Exit> {
    let of = args.pd.as_deref().map(|pd| format!("?pd={}", query(pd))).unwrap_or_default();
    let lines: Vec<BandwidthEntry> =
        args.controller.connect()?.list(&format!("/api/v1/bandwidth{of}"))?;
    terminal.result(&lines, || match lines.as_slice() {
        [one] => format!("{}{}", table(&lines, terminal), days(one)),
        _ => table(&lines, terminal),
    })?;
    Ok(Exit::Fine)
}

fn table(lines: &[BandwidthEntry], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Jalur", "Line"))
        .rigid(terminal.pick("Laju", "Speed"))
        .rigid(terminal.pick("Batas", "Cap"))
        .number(terminal.pick("Perlu/hari", "Need/day"))
        .number(terminal.pick("Pakai", "Use"))
        .rigid(terminal.pick("Muat?", "Fits?"))
        .number(terminal.pick("Salinan 1", "1st copy"));
    for line in lines {
        let assumed = if line.is_assumed { "~" } else { "" };
        let windows = if line.windows.is_empty() { "" } else { " +" };
        let dash = || "–".to_owned();
        let fits = |missing: u64| match missing {
            0 => terminal.pick("ya", "yes").to_owned(),
            missing => format!("-{}", ByteSize::bytes(missing)),
        };
        let copy =
            |days: Option<u64>| days.map_or_else(|| "∞".to_owned(), |days| format!("{days} d"));
        let or_dash = |text: &str| if text.is_empty() { dash() } else { text.to_owned() };
        table.row([
            printable(line.name.as_bytes()),
            or_dash(&line.link),
            format!("{}{windows}", or_dash(&line.rate)),
            format!("{assumed}{}", ByteSize::bytes(line.daily_bytes)),
            line.fit.map_or_else(dash, |fit| format!("{} %", fit.use_permille.div_ceil(10))),
            line.fit.map_or_else(|| "?".to_owned(), |fit| fits(fit.missing_bytes)),
            line.fit.map_or_else(dash, |fit| copy(fit.first_copy_days)),
        ]);
    }
    let notes = terminal.pick(
        "~ belum terukur (usulan) · + ada jendela waktu · ? laju jalur belum diisi",
        "~ not measured yet (a proposal) · + windows by day · ? speed not entered",
    );
    format!("{}{notes}\n", table.render())
}

/// What moved, day by day.
fn days(line: &BandwidthEntry) -> String {
    let most = line.days.iter().map(|day| day.bytes).max().unwrap_or(0).max(1);
    let mut text = String::new();
    for day in line.days.iter().take(DAYS) {
        let width = u128::from(day.bytes) * BAR as u128 / u128::from(most);
        let bar = "#".repeat(usize::try_from(width).unwrap_or(0));
        let size = ByteSize::bytes(day.bytes);
        text.push_str(&format!("  {} {bar:<BAR$} {size:>9}  {}×\n", day.day, day.snapshots));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

#[cfg(test)]
mod tests {
    use lumbung_model::{Day, PdId, SiteId, Timestamp};
    use lumbung_wire::messages::capacity::{CapacityPoint, LineFit, MovedDay};

    use super::*;

    fn terminal(lang: Lang) -> Terminal {
        Terminal { json: false, quiet: false, lang, zone: None }
    }

    fn day(months: u32) -> Day {
        "2026-11-30".parse::<Day>().unwrap().plus_months(months)
    }

    fn entry() -> CapacityEntry {
        let point = |months: u32| CapacityPoint {
            day: day(months),
            expected: 1_000_000_000_000 + u64::from(months) * 100_000_000_000,
            low: 1_000_000_000_000,
            high: 1_000_000_000_000 + u64::from(months) * 150_000_000_000,
        };
        CapacityEntry {
            kind: CapacityKind::Storage,
            subject: SiteId::from_bytes([1; 16]).to_string(),
            name: "Pusat Data Kota yang bernama sangat panjang sekali".into(),
            measured: day(0),
            used: 1_000_000_000_000,
            limit: Some(3_000_000_000_000),
            history_days: 400,
            missing_days: 0,
            months: (1..=24).map(point).collect(),
            crossing: Some(CapacityCrossing {
                earliest: day(13),
                expected: Some(day(20)),
                latest: None,
            }),
            alarm: true,
        }
    }

    fn report(entry: CapacityEntry) -> CapacityReport {
        CapacityReport {
            at: Timestamp(1_795_651_200),
            lead_months: 24,
            instrument: String::new(),
            interval_percent: 80,
            entries: vec![entry],
        }
    }

    #[test]
    fn a_forecast_fits_into_eighty_columns_in_both_languages() {
        for lang in [Lang::Id, Lang::En] {
            let text = text_of(&report(entry()), 1, &terminal(lang));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= 80, "{widest}\n{text}");
            assert_eq!(
                text.lines().filter(|line| line.contains('o') && line.contains("TB  ")).count(),
                24,
                "{text}"
            );
        }
        let text = text_of(&report(entry()), 3, &terminal(Lang::En));
        assert!(text.contains("full around 2028-07-30"), "{text}");
        assert!(text.contains("latest > 24 months"), "{text}");
    }

    #[test]
    fn a_bar_shows_bounds_expectation_and_limit() {
        let bar = bar(37, (10, 20, 30), Some(25));
        let expected = format!(
            "{}{}o{}|{}{}",
            "#".repeat(10),
            "-".repeat(10),
            "-".repeat(4),
            "-".repeat(5),
            " ".repeat(7)
        );
        assert_eq!(bar, expected);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let english = terminal(Lang::En);
        let short = CapacityEntry { missing_days: 30, history_days: 30, crossing: None, ..entry() };
        assert_eq!(
            when_full(&short, &english),
            "only 30 days of history: there is a forecast in 30 days"
        );
        let endless = CapacityEntry { limit: None, crossing: None, ..entry() };
        assert!(when_full(&endless, &english).contains("`capacity` in vault.toml"));
        let full = CapacityEntry { used: 3_000_000_000_000, ..entry() };
        assert_eq!(when_full(&full, &english), "full already");
        let roomy = CapacityEntry { crossing: None, ..entry() };
        assert_eq!(when_full(&roomy, &english), "not full within 24 months");
    }

    #[test]
    fn lines_fit_into_eighty_columns_and_say_what_stays_behind() {
        let moved = |back: u32| MovedDay {
            day: day(0).minus_days(back),
            site: SiteId::from_bytes([1; 16]),
            bytes: u64::from(back + 1) * 1_000_000_000,
            snapshots: 3,
        };
        let line = BandwidthEntry {
            pd: Some(PdId::from_bytes([1; 16])),
            site: None,
            name: "DISDUKCAPIL".into(),
            link: "100 Mbit/s".into(),
            rate: "500 kbit/s".into(),
            windows: vec!["07:30-16:00 mon-fri 5 Mbit/s".into()],
            daily_bytes: 123_000_000_000,
            is_assumed: true,
            full_copy_bytes: 2_000_000_000_000,
            unknown_datasets: 1,
            fit: Some(LineFit {
                day_bytes: 5_400_000_000,
                week_bytes: 37_800_000_000,
                use_permille: 22_778,
                missing_bytes: 117_600_000_000,
                first_copy_days: Some(371),
            }),
            days: (0..31).map(moved).collect(),
        };
        let text =
            format!("{}{}", table(std::slice::from_ref(&line), &terminal(Lang::En)), days(&line));
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{widest}\n{text}");
        assert!(
            text.contains("2278 %") && text.contains("-118 GB") && text.contains("371 d"),
            "{text}"
        );
        assert_eq!(text.lines().filter(|line| line.ends_with("3×")).count(), DAYS, "{text}");
    }
}
