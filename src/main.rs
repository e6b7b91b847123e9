//! The `rowgate` command.

use std::ffi::OsStr;
use std::process::ExitCode;

use rowgate::cli;
use rowgate::db::embedded;
use rowgate::script::worker;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: neither a supervisor nor a script worker may read configuration or start a
    // runtime of the gateway.
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    if command.as_deref() == Some(OsStr::new(embedded::SUPERVISE_COMMAND)) {
        return embedded::supervise(arguments);
    }
    if command.as_deref() == Some(OsStr::new(worker::COMMAND)) {
        return worker::run(arguments);
    }
    cli::run()
}
