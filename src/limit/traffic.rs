//! What was asked, second by second and caller by caller: what `simulate` replays.
//!
//! Each worker counts for itself; what has gathered is taken away once a minute and written by `server`
//! as one row of bytes. Askers beyond a maximum are counted together as left out, so that strangers
//! cannot fill memory or tables. Arguments, tokens and names of users are not in it: a caller is the
//! number by which limits tell callers apart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::limit::{CallerKind, Class};

/// Who asked for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asker {
    pub install_id: Uuid,
    pub caller: u128,
    pub kind: CallerKind,
    pub class: Class,
    /// [`crate::limit::resolve::function_key`] of the function's name.
    pub function: u128,
}

/// How often within one second, and how many of these calls were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    /// Since 1970.
    pub at_s: u64,
    pub asked: u32,
    pub refused: u32,
}

/// What has gathered, and how many calls were left out for lack of room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    pub askers: HashMap<Asker, Vec<Second>>,
    pub left_out: u64,
}

/// Counts what one worker is asked.
#[derive(Debug)]
pub struct Traffic {
    gathered: Mutex<Gathered>,
    askers_max: usize,
}

impl Traffic {
    /// Counts up to so many askers between two takings; none where it is 0.
    pub fn new(askers_max: usize) -> Traffic {
        Traffic { gathered: Mutex::default(), askers_max }
    }

    pub fn is_kept(&self) -> bool {
        self.askers_max > 0
    }

    /// Counts one call.
    pub fn count(&self, asker: Asker, at_s: u64, is_refused: bool) {
        let mut gathered = self.locked();
        let is_full = gathered.askers.len() >= self.askers_max;
        let Gathered { askers, left_out } = &mut *gathered;
        if is_full && !askers.contains_key(&asker) {
            *left_out += 1;
            return;
        }
        let seconds = askers.entry(asker).or_default();
        let refused = u32::from(is_refused);
        match seconds.last_mut() {
            // A clock that was set back counts on in the second it had come to.
            Some(last) if last.at_s >= at_s => {
                last.asked = last.asked.saturating_add(1);
                last.refused = last.refused.saturating_add(refused);
            }
            Some(_) | None => seconds.push(Second { at_s, asked: 1, refused }),
        }
    }

    pub fn take(&self) -> Gathered {
        std::mem::take(&mut *self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    /// Adds what another worker was asked.
    pub fn add(&mut self, other: Gathered) {
        self.left_out += other.left_out;
        for (asker, seconds) in other.askers {
            let own = self.askers.entry(asker).or_default();
            for second in seconds {
                match own.iter_mut().find(|own| own.at_s == second.at_s) {
                    Some(own) => {
                        own.asked = own.asked.saturating_add(second.asked);
                        own.refused = own.refused.saturating_add(second.refused);
                    }
                    None => own.push(second),
                }
            }
        }
    }

    /// The first second that anything was asked in.
    pub fn began_s(&self) -> Option<u64> {
        self.askers.values().flatten().map(|second| second.at_s).min()
    }

    /// As bytes, some 55 for an asker and 4 for each of its seconds; seconds are counted from `began_s`.
    pub fn to_bytes(&self, began_s: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.askers.len() * 60);
        for (asker, seconds) in &self.askers {
            bytes.extend_from_slice(asker.install_id.as_bytes());
            bytes.extend_from_slice(&asker.caller.to_be_bytes());
            bytes.extend_from_slice(&asker.function.to_be_bytes());
            bytes.push(place(&CallerKind::ALL, &asker.kind) << 4 | place(&Class::ALL, &asker.class));
            put(&mut bytes, seconds.len() as u64);
            for second in seconds {
                put(&mut bytes, second.at_s.saturating_sub(began_s));
                put(&mut bytes, second.asked.into());
                put(&mut bytes, second.refused.into());
            }
        }
        bytes
    }
}

/// What [`Gathered::to_bytes`] wrote; `None` where the bytes are something else.
pub fn from_bytes(mut bytes: &[u8], began_s: u64) -> Option<Vec<(Asker, Vec<Second>)>> {
    let mut askers = Vec::new();
    while !bytes.is_empty() {
        let asker = Asker {
            install_id: Uuid::from_u128(take_u128(&mut bytes)?),
            caller: take_u128(&mut bytes)?,
            function: take_u128(&mut bytes)?,
            kind: *CallerKind::ALL.get(usize::from(*bytes.first()? >> 4))?,
            class: *Class::ALL.get(usize::from(*bytes.first()? & 15))?,
        };
        bytes = bytes.get(1..)?;
        let mut seconds = Vec::new();
        for _ in 0..take(&mut bytes)? {
            let at_s = began_s.checked_add(take(&mut bytes)?)?;
            let [asked, refused] = [take(&mut bytes)?, take(&mut bytes)?].map(|count| u32::try_from(count).ok());
            seconds.push(Second { at_s, asked: asked?, refused: refused? });
        }
        askers.push((asker, seconds));
    }
    Some(askers)
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    // INVARIANT: `ALL` names every variant, of which there are few.
    all.iter().position(|other| other == one).and_then(|place| u8::try_from(place).ok()).unwrap_or(0)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_u128(bytes: &mut &[u8]) -> Option<u128> {
    let (first, rest) = bytes.split_first_chunk::<16>()?;
    *bytes = rest;
    Some(u128::from_be_bytes(*first))
}
