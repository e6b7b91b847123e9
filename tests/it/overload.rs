//! More is asked of a gateway than its database can do. The database is slowed to a known pace, so that the
//! same holds on any machine: each write takes 25 ms, one behind the other.

use std::time::{Duration, Instant};

use rowgate::record::Install;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::hostile::notes;
use crate::support::TestDatabase;
use crate::support::gateway::install;
use crate::support::load::{Caller, Came, Kind};
use crate::support::node::Node;

/// Writes a second, where the machine has time for nothing else.
const MOST_PER_S: f64 = 40.0;
/// What the gateway may hold more than before.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

/// Another extension with the same tables and functions.
fn others_notes() -> Value {
    let mut document = notes();
    document["extension"]["id"] = json!("0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e70");
    document["extension"]["name"] = json!("other");
    document
}

struct Slow {
    database: TestDatabase,
    node: Node,
    noisy: Caller,
    quiet: Caller,
}

impl Slow {
    /// One worker, one lane for writes, and rows that take their time to be written.
    async fn new() -> Slow {
        let database = TestDatabase::new().await;
        let installs: [Install; 2] = [install(&database, &notes()).await, install(&database, &others_notes()).await];
        let superuser = database.superuser().await;
        let tables = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                      WHERE tablename = 'notes' AND schemaname LIKE 'ext\\_%'";
        let body = "CREATE FUNCTION public.take_time() RETURNS trigger LANGUAGE plpgsql
                    AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.025); RETURN NEW; END'";
        superuser.batch_execute(body).await.unwrap();
        let tables = superuser.query(tables, &[]).await.unwrap();
        assert_eq!(tables.len(), 2);
        for row in tables {
            let table: String = row.get(0);
            let slow = format!(
                "CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.take_time()"
            );
            superuser.batch_execute(&slow).await.unwrap();
        }
        let settings = [("ROWGATE_HTTP__WORKERS", "1"), ("ROWGATE_DATABASE__WRITE_LANES", "1")];
        let node = Node::start(&database.url(), &settings);
        let [noisy, quiet] = installs.each_ref().map(|install| Caller::new(node.address, install));
        Slow { database, node, noisy, quiet }
    }

    /// Writes a second that the database can do, as callers measure it who wait for each other.
    async fn capacity(&self) -> f64 {
        let began = Instant::now();
        let caller = async || {
            let mut count = 0;
            while began.elapsed() < Duration::from_secs(2) {
                assert_eq!(write(&self.noisy).await.what, "200");
                count += 1;
            }
            count
        };
        let counts = futures_util::future::join_all((0..3).map(|_| caller())).await;
        f64::from(counts.into_iter().sum::<i32>()) / began.elapsed().as_secs_f64()
    }
}

async fn write(caller: &Caller) -> Came {
    caller.call(Kind::Write, "addNote", &json!({ "text": "more" }), None).await
}

/// Makes so many calls a second for `during`, whatever becomes of them.
async fn ask(caller: &Caller, per_s: f64, during: Duration) -> Vec<Came> {
    let began = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for number in 0.. {
        let at = Duration::from_secs_f64(f64::from(number) / per_s);
        if at >= during {
            break;
        }
        tokio::time::sleep_until(began + at).await;
        let caller = caller.clone();
        calls.spawn(async move { write(&caller).await });
    }
    calls.join_all().await
}

/// How long calls took that ended so: the middle one, and the one that only a hundredth was slower than.
fn took(came: &[Came], what: &str) -> (Duration, Duration) {
    let mut took: Vec<Duration> = came.iter().filter(|came| came.what == what).map(|came| came.took).collect();
    took.sort();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}

fn count(came: &[Came], what: &str) -> usize {
    came.iter().filter(|came| came.what == what).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_three_times_what_it_can_do_it_does_what_it_can_and_refuses_the_rest_at_once() {
    let slow = Slow::new().await;
    let capacity = slow.capacity().await;
    let usual = ask(&slow.noisy, MOST_PER_S * 0.5, Duration::from_secs(3)).await;
    assert_eq!(count(&usual, "200"), usual.len(), "a call was refused before there was too much");
    let before = slow.node.resident_bytes();
    let during = Duration::from_secs(6);
    let came = ask(&slow.noisy, MOST_PER_S * 3.0, during).await;
    let (served, refused) = (count(&came, "200"), count(&came, "overloaded"));
    assert_eq!(served + refused, came.len(), "a call ended in another way");
    let per_s = served as f64 / during.as_secs_f64();
    let grown = slow.node.resident_bytes().saturating_sub(before);
    let ((usual_half, usual_most), (half, most), (told, told_most)) =
        (took(&usual, "200"), took(&came, "200"), took(&came, "overloaded"));
    println!(
        "it can do {capacity:.0} writes a second, and calls take {usual_half:.0?}, {usual_most:.0?} at most\n\
         at three times as many: {per_s:.0} a second served, in {half:.0?}, {most:.0?} at most; {refused} of {} refused \
         within {told:.1?}, {told_most:.1?} at most; {} KiB more held",
        came.len(),
        grown >> 10
    );
    assert!(per_s > capacity * 0.6, "{per_s:.0} of {capacity:.0} a second were served");
    assert!(refused * 2 > came.len(), "{refused} refused");
    // The target, and what the machine and the first moment take.
    assert!(half < usual_half + Duration::from_millis(250), "{half:?}");
    assert!(told_most < Duration::from_millis(500), "{told_most:?}");
    assert!(grown < GROWTH_BYTES_MAX);
    let metric = slow.node.metric("rowgate_database_pool_refused_total").await;
    assert_eq!(metric as usize, refused);
    // When it is over, it is over.
    let after = ask(&slow.noisy, MOST_PER_S * 0.3, Duration::from_secs(3)).await;
    assert!(count(&after, "200") * 10 >= after.len() * 9, "{} of {} served", count(&after, "200"), after.len());
    assert_eq!(slow.node.log().matches("more is asked than can be done").count(), 1, "{}", slow.node.log());
    drop(slow.database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_extension_that_asks_for_most_is_refused_first() {
    let slow = Slow::new().await;
    let during = Duration::from_secs(6);
    let noise = ask(&slow.noisy, MOST_PER_S * 3.0, during);
    let (noisy, quiet) = futures_util::future::join(noise, ask(&slow.quiet, MOST_PER_S * 0.15, during)).await;
    let (half, most) = took(&quiet, "200");
    println!(
        "of {} calls of the noisy extension {} are refused, of {} calls of the quiet one {}, which take {half:.0?}, \
         {most:.0?} at most",
        noisy.len(),
        count(&noisy, "overloaded"),
        quiet.len(),
        count(&quiet, "overloaded"),
    );
    assert!(count(&noisy, "overloaded") * 2 > noisy.len());
    // Two of its calls at once are more than its share while others wait.
    assert!(count(&quiet, "overloaded") * 4 <= quiet.len(), "{} refused", count(&quiet, "overloaded"));
}
