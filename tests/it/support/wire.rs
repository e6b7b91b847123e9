//! Bytes to a socket and an answer back, for what no client library would send.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::gateway::Answer;

/// Long enough for any answer, short enough to end a test that gets none.
const WITHIN: Duration = Duration::from_secs(20);

/// Sends `request`, ends the sending side, and reads until the other side ends as well. `None` where
/// the connection was closed without an answer.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may have answered and closed before everything was sent.
    let _ = stream.write_all(request.as_ref()).await;
    let _ = stream.shutdown().await;
    read(stream).await
}

/// Sends `request` and waits for the answer with the sending side open.
pub(crate) async fn exchange_open(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request.as_ref()).await;
    read(stream).await
}

async fn read(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut part = [0; 8_192];
    let reading = async {
        // A reset ends an answer as an end does: what was read is what there is.
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            bytes.extend_from_slice(&part[..count]);
            if whole(&bytes) {
                break;
            }
        }
    };
    tokio::time::timeout(WITHIN, reading).await.expect("no answer and no end");
    parse(&bytes)
}

fn whole(bytes: &[u8]) -> bool {
    parse(bytes).is_some_and(|answer| {
        let length = answer.headers.get("content-length").and_then(|length| length.parse::<usize>().ok());
        length.is_some_and(|length| answer.text.len() >= length)
    })
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Answer { status, headers, text: body.to_owned() })
}
