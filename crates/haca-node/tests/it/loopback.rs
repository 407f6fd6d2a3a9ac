//! Ports kept for servers that start later.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use haca_node::loopback::reserve;

#[test]
fn no_address_is_given_twice_and_nothing_listens_there() {
    let reserved: Vec<SocketAddr> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..16).map(|_| reserve().unwrap()).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(reserved.iter().collect::<BTreeSet<_>>().len(), 64);
    for address in reserved {
        assert!(address.ip().is_loopback());
        TcpListener::bind(address).unwrap();
    }
}

#[test]
fn what_another_process_has_reserved_or_listens_at_is_not_given() {
    let next = |address: SocketAddr, by: u16| SocketAddr::from((address.ip(), address.port() + by));
    // Other tests reserve addresses, too; then the next ones are held further on.
    let (reserved, taken) = loop {
        let last = reserve().unwrap();
        let namesake = UdpSocket::bind(next(last, 1));
        let server = TcpListener::bind(next(last, 2));
        if let (Ok(namesake), Ok(server)) = (namesake, server) {
            break (namesake, server);
        }
    };
    let held = [reserved.local_addr().unwrap(), taken.local_addr().unwrap()];
    for _ in 0..8 {
        assert!(!held.contains(&reserve().unwrap()));
    }
}
