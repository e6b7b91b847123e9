//! The database server, the gateway's own tables in it, and what is left over there.

use std::time::{Duration, SystemTime};

use tokio_postgres::{Client, Error};

use crate::cli::doctor::Report;
use crate::config::{Config, Durability, Roles};
use crate::db::inspect::{self, Server, VERSION_MIN};
use crate::db::migrate::{self, State};
use crate::db::rights;
use crate::record::upkeep;
use crate::vault::Vault;

/// Tokens are good from one second to another, so clocks must agree about it.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5);
/// A gateway sweeps once a minute.
const SWEEP_GRACE_S: f64 = 900.0;
/// Behind a change of tables a call may wait as long as 150 ms for a lock, and then runs.
const STATEMENT_TIMEOUT_MS_MIN: u64 = 500;

/// Whether the gateway's own tables are there, so that more can be asked.
pub(super) async fn examine(report: &mut Report, config: &Config, client: &Client) -> Result<bool, Error> {
    let asked_at = SystemTime::now();
    let server = Server::read(client).await?;
    clock(report, &server, asked_at);
    if server.version < VERSION_MIN {
        let (major, least) = (server.version / 10_000, VERSION_MIN / 10_000);
        let message = format!("Postgres {major} is too old; {least} is the oldest that works");
        report.error("postgres_too_old", "database", message, format!("upgrade to Postgres {least} or newer"));
    }
    if server.encoding != "UTF8" {
        let message = format!("the database's encoding is {}", server.encoding);
        report.error("encoding_not_utf8", "database", message, "create the database anew with ENCODING 'UTF8'");
    }
    if server.is_in_recovery {
        let message = "the server is a standby, and nothing can be written to it";
        report.error("database_read_only", "database", message, "point DATABASE_URL at the primary");
    }
    settings(report, &server);
    connections(report, config, &server);
    if config.database.statement_timeout_ms < STATEMENT_TIMEOUT_MS_MIN {
        let message = format!(
            "database.statement_timeout_ms is {}: calls that wait behind a change of tables may fail",
            config.database.statement_timeout_ms
        );
        let hint = format!("set it to {STATEMENT_TIMEOUT_MS_MIN} or more");
        report.warning("statement_timeout_short", "configuration", message, hint);
    }
    role(report, config, client, &server).await?;
    own_tables(report, client).await
}

fn clock(report: &mut Report, server: &Server, asked_at: SystemTime) {
    // The server looked at its clock at some moment between.
    let answered_at = SystemTime::now();
    let behind = asked_at.duration_since(server.now).unwrap_or_default();
    let ahead = server.now.duration_since(answered_at).unwrap_or_default();
    if behind.max(ahead) > CLOCK_SKEW_MAX {
        let (seconds, word) = if behind > ahead { (behind.as_secs(), "behind") } else { (ahead.as_secs(), "ahead of") };
        let message = format!("the database's clock is {seconds} s {word} this machine's");
        let hint = "have both keep time by NTP: tokens and kept answers expire by them";
        report.warning("clock_skew", "database", message, hint);
    }
}

fn settings(report: &mut Report, server: &Server) {
    let cases = [
        ("fsync", "off", "durability_off", "a crash of the server may lose or damage everything"),
        ("full_page_writes", "off", "durability_off", "a crash of the server may damage its pages"),
        ("autovacuum", "off", "autovacuum_off", "tables grow without end, and plans are made of old numbers"),
        ("track_counts", "off", "autovacuum_off", "autovacuum does not know what to do"),
    ];
    for (name, bad, code, why) in cases {
        if server.setting(name) == bad {
            report.error(code, "database", format!("`{name}` is {bad}: {why}"), format!("set `{name} = on`"));
        }
    }
    if server.setting("synchronous_commit") == "off" {
        let message = "`synchronous_commit` is off: a write that was answered may be lost in a crash";
        report.warning("durability_off", "database", message, "set `synchronous_commit = on`, or accept it");
    }
    let isolation = server.setting("default_transaction_isolation");
    if isolation != "read committed" {
        let message = format!("`default_transaction_isolation` is `{isolation}`, so writes fail that need not");
        let hint = "set it to `read committed` for the gateway's role and database";
        report.warning("isolation_changed", "database", message, hint);
    }
}

/// What one gateway of this configuration opens.
fn connections(report: &mut Report, config: &Config, server: &Server) {
    let database = &config.database;
    let workers = config.http.workers();
    let of_barrier = usize::from(database.durability == Durability::Barrier);
    let of_worker = database.read_lanes + database.write_lanes + of_barrier + database.transaction_connections_max;
    // One more listens for changes.
    let needed = i64::try_from(workers * of_worker + database.pool_connections_max + 1).unwrap_or(i64::MAX);
    let most = server.connections_max();
    let opened = format!("a gateway with {workers} workers opens up to {needed} connections");
    if needed > most {
        let message = format!("{opened}, and its role may have {most}");
        let hint = "raise `max_connections`, or lower database.write_lanes, \
                    database.transaction_connections_max or http.workers";
        report.error("connections_too_few", "database", message, hint);
    } else if server.connections_used > most - most / 10 {
        let message = format!("{} of {most} connections are in use; {opened}", server.connections_used);
        report.warning("connections_nearly_used", "database", message, "raise `max_connections`, or find who has them");
    }
}

async fn role(report: &mut Report, config: &Config, client: &Client, server: &Server) -> Result<(), Error> {
    let role = &server.role;
    if server.role_is_superuser {
        let message = format!("the gateway logs in as `{role}`, a superuser: no wall stands before it");
        let hint = "have it log in as a role of its own, as docs/operations.md makes it";
        report.error("role_is_superuser", "database", message, hint);
    }
    if config.database.roles == Roles::PerExtension {
        let missing = rights::missing(client).await?.len();
        if missing > 0 {
            let message = format!("{missing} rights are missing or too many for the wall between extensions to hold");
            report.error("rights_missing", "database", message, "run `rowgate roles | psql` as a superuser, once");
        }
    }
    Ok(())
}

async fn own_tables(report: &mut Report, client: &Client) -> Result<bool, Error> {
    let bring = "run `rowgate apply`, or start a gateway: either brings them up to date";
    let is_there = match migrate::state(client).await? {
        State::Current => true,
        State::Missing => {
            report.error("migrations_missing", "database", "the gateway's own tables are not there", bring);
            false
        }
        State::Behind { missing } => {
            let message = format!("the gateway's own tables lack the migrations {}", missing.join(", "));
            report.error("migrations_missing", "database", message, bring);
            false
        }
        State::Newer { found, known } => {
            let message = format!("the gateway's own tables are at version {found}, and this binary knows {known}");
            report.error("migrations_newer", "database", message, "use a binary as new as that");
            false
        }
        State::Edited { version } => {
            let message = format!("migration {version} was applied with other content than this binary has");
            report.error("migrations_edited", "database", message, "restore the file it was made from");
            true
        }
    };
    for index in inspect::invalid_indexes(client, "rowgate").await? {
        let message = format!("the index `{index}` of the gateway's own tables is invalid");
        report.error("index_invalid", "database", message, format!("run `REINDEX INDEX CONCURRENTLY {index}`"));
    }
    Ok(is_there)
}

/// What gateways should have swept, and what they need and lack.
pub(super) async fn examine_upkeep(report: &mut Report, config: &Config, client: &Client) -> Result<(), Error> {
    let answers = upkeep::unswept_answers(client, SWEEP_GRACE_S).await?;
    if answers > 0 {
        let message = format!("{answers} answers are kept although their time is over");
        let hint = "see that a gateway runs: each sweeps them once a minute, and logs why where it cannot";
        report.warning("answers_not_swept", "database", message, hint);
    }
    let installs = upkeep::untrimmed_installs(client).await?;
    if installs > 0 {
        let message = format!("handlers of {installs} installs have far more lines than are kept");
        let hint = "see that a gateway runs: each drops the oldest lines, and logs why where it cannot";
        report.warning("lines_not_trimmed", "database", message, hint);
    }
    let secrets = upkeep::secrets(client).await?;
    if secrets > 0 && config.secrets.key.is_none() {
        let message = format!("{secrets} secrets are set, and no key is configured to open them with");
        let hint = "set ROWGATE_SECRETS_KEY to the key they were sealed with, here and on every gateway";
        report.error("secrets_key_missing", "configuration", message, hint);
    } else if let Ok(vault) = Vault::new(&config.secrets) {
        let others = upkeep::secrets_marks(client)
            .await?
            .iter()
            .filter(|(mark, _)| !vault.knows(mark))
            .map(|(_, n)| n)
            .sum::<i64>();
        if others > 0 {
            let message = format!("{others} secrets were sealed with a key that is not configured");
            let hint = "set ROWGATE_SECRETS_KEY, or ROWGATE_SECRETS_FORMER_KEY beside a new one, to the key they were \
                        sealed with; or set those secrets anew";
            report.error("secrets_key_wrong", "configuration", message, hint);
        }
    }
    if upkeep::admin_keys(client).await? == 0 {
        let message = "there is no operator's key, so nobody can use the admin listener";
        report.warning("admin_key_missing", "database", message, "run `rowgate admin-key NAME`: it prints one, once");
    }
    let auth = &config.auth;
    if auth.hs256_secret.is_none() && auth.jwks_file.is_none() && auth.jwks_url.is_none() {
        let message = "no key for tokens is configured, so a gateway would refuse every one";
        let hint =
            "set ROWGATE_AUTH__JWKS_URL, ROWGATE_AUTH__JWKS_FILE or ROWGATE_AUTH__HS256_SECRET where gateways run";
        report.warning("signers_missing", "configuration", message, hint);
    }
    Ok(())
}
