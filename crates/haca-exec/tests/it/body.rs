//! Bodies and connections that are not what they should be.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use haca_wire::{Encode as _, limit};

use crate::world::{FEE, Serving, World, body, code};

/// Sends raw bytes and returns what comes back until the server closes.
fn raw(serving: &Serving<'_>, bytes: &[u8], finish: bool) -> String {
    let mut stream = TcpStream::connect(serving.node.url().trim_start_matches("http://")).unwrap();
    // A server that keeps the connection for good fails the test instead of blocking it.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    if finish {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server keeps the connection: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(serving: &Serving<'_>, order: &str, length: usize) -> String {
    format!(
        "POST /v1/infer HTTP/1.1\r\nhost: {}\r\nhaca-order: {order}\r\ncontent-length: {length}\r\n\r\n",
        serving.node.url()
    )
}

#[test]
fn a_request_that_is_not_exactly_the_models_input_is_refused_and_leaves_nothing() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let model = serving.model();
    let input = |inputs: &str| format!("{{\"model\":\"{model}\",\"inputs\":[{inputs}]}}").into_bytes();
    let named = |name: &str| input(&format!("{{\"name\":\"{name}\",\"data\":[1,2,3,4]}}"));
    let x = "{\"name\":\"x\",\"data\":[1,2,3,4]}";
    let mut trailing = body(model, "1,2,3,4");
    trailing.extend_from_slice(b" {}");
    let whole = body(model, "1,2,3,4");
    for (expected, body) in [
        ("render.syntax", Vec::new()),
        ("render.syntax", b"[]".to_vec()),
        ("render.syntax", vec![0xff; 40]),
        ("render.syntax", vec![b'['; 100_000]),
        ("render.syntax", whole[..whole.len() - 1].to_vec()),
        ("render.syntax", trailing),
        ("render.syntax", body(model, "1,2,3,NaN")),
        ("render.syntax", body(model, "1,2,3,Infinity")),
        ("render.syntax", body(model, "1,2,3,-")),
        ("render.syntax", body(model, "1,2,3,\"4\"")),
        ("render.syntax", body(model, "1,2,3,null")),
        ("render.syntax", body(model, "[1,2],[3,4]")),
        ("render.element_count", body(model, "1,2,3")),
        ("render.element_count", body(model, "1,2,3,4,5")),
        ("render.element_count", body(model, "")),
        ("render.unknown_input", named("y")),
        (
            "render.unknown_input",
            input(&format!("{x},{{\"name\":\"y\",\"data\":[]}}")),
        ),
        ("render.missing", input("")),
        ("render.missing", input("{\"name\":\"x\"}")),
        ("render.duplicate", input(&format!("{x},{x}"))),
        (
            "render.duplicate",
            input("{\"name\":\"x\",\"name\":\"x\",\"data\":[1,2,3,4]}"),
        ),
        (
            "render.duplicate",
            format!("{{\"model\":\"{model}\",\"model\":\"{model}\",\"inputs\":[{x}]}}").into_bytes(),
        ),
        (
            "render.unknown_key",
            input("{\"name\":\"x\",\"dtype\":\"int16\",\"data\":[1,2,3,4]}"),
        ),
        (
            "render.unknown_key",
            input("{\"name\":\"x\",\"shape\":[2,2],\"data\":[1,2,3,4]}"),
        ),
        (
            "render.unknown_key",
            format!("{{\"model\":\"{model}\",\"temperature\":1,\"inputs\":[{x}]}}").into_bytes(),
        ),
    ] {
        let order = serving.order(channel, 0, &body);
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        assert_eq!(code(serving.infer(&body, &order)), expected, "{text}");
    }
    serving.answer(&serving.order(channel, 0, &serving.body()));
}

#[test]
fn a_body_above_the_limit_is_refused_before_it_is_read() {
    let world = World::start();
    let mut config = world.config(world.url());
    // The connection of a refused body ends soon.
    config.http.header_time = Duration::from_secs(1);
    let serving = world.serve_with(config);
    let head = post(&serving, "00", limit::BODY_BYTES + 1);
    let answer = raw(&serving, head.as_bytes(), false);
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("exec.body_too_large"),
        "{answer}"
    );
    assert!(answer.contains("\"hint\""), "{answer}");
    // Without a length the server counts.
    let chunked = "POST /v1/quotes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut bytes = format!("{chunked}{:x}\r\n", limit::BODY_BYTES + 1).into_bytes();
    bytes.resize(bytes.len() + limit::BODY_BYTES + 1, b' ');
    bytes.extend_from_slice(b"\r\n0\r\n\r\n");
    let mut stream = TcpStream::connect(serving.node.url().trim_start_matches("http://")).unwrap();
    // The server may close while the rest is on its way.
    let _ = stream.write_all(&bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.contains("exec.body_too_large"),
        "{answer}"
    );
    assert!(serving.client.is_ready());
}

#[test]
fn a_body_that_is_cut_short_is_not_answered() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let body = serving.body();
    let order = serving.order(channel, 0, &body);
    let head = post(&serving, &hex::encode(serving.sign(&order).encode()), body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body[..body.len() - 1]);
    let answer = raw(&serving, &bytes, true);
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        serving
            .client
            .receipt(order.hash(&world.domain))
            .unwrap()
            .is_none()
    );
    serving.answer(&order);
}

#[test]
fn senders_that_never_finish_are_cut_off() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.http.header_time = Duration::from_millis(300);
    config.http.body_time = Duration::from_millis(300);
    let serving = world.serve_with(config);
    let half = raw(&serving, b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ", false);
    assert!(!half.starts_with("HTTP/1.1 200"), "{half}");
    let idle = raw(&serving, b"", false);
    assert!(!idle.starts_with("HTTP/1.1 200"), "{idle}");
    let head = post(&serving, "00", 100);
    let slow = raw(&serving, head.as_bytes(), false);
    assert!(
        slow.starts_with("HTTP/1.1 408") && slow.contains("exec.body_timeout"),
        "{slow}"
    );
}

#[test]
fn a_sender_that_never_finishes_does_not_hold_up_a_shutdown() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.http.body_time = Duration::from_secs(3_600);
    let serving = world.serve_with(config);
    let address = serving.node.url().trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.write_all(post(&serving, "00", 100).as_bytes()).unwrap();
    serving.node.shutdown();
    // The port is free again.
    drop(std::net::TcpListener::bind(&address).unwrap());
}

#[test]
fn requests_beyond_the_limit_are_refused_and_not_queued() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.http.requests = 0;
    let serving = world.serve_with(config);
    let order = haca_wire::ReceiptHash([1; 32]);
    let path = format!("{}/v1/receipts/{order}", serving.node.url());
    let quote = serving.client.quote(
        world.user.address(),
        crate::world::DUSD,
        haca_wire::Amount(1),
        haca_wire::Amount(0),
        &world.domain,
    );
    assert_eq!(code(quote), "exec.busy");
    assert!(serving.client.is_ready(), "a busy node is not a dead one");
    assert!(ureq::get(path).call().is_err(), "nor does it hide receipts");
}

#[test]
fn other_paths_methods_and_quotes_get_an_error_with_code_and_hint() {
    let world = World::start();
    let serving = world.serve();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let url = |path: &str| format!("{}{path}", serving.node.url());
    let read = |mut answer: ureq::http::Response<ureq::Body>| {
        let json: serde_json::Value = serde_json::from_reader(answer.body_mut().as_reader()).unwrap();
        assert!(!json["error"]["hint"].as_str().unwrap().is_empty());
        let code = json["error"]["code"].as_str().unwrap().to_owned();
        (answer.status().as_u16(), code)
    };
    let get = |path: &str| read(agent.get(url(path)).call().unwrap());
    let quote = |body: &str| read(agent.post(url("/v1/quotes")).send(body).unwrap());
    assert_eq!(get("/v1/nothing"), (404, "exec.no_such_path".to_owned()));
    assert_eq!(get("/v1/infer"), (405, "exec.method".to_owned()));
    for id in ["0x00", "nothing", "%ff", &"0".repeat(64)] {
        let path = format!("/v1/receipts/{id}");
        assert_eq!(get(&path), (404, "exec.unknown_receipt".to_owned()), "{id}");
    }
    let payer = world.user.address();
    for body in [
        String::new(),
        "{}".to_owned(),
        format!("{{\"payer\":\"{payer}\",\"asset\":1,\"deposit\":1,\"warranty\":\"0\"}}"),
        format!("{{\"payer\":\"{payer}\",\"asset\":1,\"deposit\":\"-1\",\"warranty\":\"0\"}}"),
        format!("{{\"payer\":\"{payer}\",\"asset\":1,\"deposit\":\"0\",\"warranty\":\"0\"}}"),
        format!("{{\"payer\":\"{payer}\",\"asset\":1,\"deposit\":\"1\",\"warranty\":\"50000001\"}}"),
        format!("{{\"payer\":\"{payer}\",\"asset\":1,\"asset\":1,\"deposit\":\"1\",\"warranty\":\"0\"}}"),
        format!("{{\"payer\":\"{payer}\",\"asset\":1,\"deposit\":\"1\",\"warranty\":\"0\",\"x\":0}}"),
    ] {
        assert_eq!(quote(&body), (400, "exec.quote".to_owned()), "{body}");
    }
}
