//! File descriptors: each connection takes one, and most systems give a process 1,024 until it asks.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Logs, timers, listeners, and the pipes of script workers.
const OTHERS: u64 = 128;

/// Raises the maximum as far as the system allows, and says where that is too little for what `config`
/// lets be open with so many workers.
pub(super) fn raise(config: &Config, workers: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: maximum, maximum };
    let reached = if current == maximum || setrlimit(Resource::Nofile, wanted).is_ok() { maximum } else { current };
    let Some(reached) = reached else { return };
    let needed = needed(config, workers);
    if reached < needed {
        tracing::warn!(
            reached,
            needed,
            "too few file descriptors for all connections there may be; raise the limit, such as by LimitNOFILE, or \
             lower http.connections_max"
        );
    } else {
        tracing::info!(reached, needed, "file descriptors");
    }
}

/// How many this process may have open at most; none where nothing limits it.
pub(crate) fn reachable() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// How many a gateway of so many workers has open at most.
pub(crate) fn needed(config: &Config, workers: usize) -> u64 {
    let database = &config.database;
    let of_worker = database.read_lanes + database.write_lanes + database.transaction_connections_max + 8;
    let connections = config.http.connections_max + workers * of_worker + database.pool_connections_max;
    OTHERS + u64::try_from(connections + config.fetch.concurrent_max).unwrap_or(u64::MAX)
}
