//! `lumbung-agent`: reads the command line and hands it to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lumbung_agent::main(std::env::args_os())
}
