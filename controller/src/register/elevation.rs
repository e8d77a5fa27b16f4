//! A rack unit by unit, as its elevation shows it.

use lumbung_model::colocation::{Reserved, Standing};
use lumbung_model::{Day, PdId};
use lumbung_wire::messages::register::{Elevation, ElevationUnit, Rack, Slot, SlotState};

/// What stands in a rack and what is kept in it on a day, from the top down. A device hides the reservation it stands in.
#[must_use]
pub fn elevation(
    rack: &Rack,
    on: Day,
    (devices, reserved): (&[Standing], &[Reserved]),
) -> Elevation {
    let slot = |unit: u8, face: fn((bool, bool)) -> bool| {
        if let Some(one) = devices.iter().find(|one| face(one.span.takes(unit))) {
            let (name, code) = (Some(one.name.clone()), Some(one.code.clone()));
            let (state, device) = (SlotState::Device, Some(one.id));
            return Slot { state, device, reservation: None, name, pd: Some(one.pd), code };
        }
        let kept = |one: &&Reserved| one.binds(on) && face(one.span.takes(unit));
        if let Some(one) = reserved.iter().find(kept) {
            let (name, code) = (Some(one.name.clone()), Some(one.code.clone()));
            let (state, reservation) = (SlotState::Reserved, Some(one.id));
            return Slot { state, device: None, reservation, name, pd: Some(one.pd), code };
        }
        let state = SlotState::Free;
        Slot { state, device: None, reservation: None, name: None, pd: None, code: None }
    };
    let unit = |unit: u8| ElevationUnit {
        unit,
        front: slot(unit, |(front, _)| front),
        rear: slot(unit, |(_, rear)| rear),
    };
    let units = (1..=rack.height_u).rev().map(unit).collect();
    Elevation { rack: rack.id, name: rack.name.clone(), on, units }
}

/// What a PD is shown of it: what is another's is taken, and nothing else is said of it.
#[must_use]
pub fn as_seen_by(pd: PdId, mut rack: Elevation) -> Elevation {
    let hide = |slot: &mut Slot| {
        if slot.pd.is_some_and(|of| of != pd) {
            let state = SlotState::Taken;
            *slot =
                Slot { state, device: None, reservation: None, name: None, pd: None, code: None };
        }
    };
    for unit in &mut rack.units {
        hide(&mut unit.front);
        hide(&mut unit.rear);
    }
    rack
}
