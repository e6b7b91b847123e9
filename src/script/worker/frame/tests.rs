//! Frames as they are written, cut and altered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use rowgate_schema_dsl::definition::HandlerKind;

use crate::script::machine::{Fault, Limits, Used};
use crate::script::sandbox::Termination;
use crate::script::value::Unwritable;
use crate::script::worker::frame::{Begin, Frames, FromWorker, Outcome, ToWorker};
use crate::script::worker::jail::{Held, Jail};

fn faults() -> Fault {
    Fault { code: Some("a".to_owned()), message: "b".to_owned(), field: None, trace: "ä".to_owned() }
}

fn all_to_worker() -> Vec<ToWorker> {
    let limits =
        Limits { cpu_ms_max: 1, memory_bytes_max: 2, allocated_bytes_max: 3, host_calls_max: 4, answer_bytes_max: 5 };
    let begin = Begin {
        function: "f".to_owned(),
        kind: HandlerKind::Mutation,
        context: b"{}".to_vec(),
        arguments: b"[]".to_vec(),
        seed: 9,
        limits,
    };
    vec![
        ToWorker::Load { program: [7; 32], sources: vec![("functions".to_owned(), "return {}".to_owned())] },
        ToWorker::Unload { program: [7; 32] },
        ToWorker::Begin { call: 1, program: [7; 32], begin: Box::new(begin) },
        ToWorker::Answer { call: 2, json: b"null".to_vec() },
        ToWorker::Refusal { call: 3, fault: faults() },
        ToWorker::Cancel { call: 4 },
    ]
}

const USED: Used = Used { cpu_us: 7, memory_bytes: 8 };

fn all_from_worker() -> Vec<FromWorker> {
    let outcomes = [
        Outcome::Returned(b"1".to_vec()),
        Outcome::Unanswerable(Unwritable { pointer: "/a".to_owned(), message: "b".to_owned() }),
        Outcome::Failed(faults()),
        Outcome::Stopped { termination: Termination::Time, at: Some(("f".to_owned(), 3)) },
        Outcome::Stopped { termination: Termination::Memory, at: None },
        Outcome::Stopped { termination: Termination::HostCalls, at: None },
        Outcome::Cancelled,
    ];
    let mut frames: Vec<FromWorker> =
        outcomes.into_iter().map(|outcome| FromWorker::Ended { call: 5, outcome, used: USED }).collect();
    frames.push(FromWorker::Ready(Jail { files: Held::Whole, calls: Held::Not }));
    frames.push(FromWorker::Asks { call: 6, operation: "db.get".to_owned(), arguments: b"[1]".to_vec() });
    frames
}

/// However the bytes are cut.
#[test]
fn frames_arrive_as_they_were_sent() {
    let sent: Vec<u8> = all_to_worker().iter().flat_map(ToWorker::encode).collect();
    for size in [1, 3, 7, sent.len()] {
        let (mut frames, mut came) = (Frames::default(), Vec::new());
        for bytes in sent.chunks(size) {
            frames.push(bytes);
            while let Some(frame) = frames.next_to_worker().unwrap() {
                came.push(frame);
            }
        }
        assert_eq!(came, all_to_worker());
    }
    for frame in all_from_worker() {
        let mut frames = Frames::default();
        frames.push(&frame.encode());
        assert_eq!(frames.next_from_worker().unwrap(), Some(frame));
    }
}

/// A worker may send anything; what is no frame is refused and never read as another.
#[test]
fn what_is_no_frame_is_refused() {
    for frame in all_from_worker() {
        let whole = frame.encode();
        for kept in 5..whole.len() {
            let mut cut = whole[..kept].to_vec();
            cut[..4].copy_from_slice(&u32::try_from(kept - 4).unwrap().to_le_bytes());
            let mut frames = Frames::default();
            frames.push(&cut);
            assert!(frames.next_from_worker().is_err(), "{frame:?} cut to {kept}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        longer[..4].copy_from_slice(&u32::try_from(whole.len() - 3).unwrap().to_le_bytes());
        let mut frames = Frames::default();
        frames.push(&longer);
        assert!(frames.next_from_worker().is_err(), "{frame:?} and a byte");
    }
    for bytes in [[255_u8, 255, 255, 255, 0], [1, 0, 0, 0, 99]] {
        let mut frames = Frames::default();
        frames.push(&bytes);
        assert!(frames.next_from_worker().is_err(), "{bytes:?}");
    }
}
