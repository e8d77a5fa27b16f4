//! The engine against real file systems and hostile depots.

mod basics;
mod world;
