//! What the fuzzers run: one function a parser that reads what an enemy could have written.
//!
//! A target takes any bytes and returns; it panics where a property does not hold. The properties are the format's
//! own: what decodes is canonical, what was encoded decodes to the same, a checker's yes is worth what the hashes
//! are, a limit holds before memory is taken for it. The same functions serve libFuzzer (`fuzz/`), which looks for
//! new inputs, and this crate's tests, which replay the kept ones with an ordinary compiler. A target is
//! a function of its input: where a parser needs keys, they are fixed.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a target fails by panicking")]

mod catalogue;
mod chain;
mod drills;
mod files;
mod frames;
mod keys;
mod objects;
mod packs;
mod probes;
pub mod seeds;
mod structured;
mod times;
mod wire;

/// A target: what it is called, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

macro_rules! targets {
    ($($module:ident: $($name:ident)*;)*) => {
        /// Every target. Each has a program in `fuzz/fuzz_targets` and a folder in `fuzz/corpus`.
        pub const TARGETS: &[Target] = &[$($((stringify!($name), $module::$name),)*)*];
    };
}

targets! {
    objects: roster session manifest receipt inventory scrub proof order hold tombstone segment usage grant grant_request
        revocation wrap standing_approval opening rehearsal;
    chain: roster_chain;
    packs: pack_head pack_checker presence usage_builder;
    keys: key_files order_file grant_file share_file agent_code codec;
    catalogue: catalogue_read catalogue_write catalogue_index root;
    frames: frame zstd_frame sealed_session chunker;
    wire: requests answers certificate_names certificate certificate_request range ids;
    files: agent_toml vault_toml controller_toml profile_toml register_csv register_import;
    probes: orders echo_reply;
    times: schedule rates excludes;
    drills: drill_plan drill_events;
}

/// Runs the target of that name on an input.
///
/// # Panics
/// If there is no such target, or a property does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = target.unwrap_or_else(|| panic!("no target is called {name}"));
    run(data);
}
