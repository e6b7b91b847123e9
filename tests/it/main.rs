mod apply;
mod ddl;
mod support;
#[path = "../../schema-dsl/tests/understand/mod.rs"]
mod understand;
