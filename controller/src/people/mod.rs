//! Accounts: what a person may do ([`access`]), and how the controller knows who somebody is ([`login`]).
//!
//! Invariants: passwords are kept as Argon2id, cookies and tokens as SHA-256; a login that fails says no more than that
//! it failed, and costs one password whether the account exists or not; no code of the second factor is taken twice; every
//! change of an account, every login and every failure stands in the audit log, without a secret.

pub mod access;
pub mod accounts;
mod lockout;
pub mod login;
mod passwords;
mod totp;

pub use accounts::PeopleError;
#[cfg(test)]
pub(crate) use totp::code_at;
