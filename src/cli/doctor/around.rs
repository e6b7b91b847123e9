//! What a gateway of this configuration needs besides its database, looked at from this machine: whoever
//! signs tokens, the Redis of shared limits, file descriptors, and the kernel's walls around scripts.

use std::time::Duration;

use crate::auth::Authenticator;
use crate::cli::doctor::Report;
use crate::config::Config;
use crate::gateway::script_settings;
use crate::limit::shared;
use crate::script::pool::{Pool, Refused};
use crate::script::worker::Held;
use crate::server::descriptors;

const WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(super) async fn examine(report: &mut Report, config: &Config) {
    descriptors(report, config);
    signers(report, config).await;
    redis(report, config).await;
    walls(report, config).await;
}

fn descriptors(report: &mut Report, config: &Config) {
    let needed = descriptors::needed(config, config.http.workers());
    let Some(reachable) = descriptors::reachable().filter(|reachable| *reachable < needed) else { return };
    let message = format!("a gateway may have {reachable} file descriptors, and needs up to {needed}");
    let hint = "raise the limit, such as by LimitNOFILE of its unit or `--ulimit nofile` of its container, or lower \
                http.connections_max";
    report.warning("descriptors_too_few", "machine", message, hint);
}

/// Whether the keys that sign tokens can be read.
async fn signers(report: &mut Report, config: &Config) {
    let authenticator = match Authenticator::new(&config.auth) {
        Ok(authenticator) => authenticator,
        Err(error) => {
            report.error("signers_unreadable", "configuration", error.to_string(), "mend the settings of `auth`");
            return;
        }
    };
    let ready = async {
        while !authenticator.is_ready() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let is_ready = tokio::select! {
        () = authenticator.keep_signers_current() => authenticator.is_ready(),
        ready = tokio::time::timeout(WITHIN, ready) => ready.is_ok(),
    };
    if !is_ready {
        let message = format!("the keys of auth.jwks_url could not be fetched within {} s", WITHIN.as_secs());
        let hint = "check the URL, and that this machine reaches it: without them every token is refused";
        report.error("signers_unreachable", "configuration", message, hint);
    }
}

async fn redis(report: &mut Report, config: &Config) {
    if let Some(Err(reason)) = shared::reach(&config.limits, WITHIN).await {
        let message = format!("the Redis of limits.redis_url does not answer: {reason}");
        let hint = "bring it back, or mend the URL: each gateway enforces its share meanwhile";
        report.warning("redis_unreachable", "configuration", message, hint);
    }
}

/// Starts a worker as a gateway would, and asks what holds it.
async fn walls(report: &mut Report, config: &Config) {
    match Pool::new(script_settings(&config.script)).warm().await {
        Ok(jail) if jail.is_whole() => {}
        Ok(jail) => {
            let weak = |held: Held| held != Held::Whole;
            let missing: Vec<&str> = [(jail.files, "landlock"), (jail.calls, "seccomp")]
                .into_iter()
                .filter_map(|(held, name)| weak(held).then_some(name))
                .collect();
            let message = format!(
                "the kernel holds script workers less than it could: by {} not at all or in part",
                missing.join(" and ")
            );
            let hint = "use a kernel of 6.12 or newer, and let a container's profile pass landlock's and seccomp's calls; \
                        the walls that are there hold";
            report.warning("sandbox_weak", "machine", message, hint);
        }
        Err(Refused::Full) => {}
        Err(Refused::NotStarted(reason)) => {
            let message = format!("no script worker can be started here, so handlers cannot run: {reason}");
            let hint = "see that this user may start processes, and that script.executable is this binary";
            report.error("sandbox_not_started", "machine", message, hint);
        }
    }
}
