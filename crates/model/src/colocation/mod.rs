//! Colocation: what fits where. Rack units with two faces, power feeds, pools of processors, memory and disk.
//!
//! Pure: given what stands there, does this fit? Invariants: what does not fit is refused with what stands there now; a
//! reservation binds every PD but its own, up to the end of its last day, and nobody after it; a feed carries the whole
//! draw of each device on it, since its partner may fail at any time.

mod pool;
mod power;
mod space;

#[cfg(test)]
mod tests;

pub use pool::{Share, Shortfall, usable_vcpus};
pub use power::{Draw, Overload, carries, usable_w};
pub use space::{
    Misfit, RACK_MAX_U, Reserved, Span, Standing, device_fits, rack_holds, reservation_fits,
};
