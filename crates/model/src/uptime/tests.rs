use super::*;
use crate::schedule::{Schedule, parse_zone};
use crate::{CheckId, Timestamp};

mod year;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds)
}

fn run(first: i64, last: i64, up: bool) -> Run {
    Run { first: at(first), last: at(last), interval_s: 60, up }
}

fn place(runs: Vec<Run>) -> Place {
    Place {
        told: Timeline::of(at(0), at(i64::MAX), ()),
        seen: vec![seen(runs)],
        cut_off: Timeline::default(),
    }
}

fn spans<S: Copy + Eq>(line: &Timeline<S>) -> Vec<(i64, i64, S)> {
    line.spans().iter().map(|span| (span.from.0, span.until.0, span.state)).collect()
}

#[test]
fn a_probe_stands_until_the_next_one_and_no_longer_than_two_and_a_half_intervals() {
    let line = seen(vec![run(0, 600, true), run(660, 720, false), run(1200, 1200, true)]);
    assert_eq!(spans(&line), [(0, 660, true), (660, 870, false), (1200, 1350, true)]);
    assert_eq!(seen(Vec::new()), Timeline::default());
}

#[test]
fn where_a_clock_was_set_back_down_counts() {
    // Seen up until 1000; the clock is set back by 400 s; it is down for what is 700 to 760 for the second time.
    let line = seen(vec![
        run(0, 1000, true),
        run(600, 660, true),
        run(700, 760, false),
        run(800, 2000, true),
    ]);
    assert_eq!(line.at(at(699)), Some(true));
    assert_eq!(line.at(at(700)), Some(false));
    assert_eq!(line.at(at(799)), Some(false));
    assert_eq!(line.at(at(800)), Some(true));
}

#[test]
fn down_takes_two_places_where_two_were_told_to_look() {
    let window = (at(0), at(600));
    let up = || place(vec![run(0, 540, true)]);
    let down = || place(vec![run(0, 540, false)]);
    let blind = Place::default;
    let told = || place(Vec::new());
    let judged = |places: &[Place]| spans(&check(places, window).0);
    assert_eq!(judged(&[up(), down()]), [(0, 600, Judged::Up)]);
    assert_eq!(judged(&[down(), down()]), [(0, 600, Judged::Down)]);
    assert_eq!(judged(&[down(), down(), told()]), [(0, 600, Judged::Down)]);
    assert_eq!(judged(&[down(), told()]), [(0, 600, Judged::Unconfirmed)]);
    assert_eq!(judged(&[told(), told()]), [(0, 600, Judged::Unobserved)]);
    assert_eq!(judged(&[down(), blind()]), [(0, 600, Judged::Down)], "there is only one place");
    assert_eq!(judged(&[blind()]), []);
    let (_, links) = check(&[up(), down()], window);
    assert_eq!(links.iter().map(|link| link.seconds(())).collect::<Vec<_>>(), [0, 600]);
    let two_probers = Place {
        seen: vec![seen(vec![run(0, 540, false)]), seen(vec![run(0, 540, true)])],
        ..told()
    };
    assert_eq!(judged(&[two_probers]), [(0, 600, Judged::Up)], "of one place");
}

#[test]
fn a_place_that_sees_nothing_while_another_sees_something_is_cut_off() {
    let window = (at(0), at(600));
    let line = |up, from, until| seen(vec![run(from, until, up)]);
    let target = |n: u8| CheckId::from_bytes([n; 16]);
    let sees = |states: &[bool]| -> Vec<Target> {
        states.iter().zip(1..).map(|(up, n)| (target(n), line(*up, 0, 540))).collect()
    };
    let cut = |places: &[Vec<Target>]| -> Vec<i64> {
        cut_off(places, window).iter().map(|line| line.seconds(())).collect()
    };
    assert_eq!(cut(&[sees(&[true, false]), sees(&[false, false])]), [0, 600]);
    assert_eq!(cut(&[sees(&[false, false]), sees(&[false, false])]), [0, 0], "targets are down");
    assert_eq!(cut(&[sees(&[true, false]), sees(&[false])]), [0, 0], "of one target");
    let third = sees(&[false, false, true]);
    assert_eq!(cut(&[third, sees(&[false, false])]), [0, 0], "of a third target nothing follows");
    let two_probers = [sees(&[false]), sees(&[false])].concat();
    assert_eq!(cut(&[sees(&[true]), two_probers]), [0, 0], "of one target that two look at");
    let first = (target(1), line(true, 0, 240));
    let later = vec![first, (target(2), seen(vec![run(0, 240, true), run(300, 540, false)]))];
    // The first target was seen last at 240 and stands until 390; from then on only one is looked at.
    assert_eq!(cut(&[sees(&[true, true]), later]), [0, 0]);

    let places = |cut_off| {
        let drc = Place { cut_off, ..place(vec![run(0, 540, false)]) };
        spans(&check(&[place(vec![run(0, 540, false)]), drc], window).0)
    };
    assert_eq!(places(Timeline::default()), [(0, 600, Judged::Down)]);
    let cut = Timeline::of(at(120), at(240), ());
    assert_eq!(
        places(cut),
        [(0, 120, Judged::Down), (120, 240, Judged::Unconfirmed), (240, 600, Judged::Down)]
    );
}

#[test]
fn a_server_that_was_silent_was_down_only_if_it_started_anew() {
    let beat = |first, last, booted: i64| Beat {
        first: at(first),
        last: at(last),
        booted: Some(at(booted)),
    };
    let window = (at(0), at(3000));
    let always = Timeline::of(at(0), at(3000), ());
    let line = |beats: &[Beat], listened: &Timeline<()>| spans(&host(beats, 60, listened, window));
    let silent = [beat(0, 600, -50), beat(1200, 1800, -50)];
    assert_eq!(line(&silent, &always), [(0, 750, true), (1200, 1950, true)]);
    let restarted = [beat(0, 600, -50), beat(1200, 1800, 1100)];
    assert_eq!(line(&restarted, &always), [(0, 660, true), (660, 1200, false), (1200, 1950, true)]);
    let mut listened = Timeline::of(at(0), at(700), ());
    listened.push(at(1150), at(3000), ());
    assert_eq!(
        line(&restarted, &listened),
        [(0, 660, true), (660, 700, false), (1150, 1200, false), (1200, 1950, true)],
        "nobody listened in between"
    );
    let untold = [beat(0, 600, -50), Beat { booted: None, ..beat(1200, 1800, 0) }];
    assert_eq!(line(&untold, &always), [(0, 750, true), (1200, 1950, true)]);
}

#[test]
fn a_subject_is_as_its_worst_check_and_only_what_is_down_can_be_planned() {
    let window = (at(0), at(100));
    let line = |spans: &[(i64, i64, Judged)]| {
        let mut line = Timeline::default();
        spans.iter().for_each(|(from, until, state)| line.push(at(*from), at(*until), *state));
        line
    };
    let web = line(&[(0, 50, Judged::Up), (50, 70, Judged::Down), (70, 100, Judged::Up)]);
    let name = line(&[(20, 30, Judged::Unobserved), (30, 65, Judged::Up), (65, 80, Judged::Down)]);
    let entered = Timeline::of(at(90), at(95), ());
    let maintenance = Timeline::of(at(60), at(92), ());
    let judged = subject(&[web, name], &entered, &maintenance, window);
    assert_eq!(
        spans(&judged),
        [
            (0, 20, Judged::Up),
            (20, 30, Judged::Unobserved),
            (30, 50, Judged::Up),
            (50, 60, Judged::Down),
            (60, 80, Judged::Planned),
            (80, 90, Judged::Up),
            (90, 92, Judged::Planned),
            (92, 95, Judged::Down),
            (95, 100, Judged::Up),
        ]
    );
    let figures = Figures::of(&judged);
    assert_eq!(
        figures,
        Figures { up_s: 55, down_s: 13, planned_s: 22, unconfirmed_s: 0, unobserved_s: 10 }
    );
    assert_eq!(figures.availability(), Some(808_823), "55 of 68, cut and not rounded");
    assert_eq!(
        subject(&[], &Timeline::default(), &Timeline::default(), window),
        Timeline::default()
    );
}

#[test]
fn what_is_not_looked_at_any_more_is_over() {
    let line = Timeline::of(at(0), at(100), Judged::Down);
    assert_eq!(outages(&line, 300, at(100))[0].until, None);
    assert_eq!(outages(&line, 300, at(101))[0].until, Some(at(100)), "its check was disabled");
}

#[test]
fn where_checks_say_nothing_heartbeats_do() {
    let window = (at(0), at(100));
    let check = Timeline::of(at(40), at(60), Judged::Down);
    let heard = Timeline::of(at(0), at(80), Judged::Up);
    assert_eq!(
        spans(&else_by(&[check], heard, window)),
        [(0, 40, Judged::Up), (40, 60, Judged::Down), (60, 80, Judged::Up)]
    );
}

#[test]
fn availability_is_never_rounded_up() {
    let month = Figures { up_s: 2_591_999, down_s: 1, ..Figures::default() };
    assert_eq!(month.availability(), Some(999_999));
    assert_eq!(Figures { up_s: 9, ..Figures::default() }.availability(), Some(1_000_000));
    assert_eq!(Figures { down_s: 9, ..Figures::default() }.availability(), Some(0));
    assert_eq!(
        Figures { unobserved_s: 9, planned_s: 9, ..Figures::default() }.availability(),
        None
    );
}

#[test]
fn an_outage_that_comes_back_at_once_is_the_same_one() {
    let mut line = Timeline::default();
    let mut push = |from, until, state| line.push(at(from), at(until), state);
    push(0, 100, Judged::Up);
    push(100, 160, Judged::Down);
    push(160, 280, Judged::Up);
    push(280, 340, Judged::Down);
    push(340, 400, Judged::Unobserved);
    push(400, 460, Judged::Down);
    push(460, 1000, Judged::Up);
    push(1000, 1100, Judged::Planned);
    push(1100, 1160, Judged::Down);
    push(1160, 1200, Judged::Up);
    let first = Outage { from: at(100), until: Some(at(460)), down_s: 180, flaps: 1 };
    let open = Outage { from: at(1100), until: None, down_s: 60, flaps: 0 };
    assert_eq!(outages(&line, 300, at(1200)), [first, open]);
    let over = Outage { until: Some(at(1160)), ..open };
    assert_eq!(outages(&line, 30, at(1200)).last(), Some(&over));
}

#[test]
fn a_window_comes_by_the_wall_clock_and_is_cut_where_it_ends() {
    let zone = parse_zone("Asia/Jakarta").unwrap();
    let sunday = Schedule::new("0 1 * * sun".parse().unwrap(), zone);
    let window = Window {
        from: at(0),
        until: at(40 * 86_400),
        recurrence: Some(Recurrence { schedule: sunday, duration_s: 2 * 3600 }),
    };
    // 4 January 1970 was a Sunday; one o'clock in Jakarta is 18:00 UTC of the day before.
    let first = 2 * 86_400 + 18 * 3600;
    let line = window.within((at(0), at(14 * 86_400)));
    let week = 7 * 86_400;
    assert_eq!(spans(&line), [(first, first + 7200, ()), (first + week, first + week + 7200, ())]);
    let part = window.within((at(first + 3600), at(first + 10_000)));
    assert_eq!(spans(&part), [(first + 3600, first + 7200, ())], "it began before the stretch");
    let once = Window { from: at(5), until: at(9), recurrence: None };
    assert_eq!(spans(&once.within((at(0), at(7)))), [(5, 7, ())]);
    assert_eq!(spans(&once.within((at(10), at(70)))), []);
}
