//! What functions become: snapshots of their SQL, properties of every statement, hostile SQL that
//! must not be proven, bodies of any bytes, and rows written against a reference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]

mod answers;
mod arguments;
mod cursors;
mod hostile;
mod owners;
mod properties;
mod slices;
mod snapshots;
mod writes;

use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::plan::compile::compile;

/// The model of these tables and functions.
fn model(tables: Value, functions: Value) -> Model {
    let (definition, diagnostics) = read(&json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
        "tables": tables,
        "functions": functions,
    }));
    assert_eq!(diagnostics, []);
    checked(&definition)
}

fn checked(definition: &Definition) -> Model {
    check(definition).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"))
}

/// The plan of the one function `f`.
fn plan(tables: Value, function: Value) -> Plan {
    let model = model(tables, json!({ "f": function }));
    compile(&model, model.function("f").unwrap()).unwrap()
}
