//! The `lumbung-controller` program: see `lumbung_controller::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lumbung_controller::cli::main()
}
