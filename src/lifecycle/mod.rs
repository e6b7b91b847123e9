//! What becomes of an install's rows: erased with a receipt when it was uninstalled for long enough.
//!
//! Operators ask for it by [`admin`](crate::admin) and the commands; [`server`](crate::server) has
//! [`erase`] look for what is due. Rows are touched as the extension's own role, so that nothing here
//! reaches another extension's, and each statement is bound to one scope.

pub mod erase;
pub mod pin;
pub mod remove;

/// What each transaction here begins with: no name resolves but a qualified one, and nothing waits long.
const SETTINGS: &str = "
SET LOCAL search_path = '';
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s'";
