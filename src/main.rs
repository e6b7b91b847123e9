//! The `rowgate` command.

use std::ffi::OsStr;
use std::process::ExitCode;

use rowgate::cli;
use rowgate::db::embedded;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: a supervisor must neither read configuration nor start a runtime of the gateway.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() == Some(OsStr::new(embedded::SUPERVISE_COMMAND)) {
        return embedded::supervise(arguments);
    }
    cli::run()
}
