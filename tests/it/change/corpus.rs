//! Every case, with and without rows, at once and in phases.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use rowgate::deploy::apply::ApplyError;
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::diff::{Change, diff};
use rowgate_schema_dsl::model::{Model, Origin};
use serde_json::Value;

use super::bed::{Case, cases, contents, counts_are_right, deploy, empty, fill, forget, prove, state, terms};
use crate::support::TestDatabase;

#[tokio::test]
async fn every_case_applies_at_once() {
    every_case(u64::MAX).await;
}

#[tokio::test]
async fn every_case_applies_in_phases() {
    every_case(0).await;
}

async fn every_case(blocking_rows_max: u64) {
    let database = TestDatabase::new().await;
    let (mut failed, mut in_the_way) = (Vec::new(), Vec::new());
    for case in cases() {
        let done = AssertUnwindSafe(one_case(&database, &case, blocking_rows_max)).catch_unwind().await;
        match done {
            Ok(Rows::InTheWay) => in_the_way.push(case.name),
            Ok(Rows::Kept) => {}
            Err(_) => failed.push(case.name),
        }
    }
    assert_eq!(failed, [""; 0]);
    // Of these the change alone would lose values, or has none for rows that are there.
    if std::env::var_os("ROWGATE_CASE").is_none() {
        assert_eq!(
            in_the_way,
            [
                "add_required_column",
                "change_scope",
                "drop_column",
                "drop_table",
                "everything_at_once",
                "no_longer_owned",
                "suspicious_column",
                "suspicious_table",
            ]
        );
    }
}

/// What became of the rows.
enum Rows {
    Kept,
    InTheWay,
}

async fn one_case(database: &TestDatabase, case: &Case, blocking_rows_max: u64) -> Rows {
    let mut client = database.gateway_client().await;
    let mut looker = database.superuser().await;
    let what = &case.name;
    let terms = terms(case, blocking_rows_max);
    forget(&looker, &case.after.1).await;
    if let Some(before) = &case.before {
        deploy(&mut client, before, &terms).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        fill(&looker, &before.1, &case.after.1, &case.allowed).await;
    }
    let Some(before) = &case.before else {
        deploy(&mut client, &case.after, &terms).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        prove(&mut client, what, &case.after).await;
        return Rows::Kept;
    };
    let seen = state(&mut looker, &before.1).await;
    let rows = match deploy(&mut client, &case.after, &terms).await {
        Ok(applied) => {
            assert!(applied.changed, "{what}");
            assert_eq!(applied.revision, 2, "{what}");
            rows_are_kept(what, &before.1, &case.after.1, &seen.2, &contents(&looker, &case.after.1).await, case);
            Rows::Kept
        }
        Err(ApplyError::Refused(complaints)) => {
            assert!(state(&mut looker, &before.1).await == seen, "{what}: a refusal changed something");
            if complaints.iter().any(|complaint| complaint.code == "change_refused") {
                assert!(case.name.starts_with("refuse") || case.name.contains("everything"), "{what}: {complaints:?}");
                return Rows::Kept;
            }
            // Rows alone stood in the way.
            empty(&looker, &before.1).await;
            deploy(&mut client, &case.after, &terms).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            Rows::InTheWay
        }
        Err(error) => panic!("{what}: {error}"),
    };
    prove(&mut client, what, &case.after).await;
    counts_are_right(&looker, what, &case.after.1).await;
    assert!(!deploy(&mut client, &case.after, &terms).await.unwrap().changed, "{what}");
    let aligned = align(&case.after.1, &case.after.1);
    assert_eq!(diff(Some(&aligned), &case.after.1), [], "{what}");
    rows
}

/// Each value of a column that goes on as it was is where it was.
fn rows_are_kept(
    what: &str,
    before: &Model,
    after: &Model,
    were: &[(String, Value)],
    are: &[(String, Value)],
    case: &Case,
) {
    let aligned = align(before, after);
    let changes = diff(Some(&aligned), after);
    for table in &after.tables {
        let Some(deployed) = aligned.deployed(&table.name) else { continue };
        let emptied = changes
            .iter()
            .any(|change| matches!(change, Change::ChangeScope { table: of, .. } if of.name == table.name));
        let (_, were) = were.iter().find(|(name, _)| deployed.name == name.as_str()).unwrap();
        let (_, are) = are.iter().find(|(name, _)| table.name == name.as_str()).unwrap();
        let (were, are) = (were.as_array().unwrap(), are.as_array().unwrap());
        if emptied {
            assert!(are.is_empty() && !were.is_empty(), "{what}: {}", table.name);
            continue;
        }
        assert_eq!(were.len(), are.len(), "{what}: {}", table.name);
        assert!(!were.is_empty(), "{what}: no rows were tried");
        for column in table.columns.iter().filter(|column| column.origin == Origin::Author) {
            let old = aligned.deployed_column(&table.name, &column.name);
            let Some(old) = deployed.column(old.as_str()) else { continue };
            let filled = case.allowed.contains(&format!("fills-nulls:{}.{}", table.name, column.name));
            for (was, is) in were.iter().zip(are) {
                let (was, is) = (&was[old.name.as_str()], &is[column.name.as_str()]);
                if filled && was.is_null() {
                    assert!(!is.is_null(), "{what}: {}", column.name);
                } else if old.column_type.storage() == column.column_type.storage() {
                    assert_eq!(was, is, "{what}: {}", column.name);
                } else {
                    assert_eq!(was.is_null(), is.is_null(), "{what}: {}", column.name);
                }
            }
        }
    }
}
