//! Keeps the registry current: a deploy, an install or a key changed anywhere is told by NOTIFY,
//! and whatever was missed while not listening is caught by reading everything again.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::{StreamExt, stream};
use tokio::sync::{mpsc, watch};
use tokio_postgres::AsyncMessage;

use crate::db::connect::{Connector, Purpose};
use crate::gateway::Gateway;
use crate::record::CHANNEL;
use crate::server::reload;

/// Between two readings when no word came: what was missed is caught by then.
const READ_ANYWAY_S: u64 = 60;
const RECONNECT_WAIT: Duration = Duration::from_secs(1);

/// Listens until `stopping` turns true.
pub async fn keep_current(
    gateway: Arc<Gateway>,
    pool: Pool,
    connector: Connector,
    mut stopping: watch::Receiver<bool>,
) {
    let (changed, mut changes) = mpsc::channel(1);
    let listening = tokio::spawn(listen(connector, changed));
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            word = changes.recv() => if word.is_none() { break },
            () = tokio::time::sleep(Duration::from_secs(READ_ANYWAY_S)) => {}
        }
        if let Err(failure) = reload(&gateway, &pool).await {
            tracing::warn!(%failure, "the registry could not be read; what was deployed last is served");
        }
    }
    listening.abort();
}

/// Holds one connection that listens; a full channel already holds the word.
async fn listen(connector: Connector, changed: mpsc::Sender<()>) {
    let listen_to = format!("LISTEN {CHANNEL}");
    loop {
        if let Ok((client, mut connection)) = connector.address(Purpose::Own).connect(connector.tls()).await {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            // The connection only moves while its messages are read.
            let asked = client.batch_execute(&listen_to);
            let mut asked = std::pin::pin!(asked);
            let mut waiting = true;
            loop {
                tokio::select! {
                    answer = &mut asked, if waiting => {
                        waiting = false;
                        if answer.is_err() { break }
                        // Whatever changed before now was not heard.
                        let _ = changed.try_send(());
                    }
                    message = messages.next() => match message {
                        Some(Ok(AsyncMessage::Notification(_))) => { let _ = changed.try_send(()); }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    }
                }
            }
        }
        if changed.is_closed() {
            return;
        }
        tokio::time::sleep(RECONNECT_WAIT).await;
    }
}
