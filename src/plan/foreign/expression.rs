//! Expressions: each form that is known is written with brackets of its own, so that Postgres reads
//! what was read here.

use sqlparser::ast::{AccessExpr, BinaryOperator, Expr, Subscript, UnaryOperator, Value};

use crate::plan::foreign::lists::binary;
use crate::plan::foreign::{Done, PARAMETERS_MAX, Refused, Writer, invalid, not_allowed};

impl Writer<'_> {
    pub(super) fn expression(&mut self, expression: &Expr) -> Done {
        self.deeper(|writer| writer.expression_here(expression))
    }

    pub(super) fn expressions(&mut self, expressions: &[Expr]) -> Done {
        self.listed(expressions, Writer::expression)
    }

    fn expression_here(&mut self, expression: &Expr) -> Done {
        match expression {
            Expr::Identifier(name) => self.name(name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [table, column] => {
                    self.name(table)?;
                    self.write(".");
                    self.name(column)
                }
                _ => Err(not_allowed("a column is named by its table's name at most".to_owned())),
            },
            Expr::Nested(inner) => self.expression(inner),
            Expr::Value(value) => self.value(&value.value),
            Expr::BinaryOp { .. } => self.chain(expression),
            Expr::UnaryOp { op, expr } => {
                self.write(match op {
                    UnaryOperator::Plus => "(+ ",
                    UnaryOperator::Minus => "(- ",
                    UnaryOperator::Not => "(NOT ",
                    _ => return Err(operator()),
                });
                self.expression(expr)?;
                self.write(")");
                Ok(())
            }
            Expr::InList { expr, list, negated } => {
                self.write("(");
                self.expression(expr)?;
                self.write(if *negated { " NOT IN (" } else { " IN (" });
                self.expressions(list)?;
                self.write("))");
                Ok(())
            }
            Expr::InSubquery { expr, subquery, negated } => {
                self.write("(");
                self.expression(expr)?;
                self.write(if *negated { " NOT IN (" } else { " IN (" });
                self.query(subquery)?;
                self.write("))");
                Ok(())
            }
            Expr::Exists { subquery, negated } => {
                self.write(if *negated { "(NOT EXISTS (" } else { "(EXISTS (" });
                self.query(subquery)?;
                self.write("))");
                Ok(())
            }
            Expr::Subquery(query) => {
                self.write("(");
                self.query(query)?;
                self.write(")");
                Ok(())
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.write("(CASE");
                if let Some(operand) = operand {
                    self.write(" ");
                    self.expression(operand)?;
                }
                for when in conditions {
                    self.write(" WHEN ");
                    self.expression(&when.condition)?;
                    self.write(" THEN ");
                    self.expression(&when.result)?;
                }
                if let Some(otherwise) = else_result {
                    self.write(" ELSE ");
                    self.expression(otherwise)?;
                }
                self.write(" END)");
                Ok(())
            }
            Expr::Tuple(values) => {
                self.write("ROW(");
                self.expressions(values)?;
                self.write(")");
                Ok(())
            }
            Expr::Array(array) if array.named => {
                self.write("ARRAY[");
                self.expressions(&array.elem)?;
                self.write("]");
                Ok(())
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.write("(");
                self.expression(root)?;
                self.write(")");
                access_chain.iter().try_for_each(|access| self.subscript(access))
            }
            Expr::GroupingSets(sets) => self.sets("GROUPING SETS", sets),
            Expr::Cube(sets) => self.sets("CUBE", sets),
            Expr::Rollup(sets) => self.sets("ROLLUP", sets),
            _ => self.compared(expression),
        }
    }

    /// What asks something of a value or two.
    fn compared(&mut self, expression: &Expr) -> Done {
        match expression {
            Expr::IsNull(inner) => self.tested(inner, " IS NULL)"),
            Expr::IsNotNull(inner) => self.tested(inner, " IS NOT NULL)"),
            Expr::IsTrue(inner) => self.tested(inner, " IS TRUE)"),
            Expr::IsNotTrue(inner) => self.tested(inner, " IS NOT TRUE)"),
            Expr::IsFalse(inner) => self.tested(inner, " IS FALSE)"),
            Expr::IsNotFalse(inner) => self.tested(inner, " IS NOT FALSE)"),
            Expr::IsUnknown(inner) => self.tested(inner, " IS UNKNOWN)"),
            Expr::IsNotUnknown(inner) => self.tested(inner, " IS NOT UNKNOWN)"),
            Expr::IsDistinctFrom(left, right) => self.between(left, " IS DISTINCT FROM ", right),
            Expr::IsNotDistinctFrom(left, right) => self.between(left, " IS NOT DISTINCT FROM ", right),
            Expr::AtTimeZone { timestamp, time_zone } => self.between(timestamp, " AT TIME ZONE ", time_zone),
            Expr::Between { expr, negated, low, high } => {
                self.write("(");
                self.expression(expr)?;
                self.write(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.expression(low)?;
                self.write(" AND ");
                self.expression(high)?;
                self.write(")");
                Ok(())
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let word = if *negated { " NOT LIKE " } else { " LIKE " };
                self.pattern(expr, word, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                let word = if *negated { " NOT ILIKE " } else { " ILIKE " };
                self.pattern(expr, word, pattern, escape_char.as_deref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let word = if *negated { " NOT SIMILAR TO " } else { " SIMILAR TO " };
                self.pattern(expr, word, pattern, escape_char.as_deref())
            }
            Expr::AnyOp { left, compare_op, right, is_some: _ } => self.of_many(left, compare_op, "ANY", right),
            Expr::AllOp { left, compare_op, right } => self.of_many(left, compare_op, "ALL", right),
            _ => self.called(expression),
        }
    }

    /// Operators one behind the other lean to the left as deep as they are many, so they are not
    /// gone into one by one.
    fn chain(&mut self, expression: &Expr) -> Done {
        let (mut first, mut rest) = (expression, Vec::new());
        while let Expr::BinaryOp { left, op, right } = first {
            rest.push((binary(op).ok_or_else(operator)?, right));
            first = left;
        }
        self.write(&"(".repeat(rest.len()));
        self.expression(first)?;
        for (operator, right) in rest.into_iter().rev() {
            self.write(" ");
            self.write(operator);
            self.write(" ");
            self.expression(right)?;
            self.write(")");
        }
        Ok(())
    }

    fn tested(&mut self, inner: &Expr, test: &str) -> Done {
        self.write("(");
        self.expression(inner)?;
        self.write(test);
        Ok(())
    }

    fn between(&mut self, left: &Expr, word: &str, right: &Expr) -> Done {
        self.write("(");
        self.expression(left)?;
        self.write(word);
        self.expression(right)?;
        self.write(")");
        Ok(())
    }

    fn pattern(&mut self, text: &Expr, word: &str, pattern: &Expr, escape: Option<&Expr>) -> Done {
        self.write("(");
        self.expression(text)?;
        self.write(word);
        self.expression(pattern)?;
        if let Some(escape) = escape {
            self.write(" ESCAPE ");
            self.expression(escape)?;
        }
        self.write(")");
        Ok(())
    }

    fn of_many(&mut self, left: &Expr, compare: &BinaryOperator, word: &str, right: &Expr) -> Done {
        let compare = binary(compare).ok_or_else(operator)?;
        self.write("(");
        self.expression(left)?;
        self.write(&format!(" {compare} {word} ("));
        match right {
            // Of its rows; in brackets of its own it would be one value.
            Expr::Subquery(query) => self.query(query)?,
            other => self.expression(other)?,
        }
        self.write("))");
        Ok(())
    }

    fn subscript(&mut self, access: &AccessExpr) -> Done {
        match access {
            AccessExpr::Subscript(Subscript::Index { index }) => {
                self.write("[");
                self.expression(index)?;
            }
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                self.write("[");
                if let Some(lower) = lower_bound {
                    self.expression(lower)?;
                }
                self.write(":");
                if let Some(upper) = upper_bound {
                    self.expression(upper)?;
                }
            }
            AccessExpr::Subscript(Subscript::Slice { .. }) | AccessExpr::Dot(_) => {
                return Err(invalid("the text has an expression that is not read here".to_owned()));
            }
        }
        self.write("]");
        Ok(())
    }

    fn sets(&mut self, word: &str, sets: &[Vec<Expr>]) -> Done {
        self.write(word);
        self.write(" (");
        self.listed(sets, |writer, set| {
            writer.write("(");
            writer.expressions(set)?;
            writer.write(")");
            Ok(())
        })?;
        self.write(")");
        Ok(())
    }

    /// However a text was quoted, it is written in the one way that has no escapes.
    pub(super) fn value(&mut self, value: &Value) -> Done {
        match value {
            Value::Number(digits, _) => {
                let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
                if !digits.bytes().all(known) {
                    return Err(invalid("write numbers by decimal digits".to_owned()));
                }
                self.write(digits);
            }
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => self.literal(text)?,
            Value::DollarQuotedString(text) => self.literal(&text.value)?,
            Value::Boolean(true) => self.write("TRUE"),
            Value::Boolean(false) => self.write("FALSE"),
            Value::Null => self.write("NULL"),
            Value::Placeholder(placeholder) => {
                let number = placeholder.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
                match number {
                    Some(number @ 1..=PARAMETERS_MAX) => {
                        self.parameters.insert(number);
                        self.write(&format!("${number}"));
                    }
                    Some(_) => return Err(invalid(format!("parameters are `$1` to `${PARAMETERS_MAX}`"))),
                    None => return Err(invalid("write parameters as `$1`, `$2` and so on".to_owned())),
                }
            }
            _ => return Err(invalid("write texts in single quotes".to_owned())),
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) -> Done {
        if text.contains('\0') {
            return Err(invalid("the text has a U+0000".to_owned()));
        }
        self.text(text);
        Ok(())
    }
}

pub(super) fn operator() -> Refused {
    invalid("the text has an operator that is not read here".to_owned())
}
