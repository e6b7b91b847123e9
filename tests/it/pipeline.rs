//! The lanes' protocol against a peer that follows a script: cut anywhere, closed anywhere, wrong
//! anywhere. Each call answers or fails cleanly, and none gets another's answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod peer;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rowgate::db::parameter::Parameter;
use rowgate::db::pipeline::{Calls, Connection, Request, Trouble};
use rowgate::plan::Plan;
use rowgate::plan::answer::Room;
use rowgate::plan::compile::compile;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::read::read;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::pipeline::peer::{Peer, message};
use crate::support::gateway::document;

/// Whatever happens, a call is over by then; a test that runs into it has found one that is not.
const WITHIN: Duration = Duration::from_secs(20);

const ROOM: Room = Room { bytes: 64, bytes_max: usize::MAX };

/// A function whose one row has the one argument in it: an answer says whose it is.
fn echo() -> Arc<Plan> {
    let document = document(
        json!({ "notes": { "columns": { "text": { "type": "string" } }, "indexes": { "by_text": ["text"] } } }),
        json!({ "echo": {
            "kind": "queryRows", "table": "notes", "limit": 9, "fields": ["text"],
            "filter": { "column": "text", "op": "=", "value": { "arg": "text" } },
        } }),
    );
    let (definition, complaints) = read(&document);
    assert_eq!(complaints, []);
    let model = check(&definition).unwrap();
    Arc::new(compile(&model, &model.functions[0]).unwrap())
}

/// A connection to `peer`, and what its driver ended with.
fn connect(peer: &Peer, shares: bool) -> (Arc<Connection>, tokio::task::JoinHandle<std::io::Error>) {
    let calls = if shares { Calls::Read } else { Calls::Write };
    let (connection, driver) = Connection::new(Box::new(peer.stream()), NonZeroUsize::new(8).unwrap(), calls);
    (connection, tokio::spawn(driver.run()))
}

/// Calls with `text` as the argument; the answer must be its own.
async fn call(connection: &Connection, plan: &Arc<Plan>, text: &str, role: Option<&Arc<str>>) -> Result<(), Trouble> {
    let statement = &plan.variants[0];
    let mut parameters = Vec::new();
    for binding in &statement.bindings {
        parameters.push(match binding {
            rowgate::plan::statement::Binding::Scope => Parameter::Uuid(Uuid::nil()),
            _ => Parameter::Text(text),
        });
    }
    let deadline = Instant::now() + WITHIN;
    let request =
        Request { plan, statement, parameters: &parameters, turn: None, role, alone: false, room: ROOM, deadline };
    let answer = tokio::time::timeout(WITHIN * 2, connection.call(request)).await.expect("a call never ended")?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.json).unwrap();
    assert_eq!(answer, json!([{ "text": text }]), "an answer of another call, or of none");
    Ok(())
}

/// Five calls at once, the third of which is refused by the peer; what became of each.
async fn five(peer: &Peer, shares: bool) -> Vec<Result<(), Trouble>> {
    let (plan, (connection, driver)) = (echo(), connect(peer, shares));
    let texts = ["one", "two", "refuse", "four", "five"];
    let results = join_all(texts.map(|text| call(&connection, &plan, text, None))).await;
    drop(connection);
    driver.abort();
    results
}

fn is_refused(result: &Result<(), Trouble>) -> bool {
    matches!(result, Err(Trouble::Refused { began: true, .. }))
}

/// It came to no answer, and the caller knows; what was to be written may not have been sent yet, while the
/// statement was described.
fn is_lost(result: &Result<(), Trouble>) -> bool {
    matches!(result, Err(Trouble::Lost { .. } | Trouble::Skipped))
}

/// All five as they should be; what shares a transaction with one that is refused is not run behind it.
#[track_caller]
fn assert_whole(results: &[Result<(), Trouble>], shares: bool, when: &str) {
    for (place, result) in results.iter().enumerate() {
        let is_right = match place {
            2 => is_refused(result),
            3 | 4 if shares => matches!(result, Err(Trouble::Skipped)),
            _ => result.is_ok(),
        };
        assert!(is_right, "{when}: call {place} came to {result:?}");
    }
}

/// How many bytes the peer sends where nothing goes wrong.
async fn whole(shares: bool) -> usize {
    let peer = Peer::new();
    assert_whole(&five(&peer, shares).await, shares, "as it should be");
    peer.sent()
}

#[tokio::test]
async fn answers_cut_at_every_byte_are_put_together() {
    for shares in [false, true] {
        for at in 0..whole(shares).await {
            assert_whole(&five(&Peer::new().cut_at(at), shares).await, shares, &format!("cut at {at}"));
        }
        assert_whole(&five(&Peer::new().pieces_of(1), shares).await, shares, "byte by byte");
        assert_whole(&five(&Peer::new().room_of(7), shares).await, shares, "with little room to send in");
    }
}

#[tokio::test]
async fn a_close_at_any_byte_fails_what_is_unanswered_and_nothing_else() {
    for shares in [false, true] {
        for at in 0..whole(shares).await {
            let results = five(&Peer::new().close_at(at), shares).await;
            let answered = results.iter().take_while(|result| result.is_ok() || is_refused(result)).count();
            assert!(results[answered..].iter().all(is_lost), "closed at {at}: {results:?}");
            assert!(answered < 5, "closed at {at}: {results:?}");
        }
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_ends_the_connection() {
    let unsound = [
        ("an unknown letter", message(b'%', b"x")),
        ("a letter of another age", message(b'd', b"x")),
        ("no length", vec![b'D', 0, 0, 0, 0]),
        ("a length short of itself", vec![b'D', 0, 0, 0, 3]),
        ("a length beyond all rows", vec![b'D', 0x7f, 0xff, 0xff, 0xff]),
        ("a negative length", vec![b'D', 0xff, 0xff, 0xff, 0xff]),
        ("an end too early", message(b'Z', b"I")),
    ];
    for (what, bytes) in unsound {
        // In front of each message of the five answers.
        for place in 0.. {
            let peer = Peer::new().insert(place, &bytes);
            let results = five(&peer, false).await;
            if !peer.inserted() {
                assert!(place > 15, "{what}: {place}");
                break;
            }
            let answered = results.iter().take_while(|result| result.is_ok() || is_refused(result)).count();
            let rest = &results[answered..];
            assert!(rest.iter().all(|result| result.is_err()), "{what} at {place}: {results:?}");
            // One end too many behind the last answer takes nothing from anybody.
            assert!(answered < 5 || bytes[0] == b'Z', "{what} at {place}: {results:?}");
        }
    }
}

#[tokio::test]
async fn what_the_server_says_besides_changes_nothing() {
    for bytes in [
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'N', b"SNOTICE\0C00000\0Mhear\0\0"),
        message(b'A', b"\0\0\0\x07rowgate\0x\0"),
    ] {
        for place in 0.. {
            let peer = Peer::new().insert(place, &bytes);
            assert_whole(&five(&peer, false).await, false, &format!("{} at {place}", char::from(bytes[0])));
            if !peer.inserted() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_leaves_no_call_waiting() {
    let plan = echo();
    for shares in [false, true] {
        // What writes is described first, and sends no more where that went wrong, so that nothing would
        // close behind it; the same messages come to what reads, in one go with the rest.
        let (start, length) = if shares { (0, whole(true).await) } else { warm_and_whole(&plan).await };
        for at in start..length {
            // Of a number, a length or a letter: what it makes of the rest is anybody's guess, and the
            // peer closes behind it.
            let peer = Peer::new().flip(at, 1 << (at % 8)).close_at(length);
            let (connection, driver) = connect(&peer, shares);
            if !shares {
                call(&connection, &plan, "warm", None).await.unwrap();
            }
            let calls = ["one", "two", "refuse", "four", "five"].map(|text| {
                let (connection, plan) = (connection.clone(), plan.clone());
                tokio::spawn(async move { call(&connection, &plan, text, None).await })
            });
            for ended in join_all(calls).await {
                // A changed text is not its own; whatever else, it has ended.
                if let Err(panicked) = ended {
                    let message = panicked.into_panic().downcast::<String>().map(|text| *text).unwrap_or_default();
                    assert!(!message.contains("never ended"), "flipped at {at}: {message}");
                }
            }
            drop(connection);
            driver.abort();
        }
    }
}

/// How many bytes the peer sends to a first write, and to five more.
async fn warm_and_whole(plan: &Arc<Plan>) -> (usize, usize) {
    let peer = Peer::new();
    let (connection, driver) = connect(&peer, false);
    call(&connection, plan, "warm", None).await.unwrap();
    let warm = peer.sent();
    join_all(["one", "two", "refuse", "four", "five"].map(|text| call(&connection, plan, text, None))).await;
    driver.abort();
    (warm, peer.sent())
}

#[tokio::test]
async fn rows_longer_than_the_room_for_them_are_received() {
    let (plan, peer) = (echo(), Peer::new());
    let (connection, _driver) = connect(&peer, false);
    // Around the 64 KiB that are received at once, and far beyond.
    for length in [1 << 16, 200_000, 3 << 20].into_iter().chain((1 << 16) - 24..(1 << 16) + 4) {
        let long = "x".repeat(length);
        let calls = ["before", long.as_str(), "behind"].map(|text| call(&connection, &plan, text, None));
        for result in join_all(calls).await {
            result.unwrap();
        }
    }
}

#[tokio::test]
async fn a_refused_role_fails_no_connection_and_is_tried_again() {
    let (plan, peer) = (echo(), Peer::new());
    let (connection, driver) = connect(&peer, false);
    let [good, bad]: [Arc<str>; 2] = [Arc::from("good"), Arc::from("bad")];
    for _ in 0..3 {
        call(&connection, &plan, "a", Some(&good)).await.unwrap();
        // The peer answers it all the same; Postgres would in the role it had before.
        call(&connection, &plan, "b", Some(&bad)).await.unwrap();
        call(&connection, &plan, "c", Some(&good)).await.unwrap();
        call(&connection, &plan, "d", None).await.unwrap();
    }
    let commands = ["SET ROLE \"good\"", "SET ROLE \"bad\"", "SET ROLE \"good\"", "RESET ROLE"];
    assert_eq!(peer.commands(), commands.repeat(3));
    // One that does not change is not sent again.
    call(&connection, &plan, "e", None).await.unwrap();
    assert_eq!(peer.commands().len(), 12);
    assert!(!driver.is_finished());
}

#[tokio::test]
async fn answers_that_nobody_waits_for_are_not_given_to_others() {
    let (plan, peer) = (echo(), Peer::new().held());
    let (connection, _driver) = connect(&peer, false);
    let late = {
        let (connection, plan) = (connection.clone(), plan.clone());
        tokio::spawn(async move {
            let statement = &plan.variants[0];
            let parameters = [Parameter::Null, Parameter::Null];
            let deadline = Instant::now() + Duration::from_millis(30);
            let (turn, role, room) = (None, None, ROOM);
            let request =
                Request { plan: &plan, statement, parameters: &parameters, turn, role, alone: false, room, deadline };
            connection.call(request).await
        })
    };
    peer.asked(1).await;
    let [gone, stays] = ["gone", "stays"].map(|text| {
        let (connection, plan) = (connection.clone(), plan.clone());
        tokio::spawn(async move { call(&connection, &plan, text, None).await })
    });
    assert!(matches!(late.await.unwrap(), Err(Trouble::TimedOut)));
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    peer.release();
    stays.await.unwrap().unwrap();
    call(&connection, &plan, "next", None).await.unwrap();
}
