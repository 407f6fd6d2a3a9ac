//! A full node that says what the test tells it to say, over real HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Status, header lines, and body.
type Page = (u16, String, Vec<u8>);
/// By path, with query.
type Pages = Arc<Mutex<BTreeMap<String, Page>>>;

/// Methods and paths of requests.
type Asked = Arc<Mutex<Vec<String>>>;

/// Serves until the process ends.
pub(crate) struct Server {
    pub(crate) url: String,
    pages: Pages,
    asked: Asked,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = Pages::default();
        let asked = Asked::default();
        let (served, noted) = (pages.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, noted) = (served.clone(), noted.clone());
                std::thread::spawn(move || answer(stream, &served, &noted));
            }
        });
        Self { url, pages, asked }
    }

    /// What was asked so far, as `METHOD PATH`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn page(&self, path: &str, status: u16, body: impl Into<Vec<u8>>) {
        self.put(path, (status, String::new(), body.into()));
    }

    /// A page with a header.
    pub(crate) fn page_with(&self, path: &str, name: &str, value: &str, body: impl Into<Vec<u8>>) {
        self.put(path, (200, format!("{name}: {value}\r\n"), body.into()));
    }

    fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub(crate) fn json(&self, path: &str, body: &serde_json::Value) {
        self.page(path, 200, body.to_string());
    }
}

fn answer(stream: TcpStream, pages: &Pages, asked: &Asked) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        asked.lock().unwrap().push(format!("{method} {path}"));
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if header.trim().is_empty() {
                break;
            }
        }
        reader.by_ref().take(length).read_to_end(&mut Vec::new()).ok()?;
        let missing =
            br#"{"error":{"code":"node.not_found","message":"no such page","hint":"ask for another"}}"#;
        let (status, headers, body) =
            pages
                .lock()
                .unwrap()
                .get(&path)
                .cloned()
                .unwrap_or((404, String::new(), missing.to_vec()));
        write!(
            writer,
            "HTTP/1.1 {status} Scripted\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        )
        .ok()?;
        writer.write_all(&body).ok()?;
    }
}
