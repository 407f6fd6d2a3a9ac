//! A TCP connection between two nodes that can be silenced or cut: the network between machines, on one machine and
//! without privileges.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How often a link looks at its state.
const POLL: Duration = Duration::from_millis(10);

/// What a link does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Course {
    /// Passes them on.
    Open = 0,
    /// Keeps them until it is open again.
    Silent = 1,
    /// Closes its connections and takes no other.
    Cut = 2,
    /// Ends.
    Over = 3,
}

/// One direction of dialling between two nodes. Bytes go both ways.
pub(super) struct Link {
    /// Where the dialling node finds the other one.
    pub(super) address: String,
    course: Arc<AtomicU8>,
}

impl Link {
    /// A link to the address.
    pub(super) fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let course = Arc::new(AtomicU8::new(Course::Open as u8));
        let (shared, target) = (Arc::clone(&course), target.to_owned());
        std::thread::spawn(move || accept(&listener, &target, &shared));
        Self { address, course }
    }

    /// Changes what it does from now on.
    pub(super) fn set(&self, course: Course) {
        self.course.store(course as u8, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.set(Course::Over);
    }
}

fn is(course: &AtomicU8, wanted: Course) -> bool {
    course.load(Ordering::SeqCst) == wanted as u8
}

fn accept(listener: &TcpListener, target: &str, course: &Arc<AtomicU8>) {
    while !is(course, Course::Over) {
        match listener.accept() {
            // Cut: whoever dials is hung up on.
            Ok(_) if is(course, Course::Cut) => {}
            Ok((near, _)) => {
                let (target, course) = (target.to_owned(), Arc::clone(course));
                std::thread::spawn(move || connect(near, &target, &course));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn connect(near: TcpStream, target: &str, course: &Arc<AtomicU8>) {
    while is(course, Course::Silent) {
        std::thread::sleep(POLL);
    }
    // The other node may be down: then the dialling one is hung up on.
    let Ok(far) = TcpStream::connect(target) else {
        return;
    };
    let ways = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
    for (from, to) in ways {
        let course = Arc::clone(course);
        std::thread::spawn(move || pump(from, to, &course));
    }
}

/// Passes bytes on until either side closes, or the link is cut.
fn pump(mut from: TcpStream, mut to: TcpStream, course: &AtomicU8) {
    let _ = from.set_nonblocking(false);
    let _ = from.set_read_timeout(Some(POLL));
    let mut buffer = vec![0; 64 << 10];
    loop {
        if is(course, Course::Cut) || is(course, Course::Over) {
            break;
        }
        if is(course, Course::Silent) {
            std::thread::sleep(POLL);
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_link_passes_keeps_and_refuses_bytes() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Link::to(&server.local_addr().unwrap().to_string());
    let mut near = TcpStream::connect(&link.address).unwrap();
    let (mut far, _) = server.accept().unwrap();
    near.write_all(b"one").unwrap();
    let mut buffer = [0; 3];
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"one");

    link.set(Course::Silent);
    // A pump that was reading when the link fell silent still passes on what it reads.
    far.set_read_timeout(Some(4 * POLL)).unwrap();
    let _ = far.read(&mut buffer);
    near.write_all(b"two").unwrap();
    assert!(far.read(&mut buffer).is_err(), "nothing comes through");
    link.set(Course::Open);
    far.set_read_timeout(None).unwrap();
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"two", "nothing is lost");

    link.set(Course::Cut);
    assert_eq!(far.read(&mut buffer).unwrap(), 0, "the connection ends");
    let mut refused = TcpStream::connect(&link.address).unwrap();
    assert!(
        !matches!(refused.read(&mut buffer), Ok(1..)),
        "and no other begins"
    );
}
