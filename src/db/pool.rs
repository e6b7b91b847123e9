//! Pooled connections, for what needs one of its own: deploys, records, listeners, transactions.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};

use crate::config;
use crate::db::connect::{Connector, Purpose};
use crate::error::{Code, Failure};

/// Makes the pool; no connection is opened yet.
pub fn open(connector: &Connector, settings: &config::Database) -> Result<Pool, deadpool_postgres::BuildError> {
    let manager = Manager::from_config(
        connector.address(Purpose::Own),
        connector.tls(),
        // What a caller left set must not be seen by the next.
        ManagerConfig { recycling_method: RecyclingMethod::Clean },
    );
    Pool::builder(manager)
        .max_size(settings.pool_connections_max)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_millis(settings.pool_wait_timeout_ms)))
        .create_timeout(Some(Duration::from_millis(settings.connect_timeout_ms)))
        .recycle_timeout(Some(Duration::from_millis(settings.connect_timeout_ms)))
        .build()
}

/// A connection of the pool, or why there is none.
pub async fn take(pool: &Pool) -> Result<Object, Failure> {
    pool.get().await.map_err(|error| {
        Failure::new(Code::DatabaseUnavailable, "the database cannot be reached")
            .with_retry_after_s(1)
            .with_log(error.to_string())
    })
}
