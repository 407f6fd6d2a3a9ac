//! A door between the inference node and its full node: it lets requests pass, refuses them, swallows them, or is shut.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haca_wire::state::Clock;
use haca_wire::{Amount, Decode as _, Encode as _, Message};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It goes to the full node.
    Pass,
    /// It waits until the rule says something else.
    Hold,
    /// The connection ends without an answer.
    Shut,
    /// It goes to the full node, and the connection ends without the answer.
    Swallow,
    /// It is answered with this status and error code, and goes nowhere.
    Answer(u16, &'static str),
    /// A settlement of this sequence is refused, all else goes to the full node.
    RefuseSequence(u64),
    /// A transaction is taken with thanks and forgotten.
    Lose,
    /// A transaction that was signed for a lower base fee is refused, all else goes to the full node.
    RefuseBelow(u128),
    /// A question for the state is answered with that of this height.
    StateAt(u64),
    /// The clock is told with this base fee.
    BaseFee(u128),
    /// A transaction is said to have burned gas in a block and failed.
    Failed,
}

type Rule = Box<dyn Fn(&str, &str) -> Action + Send>;

/// The door. Its rule can change at any time.
pub(crate) struct Gate {
    url: String,
    rule: Arc<Mutex<Rule>>,
    submitted: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) fn before(node_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            rule: Arc::new(Mutex::new(Box::new(|_, _| Action::Pass))),
            submitted: Arc::default(),
        };
        let target = node_url.trim_start_matches("http://").to_owned();
        let (rule, submitted) = (Arc::clone(&gate.rule), Arc::clone(&gate.submitted));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (target, rule, submitted) = (target.clone(), Arc::clone(&rule), Arc::clone(&submitted));
                std::thread::spawn(move || handle(stream.unwrap(), &target, &rule, &submitted));
            }
        });
        gate
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on, `rule` decides over method and path.
    pub(crate) fn set(&self, rule: impl Fn(&str, &str) -> Action + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Everything passes.
    pub(crate) fn open(&self) {
        self.set(|_, _| Action::Pass);
    }

    /// Transactions meet `action`, all else passes.
    pub(crate) fn transactions(&self, action: Action) {
        self.set(move |method, _| {
            if method == "POST" {
                action.clone()
            } else {
                Action::Pass
            }
        });
    }

    /// The settler waits before it proves anything, and sends nothing: it reads the clock first.
    pub(crate) fn freeze(&self) {
        self.set(|method, path| {
            if method == "POST" || is_clock(path) {
                Action::Shut
            } else {
                Action::Pass
            }
        });
    }

    /// Transactions that were sent so far, whatever became of them.
    pub(crate) fn submitted(&self) -> usize {
        self.submitted.load(Ordering::SeqCst)
    }
}

/// Whether a path is that of the clock.
pub(crate) fn is_clock(path: &str) -> bool {
    path.ends_with(&hex::encode(haca_wire::state::key::CLOCK))
}

/// One request per connection: head, body, answer, end.
fn handle(stream: TcpStream, target: &str, rule: &Mutex<Rule>, submitted: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push(line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = head.first()?.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    if method == "POST" {
        submitted.fetch_add(1, Ordering::SeqCst);
    }
    let ask = || rule.lock().unwrap()(method, path);
    let mut action = ask();
    while action == Action::Hold {
        std::thread::sleep(Duration::from_millis(5));
        action = ask();
    }
    let mut stream = stream;
    match action {
        Action::Shut | Action::Hold => {}
        Action::Swallow => drop(ask_node(target, &head, &body)?),
        Action::RefuseSequence(sequence) if settles(&body, sequence) => {
            answer(&mut stream, 422, &error("ledger.evidence"))?;
        }
        Action::RefuseBelow(base_fee) if is_below(&body, base_fee) => {
            answer(&mut stream, 422, &error("ledger.base_fee"))?;
        }
        Action::Pass | Action::RefuseSequence(_) | Action::RefuseBelow(_) => {
            stream.write_all(&ask_node(target, &head, &body)?).ok()?;
        }
        Action::StateAt(height) => {
            let mut head = head.clone();
            head[0] = head[0].replace(path, &format!("{path}?height={height}"));
            stream.write_all(&ask_node(target, &head, &body)?).ok()?;
        }
        Action::BaseFee(base_fee) => {
            let told = with_base_fee(&ask_node(target, &head, &body)?, base_fee)?;
            answer(&mut stream, 200, &told)?;
        }
        Action::Answer(status, code) => answer(&mut stream, status, &error(code))?,
        Action::Failed => {
            let failed = r#"{"height":1,"index":0,"code":91,"log":"failed in its block","gas_used":5}"#;
            answer(&mut stream, 200, failed)?;
        }
        Action::Lose => {
            let hash = haca_wire::SignedTransaction::decode_all(&body).unwrap().hash();
            answer(&mut stream, 202, &format!("{{\"tx_hash\":\"{hash}\"}}"))?;
        }
    }
    Some(())
}

/// The full node's answer, head and body.
fn ask_node(target: &str, head: &[String], body: &[u8]) -> Option<Vec<u8>> {
    let mut node = TcpStream::connect(target).ok()?;
    let request = format!("{}connection: close\r\n\r\n", head.concat());
    node.write_all(request.as_bytes()).ok()?;
    node.write_all(body).ok()?;
    let mut answer = Vec::new();
    node.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// The body of an answer about the clock, with another base fee in it.
fn with_base_fee(answer: &[u8], base_fee: u128) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut json: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
    let mut clock = Clock::decode_all(&hex::decode(json["value"].as_str()?).ok()?).ok()?;
    clock.base_fee = Amount(base_fee);
    json["value"] = hex::encode(clock.encode()).into();
    Some(json.to_string())
}

/// Whether a transaction is signed for less than a base fee.
fn is_below(body: &[u8], base_fee: u128) -> bool {
    let tx = haca_wire::SignedTransaction::decode_all(body);
    tx.is_ok_and(|tx| tx.transaction.meta.max_base_fee < Amount(base_fee))
}

/// Whether a transaction settles a sequence.
fn settles(body: &[u8], sequence: u64) -> bool {
    let tx = haca_wire::SignedTransaction::decode_all(body).unwrap();
    let Message::SettleBatch { groups } = tx.transaction.message else {
        return false;
    };
    let mut items = groups.iter().flat_map(|group| &group.items);
    items.any(|item| item.order.value.sequence.0 == sequence)
}

fn error(code: &str) -> String {
    format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"no\",\"hint\":\"wait\"}}}}")
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()
}
