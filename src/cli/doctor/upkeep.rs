//! What slows a database down by and by: transactions that nobody ends, rows that are not cleaned up,
//! indexes that nobody uses.

use tokio_postgres::{Client, Error};

use crate::cli::doctor::Report;
use crate::db::inspect::{self, Holder, Wear};

/// A transaction this old is forgotten, not slow.
const TRANSACTION_S_MAX: f64 = 600.0;
/// Postgres stops at two thousand million; autovacuum begins long before this.
const AGE_MAX: i64 = 1_200_000_000;

pub(super) async fn examine(report: &mut Report, client: &Client) -> Result<(), Error> {
    for Holder { what, held_s } in inspect::holders(client, TRANSACTION_S_MAX).await? {
        let message =
            format!("{what} has been there for {} minutes; nothing deleted since is cleaned up", held_s as u64 / 60);
        let hint = "end it, such as by pg_terminate_backend, ROLLBACK PREPARED or pg_drop_replication_slot, and find out \
                    who left it";
        report.warning("transaction_old", "database", message, hint);
    }
    let age = inspect::age(client).await?;
    if age > AGE_MAX {
        let message = format!("the oldest row is {age} transactions old; Postgres refuses writes at 2,000,000,000");
        let hint = "find what holds vacuum up, as named here, and run `VACUUM (FREEZE)` as the tables' owner";
        report.error("wraparound_near", "database", message, hint);
    }
    for Wear { name, bytes, count } in inspect::worn_tables(client).await? {
        let message = format!("table `{name}` has {count} dead rows, and {} KiB in all", bytes >> 10);
        let hint = "see what holds vacuum up; `VACUUM` the table, and lower its `autovacuum_vacuum_scale_factor`";
        report.warning("table_bloated", "database", message, hint);
    }
    for Wear { name, bytes, count } in inspect::unused_indexes(client).await? {
        let message = format!(
            "index `{name}` has {} KiB and was never used, while its table was asked {count} times",
            bytes >> 10
        );
        let hint =
            "take it out of the definition, unless it is new or for what is asked rarely: each write pays for it";
        report.warning("index_unused", "database", message, hint);
    }
    Ok(())
}
