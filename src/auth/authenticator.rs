//! One call's `Authorization` to an [`Identity`].
//!
//! A verified token is remembered by its bytes, together with the generation of the signers that
//! verified it: a change of signers makes every remembered token unknown at once. Only what was
//! verified is remembered, so nobody can fill the memory without a signer's help.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::auth::authorization::bearer;
use crate::auth::identity::{Caller, Identity};
use crate::auth::key::{self, ADMIN_PREFIX, API_PREFIX, ApiKey};
use crate::auth::signers::SignerSource;
use crate::auth::token::{self, Rules};
use crate::config::{self, ConfigError};
use crate::error::{Code, Failure};

/// Tells who is calling.
pub struct Authenticator {
    rules: Rules,
    require_token: bool,
    token_bytes_max: usize,
    pub(crate) verified: Cache<Box<[u8]>, Verified, ByKibibyte>,
    pub(crate) source: SignerSource,
}

/// A remembered token's identity.
#[derive(Clone)]
pub(crate) struct Verified {
    identity: Arc<Identity>,
    /// Of the signers that verified it.
    generation: u64,
}

/// A token counts once for each KiB begun, so that long ones cannot multiply the memory taken.
#[derive(Clone)]
pub(crate) struct ByKibibyte;

impl Weighter<Box<[u8]>, Verified> for ByKibibyte {
    fn weight(&self, token: &Box<[u8]>, _: &Verified) -> u64 {
        token.len().div_ceil(1024) as u64
    }
}

impl Authenticator {
    /// Checks the settings and reads the JWKS file; does not yet fetch the JWKS URL.
    pub fn new(config: &config::Auth) -> Result<Authenticator, ConfigError> {
        let mut reasons = Vec::new();
        if config.token_bytes_max == 0 {
            reasons.push("auth.token_bytes_max: expected at least 1; tokens usually have 300 to 2000 bytes".to_owned());
        }
        let leeway_s = i64::try_from(config.leeway_s).ok().filter(|leeway_s| *leeway_s <= 600);
        if leeway_s.is_none() {
            reasons.push("auth.leeway_s: expected at most 600; a token would outlive its expiry".to_owned());
        }
        let source = SignerSource::new(config).map_err(|reason| reasons.push(reason));
        let (Ok(source), Some(leeway_s), true) = (source, leeway_s, reasons.is_empty()) else {
            return Err(ConfigError(reasons));
        };
        Ok(Authenticator {
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone(), leeway_s },
            require_token: config.require_token,
            token_bytes_max: config.token_bytes_max,
            verified: Cache::with_weighter(config.cached_tokens_max, config.cached_tokens_max as u64, ByKibibyte),
            source,
        })
    }

    /// Keeps the JWKS file and URL current; runs until dropped. One task per process is enough.
    pub async fn keep_signers_current(&self) {
        self.source.keep_current().await;
    }

    /// Whether every configured source of signers has answered at least once: part of readiness.
    pub fn is_ready(&self) -> bool {
        self.source.is_ready()
    }

    /// Who sent this `Authorization`. Does not wait: a token by a signer not yet known fails with
    /// `key_unknown`, and a fetch of the JWKS URL is asked for.
    pub fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        client_ip: IpAddr,
        now_s: i64,
        api_keys: &HashMap<[u8; 32], ApiKey>,
    ) -> Result<Arc<Identity>, Failure> {
        let Some(value) = authorization else {
            if self.require_token {
                return Err(Failure::new(
                    Code::TokenMissing,
                    "send `Authorization: Bearer …` with a token for this install, or with an api key",
                ));
            }
            return Ok(Arc::new(Identity::anonymous(client_ip)));
        };
        let presented = bearer(value, self.token_bytes_max)?;
        if presented.starts_with(API_PREFIX.as_bytes()) {
            return key::verify(presented, api_keys, now_s);
        }
        if presented.starts_with(ADMIN_PREFIX.as_bytes()) {
            return Err(Failure::new(
                Code::KeyUnknown,
                "an admin key calls no functions; expected a token for this install, or an api key `rgk_…`",
            ));
        }
        self.authenticate_token(presented, client_ip, now_s)
    }

    /// As [`Authenticator::authenticate`], but a token by a signer not yet known waits for one
    /// fetch of the JWKS URL, where one is due; both the wait and the number of waiters are bounded.
    pub async fn authenticate_or_fetch(
        &self,
        authorization: Option<&[u8]>,
        client_ip: IpAddr,
        now_s: i64,
        api_keys: &HashMap<[u8; 32], ApiKey>,
    ) -> Result<Arc<Identity>, Failure> {
        let generation = self.source.signers().generation;
        match self.authenticate(authorization, client_ip, now_s, api_keys) {
            Err(failure) if failure.code == Code::KeyUnknown && self.source.fetched_since(generation).await => {
                self.authenticate(authorization, client_ip, now_s, api_keys)
            }
            answer => answer,
        }
    }

    fn authenticate_token(&self, token: &[u8], client_ip: IpAddr, now_s: i64) -> Result<Arc<Identity>, Failure> {
        let signers = self.source.signers();
        if let Some(verified) = self.verified.get(token)
            && verified.generation == signers.generation
        {
            if let Err(expired) = token::must_not_be_expired(verified.identity.expires_at_s, &self.rules, now_s) {
                self.verified.remove(token);
                return Err(expired);
            }
            return Ok(seen_from(verified.identity, client_ip));
        }
        match token::verify(token, &signers, &self.rules, client_ip, now_s) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                let verified = Verified { identity: Arc::clone(&identity), generation: signers.generation };
                self.verified.insert(Box::from(token), verified);
                Ok(identity)
            }
            Err(failure) => {
                if failure.code == Code::KeyUnknown {
                    self.source.ask_for_fetch();
                }
                Err(failure)
            }
        }
    }
}

/// A token that names nobody may be shared by a whole audience, so its callers are told apart by
/// where they come from, at each call.
fn seen_from(identity: Arc<Identity>, client_ip: IpAddr) -> Arc<Identity> {
    match identity.caller {
        Caller::User(_) | Caller::Key(_) => identity,
        Caller::Network(_) => {
            let caller = Caller::network(client_ip);
            if identity.caller == caller { identity } else { Arc::new(Identity { caller, ..(*identity).clone() }) }
        }
    }
}
