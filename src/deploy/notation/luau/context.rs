//! What handlers write behind `ctx`, judged where it can be seen: a member that their kind has not.
//!
//! Only the name that the handler gives its first parameter is followed, and only while nothing else
//! in it has that name. What modules do with a `ctx` they are given is known when they run.

// The syntax tree's enums are not ours, and grow with the language.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use full_moon::ast::{
    Assignment, Ast, Call, Expression, Field, FunctionArgs, FunctionBody, FunctionCall, GenericFor, Index,
    LocalAssignment, LocalFunction, NumericFor, Parameter, Prefix, Suffix, TableConstructor, Var, VarExpression,
};
use full_moon::tokenizer::{TokenReference, TokenType};
use full_moon::visitors::Visitor;
use rowgate_schema_dsl::definition::HandlerKind;
use rowgate_schema_dsl::diagnostic::nearest;

use crate::script::operation::{FACTS, OPERATIONS, operations_of, phrase};

/// A member that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) line: u32,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Every member of `ctx` that a handler of `ast` names and has not, in the order of their lines.
pub(super) fn missing(ast: &Ast) -> Vec<Missing> {
    let mut survey = Survey::default();
    survey.visit_ast(ast);
    let mut missing: Vec<Missing> = survey
        .handlers
        .iter()
        .filter(|handler| !handler.is_hidden)
        .flat_map(|handler| handler.uses.iter().filter_map(|used| judge(handler.kind, used)))
        .collect();
    missing.sort_by_key(|missing| missing.line);
    missing.dedup();
    missing
}

/// `ctx.group` or `ctx.group.member`.
#[derive(Debug)]
struct Use {
    line: u32,
    group: String,
    member: Option<String>,
}

#[derive(Debug)]
struct Handler {
    kind: HandlerKind,
    /// The name of its first parameter.
    context: String,
    /// Where its body begins.
    byte: usize,
    uses: Vec<Use>,
    /// Something else in it has the name, too.
    is_hidden: bool,
}

#[derive(Default)]
struct Survey {
    /// Handlers whose bodies were announced by their builder, by where they begin.
    announced: BTreeMap<usize, HandlerKind>,
    /// Those whose bodies are open, as places in `handlers`.
    open: Vec<usize>,
    handlers: Vec<Handler>,
}

impl Survey {
    fn innermost(&mut self) -> Option<&mut Handler> {
        let place = *self.open.last()?;
        self.handlers.get_mut(place)
    }

    /// Something of this name is made here.
    fn named(&mut self, token: &TokenReference) {
        if let Some(handler) = self.innermost()
            && text(token).is_some_and(|name| name == handler.context)
        {
            handler.is_hidden = true;
        }
    }

    fn used<'a>(&mut self, prefix: &Prefix, suffixes: impl Iterator<Item = &'a Suffix>) {
        let Prefix::Name(of) = prefix else { return };
        let Some(handler) = self.innermost() else { return };
        if text(of).is_none_or(|name| name != handler.context) {
            return;
        }
        let names = suffixes.map_while(|suffix| match suffix {
            Suffix::Index(Index::Dot { name, .. }) => Some(name),
            _ => None,
        });
        let mut names = names.filter_map(|name| Some((text(name)?, line(name))));
        if let Some((group, line)) = names.next() {
            handler.uses.push(Use { line, group, member: names.next().map(|(member, _)| member) });
        }
    }
}

impl Visitor for Survey {
    fn visit_function_call(&mut self, call: &FunctionCall) {
        if let Some((kind, body)) = handler_of(call) {
            self.announced.insert(begins(body), kind);
        }
        self.used(call.prefix(), call.suffixes());
    }

    fn visit_var_expression(&mut self, variable: &VarExpression) {
        self.used(variable.prefix(), variable.suffixes());
    }

    fn visit_function_body(&mut self, body: &FunctionBody) {
        let names = body.parameters().iter().filter_map(|parameter| match parameter {
            Parameter::Name(name) => Some(name),
            _ => None,
        });
        let mut names = names.peekable();
        match (self.announced.get(&begins(body)), names.peek().and_then(|name| text(name))) {
            (Some(kind), Some(context)) => {
                let handler = Handler { kind: *kind, context, byte: begins(body), uses: Vec::new(), is_hidden: false };
                self.open.push(self.handlers.len());
                self.handlers.push(handler);
            }
            _ => names.for_each(|name| self.named(name)),
        }
    }

    fn visit_function_body_end(&mut self, body: &FunctionBody) {
        if self.innermost().is_some_and(|handler| handler.byte == begins(body)) {
            self.open.pop();
        }
    }

    fn visit_local_assignment(&mut self, assignment: &LocalAssignment) {
        assignment.names().iter().for_each(|name| self.named(name));
    }

    fn visit_assignment(&mut self, assignment: &Assignment) {
        for variable in assignment.variables() {
            if let Var::Name(name) = variable {
                self.named(name);
            }
        }
    }

    fn visit_local_function(&mut self, function: &LocalFunction) {
        self.named(function.name());
    }

    fn visit_generic_for(&mut self, statement: &GenericFor) {
        statement.names().iter().for_each(|name| self.named(name));
    }

    fn visit_numeric_for(&mut self, statement: &NumericFor) {
        self.named(statement.index_variable());
    }
}

/// The handler's function in `query({ handler = function … end })`.
fn handler_of(call: &FunctionCall) -> Option<(HandlerKind, &FunctionBody)> {
    let Prefix::Name(name) = call.prefix() else { return None };
    let name = text(name)?;
    let kind = HandlerKind::ALL.into_iter().find(|kind| kind.as_str() == name)?;
    let Some(Suffix::Call(Call::AnonymousCall(arguments))) = call.suffixes().next() else { return None };
    let table: &TableConstructor = match arguments.as_ref() {
        FunctionArgs::TableConstructor(table) => table,
        FunctionArgs::Parentheses { arguments, .. } => match arguments.iter().next()? {
            Expression::TableConstructor(table) => table,
            _ => return None,
        },
        _ => return None,
    };
    table.fields().iter().find_map(|field| match field {
        Field::NameKey { key, value, .. } => match value.as_ref() {
            Expression::Function(function) if text(key)? == "handler" => Some((kind, function.body())),
            _ => None,
        },
        _ => None,
    })
}

fn judge(kind: HandlerKind, used: &Use) -> Option<Missing> {
    let Use { line, group, member } = used;
    let facts = FACTS.iter().find(|(name, _)| name == group).map(|(_, members)| *members);
    let path = match member {
        Some(member) => format!("{group}.{member}"),
        None => group.clone(),
    };
    let is_there = match (member, facts) {
        // A group by itself is there, and so is what is behind a function that is called by its own name.
        (None, Some(_)) => true,
        (Some(member), Some(members)) => members.contains(&member.as_str()),
        (None, None) => operations_of(kind).any(|has| has.name == path || has.name.starts_with(&format!("{group}."))),
        (Some(_), None) => operations_of(kind).any(|has| has.name == path || has.name == group),
    };
    if is_there {
        return None;
    }
    let message = format!("`ctx.{path}` is not there in {}", phrase(kind));
    let others = OPERATIONS.iter().filter(|other| other.name == path || other.name.starts_with(&format!("{path}.")));
    let kinds: Vec<&str> = HandlerKind::ALL
        .into_iter()
        .filter(|kind| others.clone().any(|other| other.kinds.contains(kind)))
        .map(phrase)
        .collect();
    let hint = if kinds.is_empty() {
        let facts =
            FACTS.iter().flat_map(|(group, members)| members.iter().map(move |member| format!("{group}.{member}")));
        let names: Vec<String> = operations_of(kind).map(|has| has.name.to_owned()).chain(facts).collect();
        match nearest(&path, names.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean `ctx.{nearest}`?"),
            None => "`rowgate explain` lists what a handler has".to_owned(),
        }
    } else {
        format!("{} has it", kinds.join(" or "))
    };
    Some(Missing { line: *line, message, hint })
}

fn begins(body: &FunctionBody) -> usize {
    body.parameters_parentheses().tokens().0.token().start_position().bytes()
}

fn line(token: &TokenReference) -> u32 {
    u32::try_from(token.token().start_position().line()).unwrap_or(u32::MAX)
}

fn text(token: &TokenReference) -> Option<String> {
    match token.token().token_type() {
        TokenType::Identifier { identifier } => Some(identifier.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn found(text: &str) -> String {
        let lines = missing(&full_moon::parse(text).unwrap());
        let lines = lines.iter().map(|missing| format!("{}: {}; {}", missing.line, missing.message, missing.hint));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn members_that_a_kind_lacks_are_named() {
        insta::assert_snapshot!(found(
            "local f = {}
f.a = query({ args = {}, handler = function(ctx, args)
  local rows = ctx.db.qery('notes')
  ctx.db.insert('notes', { text = ctx.auth.userID })
  return ctx.fetch('https://example.org'), ctx.auth, ctx.time.now, ctx.db
end })
f.b = action { handler = function(c) pcall(c.run, 'a') return function() return c.db.get('notes', c.auth.userId) end end }
f.c = mutation({ handler = function(ctx) ctx.log.infos('a') ctx.db.insertMany('notes', {}) ctx.sql.qery('') end })
return f"
        ), @r"
        3: `ctx.db.qery` is not there in a query; did you mean `ctx.db.query`?
        4: `ctx.db.insert` is not there in a query; a mutation has it
        4: `ctx.auth.userID` is not there in a query; did you mean `ctx.auth.userId`?
        5: `ctx.fetch` is not there in a query; an action has it
        7: `ctx.db.get` is not there in an action; a query or a mutation has it
        8: `ctx.log.infos` is not there in a mutation; did you mean `ctx.log.info`?
        8: `ctx.sql.qery` is not there in a mutation; did you mean `ctx.sql.query`?
        ");
    }

    /// What is not surely the handler's own `ctx` is left to run.
    #[test]
    fn what_may_be_another_is_not_judged() {
        for hidden in [
            "query({ handler = function(ctx) local ctx = {} return ctx.nothing end })",
            "query({ handler = function(ctx) ctx = {} return ctx.nothing end })",
            "query({ handler = function(ctx) for _, ctx in {} do ctx.nothing() end end })",
            "query({ handler = function(ctx) for ctx = 1, 2 do print(ctx.nothing) end end })",
            "query({ handler = function(ctx) local function f(ctx) return ctx.nothing end end })",
            "query({ handler = function(ctx) local function ctx() end return ctx.nothing end })",
            "query({ handler = function(_, ctx) return ctx.nothing end })",
            "other({ handler = function(ctx) return ctx.nothing end })",
            "local handler = function(ctx) return ctx.nothing end query({ handler = handler })",
            "query({ handler = function(ctx) return other.ctx.nothing, ctx['nothing'] end })",
        ] {
            assert_eq!(found(hidden), "", "{hidden}");
        }
    }
}
