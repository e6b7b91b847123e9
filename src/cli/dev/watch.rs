//! Tells when a bundle's files have other content than when they were last looked at.
//!
//! Folders are watched rather than files, for editors replace files; what happened is of no
//! interest, for the content is compared. So our own reading, a data directory inside the bundle
//! and editors' temporary files are no news.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::cli::output;
use crate::deploy::bundle::bundle_files;

/// An editor's save is several events; they are taken together once it is quiet for so long.
const QUIET: Duration = Duration::from_millis(100);
/// Under unending events the files are looked at this often anyway.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// What lies beyond is of no bundle that could be read.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// A bundle's folder being watched.
pub(super) struct Watch {
    folder: PathBuf,
    /// `None` where nothing can watch; there are no events then.
    watcher: Option<Box<dyn Watcher + Send>>,
    events: mpsc::Receiver<()>,
    /// The other end of `events`; keeps them open.
    _event: mpsc::Sender<()>,
    seen: Fingerprint,
}

type Fingerprint = BTreeMap<PathBuf, [u8; 32]>;

impl Watch {
    /// Watches from now on. Where that is impossible says so, and never tells a change.
    pub(super) fn start(folder: &Path) -> Watch {
        let (event, events) = mpsc::channel(1);
        let watcher = watcher(&event, folder);
        let mut watch =
            Watch { folder: folder.to_path_buf(), watcher, events, _event: event, seen: fingerprint(folder) };
        watch.rewatch();
        watch
    }

    /// Waits until the bundle's content is other than at the last answer. Loses nothing when dropped.
    pub(super) async fn changed(&mut self) {
        loop {
            // The sender lives as long as this value, so this is an event.
            let _ = self.events.recv().await;
            let quiet = async { while tokio::time::timeout(QUIET, self.events.recv()).await.is_ok() {} };
            // Either way it is time to look.
            let _ = tokio::time::timeout(QUIET_WAIT_MAX, quiet).await;
            self.rewatch();
            let now = fingerprint(&self.folder);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// A folder that was replaced is another one, which nobody watches yet.
    fn rewatch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in [self.folder.clone(), self.folder.join("server")] {
            // It may be gone for now; its parent tells when it comes.
            let _ = watcher.unwatch(&folder);
            let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
        }
    }
}

/// The system's own watcher, or one that looks now and then where that one cannot be had.
fn watcher(event: &mpsc::Sender<()>, folder: &Path) -> Option<Box<dyn Watcher + Send>> {
    let handler = |event: mpsc::Sender<()>| {
        move |happened: notify::Result<Event>| {
            if happened.is_ok_and(|happened| !happened.kind.is_access()) {
                // A full channel holds the word already.
                let _ = event.try_send(());
            }
        }
    };
    let native = RecommendedWatcher::new(handler(event.clone()), Config::default())
        .and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher));
    if let Ok(watcher) = native {
        return Some(Box::new(watcher));
    }
    let settings = Config::default().with_poll_interval(POLL_INTERVAL).with_compare_contents(true);
    match PollWatcher::new(handler(event.clone()), settings) {
        Ok(watcher) => Some(Box::new(watcher)),
        Err(error) => {
            output::note(&format!("the folder cannot be watched: {error}; start again to serve an edit"));
            None
        }
    }
}

/// The hash of each file of the bundle.
fn fingerprint(folder: &Path) -> Fingerprint {
    let hashed = |path: PathBuf| {
        // One that cannot be read is other than one that is empty: it is left out.
        let mut content = Vec::new();
        File::open(&path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut content).ok()?;
        Some((path, Sha256::digest(content).into()))
    };
    bundle_files(folder).into_iter().filter_map(hashed).collect()
}
