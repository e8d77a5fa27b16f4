//! Rack units: who stands in which of them, on which face, and for whom they are kept.
//!
//! Units are numbered from the bottom, beginning with 1.

use std::fmt;

use crate::{Day, DeviceId, PdId, ReservationId};

/// The tallest rack there is, units.
pub const RACK_MAX_U: u8 = 60;

/// Rack units above one another, at the front, at the rear, or through the rack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    lowest_u: u8,
    height_u: u8,
    front: bool,
    rear: bool,
}

impl Span {
    /// Units from `lowest_u` upwards on these faces; none if that is nothing, or more than the tallest rack has.
    #[must_use]
    pub const fn new(lowest_u: u8, height_u: u8, (front, rear): (bool, bool)) -> Option<Self> {
        let within =
            lowest_u >= 1 && height_u >= 1 && lowest_u <= RACK_MAX_U && height_u <= RACK_MAX_U;
        if within && lowest_u + height_u <= RACK_MAX_U + 1 && (front || rear) {
            return Some(Self { lowest_u, height_u, front, rear });
        }
        None
    }

    /// The highest of its units.
    #[must_use]
    pub const fn top_u(&self) -> u8 {
        self.lowest_u + self.height_u - 1
    }

    /// Whether it takes this unit: at the front, at the rear.
    #[must_use]
    pub const fn takes(&self, unit: u8) -> (bool, bool) {
        let there = self.lowest_u <= unit && unit <= self.top_u();
        (there && self.front, there && self.rear)
    }

    /// Whether both want one unit on one face.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        let face = self.front && other.front || self.rear && other.rear;
        face && self.lowest_u <= other.top_u() && other.lowest_u <= self.top_u()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U{}", self.lowest_u)?;
        if self.height_u > 1 {
            write!(f, "-U{}", self.top_u())?;
        }
        f.write_str(match (self.front, self.rear) {
            (true, false) => " (front)",
            (false, true) => " (rear)",
            _ => " (front and rear)",
        })
    }
}

/// A device in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The device.
    pub id: DeviceId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub pd: PdId,
    /// That PD's code.
    pub code: String,
    /// Where it stands.
    pub span: Span,
}

/// Units that are kept for a PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The reservation.
    pub id: ReservationId,
    /// Its name.
    pub name: String,
    /// For whom.
    pub pd: PdId,
    /// That PD's code.
    pub code: String,
    /// What is kept.
    pub span: Span,
    /// The last day on which it binds anybody.
    pub until: Day,
}

impl Reserved {
    /// Whether it still binds anybody.
    #[must_use]
    pub fn binds(&self, today: Day) -> bool {
        today <= self.until
    }
}

/// Why something does not fit into a rack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The rack is not so tall.
    #[error("{span} of {name:?} ends above the rack, which has {height_u} units: take lower ones")]
    Beyond {
        /// What does not fit.
        name: String,
        /// Where it would be.
        span: Span,
        /// Units that the rack has.
        height_u: u8,
    },
    /// A device stands there.
    #[error("device {:?} of {} stands in {} already: take other units, or move it first", .0.name, .0.code, .0.span)]
    Occupied(Box<Standing>),
    /// They are kept for another PD, or reserved already.
    #[error("{} is reserved for {} until {} ({:?}): take other units, or end that reservation first", .0.span, .0.code, .0.until, .0.name)]
    Reserved(Box<Reserved>),
}

fn within(height_u: u8, name: &str, span: Span) -> Result<(), Misfit> {
    if span.top_u() <= height_u {
        return Ok(());
    }
    Err(Misfit::Beyond { name: name.to_owned(), span, height_u })
}

/// Whether a device fits into a rack of so many units, beside what stands there and what is reserved.
///
/// # Errors
/// What is in its way.
pub fn device_fits(
    height_u: u8,
    today: Day,
    (devices, reserved): (&[Standing], &[Reserved]),
    new: &Standing,
) -> Result<(), Misfit> {
    within(height_u, &new.name, new.span)?;
    let in_place = |one: &&Standing| one.id != new.id && one.span.overlaps(&new.span);
    if let Some(one) = devices.iter().find(in_place) {
        return Err(Misfit::Occupied(Box::new(one.clone())));
    }
    let kept =
        |one: &&Reserved| one.binds(today) && one.pd != new.pd && one.span.overlaps(&new.span);
    reserved.iter().find(kept).map_or(Ok(()), |one| Err(Misfit::Reserved(Box::new(one.clone()))))
}

/// Whether units can be reserved: none of them is already, and no other PD's device stands in them. What has lapsed
/// already keeps nobody out, and nothing keeps it out.
///
/// # Errors
/// What is in its way.
pub fn reservation_fits(
    height_u: u8,
    today: Day,
    (devices, reserved): (&[Standing], &[Reserved]),
    new: &Reserved,
) -> Result<(), Misfit> {
    within(height_u, &new.name, new.span)?;
    if !new.binds(today) {
        return Ok(());
    }
    let foreign = |one: &&Standing| one.pd != new.pd && one.span.overlaps(&new.span);
    if let Some(one) = devices.iter().find(foreign) {
        return Err(Misfit::Occupied(Box::new(one.clone())));
    }
    let taken =
        |one: &&Reserved| one.id != new.id && one.binds(today) && one.span.overlaps(&new.span);
    reserved.iter().find(taken).map_or(Ok(()), |one| Err(Misfit::Reserved(Box::new(one.clone()))))
}

/// Whether a rack of so many units holds what stands there and what is reserved.
///
/// # Errors
/// What would be above it.
pub fn rack_holds(
    height_u: u8,
    today: Day,
    (devices, reserved): (&[Standing], &[Reserved]),
) -> Result<(), Misfit> {
    devices.iter().try_for_each(|one| within(height_u, &one.name, one.span))?;
    let mut binding = reserved.iter().filter(|one| one.binds(today));
    binding.try_for_each(|one| within(height_u, &one.name, one.span))
}
