//! The commands: what is typed becomes a call of the rooms, what they answer becomes lines and an
//! exit code.
//!
//! Exit codes: 0 fine, 1 the input or the call failed, 2 wrong usage; of `plan` 2 is that there is
//! something to do. Results go to standard output,
//! everything said about them to standard error. Each command is a file; nothing else uses these.

mod admin;
mod admin_key;
mod allow;
mod apply;
mod bundle;
mod call;
mod certificate;
mod check;
mod database;
mod dev;
mod doctor;
mod erase_user;
mod explain;
mod export;
mod extensions;
mod import;
mod init;
mod installs;
mod limits;
mod logs;
mod notify;
mod output;
mod plan;
mod revisions;
mod role;
mod roles;
mod sample;
mod schema;
mod serve;
mod state;
mod stop;
mod target;
mod token;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

const EXAMPLES: &str = "\
Start here:
  rowgate init my-extension     write a small bundle
  rowgate dev my-extension      serve it, with a private Postgres, and reload on every edit
  rowgate call listNotes        call one of its functions

Environment: DATABASE_URL is the Postgres to use; ROWGATE_CONFIG a configuration file;
ROWGATE_SECTION__KEY any key of it, such as ROWGATE_HTTP__WORKERS=2.";

/// Declare tables and functions; get a safe, fast, rate-limited database API for each extension.
#[derive(Debug, Parser)]
#[command(name = "rowgate", version, after_help = EXAMPLES, disable_help_subcommand = true, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Dev(dev::Dev),
    Check(check::Check),
    Explain(explain::Explain),
    Call(call::Call),
    Token(token::Token),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Rollback(revisions::Rollback),
    Revisions(revisions::Revisions),
    Logs(logs::Logs),
    Roles(roles::Roles),
    Doctor(doctor::Doctor),
    Serve(serve::Serve),
    AdminKey(admin_key::AdminKey),
    Installs(installs::Installs),
    Limits(limits::Limits),
    Export(export::Export),
    Import(import::Import),
    Extensions(extensions::Extensions),
    EraseUser(erase_user::EraseUser),
    Secrets(values::Secrets),
    Config(values::Configuration),
    Schema(schema::Schema),
}

/// Why a command ends with an exit code that is not 0.
#[derive(Debug)]
enum Failed {
    /// What is wrong has been printed already.
    Said,
    Because(String),
    /// `plan` found something to do.
    Pending,
    /// The command line or the environment is not what the command needs.
    Usage(String),
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed::Because(error.to_string())
    }
}

/// Reads the command line, does what it says, and answers the exit code.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to be told where the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err(Failed::Because(format!("cannot start: {error}")))),
    };
    let done = runtime.block_on(perform(arguments.command));
    // What still runs in the background, such as a database that was not waited for, ends with the process.
    runtime.shutdown_background();
    exit_code(done)
}

async fn perform(command: Command) -> Result<(), Failed> {
    match command {
        Command::Init(options) => init::run(&options),
        Command::Dev(options) => dev::run(options).await,
        Command::Check(options) => check::run(&options).await,
        Command::Explain(options) => explain::run(&options).await,
        Command::Call(options) => call::run(options).await,
        Command::Token(options) => token::run(&options),
        Command::Plan(options) => plan::run(&options).await,
        Command::Apply(options) => apply::run(&options).await,
        Command::Rollback(options) => revisions::rollback(&options).await,
        Command::Revisions(options) => revisions::run(&options).await,
        Command::Logs(options) => logs::run(&options).await,
        Command::Roles(options) => roles::run(&options).await,
        Command::Doctor(options) => doctor::run(&options).await,
        Command::Serve(options) => serve::run(&options).await,
        Command::AdminKey(options) => admin_key::run(&options).await,
        Command::Export(options) => export::run(&options).await,
        Command::Import(options) => import::run(&options).await,
        Command::Installs(options) => installs::run(options).await,
        Command::Limits(options) => limits::run(options).await,
        Command::Extensions(options) => extensions::run(options).await,
        Command::EraseUser(options) => erase_user::run(&options).await,
        Command::Secrets(options) => values::secrets(options).await,
        Command::Config(options) => values::configuration(options).await,
        Command::Schema(_) => schema::run(),
    }
}

fn exit_code(done: Result<(), Failed>) -> ExitCode {
    let (code, message) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Said) => return ExitCode::from(1),
        Err(Failed::Pending) => return ExitCode::from(2),
        Err(Failed::Because(message)) => (1, message),
        Err(Failed::Usage(message)) => (2, message),
    };
    output::note(&format!("{} {message}", output::Style::of_stderr().bad("error:")));
    ExitCode::from(code)
}

/// The configuration: `file`, or the one `ROWGATE_CONFIG` names, with the environment over it.
fn read_config(file: Option<&Path>) -> Result<Config, Failed> {
    // Variables that are not UTF-8 are none of ours.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name == "DATABASE_URL" || name.starts_with("ROWGATE_") || name.starts_with("OTEL_"))
        .collect();
    Config::read(file, &environment).map_err(|error| Failed::Usage(error.to_string()))
}

/// How this command was typed, for lines that are printed to be pasted.
fn own_name() -> String {
    match std::env::args().next() {
        Some(typed) if typed.contains('/') => output::shell_word(&typed),
        Some(_) | None => "rowgate".to_owned(),
    }
}
