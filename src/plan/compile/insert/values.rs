//! What stands in the columns of a new row: of the one that the call is, or of each of its rows.
//!
//! Of many rows each argument is one list. The lists are unnested side by side, and a row's value
//! is a column of that.

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::function::{Argument, Assigned, Assignment, Source};
use rowgate_schema_dsl::model::{Column, DefaultValue, Table};
use rowgate_schema_dsl::name::{OWNER_COLUMN, SCOPE_COLUMN};
use rowgate_schema_dsl::value::Typed;
use sea_query::extension::postgres::PgFunc;
use sea_query::{Alias, CaseStatement, Expr, ExprTrait, Func, Query, SelectStatement, Value};

use crate::plan::compile::{CompileError, caller, dropped_argument, now, source};
use crate::plan::statement::{Binding, Parameters};

/// What the id of a new row is called among the call's rows. No column's name has a space.
pub(super) const NEW_ID: &str = "new id";

/// Where the values of a new row come from.
pub(super) struct Values<'a> {
    arguments: &'a [Argument],
    pub(super) parameters: Parameters,
    /// `None` where the call itself is the row.
    lists: Option<Vec<List>>,
}

/// One value of every row.
struct List {
    binding: Binding,
    name: Alias,
    values: Expr,
}

impl<'a> Values<'a> {
    pub(super) fn of_call(arguments: &'a [Argument], parameters: Parameters) -> Values<'a> {
        Values { arguments, parameters, lists: None }
    }

    pub(super) fn of_rows(arguments: &'a [Argument], parameters: Parameters) -> Values<'a> {
        Values { arguments, parameters, lists: Some(Vec::new()) }
    }

    /// The columns of a new row, and what stands in each.
    pub(super) fn row(
        &mut self,
        table: &Table,
        values: &[Assignment],
    ) -> Result<(Vec<Alias>, Vec<Expr>), CompileError> {
        let mut columns = vec![Alias::new(SCOPE_COLUMN), Alias::new("id")];
        let mut row = vec![self.parameters.bind(Binding::Scope, &ColumnType::Uuid), self.id()];
        if table.owner().is_some() {
            columns.push(Alias::new(OWNER_COLUMN));
            row.push(caller(&mut self.parameters));
        }
        for Assignment { column, value } in values {
            let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
            columns.push(Alias::new(column.name.as_str()));
            row.push(match value {
                Assigned::Source(value) => self.inserted(value, column),
                Assigned::Increment(by) => self.begun(by, column),
                // INVARIANT: `check` lets lists be changed in patches alone.
                Assigned::Append(_) | Assigned::Remove(_) => return Err(CompileError::List),
            });
        }
        Ok((columns, row))
    }

    /// The call's rows: every list that was asked for, unnested side by side, by the names of the columns.
    pub(super) fn unnested(&self) -> (Vec<Alias>, SelectStatement) {
        let mut select = Query::select();
        let mut names = Vec::new();
        for List { name, values, .. } in self.lists.iter().flatten() {
            select.expr(Func::cust(Alias::new("unnest")).arg(values.clone()));
            names.push(name.clone());
        }
        (names, select)
    }

    /// The values of every row, where each row has its own.
    pub(super) fn listed_of(&mut self, value: &Source, column: &Column) -> Option<Expr> {
        let Source::Argument(place) = value else { return None };
        self.lists.as_ref()?;
        let or = match (dropped_argument(value, self.arguments), &column.default) {
            (Some(_), Some(DefaultValue::Value(default))) => default.clone(),
            (Some(_), Some(DefaultValue::Now) | None) | (None, _) => Typed::Null,
        };
        let binding = Binding::Rows { place: *place, or, as_text: false };
        Some(self.parameters.bind_array(binding, &ColumnType::Uuid))
    }

    /// Whether the row that was met is to get the argument at `place`: whether it was given.
    pub(super) fn met_given(&mut self, place: usize) -> Expr {
        if self.lists.is_none() {
            return self.given(place);
        }
        // A row that is met has but the values that were to be inserted, so it is known by its new id.
        let ids = self.parameters.bind_array(Binding::RowIdsGiven(place), &ColumnType::Uuid);
        Expr::col((Alias::new("excluded"), Alias::new("id"))).eq(PgFunc::any(ids))
    }

    fn id(&mut self) -> Expr {
        if self.lists.is_none() {
            return self.parameters.bind(Binding::NewId, &ColumnType::Uuid);
        }
        let list = self.parameters.bind_array(Binding::RowIds, &ColumnType::Uuid);
        self.listed(Binding::RowIds, list)
    }

    fn given(&mut self, place: usize) -> Expr {
        if self.lists.is_none() {
            return self.parameters.bind(Binding::Given(place), &ColumnType::Boolean);
        }
        let list = self.parameters.bind_array(Binding::RowsGiven(place), &ColumnType::Boolean);
        self.listed(Binding::RowsGiven(place), list)
    }

    fn source(&mut self, value: &Source, column_type: &ColumnType) -> Expr {
        match value {
            Source::Argument(place) if self.lists.is_some() => self.each(*place, Typed::Null, column_type),
            Source::Argument(_) | Source::Literal(_) | Source::Identity(_) | Source::Now => {
                source(value, column_type, &mut self.parameters)
            }
        }
    }

    /// The argument, or the column's default where it is absent.
    fn argument_or(&mut self, place: usize, or: Typed, column_type: &ColumnType) -> Expr {
        if self.lists.is_some() {
            return self.each(place, or, column_type);
        }
        self.parameters.bind(Binding::ArgumentOr(place, or), column_type)
    }

    /// One argument of every row. Lists cannot be elements of one, so they are as text.
    fn each(&mut self, place: usize, or: Typed, column_type: &ColumnType) -> Expr {
        let storage = column_type.storage();
        let binding = Binding::Rows { place, or, as_text: storage.is_array };
        if storage.is_array {
            let text = ColumnType::String { min: None, max: None, pattern: None };
            let list = self.parameters.bind_array(binding.clone(), &text);
            return self.listed(binding, list).cast_as(Alias::new(format!("{}[]", storage.element.sql())));
        }
        let list = self.parameters.bind_array(binding.clone(), column_type);
        self.listed(binding, list)
    }

    /// A row's element of `values`.
    fn listed(&mut self, binding: Binding, values: Expr) -> Expr {
        let lists = self.lists.get_or_insert_default();
        let known = lists.iter().find(|list| list.binding == binding && list.values == values);
        let name = match known {
            Some(list) => list.name.clone(),
            None => {
                let name =
                    if binding == Binding::RowIds { NEW_ID.to_owned() } else { format!("value {}", lists.len()) };
                let name = Alias::new(name);
                lists.push(List { binding, name: name.clone(), values });
                name
            }
        };
        Expr::col(name)
    }

    /// What an insert puts into `column`: where an optional argument is absent, the column's default.
    fn inserted(&mut self, value: &Source, column: &Column) -> Expr {
        let Some(place) = dropped_argument(value, self.arguments) else {
            return self.source(value, &column.column_type);
        };
        match &column.default {
            None => self.source(value, &column.column_type),
            Some(DefaultValue::Value(default)) => self.argument_or(place, default.clone(), &column.column_type),
            Some(DefaultValue::Now) => {
                let new = self.source(value, &column.column_type);
                let now = now(&column.column_type);
                // Null is absence where the column holds none.
                if !column.optional {
                    return Func::coalesce([new, now]).into();
                }
                CaseStatement::new().case(self.given(place), new).finally(now).into()
            }
        }
    }

    /// What a counter begins with: its default or 0, and the first step.
    fn begun(&mut self, by: &Source, column: &Column) -> Expr {
        let first = match &column.default {
            Some(DefaultValue::Value(Typed::Null)) | None => zero(),
            Some(DefaultValue::Value(value)) => {
                source(&Source::Literal(value.clone()), &column.column_type, &mut self.parameters)
            }
            Some(DefaultValue::Now) => zero(),
        };
        first.add(step(by, column, self.arguments, &mut self.parameters))
    }
}

/// How much a counter grows.
pub(super) fn step(by: &Source, column: &Column, arguments: &[Argument], parameters: &mut Parameters) -> Expr {
    let by_value = source(by, &column.column_type, parameters);
    if dropped_argument(by, arguments).is_some() { Func::coalesce([by_value, zero()]).into() } else { by_value }
}

pub(super) fn zero() -> Expr {
    Expr::Constant(Value::BigInt(Some(0)))
}
