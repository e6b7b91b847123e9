//! SQL that a script wrote: read into a tree, and written anew from a closed list of forms.
//!
//! What is sent is never the script's own text. [`query`], [`expression`] and [`call`] know which clauses,
//! expressions and functions there are, and can write no others, so there is nothing that this
//! parser and Postgres could read differently. Tables become the views of the extension's rows
//! ([`rowgate_schema_dsl::ddl::views`]), which a role without other rights reads. [`answer`] wraps
//! the query so that its rows come as JSON, and no more of them than there is room for.

pub mod answer;
mod call;
mod expression;
mod lists;
mod query;

use std::collections::BTreeSet;

use rowgate_schema_dsl::ddl::views;
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::diagnostic::nearest;
use rowgate_schema_dsl::model::Model;
use sqlparser::ast::{Ident, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Bytes of a text.
pub const TEXT_BYTES_MAX: usize = 16 << 10;
/// Values that one text is given.
pub const PARAMETERS_MAX: usize = 100;
/// Words and signs of a text: what bounds the tree, and with it the stack.
const TOKENS_MAX: usize = 4_000;
/// How deep brackets nest: the parser tries some of them in more than one way.
const BRACKETS_DEPTH_MAX: usize = 12;
/// How deep the parser goes, and what is written here.
const DEPTH_MAX: usize = 64;
/// What Postgres cuts off names behind.
const NAME_BYTES_MAX: usize = 63;

/// A script's query, as it may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// One SELECT, its parameters `$1` to `$n`.
    pub sql: String,
    pub parameters: usize,
    /// Whether it names a table whose rows belong to overlays.
    pub reads_overlay: bool,
}

/// Why a text is not run, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `sql_invalid` or `sql_not_allowed`.
    pub code: &'static str,
    pub message: String,
}

type Done = Result<(), Refused>;

/// Reads `text` and writes it as a query of the views of `model`.
pub fn translate(text: &str, model: &Model) -> Result<Query, Refused> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(invalid(format!("the text has {} bytes; at most {TEXT_BYTES_MAX} are read", text.len())));
    }
    if text.contains('\0') {
        return Err(invalid("the text has a U+0000".to_owned()));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| {
        let (line, column) = (error.location.line, error.location.column);
        invalid(format!("{} at line {line}, column {column}", lower(&error.message)))
    })?;
    bounded(tokens.iter().map(|token| &token.token))?;
    let parser = Parser::new(&dialect).with_recursion_limit(DEPTH_MAX);
    let statements = parser.with_tokens_with_locations(tokens).parse_statements();
    let statements = statements.map_err(|error| {
        let told = error.to_string();
        let told = told.split_once(": ").map_or(told.as_str(), |(_, told)| told);
        let told = told.replace("Expected: ", "expected ").replace("found: EOF", "found the end");
        let told =
            told.replace("found: ", "found ").replace(" at Line: ", " at line ").replace(", Column: ", ", column ");
        invalid(lower(&told))
    })?;
    let query = match statements.as_slice() {
        [Statement::Query(query)] => query,
        [] => return Err(invalid("the text is empty; write one SELECT".to_owned())),
        [_] => return Err(not_allowed("only SELECT can be run".to_owned())),
        [_, _, ..] => return Err(not_allowed("only one statement can be run".to_owned())),
    };
    let mut writer = Writer {
        model,
        views: views::schema_name(&model.postgres_schema),
        common: BTreeSet::new(),
        sql: String::with_capacity(text.len() * 2),
        parameters: BTreeSet::new(),
        reads_overlay: false,
        depth: 0,
    };
    writer.query(query)?;
    let parameters = writer.parameters.last().copied().unwrap_or_default();
    if let Some(missing) = (1..=parameters).find(|number| !writer.parameters.contains(number)) {
        return Err(invalid(format!("the text has `${parameters}` and no `${missing}`")));
    }
    Ok(Query { sql: writer.sql, parameters, reads_overlay: writer.reads_overlay })
}

/// Refuses what would cost the parser too much before it begins.
fn bounded<'a>(tokens: impl Iterator<Item = &'a Token>) -> Done {
    let (mut count, mut depth) = (0, 0_usize);
    for token in tokens {
        count += usize::from(!matches!(token, Token::Whitespace(_)));
        if matches!(token, Token::LParen | Token::LBracket | Token::LBrace) {
            depth += 1;
        } else if matches!(token, Token::RParen | Token::RBracket | Token::RBrace) {
            depth = depth.saturating_sub(1);
        }
        if count > TOKENS_MAX {
            return Err(invalid(format!("the text has more than {TOKENS_MAX} words and signs")));
        }
        if depth > BRACKETS_DEPTH_MAX {
            return Err(invalid(format!("brackets nest deeper than {BRACKETS_DEPTH_MAX}")));
        }
    }
    Ok(())
}

/// Writes what it knows, and refuses the rest.
struct Writer<'a> {
    model: &'a Model,
    /// The Postgres schema of the views.
    views: String,
    /// Names that a WITH has made so far.
    common: BTreeSet<String>,
    sql: String,
    /// The numbers of the parameters in the text.
    parameters: BTreeSet<usize>,
    reads_overlay: bool,
    depth: usize,
}

impl Writer<'_> {
    fn write(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    /// A name as it is written: nothing is folded, as nowhere else in an extension.
    fn name(&mut self, name: &Ident) -> Done {
        if name.value.len() > NAME_BYTES_MAX || name.value.is_empty() {
            return Err(invalid(format!("a name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        self.quoted(&name.value);
        Ok(())
    }

    fn quoted(&mut self, name: &str) {
        self.sql.push('"');
        self.sql.push_str(&name.replace('"', "\"\""));
        self.sql.push('"');
    }

    fn text(&mut self, text: &str) {
        self.sql.push('\'');
        self.sql.push_str(&text.replace('\'', "''"));
        self.sql.push('\'');
    }

    /// A table of the extension, or what a WITH made.
    fn table(&mut self, name: &Ident) -> Done {
        let known = self.model.table(&name.value).map(|table| table.scope);
        if self.common.contains(&name.value) {
            // Where it is out of its scope nothing else has the name: see `Writer::common_name`.
            return self.name(name);
        }
        let Some(scope) = known else {
            let shown: String = name.value.chars().take(NAME_BYTES_MAX).collect();
            let tables = self.model.tables.iter().map(|table| table.name.as_str());
            let hint = nearest(&shown, tables).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(invalid(format!("there is no table `{shown}`{hint}")));
        };
        self.reads_overlay |= scope == Scope::Overlay;
        let views = std::mem::take(&mut self.views);
        self.quoted(&views);
        self.views = views;
        self.sql.push('.');
        self.name(name)
    }

    /// Remembers what a WITH makes. Postgres looks where a name is out of scope, and finds only
    /// what begins with `pg_`.
    fn common_name(&mut self, name: &Ident) -> Done {
        if self.model.table(&name.value).is_some() {
            return Err(invalid(format!("`{}` of WITH is the name of a table; choose another", name.value)));
        }
        if name.value.to_ascii_lowercase().starts_with("pg_") {
            return Err(not_allowed("a name of WITH cannot begin with `pg_`".to_owned()));
        }
        self.common.insert(name.value.clone());
        Ok(())
    }

    /// Runs `inner` one level deeper, where there may be one more.
    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Done) -> Done {
        if self.depth >= DEPTH_MAX {
            return Err(invalid("the text nests too deep".to_owned()));
        }
        self.depth += 1;
        let done = inner(self);
        self.depth -= 1;
        done
    }

    /// `items` with commas between them.
    fn listed<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T) -> Done) -> Done {
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.write(", ");
            }
            write(self, item)?;
        }
        Ok(())
    }
}

/// As messages begin here.
fn lower(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

fn invalid(message: String) -> Refused {
    Refused { code: "sql_invalid", message }
}

fn not_allowed(message: String) -> Refused {
    Refused { code: "sql_not_allowed", message }
}

#[cfg(test)]
mod tests;
