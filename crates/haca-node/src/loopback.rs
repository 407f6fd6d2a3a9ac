//! Ports of the loopback interface for servers that start later.
//!
//! A port that was free a moment ago need not be free when its server starts: the system gives ports of its own choice
//! to every outgoing connection. So these are taken from below that range, and no two processes are given the same one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Where ports are taken from: above what services are known by, and below what Linux gives to connections
/// (`net.ipv4.ip_local_port_range`, from 32768 on unless an operator says otherwise).
const PORTS: Range<u16> = 12_000..32_000;

/// The datagram namesakes of the ports given out. Nobody listens there; that they are held tells other processes.
static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A loopback address where nothing listens, and which this function gives to no other caller on this machine as long
/// as this process lives.
pub fn reserve() -> io::Result<SocketAddr> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let ports = u32::from(PORTS.end - PORTS.start);
    // Processes that start one after another look in different places first.
    let first = std::process::id().wrapping_mul(64) % ports;
    for step in 0..ports {
        let offset = u16::try_from((first + step) % ports).unwrap_or(0);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        if let Ok(namesake) = UdpSocket::bind(address)
            && TcpListener::bind(address).is_ok()
        {
            given.push(namesake);
            return Ok(address);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
