//! The smallest HTTP client: one request over a Unix socket, byte for byte as a test wants it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// A request being put together.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, json: &Value) -> Self {
        Self::new("POST", target).header("Content-Type", "application/json").body(json.to_string())
    }

    pub fn post_form(target: &str, form: &str) -> Self {
        Self::new("POST", target).header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it on a connection of its own, and reads the answer to its end.
    pub fn send(&self, socket: &Path) -> Response {
        self.try_send(socket).unwrap_or_else(|error| panic!("{} {} to {}: {error}", self.method, self.target, socket.display()))
    }

    pub fn try_send(&self, socket: &Path) -> std::io::Result<Response> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(crate::support::TIMEOUT))?;
        self.exchange_on(stream)
    }

    /// The same over TCP.
    pub fn send_tcp(&self, address: std::net::SocketAddr) -> Response {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(crate::support::TIMEOUT)).unwrap();
        self.exchange_on(stream).unwrap_or_else(|error| panic!("{} {} to {address}: {error}", self.method, self.target))
    }

    fn exchange_on(&self, mut stream: impl std::io::Read + std::io::Write) -> std::io::Result<Response> {
        // A refusal may come, and the connection be closed, before a large body is written to its end.
        let _ = stream.write_all(&self.to_bytes());
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Response::parse(&bytes)
    }

    /// The same on a connection that is kept.
    pub fn send_on(&self, connection: &mut Connection) -> Response {
        self.try_send_on(connection).unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.target))
    }

    /// The same to a server that may not be there, or end meanwhile.
    pub fn try_send_on(&self, connection: &mut Connection) -> std::io::Result<Response> {
        connection.exchange(&String::from_utf8(self.to_bytes()).unwrap().replacen("Connection: close\r\n", "", 1).into_bytes())
    }

    /// The bytes of the request, as they are sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method != "GET" {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Sends these very bytes, and reads an answer to the end of the connection.
pub fn send_raw(socket: &Path, bytes: &[u8]) -> Response {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(crate::support::TIMEOUT)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Response::parse(&answer).unwrap()
}

/// A connection that is kept between requests, made anew when the server says that it closes, or takes no byte of a request.
pub struct Connection {
    socket: std::path::PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

impl Connection {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), stream: None }
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<Response> {
        let kept = self.stream.take().filter(|stream| {
            let mut stream = stream.get_ref();
            stream.write_all(request).is_ok()
        });
        let mut stream = match kept {
            Some(stream) => stream,
            None => {
                let stream = UnixStream::connect(&self.socket)?;
                stream.set_read_timeout(Some(crate::support::TIMEOUT))?;
                (&stream).write_all(request)?;
                BufReader::new(stream)
            }
        };
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut bytes)? == 0 {
                return Err(std::io::Error::other(format!("the connection ended: {}", String::from_utf8_lossy(&bytes))));
            }
        }
        let head = Response::parse(&bytes)?;
        let length = head.header("content-length").expect("an answer of a known length").parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if head.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(Response { body, ..head })
    }
}

impl Response {
    /// Reads the bytes of a whole answer.
    pub fn parse(bytes: &[u8]) -> std::io::Result<Self> {
        let broken = || std::io::Error::other(format!("not an answer: {:?}", String::from_utf8_lossy(bytes)));
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(broken)?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = decode_chunked(&answer.body).ok_or_else(broken)?;
        }
        Ok(answer)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("status {}, not JSON: {}", self.status, self.text()))
    }

    /// The `message` of a refusal.
    pub fn message(&self) -> String {
        match &self.json()["message"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

fn decode_chunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}
