//! The program `lumbung-vault`: see [`lumbung_vault::cli`].

fn main() -> std::process::ExitCode {
    lumbung_vault::cli::main()
}
