//! What rows may stand in the way of a change, asked before anything is changed.
//!
//! Values that would be deleted must be named by who wants it; all others that stand in the way must be
//! mended first. Questions are put in the names that are deployed, and of values as they would be.

use super::change::Writer;
use super::step::{OBSTACLE_ROWS_SHOWN, Obstacle, ObstacleKind};
use super::{constraint_text, raw};
use crate::diff::Change;
use crate::diff::conversion::Conversion;
use crate::model::{Column, Index, Origin, Table};
use crate::name::{Name, OWNER_COLUMN};

/// What to name so that the values of a table, or of one of its columns, are deleted.
pub(super) fn deletes(table: &Name, column: Option<&Name>) -> String {
    match column {
        None => format!("deletes-data:{table}"),
        Some(column) => format!("deletes-data:{table}.{column}"),
    }
}

/// What to name so that rows without a value get the default.
pub(super) fn fills(table: &Table, column: &Column) -> String {
    format!("fills-nulls:{}.{}", table.name, column.name)
}

/// What may stand in the way of `change`.
pub(super) fn obstacles(writer: &Writer<'_>, change: &Change<'_>) -> Vec<Obstacle> {
    match change {
        Change::DropTable { before } => drop_table(writer, change, before).into_iter().collect(),
        Change::DropColumn { table, before } => drop_column(writer, change, table, before).into_iter().collect(),
        Change::DropOwner { table, .. } => drop_owner(writer, change, table).into_iter().collect(),
        Change::ChangeScope { table, before } => {
            let message = format!(
                "rows of table `{}` belong to each `{}` and would belong to nobody",
                table.name,
                before.scope.as_str()
            );
            let allow = deletes(&table.name, None);
            let hint = format!("keep `{}`, or delete them by `--allow {allow}`", before.scope.as_str());
            let of = Of { kind: ObstacleKind::DeletesData, message, hint, allow: Some(allow) };
            question(writer, change, &table.name, "true", of).into_iter().collect()
        }
        Change::AddColumn { table, column } if !column.optional && column.default.is_none() => {
            let message = format!("rows of table `{}` have no value for the new column `{}`", table.name, column.name);
            let hint = "make it optional or give it a default".to_owned();
            let of = Of { kind: ObstacleKind::ExistingRows, message, hint, allow: None };
            question(writer, change, &table.name, "true", of).into_iter().collect()
        }
        Change::ChangeColumnType { table, column, before } => {
            let exact = convert(writer, change, table, column, before);
            exact.into_iter().chain(limits(writer, change, table, column)).collect()
        }
        Change::ChangeOptional { table, column } if !column.optional => {
            require(writer, change, table, column).into_iter().collect()
        }
        Change::ChangeConstraint { table, column, .. } => limits(writer, change, table, column).into_iter().collect(),
        Change::AddReference { table, column } => refer(writer, change, table, column).into_iter().collect(),
        Change::AddIndex { table, index } | Change::ChangeIndex { table, index, .. } if index.unique => {
            unique(writer, change, table, index).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// What is said of an obstacle.
struct Of {
    kind: ObstacleKind,
    message: String,
    hint: String,
    allow: Option<String>,
}

/// Asks for the rows of the table with this next name, called `t`, of which `condition` is true.
fn question(writer: &Writer<'_>, change: &Change<'_>, table: &Name, condition: &str, of: Of) -> Option<Obstacle> {
    let deployed = writer.deployed(table)?;
    let from = raw::qualified(writer.schema, deployed.name.as_str());
    let sql = format!(
        "SELECT count(*) OVER () AS \"rows\", t.\"id\" FROM {from} t WHERE {condition} \
         ORDER BY t.\"id\" LIMIT {OBSTACLE_ROWS_SHOWN}"
    );
    let Of { kind, message, hint, allow } = of;
    let (table, is_asked_again) = (deployed.name.to_string(), kind == ObstacleKind::DeletesData);
    Some(Obstacle { kind, table, is_asked_again, pointer: change.pointer(), message, hint, allow, sql })
}

fn drop_table(writer: &Writer<'_>, change: &Change<'_>, before: &Table) -> Option<Obstacle> {
    let columns = |table: &Table| -> Vec<(String, _)> {
        let authored = table.columns.iter().filter(|column| column.origin == Origin::Author);
        authored.map(|column| (column.name.to_string(), column.column_type.storage())).collect()
    };
    let like = writer.changes.iter().find_map(|change| match change {
        Change::CreateTable { table } if columns(table) == columns(before) => Some(&table.name),
        _ => None,
    });
    let allow = deletes(&before.name, None);
    let message = format!("rows of table `{}`, which is no longer declared, would be deleted", before.name);
    let hint = match like {
        Some(like) => format!(
            "if it is called `{like}` now, say `:renamedFrom(\"{}\")` there; if not, delete them by `--allow {allow}`",
            before.name
        ),
        None => format!("declare it again, or delete them by `--allow {allow}`"),
    };
    question(
        writer,
        change,
        &before.name,
        "true",
        Of { kind: ObstacleKind::DeletesData, message, hint, allow: Some(allow) },
    )
}

fn drop_column(writer: &Writer<'_>, change: &Change<'_>, table: &Table, before: &Column) -> Option<Obstacle> {
    let storage = before.column_type.storage();
    let like = writer.changes.iter().find_map(|change| match change {
        Change::AddColumn { table: of, column } => {
            (of.name == table.name && column.column_type.storage() == storage).then_some(&column.name)
        }
        _ => None,
    });
    let allow = deletes(&table.name, Some(&before.name));
    let message = format!(
        "rows of table `{}` have a value in `{}`, which is no longer declared; it would be deleted",
        table.name, before.name
    );
    let hint = match like {
        Some(like) => format!(
            "if it is called `{like}` now, say `:renamedFrom(\"{}\")` there; if not, delete them by `--allow {allow}`",
            before.name
        ),
        None => format!("declare it again, or delete them by `--allow {allow}`"),
    };
    let condition = format!("t.{} IS NOT NULL", raw::quoted(before.name.as_str()));
    let of = Of { kind: ObstacleKind::DeletesData, message, hint, allow: Some(allow) };
    question(writer, change, &table.name, &condition, of)
}

fn drop_owner(writer: &Writer<'_>, change: &Change<'_>, table: &Table) -> Option<Obstacle> {
    let allow = format!("deletes-data:{}.{OWNER_COLUMN}", table.name);
    let message = format!("rows of table `{}` have an owner, who would be forgotten", table.name);
    let hint = format!("declare it `:owned()` again, or forget them by `--allow {allow}`");
    let condition = format!("t.{} <> ''", raw::quoted(OWNER_COLUMN));
    let of = Of { kind: ObstacleKind::DeletesData, message, hint, allow: Some(allow) };
    question(writer, change, &table.name, &condition, of)
}

fn convert(
    writer: &Writer<'_>,
    change: &Change<'_>,
    table: &Table,
    column: &Column,
    before: &Column,
) -> Option<Obstacle> {
    let deployed = writer.deployed_column(table, column)?;
    let value = format!("t.{}", raw::quoted(deployed.name.as_str()));
    let fails = change.conversion()?.failure_of(&value)?;
    let message = format!(
        "rows of table `{}` have a value in `{}` that is no {} as declared now",
        table.name,
        column.name,
        column.column_type.word()
    );
    let hint = format!("change those values first, or keep the type `{}`", before.column_type.word());
    let of = Of { kind: ObstacleKind::ExistingRows, message, hint, allow: None };
    let obstacle = question(writer, change, &table.name, &format!("({fails}) IS TRUE"), of)?;
    Some(Obstacle { is_asked_again: true, ..obstacle })
}

fn require(writer: &Writer<'_>, change: &Change<'_>, table: &Table, column: &Column) -> Option<Obstacle> {
    let deployed = writer.deployed_column(table, column)?;
    let message = format!("rows of table `{}` have no value in `{}`", table.name, column.name);
    let allow = column.default.is_some().then(|| fills(table, column));
    let hint = match &allow {
        Some(allow) => format!("give them one first, or the default by `--allow {allow}`"),
        None => "give them one first, or declare a default for them".to_owned(),
    };
    let condition = format!("t.{} IS NULL", raw::quoted(deployed.name.as_str()));
    question(writer, change, &table.name, &condition, Of { kind: ObstacleKind::ExistingRows, message, hint, allow })
}

fn limits(writer: &Writer<'_>, change: &Change<'_>, table: &Table, column: &Column) -> Option<Obstacle> {
    let condition = limits_condition(writer, table, column)?;
    let message =
        format!("rows of table `{}` have a value in `{}` that the new limits do not allow", table.name, column.name);
    let hint = "change those values first, or keep the limits".to_owned();
    let of = Of { kind: ObstacleKind::ExistingRows, message, hint, allow: None };
    question(writer, change, &table.name, &condition, of)
}

/// True of a row `t` whose value, as it would be, the column's limits refuse.
fn limits_condition(writer: &Writer<'_>, table: &Table, column: &Column) -> Option<String> {
    let limits = constraint_text(column)?;
    let value = next_value(writer, table, column)?;
    let name = raw::quoted(column.name.as_str());
    Some(format!("(SELECT ({limits}) IS FALSE FROM (SELECT {value} AS {name}) AS next)"))
}

fn refer(writer: &Writer<'_>, change: &Change<'_>, table: &Table, column: &Column) -> Option<Obstacle> {
    let value = next_value(writer, table, column)?;
    let (target, _) = column.reference()?;
    let message =
        format!("rows of table `{}` have a value in `{}` that is no row of `{target}`", table.name, column.name);
    let hint = "change those values first, or keep the column as it was".to_owned();
    let target = writer.after.table(target)?;
    // Of a table that is new there are no rows.
    let known = match writer.deployed(&target.name) {
        Some(deployed) => format!(
            "EXISTS (SELECT FROM {} r WHERE r.\"scope_key\" = t.\"scope_key\" AND r.\"id\" = {value})",
            raw::qualified(writer.schema, deployed.name.as_str())
        ),
        None => "false".to_owned(),
    };
    let of = Of { kind: ObstacleKind::ExistingRows, message, hint, allow: None };
    question(writer, change, &table.name, &format!("{value} IS NOT NULL AND NOT {known}"), of)
}

fn unique(writer: &Writer<'_>, change: &Change<'_>, table: &Table, index: &Index) -> Option<Obstacle> {
    let deployed = writer.deployed(&table.name)?;
    let mut values = vec!["o.\"scope_key\"".to_owned()];
    for column in table.columns_named(&index.columns) {
        match (next_value(writer, table, column), &column.default) {
            (Some(value), _) => values.push(value.replace("t.\"", "o.\"")),
            // Every row that is there gets the same.
            (None, Some(_)) => {}
            // No row that is there has one, and nulls are not equal.
            (None, None) if column.name != OWNER_COLUMN => return None,
            (None, None) => {}
        }
    }
    let from = raw::qualified(writer.schema, deployed.name.as_str());
    let present: Vec<String> = values.iter().map(|value| format!("{value} IS NOT NULL")).collect();
    let shared = format!(
        "t.\"id\" IN (SELECT s.\"id\" FROM (SELECT o.\"id\", count(*) OVER (PARTITION BY {}) AS \"same\" FROM {from} o \
         WHERE {}) s WHERE s.\"same\" > 1)",
        values.join(", "),
        present.join(" AND ")
    );
    let names: Vec<String> = index.columns.iter().map(|column| format!("`{column}`")).collect();
    let message = format!("rows of table `{}` share their values of {}", table.name, names.join(", "));
    let hint = "change or delete all but one of them first".to_owned();
    let of = Of { kind: ObstacleKind::ExistingRows, message, hint, allow: None };
    question(writer, change, &table.name, &shared, of)
}

/// The value that a column which goes on will have in the row `t`; null where it cannot be converted.
fn next_value(writer: &Writer<'_>, table: &Table, column: &Column) -> Option<String> {
    if column.origin == Origin::System && column.name != OWNER_COLUMN {
        return Some(format!("t.{}", raw::quoted(column.name.as_str())));
    }
    let deployed = writer.deployed_column(table, column)?;
    let value = format!("t.{}", raw::quoted(deployed.name.as_str()));
    let (from, to) = (deployed.column_type.storage(), column.column_type.storage());
    if from == to {
        return Some(value);
    }
    let conversion = Conversion::between(from, to)?;
    let becomes = conversion.of(&value);
    Some(match conversion.failure_of(&value) {
        Some(fails) => format!("CASE WHEN ({fails}) IS FALSE THEN {becomes} END"),
        None => format!("({becomes})"),
    })
}
