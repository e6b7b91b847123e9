//! What looks like a call or a cast, and windows.

use sqlparser::ast::{
    CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgOperator, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, TrimWhereField,
    WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use crate::plan::foreign::expression::operator;
use crate::plan::foreign::lists::{FUNCTIONS, WORDS, field, function, type_name};
use crate::plan::foreign::query::single;
use crate::plan::foreign::{Done, Writer, invalid};

impl Writer<'_> {
    /// What looks like a call, or like a cast.
    pub(super) fn called(&mut self, expression: &Expr) -> Done {
        match expression {
            Expr::Function(call) => self.call(call),
            Expr::Cast { kind: _, expr, data_type, format: None } => {
                let name = type_name(data_type)?;
                self.write("CAST(");
                self.expression(expr)?;
                self.write(" AS ");
                self.write(&name);
                self.write(")");
                Ok(())
            }
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => {
                let name = type_name(&typed.data_type)?;
                self.write("CAST(");
                self.value(&typed.value.value)?;
                self.write(" AS ");
                self.write(&name);
                self.write(")");
                Ok(())
            }
            Expr::Interval(interval) => {
                let is_plain = interval.leading_field.is_none() && interval.fractional_seconds_precision.is_none();
                if !is_plain || !matches!(*interval.value, Expr::Value(_)) {
                    return Err(invalid("write an interval as one text, such as `interval '1 day'`".to_owned()));
                }
                self.write("CAST(");
                self.expression(&interval.value)?;
                self.write(" AS interval)");
                Ok(())
            }
            Expr::Extract { field: which, syntax: _, expr } => {
                let which = field(&which.to_string())?;
                self.write("EXTRACT(");
                self.write(which);
                self.write(" FROM ");
                self.expression(expr)?;
                self.write(")");
                Ok(())
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.one("ceil(", expr)
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.one("floor(", expr)
            }
            Expr::Position { expr, r#in } => {
                self.write("POSITION(");
                self.expression(expr)?;
                self.write(" IN ");
                self.expression(r#in)?;
                self.write(")");
                Ok(())
            }
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.write("SUBSTRING(");
                self.expression(expr)?;
                for (word, place) in [(" FROM ", substring_from), (" FOR ", substring_for)] {
                    if let Some(place) = place {
                        self.write(word);
                        self.expression(place)?;
                    }
                }
                self.write(")");
                Ok(())
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                self.write(match trim_where {
                    None | Some(TrimWhereField::Both) => "TRIM(BOTH ",
                    Some(TrimWhereField::Leading) => "TRIM(LEADING ",
                    Some(TrimWhereField::Trailing) => "TRIM(TRAILING ",
                });
                if let Some(what) = trim_what {
                    self.expression(what)?;
                }
                self.write(" FROM ");
                self.expression(expr)?;
                self.write(")");
                Ok(())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.write("OVERLAY(");
                self.expression(expr)?;
                self.write(" PLACING ");
                self.expression(overlay_what)?;
                self.write(" FROM ");
                self.expression(overlay_from)?;
                if let Some(length) = overlay_for {
                    self.write(" FOR ");
                    self.expression(length)?;
                }
                self.write(")");
                Ok(())
            }
            _ => Err(invalid("the text has an expression that is not read here".to_owned())),
        }
    }

    fn one(&mut self, call: &str, argument: &Expr) -> Done {
        self.write(call);
        self.expression(argument)?;
        self.write(")");
        Ok(())
    }

    fn call(&mut self, call: &Function) -> Done {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } = call;
        if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) || null_treatment.is_some() {
            return Err(invalid("the text has an expression that is not read here".to_owned()));
        }
        match args {
            FunctionArguments::None => {
                self.write(function(name, WORDS)?);
                return Ok(());
            }
            FunctionArguments::Subquery(query) => {
                if !single(name)?.value.eq_ignore_ascii_case("array") {
                    return Err(invalid("put the query of a function's argument in brackets".to_owned()));
                }
                self.write("ARRAY(");
                self.query(query)?;
            }
            FunctionArguments::List(list) => {
                self.write(function(name, FUNCTIONS)?);
                self.write("(");
                self.arguments(list)?;
            }
        }
        self.write(")");
        if !within_group.is_empty() {
            self.write(" WITHIN GROUP (");
            self.order_by(within_group)?;
            self.write(")");
        }
        if let Some(filter) = filter {
            self.write(" FILTER (WHERE ");
            self.expression(filter)?;
            self.write(")");
        }
        match over {
            None => Ok(()),
            Some(WindowType::WindowSpec(window)) => {
                self.write(" OVER ");
                self.window(window)
            }
            Some(WindowType::NamedWindow(name)) => {
                self.write(" OVER ");
                self.name(name)
            }
        }
    }

    fn arguments(&mut self, list: &FunctionArgumentList) -> Done {
        let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        if matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct)) {
            self.write("DISTINCT ");
        }
        self.listed(args, Writer::argument)?;
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(keys) => self.order_by(keys)?,
                _ => return Err(invalid("the text has an expression that is not read here".to_owned())),
            }
        }
        Ok(())
    }

    pub(super) fn argument(&mut self, argument: &FunctionArg) -> Done {
        let value = match argument {
            FunctionArg::Unnamed(value) => value,
            FunctionArg::Named { name, arg, operator } => {
                self.argument_name(name, operator)?;
                arg
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, operator } => {
                self.argument_name(name, operator)?;
                arg
            }
            FunctionArg::ExprNamed { .. } => return Err(operator()),
        };
        match value {
            FunctionArgExpr::Expr(value) => self.expression(value),
            FunctionArgExpr::Wildcard => {
                self.write("*");
                Ok(())
            }
            FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::WildcardWithOptions(_) => {
                Err(invalid("`*` is for `count(*)`".to_owned()))
            }
        }
    }

    fn argument_name(&mut self, name: &Ident, operator_of: &FunctionArgOperator) -> Done {
        if !matches!(operator_of, FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment) {
            return Err(operator());
        }
        self.name(name)?;
        self.write(" => ");
        Ok(())
    }

    pub(super) fn window(&mut self, window: &WindowSpec) -> Done {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        self.write("(");
        if let Some(name) = window_name {
            self.name(name)?;
        }
        if !partition_by.is_empty() {
            self.write(" PARTITION BY ");
            self.expressions(partition_by)?;
        }
        if !order_by.is_empty() {
            self.order_by(order_by)?;
        }
        if let Some(WindowFrame { units, start_bound, end_bound }) = window_frame {
            self.write(match units {
                WindowFrameUnits::Rows => " ROWS ",
                WindowFrameUnits::Range => " RANGE ",
                WindowFrameUnits::Groups => " GROUPS ",
            });
            match end_bound {
                None => self.bound(start_bound)?,
                Some(end) => {
                    self.write("BETWEEN ");
                    self.bound(start_bound)?;
                    self.write(" AND ");
                    self.bound(end)?;
                }
            }
        }
        self.write(")");
        Ok(())
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Done {
        let (distance, word) = match bound {
            WindowFrameBound::CurrentRow => {
                self.write("CURRENT ROW");
                return Ok(());
            }
            WindowFrameBound::Preceding(distance) => (distance, " PRECEDING"),
            WindowFrameBound::Following(distance) => (distance, " FOLLOWING"),
        };
        match distance {
            None => self.write("UNBOUNDED"),
            Some(distance) => self.expression(distance)?,
        }
        self.write(word);
        Ok(())
    }
}
