//! Rows written out and brought in again: exact, whole, and nothing else.

use std::collections::BTreeMap;

use rowgate::lifecycle::export::export;
use rowgate::lifecycle::import::{ImportError, Terms, import};
use rowgate_schema_dsl::definition::Scope;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::lifecycle::Operated;
use crate::support::gateway::document;

const SCHEMA: &str = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";
const ALL: [Scope; 4] = [Scope::Instance, Scope::Account, Scope::Overlay, Scope::Global];

/// A column of every type, references forward, back, to the same table and in a circle, and what is shared.
fn tables() -> Value {
    let mut document = document(
        json!({
            "things": { "columns": {
                "title": { "type": "string", "max": 200 },
                "quantity": { "type": "integer", "optional": true },
                "weight": { "type": "number", "optional": true },
                "fragile": { "type": "boolean", "default": false },
                "price": { "type": "decimal", "optional": true },
                "packed": { "type": "timestamp", "optional": true },
                "day": { "type": "date", "optional": true },
                "serial": { "type": "uuid", "optional": true },
                "thumbnail": { "type": "bytes", "optional": true },
                "state": { "type": "enum", "values": ["new", "it's"], "default": "new" },
                "parent": { "type": "id", "table": "things", "optional": true },
                "box": { "type": "id", "table": "boxes", "optional": true },
                "tags": { "type": "array", "items": { "type": "string" }, "default": [] },
                "prices": { "type": "array", "items": { "type": "decimal" }, "optional": true },
                "days": { "type": "array", "items": { "type": "date" }, "optional": true },
                "size": { "type": "object", "fields": { "w": { "type": "number" } }, "optional": true },
                "notes": { "type": "json", "optional": true },
                "secret": { "type": "string", "private": true, "default": "x" },
            }, "owned": true, "rows": 5000, "uniques": { "one_title": ["title"] } },
            "boxes": { "columns": { "first": { "type": "id", "table": "things" } } },
            "left": { "columns": { "right": { "type": "id", "table": "right" } } },
            "right": { "columns": { "left": { "type": "id", "table": "left" } } },
            "shelves": { "columns": { "label": { "type": "string" } }, "storage": "account" },
        }),
        json!({}),
    );
    document["extension"]["limits"] = json!({ "bytes": 100_000_000 });
    document
}

const TABLES: [&str; 5] = ["things", "boxes", "left", "right", "shelves"];

/// 1,200 things, each but the first in a tree, hard values in some, and the circles.
async fn fill(client: &Client, operated: &Operated) {
    let (id, account) = (operated.install_id(), operated.gateway.install.account_id);
    client
        .batch_execute(&format!(
            "SET search_path = {SCHEMA};
             INSERT INTO things (scope_key, id, owner_id, title, quantity, weight, price, packed, day, serial, thumbnail,
                                 state, tags, prices, days, size, notes, secret, version, created_at)
             SELECT '{id}', gen_random_uuid(), 'user ' || n % 3, 't' || n,
                    (ARRAY[9223372036854775807, -9223372036854775808, 0, NULL])[1 + n % 4],
                    (ARRAY[0.1, -1e300, 5e-324, 123456789.123456789, NULL])[1 + n % 5],
                    (ARRAY['0.10', '12345678901234567890.123456789012345678901234567890', '-5', NULL])[1 + n % 4]::numeric,
                    '0001-01-01 00:00:00+00'::timestamptz + n * interval '7 years 3 microseconds',
                    '9999-12-31'::date - n, gen_random_uuid(), decode(md5(n::text), 'hex'),
                    CASE WHEN n % 2 = 0 THEN 'new' ELSE 'it''s' END,
                    CASE WHEN n % 3 = 0 THEN '{{}}' ELSE ARRAY['a\"b', E'c\\\\d\\n', '😀', 'NULL', ''] END,
                    ARRAY[1.50, -0.00]::numeric[], ARRAY['2024-02-29']::date[], '{{\"w\": 1.0}}',
                    '{{\"a\": [1, 2.50, null, \"\\u00e9 \\\\ \\\"\"], \"b\": 12345678901234567890}}', 'hush', n, now() - n * interval '1 hour'
               FROM generate_series(1, 1200) n;
             INSERT INTO boxes (scope_key, id, first) SELECT '{id}', gen_random_uuid(), id FROM things ORDER BY id LIMIT 700;
             UPDATE things SET parent = (SELECT id FROM things ORDER BY id DESC LIMIT 1),
                               box = (SELECT id FROM boxes ORDER BY id LIMIT 1) WHERE quantity IS NOT NULL;
             WITH a AS (SELECT gen_random_uuid() AS l, gen_random_uuid() AS r FROM generate_series(1, 20)),
                  l AS (INSERT INTO \"left\" (scope_key, id, \"right\") SELECT '{id}', l, r FROM a)
             INSERT INTO \"right\" (scope_key, id, \"left\") SELECT '{id}', r, l FROM a;
             INSERT INTO shelves (scope_key, id, label) VALUES ('{account}', gen_random_uuid(), 'of the account');
             RESET search_path;"
        ))
        .await
        .unwrap();
}

/// Every row as text, without its scope, by table; ids left out where `with_ids` is not.
async fn contents(client: &Client, scopes: [Uuid; 2], with_ids: bool) -> BTreeMap<String, Vec<String>> {
    let mut contents = BTreeMap::new();
    for table in TABLES {
        let but = if with_ids { "scope_key" } else { "scope_key,id,parent,box,first,left,right" };
        let sql = format!(
            "SELECT (to_jsonb(t) - string_to_array('{but}', ','))::text || coalesce(to_jsonb(t)->>'price', '') AS row
               FROM {SCHEMA}.\"{table}\" t WHERE scope_key = ANY ($1) ORDER BY 1"
        );
        let rows = client.query(&sql, &[&scopes.as_slice()]).await.unwrap();
        contents.insert(table.to_owned(), rows.iter().map(|row| row.get(0)).collect());
    }
    contents
}

async fn exported(operated: &Operated) -> String {
    let mut out = Vec::new();
    let mut client = operated.gateway.database.gateway_client().await;
    export(&mut client, operated.install_id(), &ALL, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

async fn imported(
    operated: &Operated,
    install: Uuid,
    file: &str,
    terms: Terms,
) -> Result<BTreeMap<String, u64>, ImportError> {
    let mut client = operated.gateway.database.gateway_client().await;
    import(&mut client, install, terms, file.as_bytes()).await
}

/// The complaints, each with its line.
async fn refused(operated: &Operated, install: Uuid, file: &str) -> String {
    match imported(operated, install, file, Terms::default()).await {
        Err(ImportError::Refused(complaints)) => {
            let lines = complaints.iter().map(|complaint| format!("{}: {}", complaint.line, complaint.message));
            lines.collect::<Vec<_>>().join("\n")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_comes_in_again_exactly() {
    let operated = Operated::new(&tables()).await;
    let client = operated.client().await;
    fill(&client, &operated).await;
    let first = [operated.install_id(), operated.gateway.install.account_id];
    let file = exported(&operated).await;
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines.len(), 1 + 1200 + 700 + 20 + 20 + 1 + 1);
    let header: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((&header["rowgate_export"], &header["revision"]), (&json!(1), &json!(1)));
    assert_eq!(header["tables"], json!(["things", "boxes", "left", "right", "shelves"]));
    assert_eq!(
        serde_json::from_str::<Value>(lines.last().unwrap()).unwrap(),
        json!({ "end": { "things": 1200, "boxes": 700, "left": 20, "right": 20, "shelves": 1 } })
    );
    let before = contents(&client, first, true).await;
    assert_eq!(before["things"].len(), 1200);

    // With the same ids, and with others whose references hold.
    let second = operated.add(Uuid::now_v7(), None).await;
    let counts = imported(&operated, second.id, &file, Terms::default()).await.unwrap();
    assert_eq!(counts["things"], 1200);
    assert_eq!(contents(&client, [second.id, second.account_id], true).await, before);
    let third = operated.add(Uuid::now_v7(), None).await;
    let terms = Terms { new_ids: true, ..Terms::default() };
    imported(&operated, third.id, &file, terms).await.unwrap();
    let scopes = [third.id, third.account_id];
    assert_ne!(contents(&client, scopes, true).await, before);
    assert_eq!(contents(&client, scopes, false).await, contents(&client, first, false).await);
    let joined = "SELECT count(*), count(p.id), count(b.id) FROM things t LEFT JOIN things p ON p.id = t.parent
                  LEFT JOIN boxes b ON b.id = t.box WHERE t.scope_key = $1";
    let joined = joined.replace("things ", &format!("{SCHEMA}.things ")).replace("boxes ", &format!("{SCHEMA}.boxes "));
    let row = client.query_one(&joined, &[&third.id]).await.unwrap();
    assert_eq!([0, 1, 2].map(|place| row.get::<_, i64>(place)), [1200, 900, 900]);
    // What is counted is counted of them too.
    let counted = client.query(&format!("SELECT rows FROM {SCHEMA}._rows WHERE table_name = 'things'"), &[]).await;
    assert_eq!(counted.unwrap().iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [1200; 3]);

    // Into what is not empty nothing comes without being asked for, and nothing that is there is changed.
    let again = refused(&operated, second.id, &file).await;
    assert!(again.starts_with("1: table `things` has rows already") && again.lines().count() == 5, "{again}");
    let merged = imported(&operated, second.id, &file, Terms { merge: true, new_ids: false }).await;
    let Err(ImportError::Refused(complaints)) = merged else { panic!("{merged:?}") };
    assert_eq!(complaints.len(), 100);
    assert_eq!(contents(&client, [second.id, second.account_id], true).await, before);
    operated.gateway.server.stop().await;
}

fn small() -> Value {
    document(
        json!({
            "people": { "columns": {
                "name": { "type": "string", "max": 10 },
                "age": { "type": "integer", "min": 0, "optional": true },
                "chief": { "type": "id", "table": "people", "optional": true },
            }, "uniques": { "one_name": ["name"] }, "rows": 3 },
            "homes": { "columns": { "keeper": { "type": "id", "table": "people" } } },
        }),
        json!({}),
    )
}

/// A row's line.
fn row(table: &str, id: u32, columns: Value) -> String {
    let mut row = json!({
        "id": format!("00000000-0000-7000-8000-{id:012}"), "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "version": 1,
    });
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    json!({ "table": table, "row": row }).to_string()
}

/// The first line of an export.
fn head_of(operated: &Operated, tables: &[&str]) -> String {
    let extension = json!({ "id": operated.gateway.extension_id, "name": "test" });
    json!({ "rowgate_export": 1, "extension": extension, "tables": tables }).to_string()
}

fn id(number: u32) -> Value {
    json!(format!("00000000-0000-7000-8000-{number:012}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_altered_is_refused_by_line_and_changes_nothing() {
    let operated = Operated::new(&small()).await;
    let (client, install) = (operated.client().await, operated.install_id());
    let head = |tables: &[&str]| head_of(&operated, tables);
    let header = head(&["people", "homes"]);
    let file = |lines: &[String]| [std::slice::from_ref(&header), lines].concat().join("\n");
    let people = |id, columns| row("people", id, columns);
    let mut said = Vec::new();
    for text in [
        String::new(),
        "{}".to_owned(),
        "rows".to_owned(),
        header.replace("\"rowgate_export\":1", "\"rowgate_export\":2"),
        header.replace(&operated.gateway.extension_id.to_string(), "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"),
        head(&["people", "home", "people"]),
        head(&["homes", "people"]),
        header.clone(),
        file(&[json!({ "end": { "people": 1 } }).to_string()]),
        file(&[json!({ "end": {} }).to_string(), people(1, json!({ "name": "a" }))]),
        file(&["{\"table\":\"people\"}".to_owned(), "[1".to_owned(), row("pets", 1, json!({}))]),
        file(&[people(1, json!({ "name": "much too long", "age": -1, "chief": 7, "nam": 1 }))]),
        file(&[
            people(1, json!({ "name": null })),
            people(2, json!({})),
            people(3, json!({ "name": "c", "version": 0 })),
        ]),
        file(&["{\"table\":\"people\",\"row\":{\"id\":1,\"id\":2}}".to_owned()]),
        file(&[
            people(1, json!({ "name": "a" })),
            people(1, json!({ "name": "b" })),
            people(2, json!({ "name": "a" })),
        ]),
        file(&[
            people(1, json!({ "name": "a", "chief": id(9) })),
            row("homes", 1, json!({ "keeper": id(8) })),
            "{\"end\":{}}".to_owned(),
        ]),
        file(&[row("homes", 1, json!({ "keeper": id(1) })), people(1, json!({ "name": "a" }))]),
        file(&(1..=4).map(|n| people(n, json!({ "name": format!("p{n}") }))).collect::<Vec<_>>()),
        format!("{header}\n{}", "x".repeat(100 << 20)),
    ] {
        said.push(refused(&operated, install, &text).await);
    }
    insta::assert_snapshot!(said.join("\n--\n"), @r#"
    1: the file is empty; expected what `rowgate export` wrote
    --
    1: the first line is no header; expected what `rowgate export` wrote
    --
    1: the first line is no header; expected what `rowgate export` wrote
    --
    1: the file is of format 2, and this version reads 1; use a newer version
    --
    1: the file is of the extension `test` (0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c), and the install is of `test`
    --
    1: there is no table `home`; did you mean `homes`?
    1: table `people` is named twice
    --
    1: table `homes` stands before table `people`, which its rows refer to
    --
    1: the file ends before its end; the last line of an export is its end
    --
    2: the end tells of 1 rows of table `people`, and 0 are there
    --
    3: there is more after the end
    --
    2: expected {"table": "…", "row": {…}}
    3: expected {"table": "…", "row": {…}}
    4: table `pets` is not among those of the first line
    --
    2: `nam` is no column of table `people`; did you mean `name`?
    2: `name`: expected at most 10 characters, got 13
    2: `age`: expected at least 0
    2: `chief`: expected a UUID such as `"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"`, got a number
    --
    2: `name`: cannot be null
    3: `name`: is missing; expected a string
    4: `version`: expected at least 1
    --
    2: `id` is given twice
    2: `id`: expected a UUID such as `"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"`, got a number
    2: `name`: is missing; expected a string
    2: `created_at`: is missing; expected a timestamp
    2: `updated_at`: is missing; expected a timestamp
    2: `version`: is missing; expected an integer
    --
    3: a row with this `id` is there already
    4: a row with this `name` is there already (unique rule `one_name`)
    --
    2: `chief` names a row that is not there
    3: `keeper` names a row that is not there
    --
    2: `keeper` names a row that is not there
    3: a row of table `people` comes after those of table `homes`
    --
    5: there is no room for more rows: the quota of the table is spent
    --
    2: the line is longer than 33554432 bytes
    "#);
    let count = client.query_one(&format!("SELECT count(*) FROM {SCHEMA}.people"), &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);

    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaints_are_bounded_and_nobody_is_no_install() {
    let operated = Operated::new(&small()).await;
    let install = operated.install_id();
    let extension = json!({ "id": operated.gateway.extension_id, "name": "test" });
    let header = json!({ "rowgate_export": 1, "extension": extension, "tables": ["people"] }).to_string();
    let many: Vec<String> = (0..500).map(|_| row("people", 1, json!({}))).collect();
    let file = [std::slice::from_ref(&header), &many].concat().join("\n");
    assert_eq!(refused(&operated, install, &file).await.lines().count(), 100);
    // Who was uninstalled, and who is nobody.
    let unknown = imported(&operated, Uuid::now_v7(), &header, Terms::default()).await;
    assert!(matches!(unknown, Err(ImportError::Unknown)), "{unknown:?}");
    operated.ask("POST", &format!("installs/{install}/uninstall"), None).await.ok();
    let gone = imported(&operated, install, &header, Terms::default()).await;
    assert!(matches!(gone, Err(ImportError::Uninstalled)), "{gone:?}");
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_merged_refers_to_what_is_there() {
    let operated = Operated::new(&small()).await;
    let install = operated.install_id();
    let extension = json!({ "id": operated.gateway.extension_id, "name": "test" });
    let file = |tables: Value, lines: &[String], end: Value| {
        let header = json!({ "rowgate_export": 1, "extension": extension, "tables": tables }).to_string();
        [vec![header], lines.to_vec(), vec![json!({ "end": end }).to_string()]].concat().join("\r\n")
    };
    let merge = Terms { merge: true, new_ids: false };
    // The chief comes behind, and a column that is not in the file is null.
    let lines = [row("people", 1, json!({ "name": "a", "chief": id(2) })), row("people", 2, json!({ "name": "b" }))];
    let first = file(json!(["people"]), &lines, json!({ "people": 2 }));
    imported(&operated, install, &first, Terms::default()).await.unwrap();
    let second = file(json!(["homes"]), &[row("homes", 1, json!({ "keeper": id(1) }))], json!({ "homes": 1 }));
    imported(&operated, install, &second, merge).await.unwrap();
    let written = exported(&operated).await;
    let chief = serde_json::from_str::<Value>(written.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&chief["row"]["chief"], &chief["row"]["age"]), (&id(2), &Value::Null));
    operated.gateway.server.stop().await;
}
