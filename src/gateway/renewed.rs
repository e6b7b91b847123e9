//! A call that met tables newer than its plan is run again under the revision they are of.
//!
//! Between the commit of a change and a gateway's next snapshot a plan may meet tables that it was not
//! made for. A failure that may come of it, of a statement that did nothing, waits until the registry
//! was read again; where its install is served otherwise since, the call is resolved and judged anew
//! and runs again. Its limits were charged, and are not again. Else the failure stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowgate_schema_dsl::definition::HandlerKind;
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::gateway::handler::{FoundHandler, log};
use crate::gateway::{Call, Found, Gateway, Reply, Worker};
use crate::registry::Extension;

/// Each takes a change of the extension that came into force meanwhile.
pub(super) const RENEWALS_MAX: u32 = 3;

/// What a call ran as, where it failed in a way that a newer revision may mend; nothing was done, and
/// nothing is counted yet.
pub(super) enum Ran {
    Function(Found),
    Handler(FoundHandler),
}

impl Ran {
    fn extension(&self) -> &Arc<Extension> {
        match self {
            Ran::Function(found) => &found.install.extension,
            Ran::Handler(found) => &found.install.extension,
        }
    }

    /// Counts what became of the call at last.
    fn count(&self, gateway: &Gateway, call: &Call<'_>, reply: &mut Reply, began: Instant) {
        match self {
            Ran::Function(found) => found.count(&reply.result, began),
            Ran::Handler(found) => log::count(gateway, call, found, reply, began),
        }
    }

    fn deadline(&self, gateway: &Gateway, began: Instant) -> Instant {
        let script = &gateway.config.script;
        let timeout_ms = match self {
            Ran::Function(_) => gateway.config.http.call_timeout_ms,
            Ran::Handler(found) => match found.handler.kind {
                HandlerKind::Query => script.query.timeout_ms,
                HandlerKind::Mutation => script.mutation.timeout_ms,
                HandlerKind::Action => script.action.timeout_ms,
            },
        };
        began + Duration::from_millis(timeout_ms)
    }
}

impl Gateway {
    /// Runs `call`, which failed with `reply` as it `ran`, again as long as it meets newer tables.
    pub(super) async fn again(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        mut reply: Reply,
        mut ran: Box<Ran>,
        began: Instant,
        depth: u32,
    ) -> Reply {
        for _ in 0..RENEWALS_MAX {
            if !self.is_renewed(call.install_id, ran.extension(), ran.deadline(self, began)).await {
                break;
            }
            let (next, outdated) = self.try_call(worker, call, reply.decision, began, depth).await;
            reply = next;
            match outdated {
                Some(again) => ran = again,
                None => return reply,
            }
        }
        ran.count(self, call, &mut reply, began);
        reply
    }

    /// Whether the install is served otherwise than by `extension`, now or before `deadline` once the
    /// registry was read again.
    pub(super) async fn is_renewed(&self, install_id: Uuid, extension: &Arc<Extension>, deadline: Instant) -> bool {
        if !self.serves_another(install_id, extension) {
            let asked = timeout_at(deadline.into(), self.renewal.ask(extension.id)).await;
            if !matches!(asked, Ok(true)) || !self.serves_another(install_id, extension) {
                return false;
            }
        }
        if Instant::now() >= deadline {
            return false;
        }
        self.metrics.calls_renewed.inc();
        true
    }

    fn serves_another(&self, install_id: Uuid, extension: &Arc<Extension>) -> bool {
        let snapshot = self.registry.load();
        let install = snapshot.installs.get(&install_id);
        install.is_none_or(|install| !Arc::ptr_eq(&install.extension, extension))
    }
}
