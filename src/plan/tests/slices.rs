//! The order in which a scope's tables are filled and emptied, and the statements that empty them.

use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::model::Model;
use serde_json::{Value, json};

use crate::plan::slice::erase::{Step, delete_of_owner, forget_counts, steps};
use crate::plan::slice::groups;
use crate::plan::tests::model;

/// `a` refers to `b` by each of these columns: name, whether it may be null, whose rows.
fn tables(references: &[(&str, &str, bool)]) -> Model {
    let mut tables = json!({});
    for (from, to, _) in references {
        for name in [from, to] {
            tables[name] = json!({ "columns": { "n": { "type": "integer" } } });
        }
    }
    for (from, to, optional) in references {
        tables[from]["columns"][format!("to_{to}")] = json!({ "type": "id", "table": to, "optional": optional });
    }
    model(tables, json!({}))
}

/// The groups in their order, with what is filled in later; a circle in brackets.
fn ordered(model: &Model) -> String {
    let groups = groups(model, Scope::Instance);
    let shown = groups.iter().map(|group| {
        let members = group.members.iter().map(|member| {
            let later: String = member.deferred.iter().map(|column| format!("-{}", column.name)).collect();
            format!("{}{later}", member.table.name)
        });
        let members = members.collect::<Vec<_>>().join("+");
        if group.is_circle { format!("[{members}]") } else { members }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_referred_to_comes_first() {
    for (references, expected) in [
        (vec![("a", "b", false), ("b", "c", false)], "c b a"),
        (vec![("a", "b", true), ("b", "c", true)], "c b a"),
        (vec![("a", "a", true)], "a-to_a"),
        (vec![("a", "a", false)], "[a]"),
        (vec![("a", "b", true), ("b", "a", false)], "a-to_b b"),
        (vec![("a", "b", true), ("b", "a", true)], "a-to_b b"),
        (vec![("a", "b", false), ("b", "a", false)], "[a+b]"),
        (
            vec![("a", "b", false), ("b", "c", false), ("c", "a", false), ("d", "a", false), ("a", "e", false)],
            "e [a+b+c] d",
        ),
        (vec![("d", "a", false), ("a", "b", false), ("b", "a", false), ("b", "d", true)], "[a+b-to_d] d"),
    ] {
        assert_eq!(ordered(&tables(&references)), expected, "{references:?}");
    }
}

#[test]
fn every_statement_is_bound_to_one_scope() {
    let mut document = json!({
        "people": { "columns": { "name": { "type": "string" }, "chief": { "type": "id", "table": "people", "optional": true } }, "rows": 10, "owned": true },
        "a": { "columns": { "b": { "type": "id", "table": "b" } } },
        "b": { "columns": { "a": { "type": "id", "table": "a" } } },
    });
    document["elsewhere"] = json!({ "columns": { "n": { "type": "integer" } }, "storage": "account" });
    let mut model = model(document, json!({}));
    model.extension.limits.bytes = Some(1_000);
    let mut sql: Vec<String> = steps(&model, Scope::Instance)
        .into_iter()
        .map(|step| match step {
            Step::Clear { sql } | Step::Delete { sql, .. } | Step::Together { sql, .. } => sql,
        })
        .collect();
    sql.extend(forget_counts(&model, Scope::Instance));
    sql.push(delete_of_owner(&model.postgres_schema, "people"));
    let shown = sql.join("\n").replace("\"ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f\"", "ext");
    insta::assert_snapshot!(shown, @r#"
    UPDATE ext."people" SET "chief" = NULL WHERE "scope_key" = ($1) AND "id" IN (SELECT "id" FROM ext."people" WHERE "scope_key" = ($1) AND "id" >= ($2) AND "chief" IS NOT NULL ORDER BY "id" ASC LIMIT 1000) RETURNING "id"
    WITH "gone_0" AS (DELETE FROM ext."a" WHERE "scope_key" = ($1) RETURNING "id") , "gone_1" AS (DELETE FROM ext."b" WHERE "scope_key" = ($1) RETURNING "id") SELECT (SELECT COUNT(*) FROM "gone_0"), (SELECT COUNT(*) FROM "gone_1")
    DELETE FROM ext."people" WHERE "scope_key" = ($1) AND "id" IN (SELECT "id" FROM ext."people" WHERE "scope_key" = ($1) AND "id" >= ($2) ORDER BY "id" ASC LIMIT 1000) RETURNING "id"
    DELETE FROM ext."_rows" WHERE "scope_key" = ($1) AND "table_name" IN ('people')
    DELETE FROM ext."_bytes" WHERE "scope_key" = ($1) AND "storage" = 'instance'
    DELETE FROM ext."people" WHERE "scope_key" = ($1) AND "id" IN (SELECT "id" FROM ext."people" WHERE "scope_key" = ($1) AND "id" >= ($2) AND "owner_id" = ($3) ORDER BY "id" ASC LIMIT 1000) RETURNING "id"
    "#);
}

#[test]
fn no_table_is_left_out() {
    let model = model(
        json!({
            "a": { "columns": { "n": { "type": "integer" } }, "storage": "account" },
            "b": { "columns": { "n": { "type": "integer" } }, "storage": "overlay" },
            "c": { "columns": { "n": { "type": "integer" } }, "storage": "global" },
            "d": { "columns": { "n": { "type": "integer" } } },
        }),
        Value::Object(serde_json::Map::default()),
    );
    for (scope, table) in [(Scope::Account, "a"), (Scope::Overlay, "b"), (Scope::Global, "c"), (Scope::Instance, "d")] {
        let names: Vec<&str> = groups(&model, scope)
            .iter()
            .flat_map(|group| &group.members)
            .map(|member| member.table.name.as_str())
            .collect();
        assert_eq!(names, [table]);
    }
}
