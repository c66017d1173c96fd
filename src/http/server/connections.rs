//! The open connections, by client address. No address can use them all, and idle connections cannot keep clients out: they are
//! evicted for new ones.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::client_address::TrustedProxies;
use super::timeouts::ConnectionState;

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    /// 0 means no limit.
    max_per_address: usize,
    proxies: TrustedProxies,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    by_address: HashMap<IpAddr, BTreeMap<u64, Connection>>,
    /// The number of the next connection, which orders connections by age.
    next: u64,
}

#[derive(Debug)]
struct Connection {
    state: ConnectionState,
    evicted: CancellationToken,
}

/// A registered connection; unregistered when dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    connections: Arc<Connections>,
    address: IpAddr,
    number: u64,
    /// Cancelled when the connection is evicted.
    pub evicted: CancellationToken,
}

impl Connections {
    pub fn new(max_per_address: usize, proxies: TrustedProxies) -> Self {
        Self { max_per_address, proxies, registry: Mutex::default() }
    }

    /// Registers a connection of this address. Returns `None` if the address uses all its connections and none of them can be
    /// evicted.
    pub fn register(self: &Arc<Self>, peer: IpAddr, state: &ConnectionState) -> Option<ConnectionSlot> {
        let address = network(peer);
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let is_limited = self.max_per_address > 0 && !self.proxies.trusts(peer.to_canonical());
        let own = registry.by_address.get(&address).map_or(0, BTreeMap::len);
        if is_limited && own >= self.max_per_address && !registry.evict_from(address) {
            return None;
        }
        let (number, evicted) = (registry.next, CancellationToken::new());
        registry.next += 1;
        let connection = Connection { state: state.clone(), evicted: evicted.clone() };
        registry.by_address.entry(address).or_default().insert(number, connection);
        Some(ConnectionSlot { connections: Arc::clone(self), address, number, evicted })
    }

    /// Evicts an idle or stalled connection, of the address that has the most.
    pub fn evict_one(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses: Vec<_> = registry.by_address.iter().map(|(address, own)| (own.len(), *address)).collect();
        addresses.sort_unstable();
        for (_, address) in addresses.into_iter().rev() {
            if registry.evict_from(address) {
                break;
            }
        }
    }
}

impl Registry {
    /// Evicts the oldest idle connection of an address, or the one that has been stalled the longest. Returns whether it found
    /// one.
    fn evict_from(&mut self, address: IpAddr) -> bool {
        let Some(own) = self.by_address.get_mut(&address) else { return false };
        let unused = own.iter().find(|(_, connection)| !connection.state.is_busy()).map(|(number, _)| *number);
        let stalled = || own.iter().filter_map(|(number, connection)| Some((connection.state.stalled_for()?, *number))).max();
        let Some(number) = unused.or_else(|| stalled().map(|(_, number)| number)) else { return false };
        if let Some(connection) = own.remove(&number) {
            connection.evicted.cancel();
        }
        true
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut registry = self.connections.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = registry.by_address.get_mut(&self.address) {
            own.remove(&self.number);
            if own.is_empty() {
                registry.by_address.remove(&self.address);
            }
        }
    }
}

/// Groups IPv6 addresses by /64 network, because one client usually has all addresses of such a network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::client_address::parse_network;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn busy() -> ConnectionState {
        let state = ConnectionState::default();
        state.begin_request();
        state
    }

    #[test]
    fn a_further_connection_evicts_the_oldest_idle_one() {
        let connections = Arc::new(Connections::new(3, TrustedProxies::default()));
        let ann = address("192.0.2.1");
        let working = connections.register(ann, &busy()).unwrap();
        let (older, newer) = (
            connections.register(ann, &ConnectionState::default()).unwrap(),
            connections.register(ann, &ConnectionState::default()).unwrap(),
        );
        let next = connections.register(ann, &busy()).unwrap();
        assert!(older.evicted.is_cancelled() && !working.evicted.is_cancelled() && !newer.evicted.is_cancelled());
        drop(older);
        let _last = connections.register(ann, &busy()).unwrap();
        assert!(newer.evicted.is_cancelled());
        assert!(connections.register(ann, &ConnectionState::default()).is_none(), "all its connections are busy");
        assert!(connections.register(address("192.0.2.2"), &ConnectionState::default()).is_some());
        drop(next);
        assert!(connections.register(ann, &ConnectionState::default()).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_trusted_proxies_have_no_limit() {
        let proxies = TrustedProxies::new(vec![parse_network("10.0.0.0/8").unwrap()]);
        let connections = Arc::new(Connections::new(1, proxies));
        let _one = connections.register(address("2001:db8::1"), &busy()).unwrap();
        assert!(connections.register(address("2001:db8::ffff:1"), &busy()).is_none());
        let _other = connections.register(address("2001:db8:0:1::1"), &busy()).unwrap();
        let _mapped = connections.register(address("::ffff:192.0.2.1"), &busy()).unwrap();
        assert!(connections.register(address("192.0.2.1"), &busy()).is_none());
        let proxied: Vec<_> = (0..5).map(|_| connections.register(address("::ffff:10.1.1.1"), &busy()).unwrap()).collect();
        drop(proxied);
        assert_eq!(connections.registry.lock().unwrap().by_address.len(), 3, "addresses without connections are forgotten");
    }

    #[test]
    fn the_address_with_the_most_connections_loses_an_idle_one() {
        let connections = Arc::new(Connections::new(0, TrustedProxies::default()));
        let few: Vec<_> =
            (0..2).map(|_| connections.register(address("192.0.2.1"), &ConnectionState::default()).unwrap()).collect();
        let many: Vec<_> =
            (0..5).map(|_| connections.register(address("192.0.2.2"), &ConnectionState::default()).unwrap()).collect();
        let most: Vec<_> = (0..9).map(|_| connections.register(address("192.0.2.3"), &busy()).unwrap()).collect();
        connections.evict_one();
        let evicted = |slots: &[ConnectionSlot]| slots.iter().filter(|slot| slot.evicted.is_cancelled()).count();
        assert_eq!((evicted(&few), evicted(&many), evicted(&most)), (0, 1, 0));
    }

    #[test]
    fn a_stalled_connection_is_evicted() {
        let connections = Arc::new(Connections::new(2, TrustedProxies::default()));
        let (reads, stalled) = (busy(), busy());
        let (one, other) =
            (connections.register(address("::1"), &reads).unwrap(), connections.register(address("::1"), &stalled).unwrap());
        stalled.stall();
        assert!(connections.register(address("::1"), &busy()).is_none(), "a short pause is not a stall");
        std::thread::sleep(2 * crate::http::server::timeouts::STALL_THRESHOLD);
        let _next = connections.register(address("::1"), &busy()).unwrap();
        assert!(other.evicted.is_cancelled() && !one.evicted.is_cancelled());
    }
}
