//! Callers who go on calling while something breaks, what each call came to, and what became of every
//! write.
//!
//! Some write plainly, each text once; some name each write by an `Idempotency-Key` and ask again until
//! it is answered; some read. At the end every write that was answered must be there, one that was
//! named exactly once, and any other at most once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rowgate::record::Install;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::gateway::owner;

/// Longer than any call may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Read,
    Write,
    NamedWrite,
}

/// One call that was answered, or failed.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) kind: Kind,
    pub(crate) ended: Instant,
    pub(crate) took: Duration,
    /// `200`, the code of the problem, or `no answer`.
    pub(crate) what: String,
}

/// Where and as whom is called.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// Callers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Task>>,
}

/// What one caller knows in the end.
#[derive(Default)]
struct Task {
    came: Vec<Came>,
    /// The texts that were answered as written, plainly and by name, and those that may have been.
    written: Vec<String>,
    named: Vec<String>,
    unsure: Vec<String>,
}

/// What all callers know.
pub(crate) struct Told {
    pub(crate) came: Vec<Came>,
    written: Vec<String>,
    named: Vec<String>,
    unsure: Vec<String>,
}

impl Caller {
    /// An owner's calls at `host`.
    pub(crate) fn new(host: impl std::fmt::Display, install: &Install) -> Caller {
        let base = format!("http://{host}/v1/extension-functions/{}", install.id);
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        Caller { http, base, token: owner(install) }
    }

    pub(crate) fn request(&self, function: &str, arguments: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/{function}", self.base)).bearer_auth(&self.token).json(arguments)
    }

    /// Makes one call.
    pub(crate) async fn call(&self, kind: Kind, function: &str, arguments: &Value, key: Option<&str>) -> Came {
        let began = Instant::now();
        let mut request = self.request(function, arguments);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let what = match request.send().await {
            Err(_) => "no answer".to_owned(),
            Ok(response) => {
                let (status, retry_after) =
                    (response.status().as_u16(), response.headers().get("retry-after").cloned());
                match response.json::<Value>().await {
                    Err(_) => "no answer".to_owned(),
                    Ok(_) if status == 200 => "200".to_owned(),
                    Ok(problem) => {
                        let code = problem["code"].as_str().unwrap_or("a problem without a code").to_owned();
                        assert!(status != 503 || retry_after.is_some(), "{problem}");
                        code
                    }
                }
            }
        };
        Came { kind, ended: Instant::now(), took: began.elapsed(), what }
    }
}

impl Load {
    /// Callers of `notes()`: so many of each kind, each with one call under way.
    pub(crate) fn start(caller: &Caller, each: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for number in 0..each {
            for kind in [Kind::Read, Kind::Write, Kind::NamedWrite] {
                let (caller, stop) = (caller.clone(), stop.clone());
                tasks.push(tokio::spawn(async move {
                    match kind {
                        Kind::Read => read(&caller, &stop).await,
                        Kind::Write => write(&caller, &stop, number).await,
                        Kind::NamedWrite => write_named(&caller, &stop, number).await,
                    }
                }));
            }
        }
        Load { stop, tasks }
    }

    /// Ends the calls and gathers what they came to.
    pub(crate) async fn end(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut told = Told { came: Vec::new(), written: Vec::new(), named: Vec::new(), unsure: Vec::new() };
        for task in self.tasks {
            let Task { came, written, named, unsure } = task.await.unwrap();
            told.came.extend(came);
            told.written.extend(written);
            told.named.extend(named);
            told.unsure.extend(unsure);
        }
        told.came.sort_by_key(|came| came.ended);
        told
    }
}

/// Nobody asks again at once and without end.
async fn pause(came: &Came) {
    if came.what != "200" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn read(caller: &Caller, stop: &AtomicBool) -> Task {
    let mut task = Task::default();
    while !stop.load(Ordering::Relaxed) {
        let came = caller.call(Kind::Read, "findNotes", &json!({ "text": "nobody's", "limit": 1 }), None).await;
        pause(&came).await;
        task.came.push(came);
    }
    task
}

async fn write(caller: &Caller, stop: &AtomicBool, number: usize) -> Task {
    let mut task = Task::default();
    for count in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("plain-{number}-{count}");
        let came = caller.call(Kind::Write, "addNote", &json!({ "text": text }), None).await;
        pause(&came).await;
        let list = if came.what == "200" { &mut task.written } else { &mut task.unsure };
        list.push(text);
        task.came.push(came);
    }
    task
}

async fn write_named(caller: &Caller, stop: &AtomicBool, number: usize) -> Task {
    let mut task = Task::default();
    for count in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("named-{number}-{count}");
        // Until it is answered, also when the others have stopped: all is well by then.
        loop {
            let came = caller.call(Kind::NamedWrite, "addNote", &json!({ "text": text }), Some(&text)).await;
            pause(&came).await;
            let is_done = came.what == "200";
            task.came.push(came);
            if is_done {
                break;
            }
        }
        task.named.push(text);
    }
    task
}

impl Told {
    /// How many calls ended so.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.came.iter().filter(|came| came.what == what).count()
    }

    /// Whatever a call came to, with how often.
    pub(crate) fn ends(&self) -> BTreeMap<&str, usize> {
        let mut ends = BTreeMap::new();
        for came in &self.came {
            *ends.entry(came.what.as_str()).or_default() += 1;
        }
        ends
    }

    /// The longest time without a call of this kind that was answered 200.
    pub(crate) fn gap(&self, kind: Kind) -> Duration {
        let mut good = self.came.iter().filter(|came| came.kind == kind && came.what == "200").map(|came| came.ended);
        let Some(mut before) = good.next() else { return Duration::MAX };
        good.map(|at| at.duration_since(std::mem::replace(&mut before, at))).max().unwrap_or_default()
    }

    /// From `moment` to the first call of this kind that began later and was answered 200.
    pub(crate) fn well_after(&self, moment: Instant, kind: Kind) -> Duration {
        let mut good = self.came.iter().filter(|came| came.kind == kind && came.what == "200");
        let first = good.find(|came| came.ended.checked_sub(came.took).is_some_and(|began| began >= moment));
        first.map_or(Duration::MAX, |came| came.ended.duration_since(moment))
    }

    /// The slowest call.
    pub(crate) fn slowest(&self) -> Duration {
        self.came.iter().map(|came| came.took).max().unwrap_or_default()
    }

    /// Prints what callers saw; `mended` is when the cause was gone.
    pub(crate) fn print(&self, fault: &str, mended: Instant) {
        let ms = |duration: Duration| duration.as_millis();
        println!("{fault}: calls ended {:?}; the slowest took {} ms", self.ends(), ms(self.slowest()));
        for kind in [Kind::Read, Kind::Write, Kind::NamedWrite] {
            let (gap, well) = (ms(self.gap(kind)), ms(self.well_after(mended, kind)));
            println!("  {kind:?}: not answered for {gap} ms; well {well} ms after the cause was gone");
        }
    }

    /// Nothing that was answered is lost, no named write is doubled, and nothing else is there twice.
    pub(crate) async fn check_writes(&self, client: &Client) {
        let find = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                    WHERE tablename = 'notes' AND schemaname NOT IN ('rowgate', 'pg_catalog', 'information_schema')";
        let table: String = client.query_one(find, &[]).await.unwrap().get(0);
        let rows = client.query(&format!("SELECT text, count(*) FROM {table} GROUP BY 1"), &[]).await.unwrap();
        let counts: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let count = |text: &String| counts.get(text).copied().unwrap_or(0);
        for text in self.written.iter().chain(&self.named) {
            assert_eq!(count(text), 1, "{text} was answered as written");
        }
        for text in &self.unsure {
            assert!(count(text) <= 1, "{text} was written {} times", count(text));
        }
        let happened = self.unsure.iter().filter(|text| count(text) == 1).count();
        println!(
            "  {} writes answered, {} named ones: all are there once; {} not answered, of which {happened} happened",
            self.written.len(),
            self.named.len(),
            self.unsure.len(),
        );
    }
}
