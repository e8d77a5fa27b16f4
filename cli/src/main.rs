//! `lumbung`: the command line of operators and key custodians.

fn main() -> std::process::ExitCode {
    lumbung_cli::main()
}
