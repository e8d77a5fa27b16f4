//! A rack drawn as text: both faces side by side, unit by unit, from the top down.
//!
//! Invariant: columns stay columns whatever the names hold: widths are those of a terminal, where some signs take two cells,
//! and with `ascii` nothing but ASCII is written.

use lumbung_wire::messages::register::{Elevation, Slot, SlotState};
use unicode_width::UnicodeWidthChar as _;

use crate::terminal::{Lang, printable};

/// Cells of one face.
const FACE: usize = 40;

/// The rack as text.
pub(crate) fn draw(rack: &Elevation, lang: Lang, ascii: bool) -> String {
    let signs = if ascii { ["|", "#", ":", "x", "."] } else { ["│", "█", "░", "▒", "·"] };
    let [wall, device, reserved, taken, free] = signs;
    let (front, rear) = lang.pick(("Depan", "Belakang"), ("Front", "Rear"));
    let plain = |text: &str| if ascii { to_ascii(text) } else { text.to_owned() };
    let name = plain(&printable(rack.name.as_bytes()));
    let mut text = format!("{name}, {} U, {}\n", rack.units.len(), rack.on);
    text += &line("  U", wall, [front.to_owned(), rear.to_owned()]);
    let (mut above_front, mut above_rear) = (None, None);
    for unit in &rack.units {
        let face = |slot: &Slot, above: &mut Option<Slot>| {
            let sign = match slot.state {
                SlotState::Free => free,
                SlotState::Device => device,
                SlotState::Reserved => reserved,
                SlotState::Taken => taken,
            };
            // What takes several units is named once, in its highest.
            let again = above.as_ref() == Some(slot);
            *above = Some(slot.clone());
            match (&slot.name, &slot.code, again) {
                (Some(name), Some(code), false) => plain(&format!(
                    "{sign} {} ({})",
                    printable(name.as_bytes()),
                    printable(code.as_bytes())
                )),
                _ => sign.to_owned(),
            }
        };
        let faces = [face(&unit.front, &mut above_front), face(&unit.rear, &mut above_rear)];
        text += &line(&format!("{:>3}", unit.unit), wall, faces);
    }
    let words = lang.pick(
        ["perangkat", "dicadangkan", "terisi", "kosong"],
        ["device", "reserved", "taken", "free"],
    );
    // Only a PD is shown units that are taken by nobody knows whom.
    let faces = || rack.units.iter().flat_map(|unit| [&unit.front, &unit.rear]);
    let is_shown = |sign: &str| sign != taken || faces().any(|slot| slot.state == SlotState::Taken);
    let legend: Vec<_> = [device, reserved, taken, free]
        .into_iter()
        .zip(words)
        .filter(|(sign, _)| is_shown(sign))
        .map(|(sign, word)| format!("{sign} {word}"))
        .collect();
    text + &legend.join("  ") + "\n"
}

fn line(unit: &str, wall: &str, faces: [String; 2]) -> String {
    let [front, rear] = faces.map(|face| fitted(&face));
    format!("{unit} {wall} {front} {wall} {}\n", rear.trim_end())
}

/// A text in exactly [`FACE`] cells of a terminal.
fn fitted(text: &str) -> String {
    let (mut fitted, mut width) = (String::new(), 0);
    for c in text.chars() {
        let cells = c.width().unwrap_or(0);
        if width + cells > FACE {
            break;
        }
        fitted.push(c);
        width += cells;
    }
    fitted + &" ".repeat(FACE - width)
}

fn to_ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use lumbung_model::{DeviceId, PdId, RackId, ReservationId};
    use lumbung_wire::messages::register::ElevationUnit;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    fn slot(state: SlotState, name: &str) -> Slot {
        let named = (!name.is_empty()).then(|| name.to_owned());
        let (device, reservation) = match state {
            SlotState::Device => (Some(DeviceId::ZERO), None),
            SlotState::Reserved => (None, Some(ReservationId::ZERO)),
            SlotState::Free | SlotState::Taken => (None, None),
        };
        let (pd, code) =
            (named.as_ref().map(|_| PdId::ZERO), named.as_ref().map(|_| "DINKES".into()));
        Slot { state, device, reservation, name: named, pd, code }
    }

    fn rack() -> Elevation {
        let unit = |unit, front: &Slot, rear: &Slot| ElevationUnit {
            unit,
            front: front.clone(),
            rear: rear.clone(),
        };
        let free = slot(SlotState::Free, "");
        let (web, kept) = (slot(SlotState::Device, "サーバー1"), slot(SlotState::Reserved, "baru"));
        Elevation {
            rack: RackId::ZERO,
            name: "R1".into(),
            on: "2026-11-29".parse().unwrap(),
            units: vec![unit(3, &free, &free), unit(2, &web, &kept), unit(1, &web, &free)],
        }
    }

    #[test]
    fn a_rack_is_drawn_from_the_top_with_each_thing_named_once() {
        let drawn = draw(&rack(), Lang::Id, true);
        let front = |text: &str| format!("{text:<40}");
        let expected = [
            "R1, 3 U, 2026-11-29".to_owned(),
            format!("  U | {} | Belakang", front("Depan")),
            format!("  3 | {} | .", front(".")),
            format!("  2 | {} | : baru (DINKES)", front("# ????1 (DINKES)")),
            format!("  1 | {} | .", front("#")),
            "# perangkat  : dicadangkan  . kosong".to_owned(),
        ];
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expected);
        assert!(drawn.is_ascii());
    }

    #[test]
    fn what_is_anothers_is_taken_and_has_no_name() {
        let taken = slot(SlotState::Taken, "");
        let unit =
            |unit| ElevationUnit { unit, front: taken.clone(), rear: slot(SlotState::Free, "") };
        let drawn = draw(&Elevation { units: vec![unit(2), unit(1)], ..rack() }, Lang::En, true);
        assert!(drawn.contains("  2 | x ") && drawn.contains("  1 | x "), "{drawn}");
        assert!(drawn.ends_with("x taken  . free\n"), "{drawn}");
    }

    #[test]
    fn signs_that_take_two_cells_do_not_move_the_wall() {
        let drawn = draw(&rack(), Lang::En, false);
        let walls: Vec<usize> = drawn
            .lines()
            .filter(|line| line.contains('│'))
            .map(|line| line.rsplit_once('│').unwrap().0.width())
            .collect();
        assert!(walls.len() == 4 && walls.windows(2).all(|pair| pair[0] == pair[1]), "{walls:?}");
        assert!(drawn.contains("█ サーバー1 (DINKES)"), "{drawn}");
    }

    #[test]
    fn a_long_name_is_cut_at_the_wall() {
        assert_eq!(fitted(&"x".repeat(90)).width(), FACE);
        assert_eq!(fitted(&"サ".repeat(90)).width(), FACE);
        assert_eq!(fitted(&format!("x{}", "サ".repeat(90))).width(), FACE);
    }
}
