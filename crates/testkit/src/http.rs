//! A blocking HTTP/1.1 client over one kept-alive TCP connection without Nagle's delay.
//!
//! It exists because tests and load generators share two cores with the server they look at: one write and, as a
//! rule, one read a request, no runtime, no allocation beyond the body. It parses what it is sent properly
//! (interim answers, chunked bodies, bodies that end with the connection).
//!
//! Invariant: a request is sent at most once. A failure says whether the server may have applied it
//! ([`Error::is_outcome_unknown`]); only the caller knows whether sending it again is harmless.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

const BUFFER_BYTES: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 1 << 30;
/// After so long a pause the server may have closed the connection, which is looked at before it is used again.
const IDLE_BEFORE_CHECK: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent: no server listens, or the connection could not be opened.
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    /// The connection broke after the request may have arrived.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The server sent something that is not HTTP/1.1, or more than this client is willing to hold.
    #[error("not an HTTP/1.1 answer: {0}")]
    Protocol(String),
}

impl Error {
    /// Whether the server may have applied the request although no answer came.
    pub fn is_outcome_unknown(&self) -> bool {
        !matches!(self, Self::Connect { .. })
    }
}

/// One answer: status, headers as sent, whole body.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    head: String,
}

impl Response {
    /// The headers in the order they were sent; names as sent, values trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as JSON; an empty body reads as `{}`, as MLflow's clients do it; `null` when it is no JSON.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Object(serde_json::Map::new());
        }
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A client of one server. Not shared: every thread has its own.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    last_used: Instant,
    timeout: Duration,
    fixed_headers: String,
    outgoing: Vec<u8>,
}

impl Client {
    /// A client of the server at `address`; connects with the first request. Requests time out after 60 s.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
            last_used: Instant::now(),
            timeout: Duration::from_mins(1),
            fixed_headers: String::new(),
            outgoing: Vec::new(),
        }
    }

    /// Limits the wait for one read or write of a request.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.fixed_headers.push_str(part);
        }
        self
    }

    /// Adds a bearer token to every request.
    #[must_use]
    pub fn with_bearer(self, token: &str) -> Self {
        self.with_header("Authorization", &format!("Bearer {token}"))
    }

    pub fn get(&mut self, path: &str) -> Result<Response, Error> {
        self.request("GET", path, None, &[])
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Result<Response, Error> {
        self.send_json("POST", path, body)
    }

    pub fn patch(&mut self, path: &str, body: &Value) -> Result<Response, Error> {
        self.send_json("PATCH", path, body)
    }

    pub fn delete(&mut self, path: &str, body: &Value) -> Result<Response, Error> {
        self.send_json("DELETE", path, body)
    }

    /// Sends `body` as JSON.
    pub fn send_json(&mut self, method: &str, path: &str, body: &Value) -> Result<Response, Error> {
        self.request(method, path, Some("application/json"), body.to_string().as_bytes())
    }

    /// Sends bytes as they are.
    pub fn put(&mut self, path: &str, body: &[u8]) -> Result<Response, Error> {
        self.request("PUT", path, Some("application/octet-stream"), body)
    }

    /// Sends one request and reads its whole answer. `path` carries the query and is sent as it stands.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Response, Error> {
        self.write_head(method, path, content_type, body);
        let mut connection = self.connected()?;
        connection.get_mut().write_all(&self.outgoing)?;
        let (response, reusable) = read_response(&mut connection, method)?;
        if reusable {
            self.connection = Some(connection);
            self.last_used = Instant::now();
        }
        Ok(response)
    }

    fn write_head(&mut self, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) {
        let out = &mut self.outgoing;
        out.clear();
        let address = self.address.to_string();
        for part in [method, " ", path, " HTTP/1.1\r\nHost: ", &address, "\r\n", &self.fixed_headers] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(content_type) = content_type {
            for part in
                ["Content-Type: ", content_type, "\r\nContent-Length: ", &body.len().to_string(), "\r\n"]
            {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }

    /// The kept connection if it still stands, else a new one. It is put back only after a whole answer.
    fn connected(&mut self) -> Result<BufReader<TcpStream>, Error> {
        if let Some(connection) = self.connection.take()
            && (self.last_used.elapsed() < IDLE_BEFORE_CHECK || is_open(connection.get_ref()))
        {
            return Ok(connection);
        }
        let open = || {
            let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.timeout))?;
            stream.set_write_timeout(Some(self.timeout))?;
            Ok(stream)
        };
        let stream = open().map_err(|source| Error::Connect { address: self.address, source })?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, stream))
    }
}

/// A path with its query, each value percent-encoded.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = String::from(path);
    for (index, (name, value)) in pairs.iter().enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.extend(
                    [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
                );
            }
        }
    }
    out
}

fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let quiet = stream.set_nonblocking(true).is_ok()
        && matches!(stream.peek(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock);
    quiet && stream.set_nonblocking(false).is_ok()
}

/// Reads one final answer; the flag says whether the connection can carry another request.
fn read_response(reader: &mut impl BufRead, method: &str) -> Result<(Response, bool), Error> {
    let (status, head) = loop {
        let (status, head) = read_head(reader)?;
        if status >= 200 {
            break (status, head);
        }
    };
    let mut response = Response { status, body: Vec::new(), head };
    let mut reusable =
        !response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let length = match response.header("content-length") {
        Some(text) => {
            Some(text.parse::<usize>().map_err(|_| Error::Protocol(format!("Content-Length {text}")))?)
        }
        None => None,
    };
    let chunked =
        response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    response.body = if method == "HEAD" || status == 204 || status == 304 {
        Vec::new()
    } else if chunked {
        read_chunks(reader)?
    } else if let Some(length) = length {
        read_exactly(reader, Vec::new(), length)?
    } else {
        reusable = false;
        let mut body = Vec::new();
        reader.by_ref().take(BODY_BYTES_MAX as u64).read_to_end(&mut body)?;
        body
    };
    Ok((response, reusable))
}

fn read_head(reader: &mut impl BufRead) -> Result<(u16, String), Error> {
    let mut head = Vec::with_capacity(512);
    loop {
        let start = head.len();
        if reader.by_ref().take(HEAD_BYTES_MAX as u64).read_until(b'\n', &mut head)? == 0 {
            return Err(Error::Broken(ErrorKind::UnexpectedEof.into()));
        }
        if matches!(&head[start..], b"\r\n" | b"\n") && start > 0 {
            break;
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(Error::Protocol(format!("head beyond {HEAD_BYTES_MAX} bytes")));
        }
    }
    let head = String::from_utf8(head).map_err(|_| Error::Protocol("head is not UTF-8".into()))?;
    let line = head.lines().next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| Error::Protocol(format!("status line {line:?}")))?;
    Ok((status, head))
}

fn read_exactly(reader: &mut impl BufRead, mut body: Vec<u8>, length: usize) -> Result<Vec<u8>, Error> {
    let start = body.len();
    if length > BODY_BYTES_MAX - start {
        return Err(Error::Protocol(format!("body beyond {BODY_BYTES_MAX} bytes")));
    }
    body.resize(start + length, 0);
    reader.read_exact(&mut body[start..])?;
    Ok(body)
}

fn read_chunks(reader: &mut impl BufRead) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        reader.by_ref().take(1_024).read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            usize::from_str_radix(size, 16).map_err(|_| Error::Protocol(format!("chunk size {line:?}")))?;
        body = read_exactly(reader, body, size)?;
        // After the last chunk come trailers and an empty line, after any other one only the empty line.
        loop {
            line.clear();
            if reader.by_ref().take(HEAD_BYTES_MAX as u64).read_line(&mut line)? == 0 {
                return Err(Error::Broken(ErrorKind::UnexpectedEof.into()));
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Error, Response, read_response, with_query};
    use std::io::{BufReader, Read, Write};
    use std::net::TcpListener;

    fn parse(bytes: &str, method: &str) -> Result<(Response, bool), Error> {
        read_response(&mut BufReader::with_capacity(7, bytes.as_bytes()), method)
    }

    #[test]
    fn bodies_end_where_the_head_says() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhelloREST", "GET", "hello", true),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                "PUT",
                "ok",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n",
                "GET",
                "abcde",
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "GET", "until the end", false),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", "GET", "x", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", "DELETE", "", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", "", true),
        ];
        for (bytes, method, body, reusable) in cases {
            let (response, kept) = parse(bytes, method).unwrap();
            assert_eq!((response.text().as_str(), kept), (body, reusable), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_foreign_is_an_error() {
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(parse(bytes, "GET").is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(with_query("/p", &[("a", "x y&z/ü"), ("b", "1")]), "/p?a=x%20y%26z%2F%C3%BC&b=1");
    }

    #[test]
    fn one_connection_carries_many_requests_and_a_broken_one_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut chunk = [0; 1_024];
            for _ in 0..2 {
                let read = stream.read(&mut chunk).unwrap();
                seen.extend_from_slice(&chunk[..read]);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            }
            let _ = stream.read(&mut chunk).unwrap();
            drop(stream);
            drop(listener);
            String::from_utf8(seen).unwrap()
        });
        let mut client = Client::new(address).with_bearer("secret");
        assert!(client.get("/one").unwrap().is_success());
        assert_eq!(client.post("/two", &serde_json::json!({"a": 1})).unwrap().json(), serde_json::json!({}));
        assert!(client.get("/three").unwrap_err().is_outcome_unknown());
        let seen = server.join().unwrap();
        assert!(
            seen.contains("Authorization: Bearer secret\r\n") && seen.ends_with("\r\n\r\n{\"a\":1}"),
            "{seen}"
        );
        assert!(!client.get("/four").unwrap_err().is_outcome_unknown());
    }
}
