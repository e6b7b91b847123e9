//! How many requests are under way: in all, and of each install, so that none takes every place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::config;
use crate::fetch::{Cause, Refused};

/// The places for requests, shared by all runtimes of a gateway.
#[derive(Debug)]
pub(super) struct Gate {
    in_all_max: usize,
    of_install_max: usize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    in_all: usize,
    /// Installs that have one under way, so never more than `in_all`.
    of_install: HashMap<Uuid, usize>,
}

/// A request's place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    install: Uuid,
}

impl Gate {
    pub(super) fn new(settings: &config::Fetch) -> Arc<Gate> {
        let (in_all_max, of_install_max) = (settings.concurrent_max, settings.concurrent_per_install_max);
        Arc::new(Gate { in_all_max, of_install_max, under_way: Mutex::default() })
    }

    /// Takes a place. Nobody waits for one: whoever asks holds a machine meanwhile.
    pub(super) fn enter(self: &Arc<Gate>, install: Uuid) -> Result<Place, Refused> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let of_install = under_way.of_install.get(&install).copied().unwrap_or_default();
        if of_install >= self.of_install_max {
            let message = format!("{of_install} requests of this install are under way; try again later");
            return Err(Refused::new(Cause::Busy, message));
        }
        if under_way.in_all >= self.in_all_max {
            return Err(Refused::new(Cause::Busy, "too many requests are under way; try again later"));
        }
        under_way.in_all += 1;
        under_way.of_install.insert(install, of_install + 1);
        Ok(Place { gate: Arc::clone(self), install })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.gate.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.in_all = under_way.in_all.saturating_sub(1);
        let left = under_way.of_install.get(&self.install).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            under_way.of_install.remove(&self.install);
        } else {
            under_way.of_install.insert(self.install, left);
        }
    }
}
