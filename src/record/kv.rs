//! The store of each install: JSON text by key, each with the version it is in.
//!
//! The statements are run in a handler's transaction, or in one of their own.

/// Keys of an install.
pub const KEYS_MAX: i64 = 1_000;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value as JSON.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// The value and the version of key `$2` of the install `$1`.
pub const GET: &str = "SELECT value, version FROM rowgate.kv WHERE install_id = $1 AND key = $2";

/// Puts `$3` under key `$2` of the install `$1`, which holds `$4` keys at most; answers the version.
pub const PUT: &str = "INSERT INTO rowgate.kv (install_id, key, value, version)
     SELECT $1, $2, $3, 1
     WHERE (SELECT count(*) FROM rowgate.kv WHERE install_id = $1) < $4
        OR EXISTS (SELECT FROM rowgate.kv WHERE install_id = $1 AND key = $2)
     ON CONFLICT (install_id, key) DO UPDATE SET value = excluded.value, version = kv.version + 1
     RETURNING version";

/// [`PUT`] where there is no such key yet.
pub const PUT_NEW: &str = "INSERT INTO rowgate.kv (install_id, key, value, version)
     SELECT $1, $2, $3, 1
     WHERE (SELECT count(*) FROM rowgate.kv WHERE install_id = $1) < $4
     ON CONFLICT (install_id, key) DO NOTHING
     RETURNING version";

/// Puts `$3` in the place of version `$4`.
pub const PUT_OVER: &str = "UPDATE rowgate.kv SET value = $3, version = version + 1
     WHERE install_id = $1 AND key = $2 AND version = $4
     RETURNING version";

/// Deletes key `$2` of the install `$1`, where `$3` is null or its version.
pub const DELETE: &str = "DELETE FROM rowgate.kv
     WHERE install_id = $1 AND key = $2 AND ($3 IS NULL OR version = $3)
     RETURNING version";

/// Keys of the install `$1` that begin with `$2` and come behind `$3`, `$4` of them at most, with
/// their versions.
pub const LIST: &str = "SELECT key, version FROM rowgate.kv
     WHERE install_id = $1 AND starts_with(key, $2) AND key > $3
     ORDER BY key LIMIT $4";
