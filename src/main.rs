//! The `portcullis` program: reads arguments, runs one command, gives its exit code.

use std::io;
use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    portcullis::cli::run(std::env::args_os(), &mut io::stdout().lock(), &mut io::stderr()).into()
}
