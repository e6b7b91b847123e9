//! What an author writes, checked and turned into everything the gateway needs of it, purely.
//!
//! | stage | room | from | to |
//! |---|---|---|---|
//! | read | [`read`] | a JSON document with a source map | [`definition::Definition`] and diagnostics |
//! | check | [`check`] | a definition | [`model::Model`] or every complaint at once |
//! | describe | [`row_schema`] | a model | JSON Schemas of arguments and rows |
//! | diff | [`diff`] | two models | changes, in a fixed order |
//! | ddl | [`ddl`] | changes | Postgres statements |
//!
//! Nothing here does IO, reads a clock, draws a random number, or knows of tokio or a driver.

pub mod aggregate;
pub mod check;
pub mod column_type;
pub mod ddl;
pub mod definition;
mod definition_schema;
pub mod diagnostic;
pub mod diff;
pub mod egress;
pub mod fit;
pub mod function;
#[cfg(any(test, feature = "generate"))]
pub mod generate;
pub mod like;
pub mod model;
pub mod name;
pub mod pattern;
pub mod read;
pub mod row_schema;
pub mod value;
