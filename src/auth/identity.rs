//! Who is calling: what a verified token or key says, and what the per-caller limit counts.
//!
//! Account, overlay and extension are not here: they come from the install's record.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use rowgate_schema_dsl::definition::Role;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::{Code, Failure};

/// A caller, as far as a verified token or key tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The only install it is good for; `None` for a call without a token, which is anonymous
    /// wherever it calls.
    pub install_id: Option<Uuid>,
    pub role: Role,
    /// Claim `sub`; `None` for keys and for tokens that name nobody.
    pub user_id: Option<Arc<str>>,
    pub surface: Option<Surface>,
    pub platform_user_id: Option<Arc<str>>,
    pub platform_user_name: Option<Arc<str>>,
    /// Seconds since 1970, without the forgiven clock difference; `i64::MAX` where nothing expires.
    pub expires_at_s: i64,
    pub caller: Caller,
}

impl Identity {
    /// The identity of a call without a token.
    pub fn anonymous(client_ip: IpAddr) -> Identity {
        Identity {
            install_id: None,
            role: Role::Anonymous,
            user_id: None,
            surface: None,
            platform_user_id: None,
            platform_user_name: None,
            expires_at_s: i64::MAX,
            caller: Caller::network(client_ip),
        }
    }

    /// Refuses an identity that was made for another install than the one called.
    pub fn must_be_for(&self, install_id: Uuid) -> Result<(), Failure> {
        match self.install_id {
            Some(own) if own != install_id => Err(Failure::new(
                Code::TokenWrongInstall,
                "the token or key was made for another install; send one made for the install in the path",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Where on the platform the caller's page is shown: claim `surface`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The page on which the install is set up.
    Editor,
    /// The page drawn over a stream, which nobody clicks.
    Layer,
    /// The page viewers act on.
    Interactive,
}

impl Surface {
    pub const ALL: [Surface; 3] = [Surface::Editor, Surface::Layer, Surface::Interactive];

    pub const fn as_str(self) -> &'static str {
        match self {
            Surface::Editor => "editor",
            Surface::Layer => "layer",
            Surface::Interactive => "interactive",
        }
    }
}

/// What the limit per caller counts: cheap to copy and to hash, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A user of an install: the first 128 bits of SHA-256 over both.
    User(u128),
    /// An API key, by its id.
    Key(Uuid),
    /// Nobody known by name, so the network they come from: an IPv4 address, or the first 64 bits
    /// of an IPv6 address, of which one subscriber has 2^64.
    Network(IpAddr),
}

impl Caller {
    pub fn user(install_id: Uuid, user_id: &str) -> Caller {
        let digest: [u8; 32] =
            Sha256::new().chain_update(install_id.as_bytes()).chain_update(user_id.as_bytes()).finalize().into();
        let (first, _) = digest.split_at(16);
        Caller::User(first.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    /// The bits that tell callers of one install apart. Kinds do not collide but by chance: a
    /// user's are a hash, a key's a UUID, a network's an address.
    pub fn key(&self) -> u128 {
        match self {
            Caller::User(hash) => *hash,
            Caller::Key(id) => id.as_u128(),
            Caller::Network(IpAddr::V4(address)) => u128::from(address.to_bits()),
            Caller::Network(IpAddr::V6(address)) => address.to_bits(),
        }
    }

    pub fn network(client_ip: IpAddr) -> Caller {
        Caller::Network(match client_ip.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }
}
