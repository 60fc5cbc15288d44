//! How much one client has at work.
//!
//! Takes: the clients that are registered. Gives: a [`Place`] for an exchange of one of them. Guarantees: no client has more
//! than [`limits::CLIENT_IN_FLIGHT`] places, over all cores, so that the others find the EHR and its connections free.
//! Refuses: the next one, at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits;

/// The exchanges of each client.
#[derive(Debug)]
pub struct Crowd(HashMap<Box<str>, Arc<AtomicUsize>>);

/// A place among a client's exchanges, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Crowd {
    /// Places for these clients.
    pub fn new<'c>(clients: impl IntoIterator<Item = &'c str>) -> Self {
        Self(clients.into_iter().map(|client| (client.into(), Arc::default())).collect())
    }

    /// A place for one more exchange of `client`; `None` where there is none.
    pub(super) fn enter(&self, client: &str) -> Option<Place> {
        let place = Place(Arc::clone(self.0.get(client)?));
        (place.0.fetch_add(1, Ordering::AcqRel) < limits::CLIENT_IN_FLIGHT).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_places_and_gives_them_back() {
        let crowd = Crowd::new(["a", "b"]);
        let places: Vec<_> = (0..limits::CLIENT_IN_FLIGHT).map(|_| crowd.enter("a").unwrap()).collect();
        assert!(crowd.enter("a").is_none());
        assert!(crowd.enter("a").is_none());
        assert!(crowd.enter("b").is_some());
        assert!(crowd.enter("c").is_none());
        drop(places);
        assert!(crowd.enter("a").is_some());
    }
}
