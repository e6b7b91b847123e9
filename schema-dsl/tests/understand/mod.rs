//! A definition document as a definition and its model: tables alone, and documents without a
//! mistake alone. What the tests of `diff` and `ddl` begin with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

use indexmap::IndexMap;
use rowgate_schema_dsl::column_type::{ColumnType, Field, OnDelete};
use rowgate_schema_dsl::definition::{self, Definition, Scope};
use rowgate_schema_dsl::model::{self, Model, Origin};
use rowgate_schema_dsl::name::Name;
use rowgate_schema_dsl::pattern::Pattern;
use rowgate_schema_dsl::value;
use serde_json::{Map, Value};

pub fn understand(document: &Value) -> (Definition, Model) {
    let definition = definition_of(document);
    let model = model_of(&definition);
    (definition, model)
}

fn definition_of(document: &Value) -> Definition {
    let extension = &document["extension"];
    Definition {
        rowgate: definition::FORMAT,
        extension: definition::Extension {
            id: text(&extension["id"]).parse().unwrap(),
            name: text(&extension["name"]),
            version: text(&extension["version"]),
        },
        tables: members(&document["tables"]).iter().map(|(name, table)| (name.clone(), table_of(table))).collect(),
        functions: IndexMap::new(),
    }
}

fn table_of(table: &Value) -> definition::Table {
    let lists = |value: &Value| -> IndexMap<String, Vec<String>> {
        members(value).iter().map(|(name, columns)| (name.clone(), texts(columns))).collect()
    };
    definition::Table {
        columns: members(&table["columns"]).iter().map(|(name, column)| (name.clone(), column_of(column))).collect(),
        storage: match table["storage"].as_str() {
            None => Scope::Instance,
            Some(word) => Scope::ALL.into_iter().find(|scope| scope.as_str() == word).unwrap(),
        },
        indexes: lists(&table["indexes"]),
        uniques: lists(&table["uniques"]),
    }
}

fn column_of(column: &Value) -> definition::Column {
    let default = &column["default"];
    definition::Column {
        validator: definition::Validator {
            column_type: type_of(column),
            optional: flag(&column["optional"]),
            default: if default.is_null() {
                None
            } else if default["now"] == true {
                Some(definition::DefaultValue::Now)
            } else {
                Some(definition::DefaultValue::Literal(default.get("literal").unwrap_or(default).clone()))
            },
        },
        private: flag(&column["private"]),
        unique: flag(&column["unique"]),
    }
}

fn type_of(value: &Value) -> ColumnType {
    let length = |name: &str| value[name].as_u64().map(|length| u32::try_from(length).unwrap());
    match value["type"].as_str().unwrap() {
        "string" => ColumnType::String {
            min: length("min"),
            max: length("max"),
            pattern: value["pattern"].as_str().map(|pattern| Pattern::new(pattern).unwrap()),
        },
        "integer" => ColumnType::Integer { min: value["min"].as_i64(), max: value["max"].as_i64() },
        "number" => ColumnType::Number { min: value["min"].as_f64(), max: value["max"].as_f64() },
        "boolean" => ColumnType::Boolean,
        "decimal" => ColumnType::Decimal {
            min: value["min"].as_str().map(str::to_owned),
            max: value["max"].as_str().map(str::to_owned),
        },
        "timestamp" => ColumnType::Timestamp,
        "date" => ColumnType::Date,
        "uuid" => ColumnType::Uuid,
        "bytes" => ColumnType::Bytes { min: length("min"), max: length("max") },
        "enum" => ColumnType::Enum { values: texts(&value["values"]) },
        "id" => ColumnType::Id {
            table: text(&value["table"]),
            on_delete: match value["onDelete"].as_str() {
                None | Some("restrict") => OnDelete::Restrict,
                Some("cascade") => OnDelete::Cascade,
                Some("setNull") => OnDelete::SetNull,
                Some(other) => panic!("unknown onDelete `{other}`"),
            },
        },
        "array" => {
            ColumnType::Array { items: Box::new(type_of(&value["items"])), min: length("min"), max: length("max") }
        }
        "object" => ColumnType::Object {
            fields: members(&value["fields"])
                .iter()
                .map(|(name, field)| {
                    (name.clone(), Field { column_type: type_of(field), optional: flag(&field["optional"]) })
                })
                .collect(),
        },
        "json" => ColumnType::Json,
        other => panic!("unknown type `{other}`"),
    }
}

fn model_of(definition: &Definition) -> Model {
    let mut tables: Vec<model::Table> =
        definition.tables.iter().map(|(name, table)| model_table(name, table)).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Model {
        extension: definition.extension.clone(),
        postgres_schema: model::postgres_schema(definition.extension.id),
        tables,
        functions: Vec::new(),
    }
}

fn model_table(name: &str, table: &definition::Table) -> model::Table {
    let system = |name: &str, column_type, default| model::Column {
        name: Name::new(name).unwrap(),
        column_type,
        optional: false,
        default,
        private: false,
        origin: Origin::System,
    };
    let integer = ColumnType::Integer { min: None, max: None };
    let now = Some(model::DefaultValue::Now);
    let authored = table.columns.iter().map(|(name, column)| model::Column {
        name: Name::new(name).unwrap(),
        column_type: column.validator.column_type.clone(),
        optional: column.validator.optional,
        default: column.validator.default.as_ref().map(|default| match default {
            definition::DefaultValue::Now => model::DefaultValue::Now,
            definition::DefaultValue::Literal(literal) => model::DefaultValue::Value(
                value::parse_literal(&column.validator.column_type, literal).expect("the default fits its type"),
            ),
        }),
        private: column.private,
        origin: Origin::Author,
    });
    let columns = std::iter::once(system("id", ColumnType::Uuid, None))
        .chain(authored)
        .chain([
            system("created_at", ColumnType::Timestamp, now.clone()),
            system("updated_at", ColumnType::Timestamp, now),
            system("version", integer, Some(model::DefaultValue::Value(value::Typed::Int8(1)))),
        ])
        .collect();
    let index = |name: &String, columns: &[String], unique| model::Index {
        name: Name::new(name).unwrap(),
        columns: columns.iter().map(|column| Name::new(column).unwrap()).collect(),
        unique,
    };
    let mut indexes: Vec<model::Index> =
        table.indexes.iter().map(|(name, columns)| index(name, columns, false)).collect();
    indexes.extend(table.uniques.iter().map(|(name, columns)| index(name, columns, true)));
    let unique = table.columns.iter().filter(|(_, column)| column.unique);
    indexes.extend(unique.map(|(name, _)| index(name, std::slice::from_ref(name), true)));
    indexes.sort_by(|a, b| a.name.cmp(&b.name));
    model::Table { name: Name::new(name).unwrap(), scope: table.storage, columns, indexes }
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(text).collect()
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}
