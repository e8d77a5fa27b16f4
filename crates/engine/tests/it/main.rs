//! The engine against real file systems and hostile depots.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking"
)]

mod basics;
mod cache;
mod changes;
mod crash;
mod damage;
mod faults;
mod hostile;
mod model;
mod reading;
mod restoring;
mod resumed;
mod special;
mod standing;
mod streams;
mod world;
mod wraps;
