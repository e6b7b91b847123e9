//! How an author's file is laid out: what running it does not tell.
//!
//! A Lua table forgets the order and the lines of its keys, and that one was given twice; the
//! syntax tree knows. It also counts what no budget can stop: operators that follow each other
//! without a call or a loop between them.

// The syntax tree's enums are not ours, and grow with the language.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use full_moon::ast::{
    Ast, Block, CompoundAssignment, Expression, Field, FunctionBody, Index, LastStmt, NumericFor, Prefix, Stmt, Suffix,
    TableConstructor, UnOp, Var, VarExpression,
};
use full_moon::tokenizer::{Symbol, Token, TokenReference, TokenType};
use full_moon::visitors::Visitor;

use crate::deploy::notation::luau::context::{self, Missing};

/// Operators of one function's body, or of a file outside functions. Each may take milliseconds on
/// a long text, and the machine can be stopped only at calls and loops.
pub(super) const OPERATORS_MAX: usize = 500;

/// The same, roughly, for a file that Luau understands and the syntax tree's parser does not.
const OPERATOR_BYTES_MAX: usize = 4_000;

/// Tables looked at, in each direction, to find the one that has certain keys.
const CONSTRUCTORS_SEARCHED_MAX: usize = 256;

/// Where a key was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) byte: usize,
    pub(super) line: u32,
}

/// A key that stands twice where only one can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) name: String,
    pub(super) first: Position,
    pub(super) again: Position,
}

/// The layout of one file; nearly empty for a file that the parser does not understand.
#[derive(Debug, Default)]
pub(super) struct Layout {
    constructors: Vec<Constructor>,
    /// Keys of `functions.name = …`, where `functions` is what the file returns.
    assigned: BTreeMap<String, Position>,
    pub(super) repeated: Vec<Repeated>,
    /// Whole numbers that a Lua number cannot hold exactly.
    pub(super) inexact: Vec<(String, Position)>,
    /// Lines of function bodies, or 1 for the file itself, with more than [`OPERATORS_MAX`].
    pub(super) crowded: Vec<u32>,
    /// Members of `ctx` that handlers name and have not.
    pub(super) missing: Vec<Missing>,
}

/// A table's `{ … }`; they stand in the order of their lines.
#[derive(Debug)]
struct Constructor {
    line: u32,
    keys: BTreeMap<String, Position>,
}

impl Layout {
    /// Parses `source`, which Luau has compiled: so it is not nested without bounds.
    pub(super) fn read(source: &str) -> Layout {
        let Ok(ast) = full_moon::parse(source) else {
            let operators = source.bytes().filter(|byte| b"+-*/%^<>.".contains(byte)).count();
            let crowded = if operators > OPERATOR_BYTES_MAX { vec![1] } else { Vec::new() };
            return Layout { crowded, ..Layout::default() };
        };
        let mut survey = Survey { layout: Layout::default(), open: vec![Body { line: 1, operators: 0 }] };
        survey.visit_ast(&ast);
        survey.close();
        let mut layout = survey.layout;
        layout.read_assigned(&ast);
        layout.missing = context::missing(&ast);
        layout
    }

    /// Where the keys of a table were written whose builder was called on line `near`: those of the
    /// nearest table there that has them all. None when no one table has.
    pub(super) fn keys(&self, names: &[&str], near: u32) -> Option<&BTreeMap<String, Position>> {
        if names.is_empty() {
            return None;
        }
        let has_all = |constructor: &&Constructor| names.iter().all(|name| constructor.keys.contains_key(*name));
        // A builder's line is its name's: its table begins there or below, seldom above.
        let middle = self.constructors.partition_point(|constructor| constructor.line < near);
        let (above, below) = self.constructors.split_at_checked(middle)?;
        let below = below.iter().take(CONSTRUCTORS_SEARCHED_MAX).find(has_all);
        let found = below.or_else(|| above.iter().rev().take(CONSTRUCTORS_SEARCHED_MAX).find(has_all));
        found.map(|constructor| &constructor.keys)
    }

    /// Where the functions of a file were written; for those that a loop made it does not know.
    pub(super) fn functions(&self, names: &[&str]) -> BTreeMap<String, Position> {
        let mut keys = self.keys(names, 1).cloned().unwrap_or_default();
        let assigned = self.assigned.iter().filter(|(name, _)| names.contains(&name.as_str()));
        keys.extend(assigned.map(|(name, position)| (name.clone(), *position)));
        keys
    }

    fn read_assigned(&mut self, ast: &Ast) {
        let Some(table) = returned_name(ast.nodes()) else { return };
        for statement in ast.nodes().stmts() {
            match statement {
                Stmt::Assignment(assignment) => {
                    for variable in assignment.variables() {
                        if let Var::Expression(variable) = variable
                            && let Some(key) = member_of(&table, variable)
                        {
                            self.assign(key);
                        }
                    }
                }
                Stmt::FunctionDeclaration(declaration) => {
                    let mut names = declaration.name().names().iter();
                    if let (Some(of), Some(key), None) = (names.next(), names.next(), names.next())
                        && name(of.token()).is_some_and(|of| of == table)
                        && let Some(key) = key_of(key.token())
                    {
                        self.assign(key);
                    }
                }
                _ => {}
            }
        }
    }

    fn assign(&mut self, (name, position): (String, Position)) {
        if let Some(first) = self.assigned.insert(name.clone(), position) {
            self.repeated.push(Repeated { name, first, again: position });
        }
    }
}

struct Body {
    line: u32,
    operators: usize,
}

struct Survey {
    layout: Layout,
    /// The function bodies around, outermost first.
    open: Vec<Body>,
}

impl Survey {
    fn operator(&mut self) {
        if let Some(body) = self.open.last_mut() {
            body.operators += 1;
        }
    }

    fn close(&mut self) {
        if let Some(body) = self.open.pop()
            && body.operators > OPERATORS_MAX
        {
            self.layout.crowded.push(body.line);
        }
    }
}

impl Visitor for Survey {
    fn visit_table_constructor(&mut self, table: &TableConstructor) {
        let line = position(table.braces().tokens().0.token()).line;
        let mut keys = BTreeMap::new();
        for field in table.fields() {
            let Some((name, again)) = field_key(field) else { continue };
            if let Some(first) = keys.insert(name.clone(), again) {
                self.layout.repeated.push(Repeated { name, first, again });
            }
        }
        self.layout.constructors.push(Constructor { line, keys });
    }

    fn visit_function_body(&mut self, body: &FunctionBody) {
        let line = position(body.parameters_parentheses().tokens().0.token()).line;
        self.open.push(Body { line, operators: 0 });
    }

    fn visit_function_body_end(&mut self, _: &FunctionBody) {
        self.close();
    }

    fn visit_expression(&mut self, expression: &Expression) {
        match expression {
            Expression::BinaryOperator { .. } | Expression::InterpolatedString(_) => self.operator(),
            // The compiler makes `-1` a number.
            Expression::UnaryOperator { unop: UnOp::Minus(_), expression }
                if !matches!(expression.as_ref(), Expression::Number(_)) =>
            {
                self.operator();
            }
            Expression::Symbol(token) if is_ellipsis(token) => self.operator(),
            _ => {}
        }
    }

    fn visit_compound_assignment(&mut self, _: &CompoundAssignment) {
        self.operator();
    }

    fn visit_numeric_for(&mut self, _: &NumericFor) {
        self.operator();
    }

    fn visit_number(&mut self, token: &Token) {
        if let TokenType::Number { text } = token.token_type()
            && let Ok(number) = text.replace('_', "").parse::<u128>()
            && !is_exact(number)
        {
            self.layout.inexact.push((text.to_string(), position(token)));
        }
    }
}

/// `name` in `return name`.
fn returned_name(block: &Block) -> Option<String> {
    let Some(LastStmt::Return(returned)) = block.last_stmt() else { return None };
    let mut values = returned.returns().iter();
    match (values.next(), values.next()) {
        (Some(Expression::Var(Var::Name(token))), None) => name(token.token()),
        _ => None,
    }
}

/// `key` in `table.key` and `table["key"]`.
fn member_of(table: &str, variable: &VarExpression) -> Option<(String, Position)> {
    let Prefix::Name(of) = variable.prefix() else { return None };
    if name(of.token())? != table {
        return None;
    }
    let mut suffixes = variable.suffixes();
    match (suffixes.next(), suffixes.next()) {
        (Some(Suffix::Index(Index::Dot { name, .. })), None) => key_of(name.token()),
        (Some(Suffix::Index(Index::Brackets { expression, .. })), None) => match expression.as_ref() {
            Expression::String(token) => key_of(token.token()),
            _ => None,
        },
        _ => None,
    }
}

fn field_key(field: &Field) -> Option<(String, Position)> {
    match field {
        Field::NameKey { key, .. } => key_of(key.token()),
        Field::ExpressionKey { key, .. } => match key.as_ref() {
            Expression::String(token) => key_of(token.token()),
            _ => None,
        },
        _ => None,
    }
}

fn key_of(token: &Token) -> Option<(String, Position)> {
    Some((name(token)?, position(token)))
}

fn name(token: &Token) -> Option<String> {
    match token.token_type() {
        TokenType::Identifier { identifier } => Some(identifier.to_string()),
        TokenType::StringLiteral { literal, .. } if !literal.contains('\\') => Some(literal.to_string()),
        _ => None,
    }
}

fn position(token: &Token) -> Position {
    let start = token.start_position();
    Position { byte: start.bytes(), line: u32::try_from(start.line()).unwrap_or(u32::MAX) }
}

fn is_ellipsis(token: &TokenReference) -> bool {
    matches!(token.token().token_type(), TokenType::Symbol { symbol: Symbol::Ellipsis })
}

/// Whether a double holds this whole number: its significant bits are 53 at most.
fn is_exact(number: u128) -> bool {
    number == 0 || 128 - number.leading_zeros() - number.trailing_zeros() <= 53
}
