//! A deploy that is killed at any of its messages to Postgres, before it or behind it, and then made
//! again: it ends in the right place, whatever the one before had come to.
//!
//! To Postgres a gateway that is killed is a connection that ends: whatever it was told is done to its
//! end or not at all. The connection ends here without a word, after the message that was chosen or in
//! front of it. `ROWGATE_CUTS=all cargo test --test it change::cut` ends it behind every message of every case,
//! which to Postgres is in front of the next one, too; where that leaves everything as an earlier place
//! of the case did, what the next deploy makes of it has been seen. Without it some places are drawn,
//! and named where they fail.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rowgate::db::catalog::{self, Catalog};
use rowgate::deploy::apply::ApplyError;
use rowgate::record::{self, changes::Pending};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_postgres::{Client, NoTls};

use super::bed::{Case, cases, contents, counts_are_right, deploy, fill, forget, prove, terms};
use crate::support::TestDatabase;

/// Places that are drawn for each case where not all are tried.
const DRAWN: usize = 1;

#[tokio::test]
async fn a_deploy_that_was_killed_is_finished_by_the_next() {
    let database = TestDatabase::new().await;
    let all = std::env::var("ROWGATE_CUTS").is_ok_and(|cuts| cuts == "all");
    let mut tried = 0;
    for case in cases().into_iter().filter(|case| case.before.is_some()) {
        let Some(messages) = uncut(&database, &case).await else { continue };
        let mut seen = Vec::new();
        if all {
            for place in 0..=messages {
                cut_once(&database, &case, place.max(1), place > 0, Some(&mut seen)).await;
            }
            tried += messages;
            println!("{}: {messages} messages, {} states", case.name, seen.len());
        } else {
            for _ in 0..DRAWN {
                cut_once(&database, &case, rand::random_range(1..=messages), rand::random(), None).await;
                tried += 1;
            }
        }
    }
    assert!(tried >= 60, "{tried} cuts");
}

/// How many messages a whole deploy is; none where rows stand in its way.
async fn uncut(database: &TestDatabase, case: &Case) -> Option<usize> {
    begin(database, case).await;
    let (mut client, messages) = connect(database, usize::MAX, false).await;
    match deploy(&mut client, &case.after, &terms(case, 0)).await {
        Ok(_) => Some(messages.load(Ordering::SeqCst)),
        Err(ApplyError::Refused(_)) => None,
        Err(error) => panic!("{}: {error}", case.name),
    }
}

async fn begin(database: &TestDatabase, case: &Case) {
    let looker = database.superuser().await;
    forget(&looker, &case.after.1).await;
    let mut client = database.gateway_client().await;
    let before = case.before.as_ref().unwrap();
    deploy(&mut client, before, &terms(case, 0)).await.unwrap();
    fill(&looker, &before.1, &case.after.1, &case.allowed).await;
}

/// What a cut leaves of an extension: its record, how far its change has come, its tables and their rows.
type Left = (Option<record::Extension>, Option<Pending>, Catalog, Vec<(String, Value)>);

/// Where the cut leaves what is in `seen`, nothing more is tried.
async fn cut_once(database: &TestDatabase, case: &Case, place: usize, behind: bool, seen: Option<&mut Vec<Left>>) {
    let what = format!("{} cut {} message {place}", case.name, if behind { "behind" } else { "before" });
    begin(database, case).await;
    let looker = database.superuser().await;
    let rows = |contents: &[(String, serde_json::Value)]| -> usize {
        contents.iter().map(|(_, rows)| rows.as_array().unwrap().len()).sum()
    };
    let before = contents(&looker, &case.before.as_ref().unwrap().1).await;
    let (mut client, _) = connect(database, place, behind).await;
    let cut = deploy(&mut client, &case.after, &terms(case, 0)).await;
    drop(client);
    // The last message gives the lock back: nothing is left to be cut by then.
    drop(cut);
    let mut next = database.gateway_client().await;
    if let Some(seen) = seen {
        let left = left(database, case).await;
        if seen.contains(&left) {
            return;
        }
        seen.push(left);
    }
    let applied = deploy(&mut next, &case.after, &terms(case, 0)).await;
    let applied = applied.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(applied.revision, 2, "{what}");
    prove(&mut next, &what, &case.after).await;
    counts_are_right(&looker, &what, &case.after.1).await;
    if case.allowed.iter().all(|allow| !allow.starts_with("deletes-data")) {
        assert_eq!(rows(&before), rows(&contents(&looker, &case.after.1).await), "{what}");
    }
}

/// Once Postgres has noticed that the session ended.
async fn left(database: &TestDatabase, case: &Case) -> Left {
    let (id, schema) = (case.after.0.extension.id, &case.after.1.postgres_schema);
    let mut looker = database.superuser().await;
    let lock = record::changes::lock_key(id);
    // Whoever waits within a statement keeps an index from being built.
    while !looker.query_one("SELECT pg_try_advisory_lock($1)", &[&lock]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (extension, pending) =
        (record::extension(&looker, id).await.unwrap(), record::changes::pending(&looker, id).await.unwrap());
    let mut rows = Vec::new();
    for table in looker.query("SELECT tablename FROM pg_tables WHERE schemaname = $1", &[schema]).await.unwrap() {
        let table: String = table.get(0);
        let sql = format!(
            "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'created_at' - 'updated_at' ORDER BY t::text), '[]')
             FROM \"{schema}\".\"{table}\" t"
        );
        rows.push((table, looker.query_one(&sql, &[]).await.unwrap().get(0)));
    }
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let transaction = looker.transaction().await.unwrap();
    (extension, pending, catalog::read(&transaction, schema).await.unwrap(), rows)
}

/// A gateway's session that ends at a message, and the count of messages.
async fn connect(database: &TestDatabase, place: usize, behind: bool) -> (Client, Arc<AtomicUsize>) {
    let config: tokio_postgres::Config = database.connection_string().parse().unwrap();
    let [tokio_postgres::config::Host::Unix(directory)] = config.get_hosts() else { panic!("not a socket") };
    let stream = UnixStream::connect(directory.join(".s.PGSQL.5432")).await.unwrap();
    let messages = Arc::new(AtomicUsize::new(0));
    let cut =
        Cut { stream, messages: Arc::clone(&messages), place, behind, state: State::Startup(Vec::new()), over: false };
    let (client, connection) = config.connect_raw(cut, NoTls).await.unwrap();
    tokio::spawn(async move {
        // It ends as it was made to.
        tokio::time::timeout(Duration::from_secs(120), connection).await.ok();
    });
    (client, messages)
}

/// Where in the sequence of messages the next byte is.
enum State {
    /// The first message has no letter; what is there of it.
    Startup(Vec<u8>),
    /// The letter and the length of a message, so far.
    Header(Vec<u8>),
    /// So many bytes of a message are to come.
    Body(usize),
}

/// A socket that counts the messages which Postgres answers, `Query` and `Sync`, and ends at one.
struct Cut {
    stream: UnixStream,
    messages: Arc<AtomicUsize>,
    place: usize,
    behind: bool,
    state: State,
    over: bool,
}

impl Cut {
    /// Counts what `bytes` begin; answers whether the one to end at is among them.
    fn ends_at(&mut self, bytes: &[u8]) -> bool {
        let mut ends = false;
        let mut bytes = bytes;
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Startup(seen) => {
                    seen.push(*first);
                    bytes = rest;
                    if let [a, b, c, d] = seen[..] {
                        let length = u32::from_be_bytes([a, b, c, d]) as usize;
                        self.state = State::Body(length - 4);
                    }
                }
                State::Header(seen) => {
                    seen.push(*first);
                    bytes = rest;
                    if let [letter, a, b, c, d] = seen[..] {
                        let length = u32::from_be_bytes([a, b, c, d]) as usize;
                        if matches!(letter, b'Q' | b'S') {
                            ends |= self.messages.fetch_add(1, Ordering::SeqCst) + 1 == self.place;
                        }
                        self.state = if length == 4 { State::Header(Vec::new()) } else { State::Body(length - 4) };
                    }
                }
                State::Body(left) => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.state = State::Header(Vec::new());
                    }
                }
            }
        }
        ends
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Cut {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(Err(broken()));
        }
        // Only what Postgres takes is counted, a whole write at a time.
        match this.stream.poll_write_ready(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        if this.messages.load(Ordering::SeqCst) < this.place && this.ends_at(bytes) {
            this.over = true;
            if !this.behind {
                return Poll::Ready(Err(broken()));
            }
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
