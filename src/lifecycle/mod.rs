//! What becomes of an install's rows: written out, brought in, and erased with a receipt when it was
//! uninstalled for long enough.
//!
//! Operators ask for it by [`admin`](crate::admin) and the commands; [`server`](crate::server) has
//! [`erase`] look for what is due. Rows are touched as the extension's own role, so that nothing here
//! reaches another extension's, and each statement is bound to one scope.

pub mod erase;
pub mod export;
pub mod import;
pub mod pin;
pub mod remove;
pub mod user;

use rowgate_schema_dsl::definition::Scope;
use uuid::Uuid;

use crate::record::Install;

/// The version of the form that exports have.
pub const FORMAT: u16 = 1;

/// Whose rows an install sees in tables of this storage; none without an overlay.
fn scope_key(install: &Install, scope: Scope) -> Option<Uuid> {
    match scope {
        Scope::Instance => Some(install.id),
        Scope::Account => Some(install.account_id),
        Scope::Overlay => install.overlay_id,
        Scope::Global => Some(install.extension_id),
    }
}

/// What each transaction here begins with: no name resolves but a qualified one, and nothing waits long.
const SETTINGS: &str = "
SET LOCAL search_path = '';
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s'";
