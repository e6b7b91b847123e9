//! The second wall: a database role for each extension, with rights on the rows of its own tables alone.
//!
//! The gateway logs in as a role that may take these and inherits nothing from them, so a statement that
//! runs without a role, or in another extension's, is refused by Postgres whatever the compiler wrote.
//! The tables belong to a role that no call ever takes: Postgres checks references as a table's owner,
//! and an owner could change its tables. Roles are of the whole server; their names begin with the
//! gateway's own, so that two gateways on one server never share one. None is ever dropped here.

use tokio_postgres::{Client, GenericClient, Transaction};
use uuid::Uuid;

use crate::db::sqlstate;

/// From here on a role's rights are inherited or not by each membership.
const INHERIT_PER_GRANT_VERSION: i32 = 160_000;
/// Postgres cuts names off behind this, and an extension's takes 37 of it.
const PREFIX_BYTES_MAX: usize = 26;

/// The roles of one extension on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// The role the gateway is logged in as.
    gateway: String,
    /// The role that owns the tables of every extension.
    owner: String,
    /// The role the extension's statements run as.
    pub role: String,
}

#[derive(Debug, thiserror::Error)]
pub enum WallError {
    #[error(
        "an extension's database role is missing and `{gateway}` may not make it; `rowgate roles` prints what a \
         superuser has to run once, and database.roles = \"none\" does without"
    )]
    MayNotCreate { gateway: String },
    #[error(
        "the role `{gateway}` inherits the rights of every role it may take, so no wall would stand; run ALTER ROLE \
         \"{gateway}\" NOINHERIT, or set database.roles = \"none\""
    )]
    Inherits { gateway: String },
    #[error(
        "there is a role `{role}` already, with rights beyond an extension's; drop it, or have the gateway log in as \
         another role"
    )]
    TooStrong { role: String },
    #[error(
        "{what} belongs to the role `{by}`, which the gateway may not take it from; make `{owner}` its owner first"
    )]
    Foreign { what: String, by: String, owner: String },
    #[error("Postgres refused to build the wall: {}", crate::db::migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

impl WallError {
    /// Whether another deploy on the same server made a role at the same moment: the next attempt finds it.
    pub fn is_race(&self) -> bool {
        match self {
            WallError::Database(error) => sqlstate::is_contention(error) || sqlstate::is_made_meanwhile(error),
            WallError::MayNotCreate { .. }
            | WallError::Inherits { .. }
            | WallError::TooStrong { .. }
            | WallError::Foreign { .. } => false,
        }
    }
}

impl Wall {
    /// The roles of `extension`, made where they are missing; the gateway may take them.
    pub async fn prepare(transaction: &Transaction<'_>, extension: Uuid) -> Result<Wall, WallError> {
        let row = transaction.query_one(GATEWAY, &[]).await?;
        let (gateway, may_create, version) = (row.try_get::<_, String>(0)?, row.try_get(1)?, row.try_get(2)?);
        let prefix = prefix(&gateway);
        let (owner, role) = (format!("{prefix}_tables"), format!("{prefix}_ext_{}", extension.simple()));
        let wall = Wall { gateway, owner, role };
        for name in [&wall.owner, &wall.role] {
            wall.prepare_role(transaction, name, may_create, version).await?;
        }
        // What tables need beyond rows, such as the language of a trigger, is the owner's to have.
        let lacking = transaction.query(LANGUAGE, &[&wall.owner]).await?;
        for row in lacking {
            transaction.batch_execute(row.try_get(0)?).await?;
        }
        Ok(wall)
    }

    /// Makes `role`, which reads for the extension's handlers, where it is missing.
    pub(super) async fn prepare_reader(&self, transaction: &Transaction<'_>, role: &str) -> Result<(), WallError> {
        let row = transaction.query_one(GATEWAY, &[]).await?;
        self.prepare_role(transaction, role, row.try_get(1)?, row.try_get(2)?).await
    }

    async fn prepare_role(
        &self,
        transaction: &Transaction<'_>,
        name: &str,
        may_create: bool,
        version: i32,
    ) -> Result<(), WallError> {
        let mut state = RoleState::read(transaction, name, version).await?;
        if state.is_none() {
            if !may_create {
                return Err(WallError::MayNotCreate { gateway: self.gateway.clone() });
            }
            // Without a password nobody logs in by it; Citus takes such roles on its workers, but no
            // NOLOGIN ones.
            transaction.batch_execute(&format!("CREATE ROLE {} LOGIN", quoted(name))).await?;
            state = RoleState::read(transaction, name, version).await?;
        }
        let Some(mut state) = state else {
            return Err(WallError::MayNotCreate { gateway: self.gateway.clone() });
        };
        if state.is_strong {
            return Err(WallError::TooStrong { role: name.to_owned() });
        }
        if !state.is_takeable {
            let options = if version >= INHERIT_PER_GRANT_VERSION { " WITH INHERIT FALSE, SET TRUE" } else { "" };
            let grant = format!("GRANT {} TO {}{options}", quoted(name), quoted(&self.gateway));
            transaction.batch_execute(&grant).await?;
            state = RoleState::read(transaction, name, version).await?.unwrap_or(state);
        }
        if state.is_inherited { Err(WallError::Inherits { gateway: self.gateway.clone() }) } else { Ok(()) }
    }

    /// Gives the Postgres schema and its tables to their owner; answers whether anything was not yet so.
    pub async fn own(&self, transaction: &Transaction<'_>, postgres_schema: &str) -> Result<bool, WallError> {
        let Some(schema) = transaction.query_opt(SCHEMA_OWNER, &[&postgres_schema]).await? else { return Ok(false) };
        let schema_owner: String = schema.try_get(0)?;
        let (schema, owner) = (quoted(postgres_schema), quoted(&self.owner));
        let others = transaction.query(OF_OTHERS, &[&postgres_schema, &self.owner]).await?;
        let must_be_ours = |what: String, by: String| {
            if by == self.gateway { Ok(()) } else { Err(WallError::Foreign { what, by, owner: self.owner.clone() }) }
        };
        if schema_owner != self.owner {
            must_be_ours(format!("the Postgres schema `{postgres_schema}`"), schema_owner.clone())?;
            // Only who may make tables in it can be given some.
            transaction.batch_execute(&format!("GRANT CREATE ON SCHEMA {schema} TO {owner}")).await?;
        }
        for row in &others {
            let (what, by, change): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            must_be_ours(format!("{what} of `{postgres_schema}`"), by)?;
            transaction.batch_execute(&change).await?;
        }
        if schema_owner != self.owner {
            transaction.batch_execute(&format!("ALTER SCHEMA {schema} OWNER TO {owner}")).await?;
        }
        Ok(schema_owner != self.owner || !others.is_empty())
    }

    /// From here to [`Wall::step_back`] the transaction runs as the tables' owner.
    pub async fn step_forward(&self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        transaction.batch_execute(&format!("SET LOCAL ROLE {}", quoted(&self.owner))).await
    }

    /// Back to the gateway's own role.
    pub async fn step_back(&self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        transaction.batch_execute("SET LOCAL ROLE NONE").await
    }

    /// From here to [`Wall::leave`] the session runs as the tables' owner: for what Postgres does in no
    /// transaction.
    pub async fn enter(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        client.batch_execute(&format!("SET ROLE {}", quoted(&self.owner))).await
    }

    /// Back to the gateway's own role.
    pub async fn leave(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        client.batch_execute("SET ROLE NONE").await
    }

    /// Lets the extension's role work on the rows of its tables; belongs between steps forward and
    /// back. Answers whether anything was not yet so.
    pub async fn grant(&self, transaction: &Transaction<'_>, postgres_schema: &str) -> Result<bool, WallError> {
        let missing = transaction.query(GRANTS, &[&postgres_schema, &self.role]).await?;
        for row in &missing {
            transaction.batch_execute(row.try_get(0)?).await?;
        }
        Ok(!missing.is_empty())
    }
}

/// From here to [`leave`] the transaction has the rights of an extension's role, where it has one.
pub async fn take(transaction: &Transaction<'_>, role: Option<&str>) -> Result<(), tokio_postgres::Error> {
    match role {
        Some(role) => transaction.batch_execute(&format!("SET LOCAL ROLE {}", quoted(role))).await,
        None => Ok(()),
    }
}

/// Back to the gateway's own role.
pub async fn leave(transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute("SET LOCAL ROLE NONE").await
}

/// Those of `roles` that this server does not have, or that the gateway may not take.
pub async fn not_takeable(client: &Client, roles: &[&str]) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query(NOT_TAKEABLE, &[&roles]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// A right that is not as a deploy leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Astray {
    /// Lower case, no full stop, names in backticks.
    pub what: String,
    /// The statement that puts it right.
    pub mend: String,
}

/// What is not as a deploy leaves it: tables that belong to others than the tables' owner, rights that
/// `role`, the extension's, lacks, and rights that everybody or another extension's role has.
pub async fn astray(
    client: &impl GenericClient,
    postgres_schema: &str,
    role: &str,
) -> Result<Vec<Astray>, tokio_postgres::Error> {
    let gateway: String = client.query_one(GATEWAY, &[]).await?.try_get(0)?;
    let prefix = prefix(&gateway);
    let mut astray = Vec::new();
    for row in client.query(OF_OTHERS, &[&postgres_schema, &format!("{prefix}_tables")]).await? {
        let (what, by, mend): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        astray.push(Astray { what: format!("{what} belongs to the role `{by}`"), mend });
    }
    if !client.query(NOT_TAKEABLE, &[&&[role][..]]).await?.is_empty() {
        let what = format!("the extension's role `{role}` is missing, or the gateway may not take it");
        astray.push(Astray { what, mend: "rowgate apply".to_owned() });
        return Ok(astray);
    }
    for row in client.query(GRANTS, &[&postgres_schema, &role]).await? {
        let what = format!("the extension's role `{role}` lacks a right on what is its own");
        astray.push(Astray { what, mend: row.try_get(0)? });
    }
    for row in client.query(TOO_MANY_GRANTS, &[&postgres_schema, &role, &format!("{prefix}_ext_")]).await? {
        astray.push(Astray { what: row.try_get(0)?, mend: row.try_get(1)? });
    }
    Ok(astray)
}

/// What is known of a role.
struct RoleState {
    /// It may do more than a role that was made here.
    is_strong: bool,
    is_takeable: bool,
    /// The gateway has its rights without taking it.
    is_inherited: bool,
}

impl RoleState {
    async fn read(
        client: &impl GenericClient,
        name: &str,
        version: i32,
    ) -> Result<Option<RoleState>, tokio_postgres::Error> {
        let taking = if version >= INHERIT_PER_GRANT_VERSION { "SET" } else { "MEMBER" };
        let Some(row) = client.query_opt(ROLE, &[&name, &taking]).await? else { return Ok(None) };
        let state =
            RoleState { is_strong: row.try_get(0)?, is_takeable: row.try_get(1)?, is_inherited: row.try_get(2)? };
        Ok(Some(state))
    }
}

/// The gateway's name where it is short and plain, else a number made of it.
fn prefix(gateway: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if gateway.len() <= PREFIX_BYTES_MAX && gateway.bytes().all(is_plain) {
        return gateway.to_owned();
    }
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, gateway.as_bytes()).simple().to_string();
    format!("rowgate_{}", name.get(..12).unwrap_or_default())
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

const GATEWAY: &str = "
SELECT rolname::text, rolsuper OR rolcreaterole, current_setting('server_version_num')::int4
  FROM pg_catalog.pg_roles WHERE rolname = session_user";

/// A superuser inherits from everybody by being one, which is told elsewhere.
const ROLE: &str = "
SELECT r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
         OR EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid),
       EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid AND m.member = g.oid)
         AND pg_has_role(g.oid, r.oid, $2),
       pg_has_role(g.oid, r.oid, 'USAGE') AND NOT g.rolsuper
  FROM pg_catalog.pg_roles r, pg_catalog.pg_roles g
 WHERE r.rolname = $1::text AND g.rolname = session_user";

const LANGUAGE: &str = "
SELECT format('GRANT USAGE ON LANGUAGE %I TO %I', lanname, $1::text) FROM pg_catalog.pg_language
 WHERE lanname = 'plpgsql' AND NOT has_language_privilege($1::text, oid, 'USAGE')
   AND has_language_privilege(session_user, oid, 'USAGE WITH GRANT OPTION')";

const SCHEMA_OWNER: &str = "
SELECT pg_get_userbyid(nspowner)::text FROM pg_catalog.pg_namespace WHERE nspname = $1::text";

/// Tables, and the functions of their triggers.
const OF_OTHERS: &str = "
SELECT format('the table `%s`', c.relname), pg_get_userbyid(c.relowner)::text,
       format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, $2::text)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) <> $2::text
UNION ALL
SELECT format('the function `%s`', p.proname), pg_get_userbyid(p.proowner)::text,
       format('ALTER FUNCTION %I.%I(%s) OWNER TO %I', n.nspname, p.proname,
              pg_get_function_identity_arguments(p.oid), $2::text)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = $1::text AND pg_get_userbyid(p.proowner) <> $2::text
 ORDER BY 1";

/// The statements that are missing, the Postgres schema's first.
const GRANTS: &str = "
SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, $2::text) FROM pg_catalog.pg_namespace
 WHERE nspname = $1::text AND NOT has_schema_privilege($2::text, oid, 'USAGE')
UNION ALL
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE %I.%I TO %I', n.nspname, c.relname, $2::text)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p')
   AND NOT (has_table_privilege($2::text, c.oid, 'SELECT') AND has_table_privilege($2::text, c.oid, 'INSERT')
            AND has_table_privilege($2::text, c.oid, 'UPDATE') AND has_table_privilege($2::text, c.oid, 'DELETE'))";

/// Rights that everybody has, or the roles that begin as an extension's do.
const TOO_MANY_GRANTS: &str = "
SELECT format('%s on the table `%s` is granted to `%s`', acl.privilege_type, c.relname, coalesce(r.rolname, 'PUBLIC')),
       format('REVOKE %s ON TABLE %I.%I FROM %s', acl.privilege_type, n.nspname, c.relname,
              coalesce(quote_ident(r.rolname), 'PUBLIC'))
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
       LATERAL aclexplode(c.relacl) acl LEFT JOIN pg_catalog.pg_roles r ON r.oid = acl.grantee
 WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p') AND acl.grantee <> c.relowner
   AND (acl.grantee = 0 OR starts_with(r.rolname, $3::text) AND r.rolname <> $2::text)
 ORDER BY 1";

const NOT_TAKEABLE: &str = "
SELECT wanted FROM unnest($1::text[]) AS wanted
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r
                    WHERE r.rolname = wanted AND pg_has_role(session_user, r.oid, 'MEMBER'))
 ORDER BY wanted";
