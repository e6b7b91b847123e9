//! A definition document without a mistake as a definition and its model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use serde_json::Value;

pub fn understand(document: &Value) -> (Definition, Model) {
    let (definition, diagnostics) = read(document);
    assert_eq!(diagnostics, [], "{document}");
    let model = check(&definition).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"));
    (definition, model)
}
