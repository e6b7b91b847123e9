//! What is counted for each function, and which functions have series of their own.
//!
//! A call adds to cells that its function was given when it was deployed, and looks nothing up. A
//! scrape reads them all. However many extensions there are, at most so many functions have series
//! of their own: those that were called first, until one that nobody has called for an hour has to
//! make room. All others are counted together, as `other`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Histogram;
use uuid::Uuid;

use crate::error::Code;
use crate::problem;
use crate::telemetry::history::Tally;
use crate::telemetry::sheet::{Family, Kind, Sheet};

/// Upper bounds of the durations' buckets, in microseconds, and as they are written in seconds; the
/// last bucket has none.
const BUCKETS: [(u64, &str); 13] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

const CODES: usize = Code::ALL.len();
/// The cells of a function, in this order: answered, failed by code, durations by bucket, their sum in
/// microseconds, processor time of scripts in microseconds.
const FAILED: usize = 1;
const DURATIONS: usize = FAILED + CODES;
const DURATION_US: usize = DURATIONS + BUCKETS.len() + 1;
const SCRIPT_US: usize = DURATION_US + 1;
const CELLS: usize = SCRIPT_US + 1;

/// After so long without a call, a function's series make room for another's where there is none.
const IDLE: Duration = Duration::from_secs(3_600);

/// What functions without series of their own are called.
const OTHER: &str = "other";

/// The cells of one function.
#[derive(Debug)]
pub struct FunctionMetrics {
    cells: [AtomicU64; CELLS],
    /// Requests of a handler, by what became of them.
    fetches: Mutex<BTreeMap<&'static str, u64>>,
    /// Of a handler: what its kind's scripts held.
    memory: Option<Histogram>,
}

/// Every function that was deployed.
#[derive(Debug)]
pub(super) struct Functions {
    series_max: usize,
    book: Mutex<Book>,
}

/// A function as it is named in labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Name {
    extension: Uuid,
    function: String,
    kind: String,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<Name, Entry>,
    /// What was counted for functions without series, by kind.
    others: BTreeMap<String, Counts>,
}

#[derive(Debug)]
struct Entry {
    metrics: Arc<FunctionMetrics>,
    has_series: bool,
    /// What was counted under `other`.
    told: Counts,
    /// What was counted when it was last looked at.
    seen: Counts,
    called_at: Instant,
}

/// What one function has taken since the gateway started.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    pub extension: Uuid,
    pub function: String,
    pub kind: String,
    pub tally: Tally,
    pub mean_ms: f64,
    /// An upper bound; none beyond the last bucket's.
    pub p99_ms: Option<f64>,
    pub script_cpu_ms: u64,
    /// Handlers that were stopped, by why.
    pub stopped: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Counts {
    /// As the cells; empty is all zero.
    cells: Vec<u64>,
    fetches: BTreeMap<&'static str, u64>,
}

impl FunctionMetrics {
    fn new(memory: Option<Histogram>) -> FunctionMetrics {
        FunctionMetrics { cells: [const { AtomicU64::new(0) }; CELLS], fetches: Mutex::default(), memory }
    }

    pub fn succeeded(&self, duration: Duration) {
        self.add(0, 1);
        self.took(duration);
    }

    pub fn failed(&self, code: Code, duration: Duration) {
        self.add(FAILED + code as usize, 1);
        self.took(duration);
    }

    /// A handler has made a request to the world outside.
    pub fn fetched(&self, became: &'static str) {
        *self.fetches.lock().unwrap_or_else(PoisonError::into_inner).entry(became).or_default() += 1;
    }

    /// A handler's script has ended.
    pub fn ran(&self, cpu: Duration, memory_bytes: u64) {
        self.add(SCRIPT_US, us(cpu));
        if let Some(memory) = &self.memory {
            #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
            memory.observe(memory_bytes as f64);
        }
    }

    fn took(&self, duration: Duration) {
        let us = us(duration);
        let bucket = BUCKETS.iter().position(|(bound, _)| us <= *bound).unwrap_or(BUCKETS.len());
        self.add(DURATIONS + bucket, 1);
        self.add(DURATION_US, us);
    }

    fn add(&self, cell: usize, count: u64) {
        // INVARIANT: every cell's place is one of those counted by `CELLS`.
        if let Some(cell) = self.cells.get(cell) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            cells: self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)).collect(),
            fetches: self.fetches.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Functions {
    pub(super) fn new(series_max: usize) -> Functions {
        Functions { series_max, book: Mutex::default() }
    }

    /// The cells of a function: the same ones for every revision of its extension.
    pub(super) fn cells(
        &self,
        extension: Uuid,
        function: &str,
        kind: &str,
        memory: Option<Histogram>,
    ) -> Arc<FunctionMetrics> {
        let name = Name { extension, function: function.to_owned(), kind: kind.to_owned() };
        let mut book = self.book();
        let entry = book.entries.entry(name).or_insert_with(|| Entry {
            metrics: Arc::new(FunctionMetrics::new(memory)),
            has_series: false,
            told: Counts::default(),
            seen: Counts::default(),
            called_at: Instant::now(),
        });
        Arc::clone(&entry.metrics)
    }

    /// What calls came to, by extension.
    pub(super) fn tallies(&self) -> HashMap<Uuid, Tally> {
        let mut tallies: HashMap<Uuid, Tally> = HashMap::new();
        for (name, entry) in &self.book().entries {
            let tally = tallies.entry(name.extension).or_default();
            *tally = tally.and(entry.metrics.counts().tally());
        }
        tallies
    }

    /// Every function that was called; `why` says which codes stop a handler, and what that is called.
    pub(super) fn used(&self, why: impl Fn(Code) -> Option<&'static str>) -> Vec<Used> {
        let book = self.book();
        let called = book.entries.iter().filter_map(|(name, entry)| {
            let counts = entry.metrics.counts();
            let tally = counts.tally();
            let stopped = Code::ALL.iter().enumerate().filter_map(|(place, code)| {
                Some((why(*code)?, counts.cell(FAILED + place))).filter(|(_, count)| *count > 0)
            });
            #[expect(clippy::cast_precision_loss, reason = "a mean of milliseconds")]
            let mean_ms = counts.cell(DURATION_US) as f64 / 1e3 / tally.total().max(1) as f64;
            (tally.total() > 0).then(|| Used {
                extension: name.extension,
                function: name.function.clone(),
                kind: name.kind.clone(),
                tally,
                mean_ms,
                p99_ms: counts.within(99),
                script_cpu_ms: counts.cell(SCRIPT_US) / 1_000,
                stopped: stopped.collect(),
            })
        });
        called.collect()
    }

    /// Writes all series at `now`.
    pub(super) fn write(&self, sheet: &mut Sheet, now: Instant) {
        let mut book = self.book();
        book.settle(self.series_max, now);
        let mut rows: Vec<(Name, Counts)> = book
            .entries
            .iter()
            .filter(|(_, entry)| entry.has_series)
            .map(|(name, entry)| (name.clone(), entry.seen.less(&entry.told)))
            .collect();
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut rows: Vec<([String; 3], Counts)> = rows
            .into_iter()
            .map(|(name, counts)| ([name.extension.to_string(), name.function, name.kind], counts))
            .collect();
        let others = book.others.iter();
        rows.extend(others.map(|(kind, counts)| ([OTHER.to_owned(), OTHER.to_owned(), kind.clone()], counts.clone())));
        drop(book);
        write_rows(sheet, &rows);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Reads every cell, and decides who has series and what is counted with the others.
    fn settle(&mut self, series_max: usize, now: Instant) {
        for entry in self.entries.values_mut() {
            let counts = entry.metrics.counts();
            if counts != entry.seen {
                (entry.seen, entry.called_at) = (counts, now);
            }
        }
        // What was removed is told of for a while, so that its last calls are.
        self.entries.retain(|_, entry| {
            let is_gone = Arc::strong_count(&entry.metrics) == 1;
            let is_told = entry.has_series || entry.seen.is_same(&entry.told);
            !(is_gone && is_told && now.duration_since(entry.called_at) > IDLE)
        });
        let mut named = self.entries.values().filter(|entry| entry.has_series).count();
        let is_waiting = |entry: &Entry| !entry.has_series && !entry.seen.is_same(&entry.told);
        let waiting = self.entries.values().filter(|entry| is_waiting(entry)).count();
        let wanted = (named + waiting).saturating_sub(series_max);
        if wanted > 0 {
            let idle = |entry: &&mut Entry| entry.has_series && now.duration_since(entry.called_at) > IDLE;
            let mut idle: Vec<&mut Entry> = self.entries.values_mut().filter(idle).collect();
            idle.sort_by_key(|entry| entry.called_at);
            for entry in idle.into_iter().take(wanted) {
                (entry.has_series, entry.told) = (false, entry.seen.clone());
                named -= 1;
            }
        }
        for (name, entry) in &mut self.entries {
            if !is_waiting(entry) {
                continue;
            }
            if named < series_max {
                entry.has_series = true;
                named += 1;
            } else {
                self.others.entry(name.kind.clone()).or_default().add(&entry.seen.less(&entry.told));
                entry.told = entry.seen.clone();
            }
        }
    }
}

impl Counts {
    fn cell(&self, cell: usize) -> u64 {
        self.cells.get(cell).copied().unwrap_or(0)
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally { answered: self.cell(0), ..Tally::default() };
        for (place, code) in Code::ALL.iter().enumerate() {
            tally.add_failed(*code, self.cell(FAILED + place));
        }
        tally
    }

    /// Milliseconds within which so many of a hundred calls are answered; none beyond the last bound.
    fn within(&self, percent: u64) -> Option<f64> {
        let total: u64 = (0..=BUCKETS.len()).map(|bucket| self.cell(DURATIONS + bucket)).sum();
        let mut seen = 0;
        for (bucket, (bound_us, _)) in BUCKETS.iter().enumerate() {
            seen += self.cell(DURATIONS + bucket);
            if seen * 100 >= total * percent {
                #[expect(clippy::cast_precision_loss, reason = "a bound in milliseconds")]
                return Some(*bound_us as f64 / 1e3);
            }
        }
        None
    }

    fn is_same(&self, other: &Counts) -> bool {
        (0..CELLS).all(|cell| self.cell(cell) == other.cell(cell)) && self.fetches == other.fetches
    }

    fn less(&self, other: &Counts) -> Counts {
        let fetches = self.fetches.iter().map(|(word, count)| {
            let told = other.fetches.get(word).copied().unwrap_or(0);
            (*word, count.saturating_sub(told))
        });
        Counts {
            cells: (0..CELLS).map(|cell| self.cell(cell).saturating_sub(other.cell(cell))).collect(),
            fetches: fetches.collect(),
        }
    }

    fn add(&mut self, other: &Counts) {
        self.cells = (0..CELLS).map(|cell| self.cell(cell) + other.cell(cell)).collect();
        for (word, count) in &other.fetches {
            *self.fetches.entry(word).or_default() += count;
        }
    }
}

fn write_rows(sheet: &mut Sheet, rows: &[([String; 3], Counts)]) {
    fn labels(of: &[String; 3]) -> [(&str, &str); 3] {
        let [extension, function, kind] = of;
        [("extension", extension.as_str()), ("function", function), ("kind", kind)]
    }
    let help = "Calls answered, by the code of their problem or `ok`, and the status of the answer";
    let mut calls = sheet.family("rowgate_calls_total", Kind::Counter, help);
    for (of, counts) in rows {
        let [extension, function, kind] = labels(of);
        let mut put = |code: &str, status: &str, count: u64| {
            if count > 0 {
                calls.sample(&[extension, function, kind, ("code", code), ("status", status)], count);
            }
        };
        put("ok", "200", counts.cell(0));
        for (place, code) in Code::ALL.iter().enumerate() {
            put(code.as_str(), problem::status(*code).0.as_str(), counts.cell(FAILED + place));
        }
    }
    let help = "Time from a call's last byte to its answer's first";
    let mut durations = sheet.family("rowgate_call_duration_seconds", Kind::Histogram, help);
    for (of, counts) in rows {
        histogram(&mut durations, labels(of), counts);
    }
    let help = "Processor time that scripts of handlers took";
    let mut scripts = sheet.family("rowgate_script_cpu_seconds_total", Kind::Counter, help);
    for (of, counts) in rows.iter().filter(|(_, counts)| counts.cell(SCRIPT_US) > 0) {
        scripts.sample(&labels(of), seconds(counts.cell(SCRIPT_US)));
    }
    let help = "Requests that handlers made, by what became of them";
    let mut fetches = sheet.family("rowgate_fetches_total", Kind::Counter, help);
    for (of, counts) in rows {
        let [extension, function, _] = labels(of);
        for (code, count) in counts.fetches.iter().filter(|(_, count)| **count > 0) {
            fetches.sample(&[extension, function, ("code", code)], count);
        }
    }
}

fn histogram(family: &mut Family<'_>, labels: [(&str, &str); 3], counts: &Counts) {
    let [extension, function, kind] = labels;
    let bounds = BUCKETS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
    let mut total = 0;
    for (place, bound) in bounds.enumerate() {
        total += counts.cell(DURATIONS + place);
        family.sample_of("_bucket", &[extension, function, kind, ("le", bound)], total);
    }
    family.sample_of("_sum", &labels, seconds(counts.cell(DURATION_US)));
    family.sample_of("_count", &labels, total);
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn page(functions: &Functions, now: Instant) -> Vec<String> {
        let mut sheet = Sheet::default();
        functions.write(&mut sheet, now);
        let text = sheet.into_text();
        let calls = text.lines().filter(|line| line.starts_with("rowgate_calls_total"));
        calls.map(|line| line.replace("00000000-0000-0000-0000-", "").replace("rowgate_calls_total", "")).collect()
    }

    fn cells(functions: &Functions, number: u128) -> Arc<FunctionMetrics> {
        functions.cells(Uuid::from_u128(number), "f", "getRow", None)
    }

    #[test]
    fn each_code_has_a_cell_of_its_own() {
        for (place, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, place, "{code}");
        }
    }

    #[test]
    fn series_have_a_maximum_and_no_call_is_lost() {
        let functions = Functions::new(1);
        let (one, other) = (cells(&functions, 1), cells(&functions, 2));
        let now = Instant::now();
        assert_eq!(page(&functions, now), Vec::<String>::new(), "what nobody called has no series");
        let took = Duration::from_millis(2);
        one.succeeded(took);
        assert_eq!(page(&functions, now).len(), 1);
        other.succeeded(took);
        other.failed(Code::RowNotFound, took);
        one.succeeded(took);
        let told = page(&functions, now);
        assert_eq!(
            told,
            [
                "{extension=\"000000000001\",function=\"f\",kind=\"getRow\",code=\"ok\",status=\"200\"} 2",
                "{extension=\"other\",function=\"other\",kind=\"getRow\",code=\"ok\",status=\"200\"} 1",
                "{extension=\"other\",function=\"other\",kind=\"getRow\",code=\"row_not_found\",status=\"404\"} 1",
            ]
        );
        // A scrape changes nothing for the next.
        assert_eq!(page(&functions, now), told);
        // An hour later, who is called gets the series of who is not; what others had is not told twice.
        let later = now + IDLE + Duration::from_secs(1);
        other.succeeded(took);
        assert_eq!(
            page(&functions, later),
            [
                "{extension=\"000000000002\",function=\"f\",kind=\"getRow\",code=\"ok\",status=\"200\"} 1",
                "{extension=\"other\",function=\"other\",kind=\"getRow\",code=\"ok\",status=\"200\"} 1",
                "{extension=\"other\",function=\"other\",kind=\"getRow\",code=\"row_not_found\",status=\"404\"} 1",
            ]
        );
        // Deployed anew, a function goes on counting; removed, it is forgotten after a while.
        assert!(Arc::ptr_eq(&other, &cells(&functions, 2)));
        drop((one, other));
        assert_eq!(page(&functions, later + IDLE * 2).len(), 2);
        assert!(functions.book().entries.is_empty());
    }

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let functions = Functions::new(1);
        let one = cells(&functions, 1);
        for us in [500, 501, 40_000_000] {
            one.succeeded(Duration::from_micros(us));
        }
        let mut sheet = Sheet::default();
        functions.write(&mut sheet, Instant::now());
        let text = sheet.into_text();
        for (bound, count) in [("0.0005", 1), ("0.001", 2), ("30", 2), ("+Inf", 3)] {
            let sample = format!("kind=\"getRow\",le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&sample), "{sample}{text}");
        }
        assert!(text.contains("kind=\"getRow\"} 40.001001\n"), "{text}");
    }
}
