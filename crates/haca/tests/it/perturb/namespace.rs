//! Hosts of their own for nodes: network namespaces on one bridge. Frames between two of them are lost for good, as between
//! machines, and TCP has to notice by itself.

use std::process::{Command, Stdio};

use super::link::Course;

/// A station that is not there: frames to it reach nobody.
const NOBODY: &str = "02:00:00:00:de:ad";

/// A bridge with hosts. All of it goes with this value.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Of this process, so that two runs do not meet: at most five characters, as interface names are short.
    tag: String,
    /// The first three bytes of all addresses.
    net: String,
    hosts: usize,
}

impl Namespaces {
    /// A bridge without hosts; `None` where this process may not make one.
    pub(super) fn new() -> Option<Self> {
        let number = std::process::id() % 60_000;
        let made = Self {
            tag: format!("{number:x}"),
            net: format!("10.{}.{}", 200 + number / 250 % 50, number % 250),
            hosts: 0,
        };
        let bridge = made.bridge();
        let is_made = ip(&["link", "add", &bridge, "type", "bridge"])
            && ip(&["addr", "add", &format!("{}.1/24", made.net), "dev", &bridge])
            && ip(&["link", "set", &bridge, "up"])
            && made.probe();
        is_made.then_some(made)
    }

    /// Whether a namespace can be made and entered.
    fn probe(&self) -> bool {
        let name = self.name(0);
        let works = ip(&["netns", "add", &name]) && ip(&["netns", "exec", &name, "true"]);
        works & ip(&["netns", "del", &name])
    }

    /// Adds a host, and returns its address.
    pub(super) fn host(&mut self) -> String {
        let host = self.hosts;
        self.hosts += 1;
        let (name, near) = (self.name(host), format!("hv{}-{host}", self.tag));
        let address = self.address(host);
        let done = ip(&["netns", "add", &name])
            && ip(&[
                "link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &name,
            ])
            && ip(&["link", "set", &near, "master", &self.bridge(), "up"])
            && ip(&[
                "-n",
                &name,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                "eth0",
            ])
            && ip(&["-n", &name, "link", "set", "eth0", "up"])
            && ip(&["-n", &name, "link", "set", "lo", "up"]);
        assert!(done, "host {host} cannot be made");
        address
    }

    /// A program, to be run on a host. Its arguments are yet to come.
    pub(super) fn run(&self, host: usize, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name(host)])
            .arg(program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Changes what becomes of the packets from one host to another.
    pub(super) fn set(&self, course: Course, from: usize, to: usize) {
        let (name, to) = (self.name(from), self.address(to));
        let neighbour = |rest: &[&str]| {
            let words = ["-n", &name, "neigh"];
            ip(&[&words, rest].concat())
        };
        let route = |verb: &str| ip(&["-n", &name, "route", verb, "unreachable", &format!("{to}/32")]);
        match course {
            Course::Silent => {
                let wrong = [
                    "replace",
                    &to,
                    "lladdr",
                    NOBODY,
                    "dev",
                    "eth0",
                    "nud",
                    "permanent",
                ];
                assert!(neighbour(&wrong), "{name} cannot be silenced");
            }
            Course::Cut => assert!(route("add"), "{name} cannot be cut off"),
            // Only one of the two is there to be undone.
            Course::Open | Course::Over => {
                neighbour(&["del", &to, "dev", "eth0"]);
                route("del");
            }
        }
    }

    fn bridge(&self) -> String {
        format!("hb{}", self.tag)
    }

    fn name(&self, host: usize) -> String {
        format!("haca-{}-{host}", self.tag)
    }

    fn address(&self, host: usize) -> String {
        format!("{}.{}", self.net, host + 10)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            ip(&["link", "del", &format!("hv{}-{host}", self.tag)]);
            ip(&["netns", "del", &self.name(host)]);
        }
        ip(&["link", "del", &self.bridge()]);
    }
}

/// Runs `ip`; false when it is not here or may not do that.
fn ip(words: &[&str]) -> bool {
    let ip = Command::new("ip")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ip.is_ok_and(|status| status.success())
}

#[test]
fn hosts_lose_what_is_sent_and_hear_it_once_they_may() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use crate::local::{Running, wait_for};

    // Where nobody may make namespaces there is nothing to test; perturbations use sockets there.
    let Some(mut namespaces) = Namespaces::new() else {
        return;
    };
    let (first, _) = (namespaces.host(), namespaces.host());
    // One host serves a directory; the other one, and this process, are told about it.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("word"), "heard").unwrap();
    let serve = ["-m", "http.server", "8000", "--bind", &first];
    let server = namespaces
        .run(0, &Command::new("python3"))
        .args(serve)
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Running(server.unwrap());
    let hear = |limit: Duration| {
        let address = format!("{first}:8000").parse().ok()?;
        let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        stream.write_all(b"GET /word HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.ends_with("heard").then_some(())
    };
    wait_for("the server", || hear(Duration::from_secs(1)).is_some());
    let told = |what: &str| {
        let code = format!(
            "import urllib.request as r; print(r.urlopen('http://{first}:8000/word', timeout={what}).read().decode())"
        );
        let output = namespaces
            .run(1, &Command::new("python3"))
            .args(["-c", &code])
            .output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(told("10"), "heard");
    for course in [Course::Silent, Course::Cut] {
        namespaces.set(course, 1, 0);
        namespaces.set(course, 0, 1);
        assert_eq!(told("1"), "", "{course:?}");
        assert!(hear(Duration::from_secs(5)).is_some(), "others hear it");
        namespaces.set(Course::Open, 1, 0);
        namespaces.set(Course::Open, 0, 1);
        assert_eq!(told("10"), "heard", "after {course:?}");
    }
}
