//! Hears of changes: a deploy, an install or a key changed anywhere is told by NOTIFY, and whatever
//! was missed while not listening is told as one more change.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use crate::db::connect::{Connector, Purpose};
use crate::record::CHANNEL;

const RECONNECT_WAIT: Duration = Duration::from_secs(1);

/// Holds one connection that listens, until nobody wants to hear; a full channel already holds the word.
pub async fn listen(connector: Connector, changed: mpsc::Sender<()>) {
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
