//! Token or key in, [`Identity`] out.
//!
//! | file | what |
//! |---|---|
//! | `authenticator` | one call's `Authorization` to an identity; remembers tokens it has verified |
//! | `authorization` | the header to the token or key it presents |
//! | `token` | JSON Web Tokens: the claims, verifying, minting for development |
//! | `key` | API keys and admin keys: minted here, stored as SHA-256 alone |
//! | `jwks` | a JWKS document to the keys that may sign tokens |
//! | `signers` | those keys kept current, from a file, a URL and the configured secret |
//! | `identity` | what the other rooms read |
//!
//! Time comes in as an argument. Which install is called is not known here: the gateway asks
//! [`Identity::must_be_for`]. No message holds a token, a key, or a claim's value.

mod authenticator;
mod authorization;
mod identity;
mod jwks;
pub mod key;
mod signers;
pub mod token;

#[cfg(test)]
mod tests;

pub use authenticator::Authenticator;
pub use identity::{Caller, Identity, Surface};
pub use key::ApiKey;
