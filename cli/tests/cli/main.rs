//! The real binary on a repository in a temporary directory: what people do, what goes wrong, what is printed.

mod approvals;
mod drills;
mod errors;
mod escrow;
mod generated;
mod keys;
mod life;
mod media;
mod mounts;
mod office;
mod orders;
mod restores;
mod rosters;
mod rotation;
mod shapes;
mod vaults;
