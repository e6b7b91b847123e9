//! What is driven: functions of the bundle, the requests that call them and the answers
//! they must give.
//!
//! A request is a template with fixed-width decimal digits, so that the load client only
//! overwrites digits between two calls. Seeded ids end in decimal digits for the same reason.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rows that are there before the first run.
pub(crate) const ROWS: u64 = 100_000;
/// Categories that the rows are spread over; a list reads 20 of the 100 rows of one.
pub(crate) const CATEGORIES: u64 = 1_000;
/// The number that the first seeded id ends in, and the first category.
pub(crate) const ID_FIRST: u64 = 100_000_000_000;
pub(crate) const CATEGORY_FIRST: u64 = 1_000;
/// What all seeded ids begin with: a UUID of version 7, its time at zero.
pub(crate) const ID_PREFIX: &str = "00000000-0000-7000-8000-";
/// The category of rows that a run inserts; they are deleted before the next.
pub(crate) const INSERTED: &str = "inserted";

/// Items that have notes: the first so many, each [`NOTES`].
pub(crate) const NOTED: u64 = 20_000;
pub(crate) const NOTES: usize = 5;
/// Counters that are there, and the name of the first: an upsert meets one of them.
pub(crate) const COUNTERS: u64 = 100_000;
pub(crate) const COUNTER_FIRST: u64 = 100_000;

const LIST_ROWS: usize = 20;
/// Calls of a batch.
pub(crate) const BATCHED: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Workload {
    /// One row by its id.
    Select,
    /// The 20 rows of a category with the highest score.
    List,
    /// One new row.
    Insert,
    /// One counter of one row goes up by one.
    Patch,
    /// The rows of a list as the first of several pages.
    Page,
    /// One counter goes up by one, found by its name or made.
    Upsert,
    /// The 100 rows of a category, counted and summed up by two groups.
    Aggregate,
    /// One row by its id, with the five rows that refer to it.
    Expand,
    /// Ten rows by their ids, in one request.
    Batch,
}

impl Workload {
    pub(crate) const ALL: [Workload; 9] = [
        Workload::Select,
        Workload::List,
        Workload::Insert,
        Workload::Patch,
        Workload::Page,
        Workload::Upsert,
        Workload::Aggregate,
        Workload::Expand,
        Workload::Batch,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Workload::Select => "select",
            Workload::List => "list",
            Workload::Insert => "insert",
            Workload::Patch => "patch",
            Workload::Page => "page",
            Workload::Upsert => "upsert",
            Workload::Aggregate => "aggregate",
            Workload::Expand => "expand",
            Workload::Batch => "batch",
        }
    }

    /// The function that is called; of a batch, ten times.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Workload::Select | Workload::Batch => "getItem",
            Workload::List => "listItems",
            Workload::Insert => "addItem",
            Workload::Patch => "bumpItem",
            Workload::Page => "pageItems",
            Workload::Upsert => "countUp",
            Workload::Aggregate => "tallyItems",
            Workload::Expand => "itemWithNotes",
        }
    }

    /// A table that the function's statement names, and no other workload's at the same time.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Workload::Upsert => "counters",
            Workload::Select
            | Workload::List
            | Workload::Insert
            | Workload::Patch
            | Workload::Page
            | Workload::Aggregate
            | Workload::Expand
            | Workload::Batch => "items",
        }
    }

    pub(crate) const fn writes(self) -> bool {
        match self {
            Workload::Select
            | Workload::List
            | Workload::Page
            | Workload::Aggregate
            | Workload::Expand
            | Workload::Batch => false,
            Workload::Insert | Workload::Patch | Workload::Upsert => true,
        }
    }

    /// Random numbers for [`Workload::body`] are drawn below this.
    pub(crate) const fn numbers(self) -> u64 {
        match self {
            Workload::Select | Workload::Patch | Workload::Batch => ROWS,
            Workload::List | Workload::Page | Workload::Aggregate => CATEGORIES,
            Workload::Upsert => COUNTERS,
            Workload::Expand => NOTED,
            Workload::Insert => 1_000_000_000,
        }
    }

    /// How far the numbers of one body's places are apart. Prime to the bound, so that ten rows differ.
    pub(crate) const fn step(self) -> u64 {
        match self {
            Workload::Batch => 7_919,
            Workload::Select
            | Workload::List
            | Workload::Insert
            | Workload::Patch
            | Workload::Page
            | Workload::Upsert
            | Workload::Aggregate
            | Workload::Expand => 0,
        }
    }

    /// What is posted: the arguments as JSON, or the calls of a batch. A run of `w` times `#` stands for a
    /// number as `10^(w-1) + n mod 9·10^(w-1)`, which always has `w` digits. The first is that of the call,
    /// each further one is [`Workload::step`] after the one before it, below [`Workload::numbers`].
    pub(crate) fn body(self) -> String {
        match self {
            Workload::Select | Workload::Patch | Workload::Expand => {
                format!("{{\"id\":\"{ID_PREFIX}############\"}}")
            }
            Workload::Batch => {
                let call = format!("{{\"function\":\"getItem\",\"args\":{}}}", Workload::Select.body());
                format!("[{}]", vec![call; BATCHED].join(","))
            }
            Workload::List | Workload::Page | Workload::Aggregate => "{\"category\":\"####\"}".to_owned(),
            Workload::Upsert => "{\"name\":\"######\"}".to_owned(),
            Workload::Insert => {
                format!("{{\"category\":\"{INSERTED}\",\"title\":\"############\",\"score\":#####}}")
            }
        }
    }

    /// Says what is wrong with the answer to the call with number `number`.
    pub(crate) fn check(self, number: u64, body: &[u8]) -> Result<(), String> {
        let answer = parse(body)?;
        if self.is_answered_by(number, &answer) { Ok(()) } else { Err(unexpected(number, body)) }
    }

    /// Whether `answer` is one to the call with number `number`.
    pub(crate) fn is_answered_by(self, number: u64, answer: &Value) -> bool {
        let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let number_of = |row: &Value, name: &str| row.get(name).and_then(Value::as_i64);
        match self {
            Workload::Select => text(answer, "id") == Some(seeded_id(number)) && answer.get("title").is_some(),
            Workload::Patch => text(answer, "id") == Some(seeded_id(number)) && number_of(answer, "hits") >= Some(1),
            Workload::Insert => {
                text(answer, "title") == Some((ID_FIRST + number).to_string()) && text(answer, "id").is_some()
            }
            Workload::Upsert => {
                text(answer, "name") == Some((COUNTER_FIRST + number).to_string())
                    && number_of(answer, "hits") >= Some(1)
            }
            Workload::Aggregate => {
                let groups = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                let rows: Option<i64> = groups.iter().map(|group| number_of(group, "n")).sum();
                groups.len() == 2 && rows == i64::try_from(ROWS / CATEGORIES).ok()
            }
            Workload::Expand => {
                let notes = answer.get("notes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let id = Some(seeded_id(number));
                text(answer, "id") == id && notes.len() == NOTES && notes.iter().all(|note| text(note, "item") == id)
            }
            Workload::Batch => {
                let answers = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                let ids = (0..).map(|place| seeded_id((number + place * self.step()) % self.numbers()));
                answers.len() == BATCHED
                    && answers.iter().zip(ids).all(|(answer, id)| {
                        number_of(answer, "status") == Some(200)
                            && answer.get("body").is_some_and(|row| text(row, "id") == Some(id))
                    })
            }
            Workload::List | Workload::Page => {
                let category = Some((CATEGORY_FIRST + number).to_string());
                let rows = if self == Workload::Page { answer.get("rows") } else { Some(answer) };
                let rows = rows.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let goes_on = self == Workload::List || text(answer, "cursor").is_some();
                let scores: Vec<Option<i64>> = rows.iter().map(|row| number_of(row, "score")).collect();
                goes_on
                    && rows.len() == LIST_ROWS
                    && rows.iter().all(|row| text(row, "category") == category)
                    && scores.iter().all(Option::is_some)
                    && scores.is_sorted_by(|higher, lower| higher >= lower)
            }
        }
    }
}

pub(crate) fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))
}

pub(crate) fn unexpected(number: u64, body: &[u8]) -> String {
    format!("unexpected answer to number {number}: {}", String::from_utf8_lossy(body))
}

/// The id of the seeded row `number`.
pub(crate) fn seeded_id(number: u64) -> String {
    format!("{ID_PREFIX}{}", ID_FIRST + number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_seeded_id_is_a_uuid_of_version_7() {
        let id = seeded_id(ROWS - 1);
        assert_eq!(id, "00000000-0000-7000-8000-100000099999");
        assert_eq!(id.len(), 36);
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let row = |number| json!({ "id": seeded_id(number), "title": "t", "hits": 3 }).to_string();
        assert!(Workload::Select.check(5, row(5).as_bytes()).is_ok());
        assert!(Workload::Select.check(5, row(6).as_bytes()).is_err());
        assert!(Workload::Patch.check(5, row(5).as_bytes()).is_ok());
        assert!(Workload::Patch.check(5, b"{}").is_err());
        assert!(Workload::Insert.check(5, br#"{"id":"x","title":"100000000005"}"#).is_ok());
        assert!(Workload::Insert.check(5, br#"{"id":"x","title":"100000000006"}"#).is_err());
        assert!(Workload::Insert.check(5, b"null").is_err());
    }

    #[test]
    fn answers_of_pages_groups_counters_and_notes() {
        let row = |score: i64| json!({ "category": "1007", "score": score });
        let rows: Vec<Value> = (0..20).rev().map(row).collect();
        let page = |cursor: Value| json!({ "rows": rows, "cursor": cursor, "previous": null }).to_string();
        assert!(Workload::Page.check(7, page(json!("c")).as_bytes()).is_ok());
        assert!(Workload::Page.check(7, page(Value::Null).as_bytes()).is_err());
        assert!(Workload::Page.check(7, json!(rows).to_string().as_bytes()).is_err());
        assert!(Workload::Aggregate.check(7, br#"[{"done":false,"n":66},{"done":true,"n":34}]"#).is_ok());
        assert!(Workload::Aggregate.check(7, br#"[{"done":false,"n":66},{"done":true,"n":33}]"#).is_err());
        assert!(Workload::Upsert.check(7, br#"{"name":"100007","hits":1}"#).is_ok());
        assert!(Workload::Upsert.check(7, br#"{"name":"100008","hits":1}"#).is_err());
        let noted = |count: usize| {
            json!({ "id": seeded_id(7), "notes": vec![json!({ "item": seeded_id(7) }); count] }).to_string()
        };
        assert!(Workload::Expand.check(7, noted(5).as_bytes()).is_ok());
        assert!(Workload::Expand.check(7, noted(4).as_bytes()).is_err());
    }

    #[test]
    fn a_batch_answers_its_ten_calls_in_order() {
        let last = ROWS - 1;
        let ids: Vec<u64> = (0..10).map(|place| (last + place * 7_919) % ROWS).collect();
        let answers = |ids: &[u64], status: u16| {
            let of = |id: &u64| json!({ "status": status, "body": { "id": seeded_id(*id) } });
            json!(ids.iter().map(of).collect::<Vec<_>>()).to_string()
        };
        assert!(Workload::Batch.check(last, answers(&ids, 200).as_bytes()).is_ok());
        assert!(Workload::Batch.check(last, answers(&ids, 404).as_bytes()).is_err());
        assert!(Workload::Batch.check(last, answers(ids.get(1..).unwrap(), 200).as_bytes()).is_err());
        let turned: Vec<u64> = ids.iter().rev().copied().collect();
        assert!(Workload::Batch.check(last, answers(&turned, 200).as_bytes()).is_err());
    }

    #[test]
    fn a_list_must_be_whole_ordered_and_of_its_category() {
        let rows = |count: i64, category: &str, step: i64| {
            let rows: Vec<Value> =
                (0..count).map(|n| json!({ "category": category, "score": 1_000 - n * step })).collect();
            serde_json::to_vec(&rows).unwrap()
        };
        assert!(Workload::List.check(7, &rows(20, "1007", 1)).is_ok());
        assert!(Workload::List.check(7, &rows(20, "1007", 0)).is_ok());
        assert!(Workload::List.check(7, &rows(19, "1007", 1)).is_err());
        assert!(Workload::List.check(7, &rows(20, "1008", 1)).is_err());
        assert!(Workload::List.check(7, &rows(20, "1007", -1)).is_err());
    }
}
