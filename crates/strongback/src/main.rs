//! The binary. Everything is in the library.

fn main() -> std::process::ExitCode {
    strongback::cli::main()
}
