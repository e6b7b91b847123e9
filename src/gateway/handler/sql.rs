//! `ctx.sql.query(text, params)`: SQL that reads the rows of the caller's scopes, and nothing else.
//!
//! Two walls stand in its way, each of which would do: [`crate::plan::foreign`] writes the text anew
//! from what it knows, and [`crate::db::transaction::foreign`] runs it as a role that reads the
//! extension's views alone.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postgres_types::{Kind, Type};
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::diagnostic::nearest;
use serde_json::Value;

use crate::db::reader;
use crate::db::sqlstate::Refusal;
use crate::db::transaction::foreign::{Foreign, Literal, Reader, Unread};
use crate::db::transaction::{Isolation, Open};
use crate::error::{Code, Failure};
use crate::gateway::handler::operation::{Asking, Unanswered, refusal};
use crate::gateway::handler::question::{Question, refused};
use crate::plan::foreign::answer::{DESCRIPTION_OFFSET, Room, description, takes};
use crate::plan::foreign::{PARAMETERS_MAX, Refused};
use crate::registry::texts::{Ready, Text};

const USAGE: &str = "ctx.sql.query(text, { value, … })";

/// What a question came to, and whether its transaction goes on.
type Answer = Result<Vec<u8>, Unanswered>;

impl Asking<'_> {
    /// Answers `ctx.sql.query(text, params)`, in the handler's transaction where it has one.
    pub(super) async fn sql(&self, arguments: &[u8], open: Option<&mut Open<'_>>) -> Answer {
        let question = Question::read(arguments, USAGE)?;
        let text: String = serde_json::from_str(question.value(0)?).map_err(|_| question.misused())?;
        let given = match question.options::<Value>(1)? {
            Value::Null => Vec::new(),
            Value::Array(given) => given,
            // Luau's `{}` is an object, and here a list.
            Value::Object(members) if members.is_empty() => Vec::new(),
            Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(question.misused()),
        };
        let extension = &self.found.install.extension;
        let read = extension.texts.read(&text, &extension.model).map_err(told)?;
        if given.len() != read.query.parameters {
            let (wants, has) = (read.query.parameters, given.len());
            let message = format!("the text has {wants} parameters, and {has} values are given; null is `null`");
            return Err(refused("sql_invalid", message));
        }
        debug_assert!(given.len() <= PARAMETERS_MAX, "the translator has a smaller maximum");
        let role = extension.role.as_deref().and_then(reader::role_of).ok_or_else(|| unavailable(NO_ROLES))?;
        let reader = self.reader(&role, &read)?;
        if let Some(open) = open {
            return self.asked(&reader, &read, &given, open).await;
        }
        let wait_max = Duration::from_millis(self.gateway.config.database.pool_wait_timeout_ms);
        let waiting = self.worker.turns.take(extension.id, self.deadline.min(Instant::now() + wait_max));
        let _turn = waiting.await.map_err(refusal)?;
        let mut attempts = self.worker.transactions.attempts_isolated(Isolation::Snapshot, None, self.deadline);
        loop {
            let mut open = attempts.begin().await.map_err(refusal)?;
            // What the handler may catch ends no transaction; what ends one is tried again where that may help.
            let (answer, result) = match self.asked(&reader, &read, &given, &mut open).await {
                Err(Unanswered::Over(failure)) => (None, Err(failure)),
                other => (Some(other), Ok(())),
            };
            match (attempts.end(open, result).await, answer) {
                (ControlFlow::Continue(()), _) => {}
                (ControlFlow::Break(Ok(())), Some(answer)) => return answer,
                (ControlFlow::Break(Ok(())), None) => return Err(unavailable(NO_ANSWER)),
                (ControlFlow::Break(Err(failure)), _) if failure.code == Code::SqlUnavailable => {
                    return Err(Unanswered::Over(failure));
                }
                (ControlFlow::Break(Err(failure)), _) => return Err(refusal(failure)),
            }
        }
    }

    /// As whom the text is run.
    fn reader<'a>(&self, role: &'a str, read: &Text) -> Result<Reader<'a>, Unanswered> {
        let install = &self.found.install;
        if read.query.reads_overlay {
            install.scope_key(Scope::Overlay).map_err(refusal)?;
        }
        let scopes = Scope::ALL.map(|scope| (scope, install.scope_key(scope).ok()));
        Ok(Reader { role, scopes, timeout_ms: self.gateway.config.script.sql_timeout_ms })
    }

    async fn asked(&self, reader: &Reader<'_>, read: &Text, given: &[Value], open: &mut Open<'_>) -> Answer {
        let settings = &self.gateway.config.script;
        let room = Room { rows_max: settings.sql_rows_max, bytes_max: settings.sql_answer_bytes_max };
        let ready = match read.ready() {
            Some(ready) => ready,
            None => {
                let sql = description(&read.query);
                let described = open.describe(reader, &sql).await.map_err(|unread| self.unread(unread, &sql))?;
                if let Some(place) = described.parameters.iter().position(|of_type| !takes(of_type)) {
                    let message =
                        format!("`${}` has a type that takes no value; cast it, such as by `::text`", place + 1);
                    return Err(refused("sql_invalid", message));
                }
                read.describe(described.parameters, &described.columns, room).map_err(told)?
            }
        };
        let parameters = parameters(ready, given)?;
        let Ready { key, sql, types } = ready;
        let foreign = Foreign { key: *key, sql, types, parameters: &parameters };
        let rows = open.read(reader, &foreign).await.map_err(|unread| self.unread(unread, ""))?;
        let mut answer = Vec::from(b"[");
        for (place, row) in rows.iter().enumerate() {
            let json: Option<&str> = row.try_get(0).map_err(|error| {
                let failure = Failure::new(Code::Internal, "the gateway could not read the rows of a query");
                Unanswered::Over(failure.with_log(error.to_string()))
            })?;
            // A row beyond the last is not looked at, be it too long or not.
            if place >= room.rows_max {
                let message = format!("the query answers more than {} rows; write a LIMIT", room.rows_max);
                return Err(refused("sql_too_many_rows", message));
            }
            let Some(json) = json else {
                let message = format!("the query's rows have more than {} bytes as JSON", room.bytes_max);
                return Err(refused("sql_answer_too_large", message));
            };
            if place > 0 {
                answer.push(b',');
            }
            answer.extend_from_slice(json.as_bytes());
        }
        answer.push(b']');
        Ok(answer)
    }

    /// `sql` is what was sent, where the author's names are in it at the same places.
    fn unread(&self, unread: Unread, sql: &str) -> Unanswered {
        let refusal_of = match unread {
            Unread::Over(failure) => return Unanswered::Over(failure),
            Unread::NoWall(why) => return unavailable(&why),
            Unread::Refused(refusal) => refusal,
        };
        let named = refusal_of.position.and_then(|position| named_at(sql, position));
        let Some((code, message)) = refusal_of.of_foreign(named.as_deref()) else {
            return Unanswered::Over(refusal_of.own_failure());
        };
        self.log_refusal(&refusal_of);
        let columns = self.found.install.extension.model.tables.iter().flat_map(|table| &table.columns);
        let near = named.filter(|_| message.starts_with("there is no column")).and_then(|named| {
            let column = named.rsplit('.').next().unwrap_or_default().to_owned();
            nearest(&column, columns.map(|column| column.name.as_str())).map(str::to_owned)
        });
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        refused(code, format!("{message}{hint}"))
    }

    /// Postgres's own words are the author's alone: what they tell of is text and rows of his.
    fn log_refusal(&self, refusal: &Refusal) {
        self.log_line("warn", &format!("ctx.sql: {}", refusal.message));
    }
}

fn told(refused_by: Refused) -> Unanswered {
    refused(refused_by.code, refused_by.message)
}

const NO_ROLES: &str =
    "the extension has no database role; set database.roles to \"per_extension\" and deploy it again";
const NO_ANSWER: &str = "the query came to no answer";

/// `why` is for the log of who runs the gateway.
fn unavailable(why: &str) -> Unanswered {
    let detail = "SQL of handlers cannot be run by this gateway; its log says what is missing";
    Unanswered::Over(Failure::new(Code::SqlUnavailable, detail).with_log(why.to_owned()))
}

/// Each value as the text that Postgres reads it from.
fn parameters<'a>(ready: &Ready, given: &'a [Value]) -> Result<Vec<Literal<'a>>, Unanswered> {
    let read = ready.types.iter().zip(given).enumerate().map(|(place, (of_type, value))| {
        literal(of_type, value).map(Literal).map_err(|expected| {
            refused("sql_invalid", format!("`${}` takes {expected}, and {} was given", place + 1, kind(value)))
        })
    });
    read.collect()
}

/// The text of `value`, or what was expected.
fn literal<'a>(of_type: &Type, value: &'a Value) -> Result<Option<Cow<'a, str>>, &'static str> {
    if let Kind::Array(element) = of_type.kind() {
        return list(element, value);
    }
    let text = match (of_type.clone(), value) {
        (Type::JSON | Type::JSONB, Value::Null) | (_, Value::Null) => return Ok(None),
        (Type::JSON | Type::JSONB, value) => Cow::from(value.to_string()),
        (Type::BOOL, Value::Bool(value)) => Cow::from(if *value { "true" } else { "false" }),
        (Type::BOOL, _) => return Err("a boolean"),
        (Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC, value) => match value {
            Value::Number(number) => Cow::from(number.to_string()),
            Value::String(digits) => Cow::from(digits.as_str()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err("a number"),
        },
        (Type::BYTEA, Value::String(text)) => {
            let bytes = STANDARD.decode(text).map_err(|_| "bytes as base64")?;
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Cow::from(format!("\\x{digits}"))
        }
        (_, Value::String(text)) => Cow::from(text.as_str()),
        (_, Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => return Err("text"),
    };
    if text.contains('\0') { Err("text without U+0000") } else { Ok(Some(text)) }
}

/// An array's literal: each element in quotes, with a backslash before quotes and backslashes.
fn list<'a>(element: &Type, value: &'a Value) -> Result<Option<Cow<'a, str>>, &'static str> {
    let elements = match value {
        Value::Null => return Ok(None),
        Value::Array(elements) => elements.as_slice(),
        Value::Object(members) if members.is_empty() => &[],
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return Err("a list"),
    };
    let mut text = String::from("{");
    for (place, value) in elements.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        match literal(element, value)? {
            None => text.push_str("NULL"),
            Some(value) => {
                text.push('"');
                text.push_str(&value.replace('\\', "\\\\").replace('"', "\\\""));
                text.push('"');
            }
        }
    }
    text.push('}');
    Ok(Some(text.into()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The name, of one or two parts, that `sql` has at `position`; all names in it are in quotes.
fn named_at(sql: &str, position: usize) -> Option<String> {
    let rest: String = sql.chars().skip(position.checked_sub(1)?.max(DESCRIPTION_OFFSET)).take(150).collect();
    let quoted = rest.strip_prefix('"');
    let Some(rest) = quoted else {
        let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        return (!word.is_empty()).then_some(word);
    };
    let (first, rest) = rest.split_once('"')?;
    match rest.strip_prefix(".\"").and_then(|rest| rest.split_once('"')) {
        Some((second, _)) => Some(format!("{first}.{second}")),
        None => Some(first.to_owned()),
    }
}
