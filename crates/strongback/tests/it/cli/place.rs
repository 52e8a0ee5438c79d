//! Where `token create` does its work, and who gets to see the caller's own token.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use testkit::server::Server;

use super::{binary, done, refused, run, text};

/// A program that listens, says yes to everything, and remembers what it was asked.
struct Stranger {
    address: SocketAddr,
    heard: Arc<Mutex<String>>,
}

impl Stranger {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let stranger = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let heard = Arc::clone(&stranger.heard);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut buffer = [0; 16_384];
                let read = stream.read(&mut buffer).unwrap_or(0);
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
                let body = r#"{"token_value":"sbt_of_a_stranger","token_info":{}}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     x-strongback-proof: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len(),
                    "00".repeat(32)
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        stranger
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

const CREATE: [&str; 4] = ["token", "create", "--principal", "eve"];
const SECRET: (&str, &str) = ("STRONGBACK_TOKEN", "sbt_secret");

fn create_token(data_dir: &Path) -> std::process::Output {
    let arguments = [&CREATE[..], &["--data-dir", data_dir.to_str().unwrap()]].concat();
    run(data_dir.parent().unwrap(), &arguments, &[SECRET])
}

#[test]
fn the_address_of_a_killed_server_is_not_believed() {
    let mut server = Server::strongback(binary()).unwrap();
    let data = server.data_dir();
    server.kill9().unwrap();
    assert!(data.join("address").exists(), "the kill left it behind");
    let stranger = Stranger::at(&server.address().to_string());
    // Anything for which the directory cannot be opened, although nobody has it.
    std::fs::write(data.join("restoring"), "from somewhere").unwrap();
    let output = create_token(&data);
    refused(&output, "did not get to its end");
    assert_eq!((text(&output.stdout), stranger.heard()), (String::new(), String::new()));
    assert!(!data.join("address").exists(), "it stays no longer than the next who takes the directory");
}

#[test]
fn a_directory_that_another_command_has_is_in_use() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let _lock = strongback::app::lock(&data).unwrap();
    refused(&create_token(&data), "is in use by another Strongback process");
}

#[test]
fn a_token_goes_only_to_the_server_that_has_the_directorys_key() {
    let server = Server::strongback(binary()).unwrap();
    let data = server.data_dir();
    let stranger = Stranger::at("127.0.0.1:0");
    let own = std::fs::read_to_string(data.join("address")).unwrap();
    assert_eq!(own.trim(), server.url());
    // As where a container shares the directory: that address is another program's here.
    std::fs::write(data.join("address"), format!("http://{}", stranger.address)).unwrap();
    let output = create_token(&data);
    refused(&output, "does not have this directory's key");
    assert_eq!(text(&output.stdout), "");
    let heard = stranger.heard();
    assert!(heard.starts_with("GET /health ") && !heard.contains("sbt_secret"), "{heard}");

    std::fs::write(data.join("address"), own + "\n").unwrap();
    assert!(done(&server.command(&CREATE).unwrap()).starts_with("sbt_"));
}

#[test]
fn a_challenge_that_is_none_is_refused() {
    let server = Server::strongback(binary()).unwrap();
    let ask = |challenge: &str| {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        let request = format!(
            "GET /health HTTP/1.1\r\nhost: {}\r\nx-strongback-challenge: {challenge}\r\nconnection: close\r\n\r\n",
            server.address()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let (good, bad) = (ask(&"ab".repeat(32)), ask("ab"));
    assert!(good.starts_with("HTTP/1.1 200") && good.contains("x-strongback-proof: "), "{good}");
    assert!(bad.starts_with("HTTP/1.1 400") && bad.contains("x-strongback-challenge"), "{bad}");
}
