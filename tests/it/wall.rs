//! The second wall alone: hostile statements, no compiler and no proof in front of them, run with the
//! rights of an extension's role.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;

use rowgate::config::Roles;
use rowgate::db::rights;
use rowgate::deploy::apply::{Applied, ApplyError, Scans, Terms, apply};
use rowgate::record;
use rowgate::registry::recall;
use rowgate::server::Server;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::gateway::{TestGateway, answer, config, document};

const FIRST: Uuid = Uuid::from_u128(0x0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f);
const SECOND: Uuid = Uuid::from_u128(0x5eb0_0000_0000_4000_8000_0000_0000_0002);

fn notes(extension: Uuid) -> Value {
    let mut document = document(
        json!({
            "notes": { "columns": { "text": { "type": "string" } }, "rows": 1000 },
            "replies": { "columns": { "note": { "type": "id", "table": "notes", "onDelete": "cascade" } } },
        }),
        json!({
            "addNote": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "notes": { "kind": "queryRows", "table": "notes", "limit": 10 },
            "reply": { "kind": "insertRow", "table": "replies", "values": { "note": { "arg": "note" } } },
            "replies": { "kind": "countRows", "table": "replies" },
            "removeNote": { "kind": "deleteRow", "table": "notes", "id": { "arg": "id" } },
        }),
    );
    document["extension"]["id"] = json!(extension);
    document["extension"]["limits"] = json!({ "bytes": 1_000_000 });
    document
}

async fn deploy(client: &mut Client, document: &Value, roles: Roles) -> Result<Applied, ApplyError> {
    let (definition, complaints) = read(document);
    assert_eq!(complaints, []);
    let model = check(&definition).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    let terms = Terms { roles, scans: Scans::Uncertified, ..Terms::default() };
    apply(client, &definition, &model, recall, &terms).await
}

fn schema(extension: Uuid) -> String {
    format!("ext_{}", extension.hyphenated().to_string().replace('-', "_"))
}

async fn role(client: &Client, extension: Uuid) -> Option<String> {
    record::extension(client, extension).await.unwrap().unwrap().role
}

/// The code and the message of a refusal.
#[track_caller]
fn refusal<T>(result: Result<T, tokio_postgres::Error>) -> (String, String) {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => {
            let refusal = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
            (refusal.code().code().to_owned(), refusal.message().to_owned())
        }
    }
}

/// Two extensions with a row each, and a session of the gateway's.
async fn two_extensions() -> (TestDatabase, Client) {
    let database = TestDatabase::new().await;
    let mut client = database.gateway_client().await;
    let superuser = database.superuser().await;
    // As at each start of a gateway: what the owner of the database may take from everybody is taken.
    assert_eq!(rowgate::db::migrate::migrate(&client).await.unwrap().missing, [""; 0]);
    for extension in [FIRST, SECOND] {
        deploy(&mut client, &notes(extension), Roles::PerExtension).await.unwrap();
        let schema = schema(extension);
        superuser
            .batch_execute(&format!(
                "INSERT INTO {schema}.notes (scope_key, id, text)
                 VALUES (gen_random_uuid(), gen_random_uuid(), 'secret of {schema}');
                 ANALYZE {schema}.notes"
            ))
            .await
            .unwrap();
    }
    (database, client)
}

#[tokio::test]
async fn the_gateway_reads_nothing_but_as_an_extension_and_an_extension_only_its_own() {
    let (_database, client) = two_extensions().await;
    let [first, second] = [schema(FIRST), schema(SECOND)];
    for schema in [&first, &second] {
        for statement in [
            format!("SELECT text FROM {schema}.notes"),
            format!("UPDATE {schema}.notes SET text = ''"),
            format!("DELETE FROM {schema}.notes"),
            format!("DROP TABLE {schema}.notes"),
        ] {
            let (code, _) = refusal(client.query(&statement, &[]).await);
            assert_eq!(code, "42501", "{statement}");
        }
    }
    let role = role(&client, FIRST).await.unwrap();
    assert_eq!(role, "rowgate_ext_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f");
    client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    let rows = client.query(&format!("SELECT text FROM {first}.notes"), &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), format!("secret of {first}"));
    assert_eq!(refusal(client.query(&format!("SELECT text FROM {second}.notes"), &[]).await).0, "42501");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_run_as_their_extension_and_fail_in_any_other_role() {
    let mut gateway = TestGateway::new(&notes(FIRST)).await;
    let mut client = gateway.database.gateway_client().await;
    deploy(&mut client, &notes(SECOND), Roles::PerExtension).await.unwrap();
    let note = gateway.call("addNote", json!({ "text": "x" })).await.ok();
    gateway.call("reply", json!({ "note": note["id"] })).await.ok();
    let all = json!({ "atomic": true, "calls": [
        { "function": "addNote", "args": { "text": "y" } }, { "function": "notes", "args": {} },
    ] });
    let batch = async |gateway: &TestGateway| {
        let url = gateway.url("");
        let request = gateway.http.post(url.trim_end_matches('/')).bearer_auth(gateway.token(Role::Owner)).json(&all);
        answer(request).await
    };
    assert_eq!(batch(&gateway).await.ok()[1]["body"].as_array().unwrap().len(), 2);
    // References are checked, and followed, although nobody but the owner of the tables could.
    gateway.call("removeNote", json!({ "id": note["id"] })).await.ok();
    assert_eq!(gateway.call("replies", json!({})).await.ok(), 0);

    let own = role(&client, FIRST).await.unwrap();
    let of_another = role(&client, SECOND).await.unwrap();
    for wrong in [of_another.as_str(), "rowgate", "rowgate_ext_of_nobody"] {
        record::set_role(&client, FIRST, wrong).await.unwrap();
        // With connections that never had the right role, as after a copy to another server.
        let server = Server::start(config(&gateway.database)).await.unwrap();
        std::mem::replace(&mut gateway.server, server).stop().await;
        for (function, arguments) in [("notes", json!({})), ("addNote", json!({ "text": "x" }))] {
            let answer = gateway.call(function, arguments).await;
            assert_eq!(answer.status, 500, "{wrong}: {}", answer.text);
            assert!(!answer.text.contains("ext_") && !answer.text.contains("permission"), "{}", answer.text);
        }
        let batch = batch(&gateway).await.ok();
        assert!(batch[0]["status"].as_u64().unwrap() >= 500, "{batch}");
    }
    // The same connections serve on once the role is right.
    record::set_role(&client, FIRST, &own).await.unwrap();
    gateway.server.reload().await.unwrap();
    assert_eq!(gateway.call("notes", json!({})).await.ok().as_array().unwrap().len(), 1);
    gateway.server.stop().await;
}

#[tokio::test]
async fn what_was_deployed_before_is_brought_over_once() {
    let database = TestDatabase::new().await;
    let mut client = database.gateway_client().await;
    let schema = schema(FIRST);
    deploy(&mut client, &notes(FIRST), Roles::None).await.unwrap();
    assert_eq!(role(&client, FIRST).await, None);
    let insert = format!("INSERT INTO {schema}.notes (scope_key, id, text) VALUES ($1, $1, 'kept')");
    client.execute(&insert, &[&FIRST]).await.unwrap();

    let same = deploy(&mut client, &notes(FIRST), Roles::PerExtension).await.unwrap();
    assert_eq!(same, Applied { revision: 1, changed: false, statements: Vec::new() });
    let role_now = role(&client, FIRST).await.unwrap();
    let read = format!("SELECT text FROM {schema}.notes");
    assert_eq!(refusal(client.query(&read, &[]).await).0, "42501");
    client.batch_execute(&format!("SET ROLE {role_now}")).await.unwrap();
    assert_eq!(client.query_one(&read, &[]).await.unwrap().get::<_, &str>(0), "kept");
    client.batch_execute("RESET ROLE").await.unwrap();

    // The second time nothing is written, and a wall that stands is not taken down.
    let state = "SELECT concat(relname, xmin, relacl) FROM pg_class WHERE relnamespace = $1::text::regnamespace
                 UNION ALL SELECT xmin::text FROM rowgate.extensions ORDER BY 1";
    let state = async |client: &Client| -> Vec<String> {
        client.query(state, &[&schema]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let before = state(&client).await;
    for roles in [Roles::PerExtension, Roles::None] {
        deploy(&mut client, &notes(FIRST), roles).await.unwrap();
        assert_eq!(state(&client).await, before);
    }
    let mut grown = notes(FIRST);
    grown["tables"]["more"] = json!({ "columns": { "text": { "type": "string" } } });
    deploy(&mut client, &grown, Roles::None).await.unwrap();
    assert_eq!(role(&client, FIRST).await.as_ref(), Some(&role_now));
    client.batch_execute(&format!("SET ROLE {role_now}; SELECT FROM {schema}.more")).await.unwrap();
}

/// A gateway role of this test's own, with its database. Roles are the whole server's.
async fn other_gateway(database: &TestDatabase, options: &str) -> (String, Client) {
    let name = format!("gw_{}", &Uuid::new_v4().simple().to_string()[..8]);
    let superuser = database.superuser().await;
    let make = format!("CREATE ROLE {name} LOGIN {options}; ALTER DATABASE {} OWNER TO {name}", database.name);
    superuser.batch_execute(&make).await.unwrap();
    superuser.batch_execute("DROP SCHEMA rowgate CASCADE").await.unwrap();
    let address = database.connection_string().replace("user='rowgate'", &format!("user='{name}'"));
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(client.query_one("SELECT session_user::text", &[]).await.unwrap().get::<_, &str>(0), name);
    (name, client)
}

#[tokio::test]
async fn what_the_gateways_role_lacks_is_said_and_nothing_is_deployed() {
    for (options, grants, said) in [
        ("NOINHERIT", "", "an extension's database role is missing and `GW` may not make it; `rowgate roles` prints"),
        ("CREATEROLE", "", "the role `GW` inherits the rights of every role it may take"),
        ("CREATEROLE NOINHERIT", "CREATE ROLE EXT CREATEROLE", "there is a role `EXT` already, with rights beyond"),
        ("CREATEROLE NOINHERIT", "CREATE ROLE EXT IN ROLE pg_read_all_data", "there is a role `EXT` already"),
    ] {
        let database = TestDatabase::new().await;
        let superuser = database.superuser().await;
        let (name, mut client) = other_gateway(&database, options).await;
        rights::prepare(&superuser, &name).await.unwrap();
        superuser
            .batch_execute(&format!("ALTER ROLE {name} NOCREATEROLE INHERIT; ALTER ROLE {name} {options}"))
            .await
            .unwrap();
        rowgate::db::migrate::migrate(&client).await.unwrap();
        let ext = format!("{name}_ext_{}", FIRST.simple());
        superuser.batch_execute(&grants.replace("EXT", &ext)).await.unwrap();
        let error = deploy(&mut client, &notes(FIRST), Roles::PerExtension).await.unwrap_err();
        let said = said.replace("GW", &name).replace("EXT", &ext);
        assert!(error.to_string().starts_with(&said), "{error}");
        assert!(record::extensions(&client).await.unwrap().is_empty());
        // Without the wall it needs none of that.
        deploy(&mut client, &notes(FIRST), Roles::None).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_operations_page_has_a_superuser_run_is_enough() {
    let database = TestDatabase::new().await;
    let superuser = database.superuser().await;
    let (name, client) = other_gateway(&database, "").await;
    // As in a new database, where nobody has run anything.
    superuser.batch_execute(attacks::AS_NEW).await.unwrap();
    let missing = rights::missing(&client).await.unwrap();
    assert!(missing.len() > 10, "{missing:#?}");
    // What needs no superuser is done without.
    let migrated = rowgate::db::migrate::migrate(&client).await.unwrap();
    assert!(migrated.missing.iter().any(|statement| statement.contains("set_config")), "{:#?}", migrated.missing);
    assert!(!migrated.missing.iter().any(|statement| statement.contains("TEMPORARY")), "{:#?}", migrated.missing);

    let page = include_str!("../../docs/operations.md");
    let (_, section) = page.split_once("## A role for each extension").unwrap();
    let (script, _) = section.split_once("```sql\n").unwrap().1.split_once("```").unwrap();
    let script = script.replace("CREATE ROLE rowgate", "ALTER ROLE rowgate");
    let script =
        script.replace("rowgate", &name).replace(&format!("DATABASE {name}"), &format!("DATABASE {}", database.name));
    superuser.batch_execute(&script).await.unwrap_or_else(|error| panic!("{error:?}\n{script}"));
    assert_eq!(rights::missing(&client).await.unwrap(), [""; 0]);
    // A name that is not plain has plain roles.
    let role = rowgate::db::migrate::migrate(&client).await.unwrap();
    assert_eq!(role.missing, [""; 0]);
}
