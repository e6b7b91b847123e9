//! The roles as words of the command line.

use clap::ValueEnum;
use rowgate_schema_dsl::definition::Role;

/// Who to be: each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum As {
    Anonymous,
    Viewer,
    Editor,
    Owner,
}

impl From<As> for Role {
    fn from(role: As) -> Role {
        match role {
            As::Anonymous => Role::Anonymous,
            As::Viewer => Role::Viewer,
            As::Editor => Role::Editor,
            As::Owner => Role::Owner,
        }
    }
}
