//! The test bed: a city in a temporary directory, made of the real programs.
//!
//! Everything is done as a user would do it, through the programs' command lines and configuration files.

pub mod alone;
pub mod city;
pub mod clocks;
pub mod databases;
pub mod evidence;
pub mod figures;
pub mod hosts;
pub mod people;
pub mod process;
pub mod ransomware;
pub mod relay;
pub mod requests;
pub mod tree;
