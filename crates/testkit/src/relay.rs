//! A relay between a server and its PostgreSQL that loses a COMMIT, or the answer to it, when it is told to.
//!
//! Invariant: but for the one loss that was asked for, bytes pass unchanged and in order.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// What becomes of the next COMMIT that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Loss {
    /// It is done and nobody hears of it: the connection breaks when the answer comes.
    Answer = 1,
    /// It never arrives: the connection breaks before.
    Question = 2,
}

const NONE: u8 = 0;

#[derive(Debug)]
struct State {
    armed: AtomicU8,
    losses: AtomicU32,
}

/// A relay; it stops taking connections when the process ends.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

impl Relay {
    /// A relay to the server of a PostgreSQL URL with a host and a port, and the same URL through the relay.
    pub fn to(url: &str) -> Result<(Self, String)> {
        let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let place = authority.and_then(|text| text.rsplit('@').next()).context("the URL has no host")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { armed: AtomicU8::new(NONE), losses: AtomicU32::new(0) });
        let (target, shared) = (place.to_string(), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is away closes the connection at once, as it would without a relay.
                if let Ok(server) = TcpStream::connect(&target) {
                    let _ = pass(client, server, &shared);
                }
            }
        });
        Ok((Self { address, state }, url.replacen(place, &address.to_string(), 1)))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Arms the loss of the next COMMIT.
    pub fn lose_next_commit(&self, loss: Loss) {
        self.state.armed.store(loss as u8, Ordering::SeqCst);
    }

    /// Losses so far.
    pub fn losses(&self) -> u32 {
        self.state.losses.load(Ordering::SeqCst)
    }
}

fn pass(client: TcpStream, server: TcpStream, state: &Arc<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_cut = Arc::new(AtomicU8::new(NONE));
    let (questions_from, questions_to) = (client.try_clone()?, server.try_clone()?);
    let (shared, cut) = (Arc::clone(state), Arc::clone(&is_cut));
    std::thread::spawn(move || questions(questions_from, questions_to, &shared, &cut));
    std::thread::spawn(move || answers(server, client, &is_cut));
    Ok(())
}

fn questions(mut client: TcpStream, mut server: TcpStream, state: &State, is_cut: &AtomicU8) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = client.read(&mut buffer) {
        let some = &buffer[..read];
        let is_commit = some.windows(7).any(|bytes| bytes == b"COMMIT\0");
        let loss = if is_commit { state.armed.swap(NONE, Ordering::SeqCst) } else { NONE };
        if loss != NONE {
            state.losses.fetch_add(1, Ordering::SeqCst);
            is_cut.store(loss, Ordering::SeqCst);
        }
        if read == 0 || loss == Loss::Question as u8 || server.write_all(some).is_err() {
            break;
        }
    }
    close(&client, &server);
}

fn answers(mut server: TcpStream, mut client: TcpStream, is_cut: &AtomicU8) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = server.read(&mut buffer) {
        let is_lost = is_cut.load(Ordering::SeqCst) != NONE;
        if read == 0 || is_lost || client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    close(&client, &server);
}

fn close(one: &TcpStream, other: &TcpStream) {
    // One of them may be closed already.
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}
