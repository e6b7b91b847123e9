//! Rights that everybody has in a new database, and that nobody may have behind the wall.
//!
//! They let one statement leave its role, keep state in a session that others use next, or hold up the
//! gateway's own work. What our role may take from PUBLIC is taken at each start; the rest needs a
//! superuser, once: [`missing`] says it as SQL.

use tokio_postgres::{Client, Error};

/// A single SELECT could switch roles by the first, store what it read by the next four, and read by the
/// last what other extensions have prepared on its session.
const NEVER_NEEDED: &[&str] =
    &["set_config", "lo_creat", "lo_create", "lo_from_bytea", "lo_import", "pg_prepared_statement"];

/// By these it could hold up deploys, or have every gateway read the registry over and over. The gateway
/// uses them itself, so they are granted to it before they are taken from everybody.
const GATEWAY_ONLY: &[&str] = &[
    "pg_notify",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
];

/// Fails where the current role could change whose rows it sees, or keep something. Sent in front of
/// SQL that a handler wrote, so that it fails with it.
pub const GUARD: &str = "SELECT 1 / CASE WHEN EXISTS (\
SELECT FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace \
AND proname IN ('set_config', 'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'pg_prepared_statement', \
'pg_notify', 'pg_advisory_lock', 'pg_advisory_lock_shared', 'pg_advisory_unlock', 'pg_advisory_unlock_all', \
'pg_advisory_unlock_shared', 'pg_advisory_xact_lock', 'pg_advisory_xact_lock_shared', 'pg_try_advisory_lock', \
'pg_try_advisory_lock_shared', 'pg_try_advisory_xact_lock', 'pg_try_advisory_xact_lock_shared') \
AND has_function_privilege(oid, 'EXECUTE')) THEN 0 ELSE 1 END";

/// What a superuser, connected to this database, has to run before the wall holds for the role this
/// connection is logged in as; nothing where nothing is missing.
pub async fn missing(client: &Client) -> Result<Vec<String>, Error> {
    let all = [NEVER_NEEDED, GATEWAY_ONLY].concat();
    let mut statements = Vec::new();
    for row in client.query(FOR_THE_GATEWAY, &[&GATEWAY_ONLY]).await? {
        statements.push(row.try_get(0)?);
    }
    for row in client.query(FROM_PUBLIC, &[&all]).await? {
        statements.push(row.try_get(0)?);
    }
    Ok(statements)
}

/// Takes from PUBLIC what this role may take and no gateway needs.
pub async fn revoke(client: &Client) -> Result<(), Error> {
    // A REVOKE rewrites its catalog row each time, so only where the right is still there.
    for row in client.query(FROM_PUBLIC, &[&NEVER_NEEDED]).await? {
        let (statement, is_ours): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        if is_ours {
            client.batch_execute(&statement).await?;
        }
    }
    Ok(())
}

/// Does what [`missing`] says for `role`, on a superuser's connection to its database.
pub async fn prepare(superuser: &Client, role: &str) -> Result<(), Error> {
    let log_in = superuser.query_one("SELECT format('SET SESSION AUTHORIZATION %I', $1::text)", &[&role]).await?;
    superuser.batch_execute(log_in.try_get(0)?).await?;
    let missing = missing(superuser).await;
    superuser.batch_execute("RESET SESSION AUTHORIZATION").await?;
    for statement in missing? {
        superuser.batch_execute(&statement).await?;
    }
    Ok(())
}

/// A gateway that inherits the rights of the roles it may take would be in front of the wall all the time.
/// Deploys of tables with triggers need the language, and no superuser needs anything.
const FOR_THE_GATEWAY: &str = "
SELECT format('ALTER ROLE %I CREATEROLE NOINHERIT', rolname) FROM pg_catalog.pg_roles
 WHERE rolname = session_user AND NOT rolsuper AND (NOT rolcreaterole OR rolinherit)
UNION ALL
SELECT format('GRANT USAGE ON LANGUAGE %I TO %I WITH GRANT OPTION', lanname, session_user)
  FROM pg_catalog.pg_language
 WHERE lanname = 'plpgsql' AND NOT has_language_privilege(session_user, oid, 'USAGE WITH GRANT OPTION')
UNION ALL
SELECT format('GRANT EXECUTE ON FUNCTION pg_catalog.%s TO %I', f.oid::regprocedure, session_user)
  FROM pg_catalog.pg_proc f, LATERAL (
       SELECT bool_or(acl.grantee = r.oid) AS granted
         FROM pg_catalog.pg_roles r, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) acl
        WHERE r.rolname = session_user) given
 WHERE f.pronamespace = 'pg_catalog'::regnamespace AND f.proname = ANY($1) AND NOT given.granted
   AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)";

/// Each with whether the current role may do it.
const FROM_PUBLIC: &str = "
SELECT format('REVOKE EXECUTE ON FUNCTION pg_catalog.%s FROM PUBLIC', oid::regprocedure), pg_has_role(proowner, 'USAGE')
  FROM pg_catalog.pg_proc
 WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY($1)
   AND has_function_privilege('public', oid, 'EXECUTE')
UNION ALL
SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', datname), pg_has_role(datdba, 'USAGE')
  FROM pg_catalog.pg_database
 WHERE datname = current_database() AND has_database_privilege('public', oid, 'TEMPORARY')
UNION ALL
SELECT format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', nspname), pg_has_role(nspowner, 'USAGE')
  FROM pg_catalog.pg_namespace
 WHERE nspname = 'public' AND has_schema_privilege('public', oid, 'CREATE')
UNION ALL
SELECT format('REVOKE USAGE ON LANGUAGE %I FROM PUBLIC', lanname), pg_has_role(lanowner, 'USAGE')
  FROM pg_catalog.pg_language
 WHERE lanpltrusted AND lanname <> 'sql' AND has_language_privilege('public', oid, 'USAGE')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_asks_for_each_right() {
        for name in NEVER_NEEDED.iter().chain(GATEWAY_ONLY) {
            assert!(GUARD.contains(&format!("'{name}'")), "{name}");
        }
    }
}
