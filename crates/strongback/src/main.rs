//! The binary. Everything is in the library, but for the allocator, which a program chooses and a library does not.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    strongback::cli::main()
}
