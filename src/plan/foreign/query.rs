//! Clauses: what stands around expressions. Every member of a clause is named here, so that one
//! which a newer parser knows is a decision to be made.

use sqlparser::ast::{
    Cte, CteAsMaterialized, Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowExpr, ObjectName, ObjectNamePart, OrderByExpr, OrderByKind, OrderBySort, Query, Select, SelectFlavor,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    TableWithJoins, WildcardAdditionalOptions, With,
};

use crate::plan::foreign::lists::{TABLE_FUNCTIONS, function};
use crate::plan::foreign::{Done, Refused, Writer, invalid, not_allowed};

impl Writer<'_> {
    pub(super) fn query(&mut self, query: &Query) -> Done {
        self.deeper(|writer| writer.query_here(query))
    }

    fn query_here(&mut self, query: &Query) -> Done {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if !locks.is_empty() {
            return Err(not_allowed("FOR UPDATE and FOR SHARE lock rows; leave them out".to_owned()));
        }
        if fetch.is_some() {
            return Err(not_allowed("FETCH is not read; write LIMIT".to_owned()));
        }
        if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty() {
            return Err(clause());
        }
        if let Some(with) = with {
            self.with(with)?;
        }
        self.body(body)?;
        if let Some(order_by) = order_by {
            match (&order_by.kind, &order_by.interpolate) {
                (OrderByKind::Expressions(keys), None) => self.order_by(keys)?,
                (OrderByKind::Expressions(_) | OrderByKind::All(_), _) => return Err(clause()),
            }
        }
        match limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                if let Some(limit) = limit {
                    self.write(" LIMIT ");
                    self.expression(limit)?;
                }
                if let Some(offset) = offset {
                    self.write(" OFFSET ");
                    self.expression(&offset.value)?;
                }
            }
            Some(LimitClause::LimitOffset { .. } | LimitClause::OffsetCommaLimit { .. }) => return Err(clause()),
        }
        Ok(())
    }

    fn with(&mut self, with: &With) -> Done {
        self.write(if with.recursive { "WITH RECURSIVE " } else { "WITH " });
        if with.recursive {
            // One may name those behind it.
            for common in &with.cte_tables {
                self.common_name(&common.alias.name)?;
            }
        }
        self.listed(&with.cte_tables, |writer, common| writer.common(common, with.recursive))?;
        self.write(" ");
        Ok(())
    }

    fn common(&mut self, common: &Cte, recursive: bool) -> Done {
        let Cte { alias, query, from, materialized, closing_paren_token: _ } = common;
        if from.is_some() {
            return Err(clause());
        }
        if !recursive {
            self.common_name(&alias.name)?;
        }
        self.alias(alias)?;
        self.write(match materialized {
            None => " AS (",
            Some(CteAsMaterialized::Materialized) => " AS MATERIALIZED (",
            Some(CteAsMaterialized::NotMaterialized) => " AS NOT MATERIALIZED (",
        });
        self.query(query)?;
        self.write(")");
        Ok(())
    }

    fn body(&mut self, body: &SetExpr) -> Done {
        self.deeper(|writer| match body {
            SetExpr::Select(select) => writer.select(select),
            SetExpr::Query(query) => {
                writer.write("(");
                writer.query(query)?;
                writer.write(")");
                Ok(())
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                writer.write("(");
                writer.body(left)?;
                writer.write(match op {
                    SetOperator::Union => " UNION ",
                    SetOperator::Except => " EXCEPT ",
                    SetOperator::Intersect => " INTERSECT ",
                    SetOperator::Minus => return Err(clause()),
                });
                writer.write(match set_quantifier {
                    SetQuantifier::All => "ALL ",
                    SetQuantifier::Distinct | SetQuantifier::None => "",
                    SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                        return Err(clause());
                    }
                });
                writer.body(right)?;
                writer.write(")");
                Ok(())
            }
            SetExpr::Values(values) if !values.explicit_row && !values.value_keyword => {
                writer.write("VALUES ");
                writer.listed(&values.rows, |writer, row| {
                    writer.write("(");
                    writer.expressions(&row.content)?;
                    writer.write(")");
                    Ok(())
                })
            }
            SetExpr::Values(_) | SetExpr::Table(_) => Err(clause()),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(not_allowed("only SELECT can be run; `ctx.db` writes".to_owned()))
            }
        })
    }

    fn select(&mut self, select: &Select) -> Done {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if into.is_some() {
            return Err(not_allowed("SELECT INTO makes a table; leave INTO out".to_owned()));
        }
        let is_plain = select_modifiers.is_none()
            && top.is_none()
            && exclude.is_none()
            && lateral_views.is_empty()
            && prewhere.is_none()
            && connect_by.is_empty()
            && cluster_by.is_empty()
            && distribute_by.is_empty()
            && sort_by.is_empty()
            && qualify.is_none()
            && value_table_mode.is_none()
            && optimizer_hints.is_empty();
        if !is_plain || *flavor != SelectFlavor::Standard {
            return Err(clause());
        }
        self.write("SELECT ");
        match distinct {
            None | Some(Distinct::All) => {}
            Some(Distinct::Distinct) => self.write("DISTINCT "),
            Some(Distinct::On(keys)) => {
                self.write("DISTINCT ON (");
                self.expressions(keys)?;
                self.write(") ");
            }
        }
        self.listed(projection, Writer::item)?;
        if !from.is_empty() {
            self.write(" FROM ");
            self.listed(from, Writer::joined)?;
        }
        self.condition(" WHERE ", selection.as_ref())?;
        match group_by {
            GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => {
                if !keys.is_empty() {
                    self.write(" GROUP BY ");
                    self.expressions(keys)?;
                }
            }
            GroupByExpr::Expressions(..) | GroupByExpr::All(_) => return Err(clause()),
        }
        self.condition(" HAVING ", having.as_ref())?;
        if !named_window.is_empty() {
            self.write(" WINDOW ");
            self.listed(named_window, |writer, window| {
                writer.name(&window.0)?;
                writer.write(" AS ");
                match &window.1 {
                    NamedWindowExpr::WindowSpec(window) => writer.window(window),
                    NamedWindowExpr::NamedWindow(_) => Err(clause()),
                }
            })?;
        }
        Ok(())
    }

    fn condition(&mut self, word: &str, condition: Option<&Expr>) -> Done {
        let Some(condition) = condition else { return Ok(()) };
        self.write(word);
        self.expression(condition)
    }

    fn item(&mut self, item: &SelectItem) -> Done {
        match item {
            SelectItem::UnnamedExpr(expression) => self.expression(expression),
            SelectItem::ExprWithAlias { expr, alias } => {
                self.expression(expr)?;
                self.write(" AS ");
                self.name(alias)
            }
            SelectItem::Wildcard(options) if is_plain(options) => {
                self.write("*");
                Ok(())
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                if is_plain(options) =>
            {
                self.name(single(name)?)?;
                self.write(".*");
                Ok(())
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {
                Err(clause())
            }
        }
    }

    fn joined(&mut self, joined: &TableWithJoins) -> Done {
        let TableWithJoins { relation, joins } = joined;
        self.relation(relation)?;
        joins.iter().try_for_each(|join| self.join(join))
    }

    fn join(&mut self, join: &Join) -> Done {
        let Join { relation, global, join_operator } = join;
        let (word, constraint) = match join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => ("JOIN ", constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => ("LEFT JOIN ", constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => ("RIGHT JOIN ", constraint),
            JoinOperator::FullOuter(constraint) => ("FULL JOIN ", constraint),
            JoinOperator::CrossJoin(constraint @ JoinConstraint::None) => ("CROSS JOIN ", constraint),
            _ => return Err(clause()),
        };
        if *global {
            return Err(clause());
        }
        self.write(if matches!(constraint, JoinConstraint::Natural) { " NATURAL " } else { " " });
        self.write(word);
        self.relation(relation)?;
        match constraint {
            JoinConstraint::On(condition) => self.condition(" ON ", Some(condition)),
            JoinConstraint::Using(columns) => {
                self.write(" USING (");
                self.listed(columns, |writer, column| writer.name(single(column)?))?;
                self.write(")");
                Ok(())
            }
            JoinConstraint::Natural | JoinConstraint::None => Ok(()),
        }
    }

    fn relation(&mut self, relation: &TableFactor) -> Done {
        self.deeper(|writer| writer.relation_here(relation))
    }

    fn relation_here(&mut self, relation: &TableFactor) -> Done {
        let alias = match relation {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version: None,
                with_ordinality,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                match args {
                    None if !with_ordinality => self.table(single(name)?)?,
                    Some(args) if args.settings.is_none() => {
                        self.write(function(name, TABLE_FUNCTIONS)?);
                        self.write("(");
                        self.listed(&args.args, Writer::argument)?;
                        self.write(if *with_ordinality { ") WITH ORDINALITY" } else { ")" });
                    }
                    None | Some(_) => return Err(clause()),
                }
                alias
            }
            TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
                self.write(if *lateral { "LATERAL " } else { "" });
                self.write(function(name, TABLE_FUNCTIONS)?);
                self.write("(");
                self.listed(args, Writer::argument)?;
                self.write(if *with_ordinality { ") WITH ORDINALITY" } else { ")" });
                alias
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality,
            } => {
                self.write("unnest(");
                self.expressions(array_exprs)?;
                self.write(if *with_ordinality { ") WITH ORDINALITY" } else { ")" });
                alias
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                self.write(if *lateral { "LATERAL (" } else { "(" });
                self.query(subquery)?;
                self.write(")");
                alias
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.write("(");
                self.joined(table_with_joins)?;
                self.write(")");
                alias
            }
            _ => return Err(not_allowed("FROM takes tables of the extension, queries and functions".to_owned())),
        };
        if let Some(alias) = alias {
            self.write(" AS ");
            self.alias(alias)?;
        }
        Ok(())
    }

    fn alias(&mut self, alias: &TableAlias) -> Done {
        let TableAlias { explicit: _, name, columns, at } = alias;
        self.name(name)?;
        if !columns.is_empty() {
            self.write(" (");
            self.listed(columns, |writer, column| match &column.data_type {
                None => writer.name(&column.name),
                Some(_) => Err(clause()),
            })?;
            self.write(")");
        }
        if at.is_none() { Ok(()) } else { Err(clause()) }
    }

    pub(super) fn order_by(&mut self, keys: &[OrderByExpr]) -> Done {
        self.write(" ORDER BY ");
        self.listed(keys, |writer, key| {
            let OrderByExpr { expr, options, with_fill } = key;
            writer.expression(expr)?;
            match &options.sort {
                None => {}
                Some(OrderBySort::Asc) => writer.write(" ASC"),
                Some(OrderBySort::Desc) => writer.write(" DESC"),
                Some(OrderBySort::Using(_)) => return Err(clause()),
            }
            match options.nulls_first {
                None => {}
                Some(true) => writer.write(" NULLS FIRST"),
                Some(false) => writer.write(" NULLS LAST"),
            }
            if with_fill.is_none() { Ok(()) } else { Err(clause()) }
        })
    }
}

/// The name that `name` is alone.
pub(super) fn single(name: &ObjectName) -> Result<&Ident, Refused> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Ok(name),
        _ => {
            let told = "tables and functions are named by one word, without a Postgres schema in front";
            Err(not_allowed(told.to_owned()))
        }
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none()
}

fn clause() -> Refused {
    invalid("the text has a clause that is not read here".to_owned())
}
