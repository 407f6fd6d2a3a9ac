//! CometBFT's JSON-RPC over connections that stay, several calls in one request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::failed;
use crate::failure::Failure;

/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the largest answer that is read.
const ANSWER_BYTES: usize = 256 << 20;

/// One node's RPC.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Rpc {
    address: String,
}

/// An open connection.
pub(in crate::bench) struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Rpc {
    /// The RPC at `HOST:PORT`.
    pub(in crate::bench) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    pub(in crate::bench) fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        Ok(Connection {
            stream: BufReader::new(stream),
            host: self.address.clone(),
        })
    }

    /// Calls one method.
    pub(in crate::bench) fn call(&self, method: &str, params: &Value) -> Result<Value, Failure> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = self.connect()?.post(body.as_bytes())?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(failed)?;
        match answer.get("error") {
            Some(error) => Err(failed(format!("{method}: {error}"))),
            None => Ok(answer["result"].take()),
        }
    }

    /// Height of the last block.
    pub(in crate::bench) fn height(&self) -> Result<u64, Failure> {
        let status = self.call("status", &json!({}))?;
        let height = status["sync_info"]["latest_block_height"].as_str();
        height
            .and_then(|height| height.parse().ok())
            .ok_or_else(|| failed("the status has no height"))
    }

    /// Height of the last block that the application has committed. Consensus keeps a block before it is executed.
    pub(in crate::bench) fn committed(&self) -> Result<u64, Failure> {
        let info = self.call("abci_info", &json!({}))?;
        // Absent while it is 0.
        match &info["response"]["last_block_height"] {
            Value::Null => Some(0),
            height => height.as_str().and_then(|height| height.parse().ok()),
        }
        .ok_or_else(|| failed("the application has no height"))
    }

    /// Transactions that wait.
    pub(in crate::bench) fn waiting(&self) -> Result<usize, Failure> {
        let waiting = self.call("num_unconfirmed_txs", &json!({}))?;
        let total = waiting["total"].as_str();
        total
            .and_then(|total| total.parse().ok())
            .ok_or_else(|| failed("the mempool has no size"))
    }
}

impl Connection {
    /// Submits transactions in one request, without waiting until the application has looked at them: CometBFT holds a
    /// check back for up to 20 ms to send several at once. Returns those that found the mempool full.
    pub(in crate::bench) fn broadcast<'a>(&mut self, txs: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Failure> {
        let mut body = String::from("[");
        for (id, tx) in txs.iter().enumerate() {
            if id > 0 {
                body.push(',');
            }
            let encoded = haca_node::engine::base64_encode(tx);
            body.push_str(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"broadcast_tx_async","params":{{"tx":"{encoded}"}}}}"#
            ));
        }
        body.push(']');
        let answer = self.post(body.as_bytes())?;
        let answers: Value = serde_json::from_slice(&answer).map_err(failed)?;
        let answers = match &answers {
            Value::Array(answers) => answers.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut left = Vec::new();
        for answer in answers {
            let id = answer["id"].as_u64().and_then(|id| usize::try_from(id).ok());
            let tx = id.and_then(|id| txs.get(id)).copied();
            if answer["error"]["data"]
                .as_str()
                .is_some_and(|why| why.contains("mempool is full"))
            {
                left.extend(tx);
            } else if answer["result"]["code"].as_u64() != Some(0) {
                return Err(failed(format!("a transaction is refused: {answer}")));
            }
        }
        Ok(left)
    }

    fn post(&mut self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream
            .write_all(&[head.as_bytes(), body].concat())
            .map_err(failed)?;
        let mut length = None;
        let mut is_chunked = false;
        loop {
            let line = self.line()?;
            let line = line.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
            is_chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        match (length, is_chunked) {
            (Some(length), _) => self.exactly(length),
            (None, true) => self.chunks(),
            (None, false) => Err(failed("an answer without a length")),
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).map_err(failed)?;
        if read == 0 {
            return Err(failed("the connection was closed"));
        }
        Ok(line.trim_end().to_owned())
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        if length > ANSWER_BYTES {
            return Err(failed(format!("an answer of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// A body in chunks (RFC 9112, section 7.1).
    fn chunks(&mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(failed)?;
            if body.len().saturating_add(size) > ANSWER_BYTES {
                return Err(failed("an answer that is too long"));
            }
            body.extend(self.exactly(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}
