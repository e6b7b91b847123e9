//! `rowgate token`: a development token on standard output.

use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use crate::cli::role::As;
use crate::cli::state::{self, DATA_DIR};
use crate::cli::{Failed, output, own_name, read_config};

/// Print a token for calling functions while developing
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate token --as editor --user alice
  ROWGATE_AUTH__HS256_SECRET=… rowgate token --as viewer --install 0190a5c8-… --lifetime 15m")]
pub(super) struct Token {
    /// The role the token is worth
    #[arg(long = "as", value_name = "ROLE", default_value = "editor")]
    role: As,
    /// Who the caller is; dev-ROLE unless given, nobody for anonymous
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The only install the token is good for; that of `rowgate dev` unless given
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
    /// How long it is good: seconds, or a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime_s)]
    lifetime: u32,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(options: &Token) -> Result<(), Failed> {
    let auth = read_config(options.config.as_deref())?.auth;
    let kept = state::read_state(&options.data_dir)?;
    let secret = auth.hs256_secret.as_deref().or(kept.as_ref().map(|kept| kept.hs256_secret.as_str()));
    let secret = secret.ok_or_else(|| {
        Failed::Because(format!(
            "there is no secret to sign with: {} has no dev.json, which `{} dev DIR` makes; \
             for another gateway set ROWGATE_AUTH__HS256_SECRET and --install",
            options.data_dir.display(),
            own_name()
        ))
    })?;
    let install_id = match options.install {
        Some(install) => install,
        None => known_install(options, kept.as_ref())?,
    };
    if options.user.as_ref().is_some_and(String::is_empty) {
        return Err(Failed::Usage("--user is empty; leave it out for a token of nobody in particular".to_owned()));
    }
    let token = state::token(secret, &auth, install_id, options.role.into(), options.user.clone(), options.lifetime)?;
    output::result(&token)
}

/// The install that runs, or the only one there is.
fn known_install(options: &Token, kept: Option<&state::DevState>) -> Result<Uuid, Failed> {
    if let Some(running) = state::read_running(&options.data_dir)? {
        return Ok(running.install_id);
    }
    let installs: Vec<Uuid> = kept.iter().flat_map(|kept| kept.installs.values().copied()).collect();
    match installs.as_slice() {
        [only] => Ok(*only),
        [] => Err(Failed::Usage("which install the token is for is not known; name it with --install".to_owned())),
        several => {
            let several: Vec<String> = several.iter().map(Uuid::to_string).collect();
            Err(Failed::Usage(format!("there are several installs; choose one with --install: {}", several.join(", "))))
        }
    }
}

/// `90`, `90s`, `15m`, `1h` or `7d` in seconds.
fn lifetime_s(text: &str) -> Result<u32, String> {
    let (number, unit_s) = match text.char_indices().next_back() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3_600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        Some(_) | None => (Some(text), 1),
    };
    let seconds = number.and_then(|number| number.parse::<u32>().ok()).and_then(|number| number.checked_mul(unit_s));
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| "expected a time such as `15m`, `1h` or `7d`".to_owned())
}
