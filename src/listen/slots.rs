//! How many connections may be open: over all cores, and from one address.
//!
//! The fewer are left of the total, the fewer one address may have: some dozens of addresses that take what they can get
//! leave room for an address that has none.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits;
use crate::metrics::{Metrics, Rim};

/// The count that all cores share.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    per_peer: usize,
    open: Mutex<Open>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    peers: HashMap<IpAddr, usize>,
}

/// One open connection. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    peer: IpAddr,
}

impl Slots {
    pub(super) fn new(total: usize, per_peer: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { total, per_peer, open: Mutex::default(), metrics })
    }

    /// A slot for a connection from `peer`; none if it has to be closed at once.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let peer = site(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            self.metrics.rim(Rim::ConnectionLimit);
            return None;
        }
        let fair = ((self.total - open.total) / limits::CONNECTIONS_LEFT_PER_PEER).max(1).min(self.per_peer);
        if open.peers.get(&peer).is_some_and(|count| *count >= fair) {
            self.metrics.rim(Rim::PeerLimit);
            return None;
        }
        open.total += 1;
        *open.peers.entry(peer).or_default() += 1;
        self.metrics.connection_opened();
        Some(Slot { slots: Arc::clone(self), peer })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.peers.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.peers.remove(&self.peer);
            }
        }
        self.slots.metrics.connection_closed();
    }
}

/// One IPv4 address, or one IPv6 /64: the smallest network that a single site is given.
fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, per_peer: usize) -> Arc<Slots> {
        Slots::new(total, per_peer, Arc::new(Metrics::new().unwrap()))
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_peer_leaves_room_for_others() {
        let slots = slots(24, 2);
        let held = [slots.take(peer("192.0.2.1")).unwrap(), slots.take(peer("192.0.2.1")).unwrap()];
        assert!(slots.take(peer("192.0.2.1")).is_none());
        assert!(slots.take(peer("::ffff:192.0.2.1")).is_none(), "the same address, mapped");
        let other = slots.take(peer("192.0.2.2")).unwrap();
        drop(other);
        drop(held);
        assert!(slots.take(peer("192.0.2.1")).is_some());
        assert!(slots.open.lock().unwrap().peers.is_empty());
    }

    #[test]
    fn the_total_is_the_end() {
        let slots = slots(2, 9);
        let _held = [slots.take(peer("192.0.2.1")).unwrap(), slots.take(peer("192.0.2.2")).unwrap()];
        assert!(slots.take(peer("192.0.2.3")).is_none());
        assert!(slots.metrics.render().unwrap().contains("portcullis_rim_total{event=\"connection_limit\"} 1\n"));
    }

    #[test]
    fn many_greedy_peers_leave_room_for_one_that_has_none() {
        let (slots, mut held) = (slots(limits::CONNECTIONS, limits::CONNECTIONS_PER_PEER), Vec::new());
        for _ in 0..limits::CONNECTIONS_PER_PEER {
            held.extend((0..40).filter_map(|number| slots.take(peer(&format!("192.0.2.{number}")))));
        }
        assert!(held.len() > limits::CONNECTIONS / 2, "{}", held.len());
        let newcomer: Vec<_> = (0..16).filter_map(|_| slots.take(peer("198.51.100.1"))).collect();
        assert_eq!(newcomer.len(), 16);
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let slots = slots(3, 1);
        let _held = slots.take(peer("2001:db8::1")).unwrap();
        assert!(slots.take(peer("2001:db8::ffff:1")).is_none());
        assert!(slots.take(peer("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn refusals_and_open_connections_are_counted() {
        let slots = slots(2, 1);
        let _held = slots.take(peer("192.0.2.1")).unwrap();
        drop(slots.take(peer("192.0.2.1")));
        drop(slots.take(peer("192.0.2.2")));
        let text = slots.metrics.render().unwrap();
        assert!(text.contains("portcullis_connections 1\n"), "{text}");
        assert!(text.contains("portcullis_rim_total{event=\"peer_limit\"} 1\n"), "{text}");
        assert!(text.contains("portcullis_rim_total{event=\"connection_limit\"} 0\n"), "{text}");
    }
}
