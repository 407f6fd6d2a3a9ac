//! Requests over HTTP with time and size limits.

use std::io::Read as _;
use std::time::Duration;

use serde::Deserialize;

use crate::ClientError;

/// Time for one request, all in.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a question whose answer costs the server nothing.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the largest answer that is read.
const ANSWER_BYTES: u64 = 64 << 20;

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    agent: ureq::Agent,
    base: String,
}

/// The body of a refusal, as every HACA node writes it.
#[derive(Deserialize)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Deserialize)]
struct RefusalBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    hint: String,
}

/// An answer with its headers.
pub(crate) struct Answer {
    /// Header lookup.
    pub(crate) headers: ureq::http::HeaderMap,
    /// Body bytes, exactly.
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        Self::with_timeout(base, TIMEOUT)
    }

    /// With another limit of time than the standard one.
    pub(crate) fn with_timeout(base: &str, timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// GET; the body on 2xx.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.get_with(path, &[])
    }

    /// GET with extra headers; the body on 2xx.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Vec<u8>, ClientError> {
        let url = self.url(path);
        let mut request = self.agent.get(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.call().map_err(|error| unreachable(&url, &error))?;
        finish(&url, response).map(|answer| answer.body)
    }

    /// Whether a GET succeeds within a second.
    pub(crate) fn probe(&self, path: &str) -> bool {
        let request = self.agent.get(self.url(path));
        let answer = request
            .config()
            .timeout_global(Some(PROBE_TIMEOUT))
            .build()
            .call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// GET; `None` on 404.
    pub(crate) fn get_optional(&self, path: &str) -> Result<Option<Vec<u8>>, ClientError> {
        match self.get(path) {
            Ok(body) => Ok(Some(body)),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// GET of a JSON value.
    pub(crate) fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        expected: &'static str,
    ) -> Result<T, ClientError> {
        let body = self.get(path)?;
        self.parse(path, &body, expected)
    }

    /// POST of bytes with extra headers.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ClientError> {
        let url = self.url(path);
        let mut request = self.agent.post(&url).content_type(content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send(body).map_err(|error| unreachable(&url, &error))?;
        finish(&url, response)
    }

    /// Reads a JSON value from a body.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
        expected: &'static str,
    ) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| ClientError::Malformed {
            url: self.url(path),
            found: error.to_string(),
            expected,
        })
    }
}

fn unreachable(url: &str, error: &ureq::Error) -> ClientError {
    ClientError::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    }
}

fn finish(url: &str, response: ureq::http::Response<ureq::Body>) -> Result<Answer, ClientError> {
    let (parts, body) = response.into_parts();
    let mut bytes = Vec::new();
    body.into_reader()
        .take(ANSWER_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| ClientError::Unreachable {
            url: url.to_owned(),
            reason: error.to_string(),
        })?;
    if parts.status.is_success() {
        return Ok(Answer {
            headers: parts.headers,
            body: bytes,
        });
    }
    let refusal = serde_json::from_slice::<Refusal>(&bytes)
        .map(|refusal| refusal.error)
        .unwrap_or(RefusalBody {
            code: String::new(),
            message: String::from_utf8_lossy(bytes.get(..200).unwrap_or(&bytes)).into_owned(),
            hint: String::new(),
        });
    Err(ClientError::Refused {
        url: url.to_owned(),
        status: parts.status.as_u16(),
        refusal: refusal.code,
        message: refusal.message,
        hint: refusal.hint,
    })
}
