//! The cache of handlers: values that may be gone at any time, in this process's memory.
//!
//! Each install has a shelf of its own with a share of the memory that it cannot exceed: what it puts
//! there displaces its own values alone. Where all shelves together are too many, the one that was
//! used longest ago goes as a whole.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use uuid::Uuid;

use crate::config;

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value as JSON.
pub const VALUE_BYTES_MAX: usize = 4 << 10;
/// How long a value stays unless its handler says.
pub const LIFETIME_S: u64 = 300;
pub const LIFETIME_S_MAX: u64 = 24 * 60 * 60;

/// What an entry costs besides its key and value, roughly.
const ENTRY_BYTES: usize = 128;
const SHELF_BYTES: usize = 256;

/// What all handlers of a gateway remember.
pub struct Cache {
    bytes_max: usize,
    install_bytes_max: usize,
    shelves: Mutex<Shelves>,
}

struct Shelves {
    bytes: usize,
    by_install: LruCache<Uuid, Shelf>,
}

struct Shelf {
    bytes: usize,
    entries: LruCache<Box<str>, Entry>,
}

struct Entry {
    value: Box<[u8]>,
    until: Instant,
}

impl Entry {
    fn bytes(&self, key: &str) -> usize {
        key.len() + self.value.len() + ENTRY_BYTES
    }
}

impl Cache {
    pub fn new(settings: &config::Cache) -> Cache {
        let by_install = LruCache::unbounded();
        Cache {
            bytes_max: settings.bytes_max,
            install_bytes_max: settings.install_bytes_max,
            shelves: Mutex::new(Shelves { bytes: 0, by_install }),
        }
    }

    /// The JSON that `install` put under `key`, if it is there still.
    pub fn get(&self, install: Uuid, key: &str, now: Instant) -> Option<Vec<u8>> {
        let mut shelves = self.lock();
        let shelf = shelves.by_install.get_mut(&install)?;
        let entry = shelf.entries.get(key)?;
        if entry.until > now {
            return Some(entry.value.to_vec());
        }
        shelves.remove(install, key);
        None
    }

    /// Puts the JSON `value` under `key` for `lifetime`, in place of what was there.
    pub fn set(&self, install: Uuid, key: &str, value: &[u8], lifetime: Duration, now: Instant) {
        let entry = Entry { value: value.into(), until: now + lifetime };
        let bytes = entry.bytes(key);
        let mut shelves = self.lock();
        shelves.remove(install, key);
        if bytes + SHELF_BYTES > self.install_bytes_max.min(self.bytes_max) {
            return;
        }
        while shelves.of(install) + bytes > self.install_bytes_max && shelves.displace(install) {}
        while shelves.bytes + bytes + SHELF_BYTES > self.bytes_max && shelves.drop_oldest(install) {}
        shelves.put(install, key, entry, bytes);
    }

    pub fn delete(&self, install: Uuid, key: &str) {
        self.lock().remove(install, key);
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    /// Bytes of the install's shelf.
    fn of(&self, install: Uuid) -> usize {
        self.by_install.peek(&install).map_or(0, |shelf| shelf.bytes)
    }

    fn put(&mut self, install: Uuid, key: &str, entry: Entry, bytes: usize) {
        let mut added = bytes;
        let shelf = self.by_install.get_or_insert_mut(install, || {
            added += SHELF_BYTES;
            Shelf { bytes: SHELF_BYTES, entries: LruCache::unbounded() }
        });
        shelf.bytes += bytes;
        shelf.entries.push(key.into(), entry);
        self.bytes += added;
    }

    fn remove(&mut self, install: Uuid, key: &str) {
        if let Some(shelf) = self.by_install.get_mut(&install)
            && let Some(entry) = shelf.entries.pop(key)
        {
            let bytes = entry.bytes(key);
            self.took(install, bytes);
        }
    }

    /// Drops what the install used longest ago; answers whether there was anything.
    fn displace(&mut self, install: Uuid) -> bool {
        let Some((key, entry)) = self.by_install.get_mut(&install).and_then(|shelf| shelf.entries.pop_lru()) else {
            return false;
        };
        let bytes = entry.bytes(&key);
        self.took(install, bytes);
        true
    }

    fn took(&mut self, install: Uuid, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let Some(shelf) = self.by_install.peek_mut(&install) else { return };
        shelf.bytes = shelf.bytes.saturating_sub(bytes);
        if shelf.entries.is_empty() {
            self.by_install.pop(&install);
            self.bytes = self.bytes.saturating_sub(SHELF_BYTES);
        }
    }

    /// Drops the shelf that was used longest ago: that of another install, if there is one, else
    /// what this one used longest ago. Answers whether there was anything.
    fn drop_oldest(&mut self, install: Uuid) -> bool {
        match self.by_install.peek_lru().map(|(oldest, _)| *oldest) {
            None => false,
            Some(oldest) if oldest == install => self.displace(install),
            Some(oldest) => {
                let bytes = self.by_install.pop(&oldest).map_or(0, |shelf| shelf.bytes);
                self.bytes = self.bytes.saturating_sub(bytes);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const MINUTE: Duration = Duration::from_secs(60);

    fn cache(bytes_max: usize, install_bytes_max: usize) -> Cache {
        Cache::new(&config::Cache { bytes_max, install_bytes_max })
    }

    #[test]
    fn values_are_an_installs_own_and_end() {
        let (cache, now) = (cache(1 << 20, 1 << 16), Instant::now());
        cache.set(A, "k", b"1", MINUTE, now);
        assert_eq!(cache.get(A, "k", now), Some(b"1".to_vec()));
        assert_eq!(cache.get(B, "k", now), None);
        assert_eq!(cache.get(A, "k", now + MINUTE), None);
        assert_eq!(cache.bytes(), 0, "what has ended is let go");
        cache.set(A, "k", b"1", MINUTE, now);
        cache.set(A, "k", b"[2]", MINUTE, now);
        assert_eq!(cache.get(A, "k", now), Some(b"[2]".to_vec()));
        cache.delete(A, "k");
        assert_eq!((cache.get(A, "k", now), cache.bytes()), (None, 0));
    }

    #[test]
    fn an_install_displaces_its_own_values_alone() {
        let (cache, now) = (cache(1 << 20, 10_000), Instant::now());
        cache.set(B, "kept", b"1", MINUTE, now);
        for index in 0..10_000 {
            cache.set(A, &format!("k{index}"), &[b'1'; 1000], MINUTE, now);
        }
        assert_eq!(cache.get(B, "kept", now), Some(b"1".to_vec()));
        assert_eq!(cache.get(A, "k0", now), None);
        assert!(cache.get(A, "k9999", now).is_some());
        assert!(cache.bytes() < 11_000, "{}", cache.bytes());
    }

    #[test]
    fn in_all_it_is_bounded_and_the_oldest_shelf_goes() {
        let (cache, now) = (cache(20_000, 10_000), Instant::now());
        for index in 0..100 {
            cache.set(Uuid::from_u128(index), "k", &[b'1'; 1000], MINUTE, now);
            assert!(cache.bytes() <= 20_000);
        }
        assert_eq!(cache.get(Uuid::from_u128(0), "k", now), None);
        assert!(cache.get(Uuid::from_u128(99), "k", now).is_some());
        let tiny = self::cache(300, 10_000);
        tiny.set(A, "k", &[b'1'; 1000], MINUTE, now);
        assert_eq!((tiny.get(A, "k", now), tiny.bytes()), (None, 0), "what never fits is not kept");
    }
}
