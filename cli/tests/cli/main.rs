//! The real binary on a repository in a temporary directory: what people do, what goes wrong, what is printed.

mod drills;
mod errors;
mod generated;
mod keys;
mod life;
mod media;
mod office;
mod orders;
mod rosters;
mod shapes;
mod vaults;
