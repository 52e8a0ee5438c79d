//! Listening, and stopping without losing what was acknowledged.
//!
//! What must stay true: a connection holds its place only while it gets on: a request's head that does not come, an idle
//! connection and an answer that is not taken each have a limit, and so has the number of connections. Whoever comes when
//! all places are taken is told so.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::{build, prefix::Entry, stalled::Stalled};
use crate::{
    config::Config,
    context::App,
    error::{Error, Result},
};

/// What connections may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long the head of a request may take, and how long a connection may be idle between two.
    pub head: Duration,
    /// How long an answer may wait for its reader to take anything of it.
    pub stall: Duration,
    /// How long open requests may go on once the server was told to stop.
    pub drain: Duration,
}

impl Limits {
    /// As many connections as there may be open files, less those that requests need.
    pub fn of_this_process() -> Self {
        Self {
            connections: (open_files() / 2).clamp(64, 4096),
            head: Duration::from_mins(1),
            stall: Duration::from_mins(1),
            drain: Duration::from_secs(20),
        }
    }
}

/// Raises the limit of open files to what this user may have, and answers it.
fn open_files() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    limit.current.map_or(usize::MAX, |files| files as usize)
}

/// Binds the configured address. Port 0 takes a free one. What a name such as `localhost` stands for is known only
/// afterwards, so that the address itself is looked at, whatever it was called.
pub async fn bind(config: &Config) -> Result<(TcpListener, SocketAddr)> {
    let (host, port) = (config.host.value.as_str(), config.port.value);
    let listener = TcpListener::bind((host, port)).await.map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
            " Another process listens there; take another port with --port, or --port 0 for a free one."
        } else {
            ""
        };
        Error::unavailable(format!("Cannot listen on {host}:{port}: {error}.{hint}"))
    })?;
    let address = listener.local_addr().map_err(Error::internal)?;
    config.check_address(address.ip())?;
    Ok((listener, address))
}

/// Serves until `stop` is ready, then lets open requests end.
pub async fn run(
    app: Arc<App>,
    listener: TcpListener,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let entry = Entry { router: build(&app), prefix: app.config.static_prefix.value.clone() };
    let told = app.stopping.clone();
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // One connection that broke is of no interest; no file left is, and passes.
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        metrics::gauge!("strongback_connections")
            .set((limits.connections - places.available_permits()) as f64);
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(connection(stream, entry.clone(), limits, stopped.clone(), place));
            }
            Err(_) => {
                metrics::counter!("strongback_connections_refused_total").increment(1);
                tokio::spawn(turn_away(stream, limits.connections));
            }
        }
    }
    drop(listener);
    told.send_replace(true);
    let _ = stopping.send(true);
    // All places free again: every connection has ended.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.drain, places.acquire_many(all)).await.is_err() {
        tracing::warn!(seconds = limits.drain.as_secs(), "requests that did not end in time were given up");
    }
    Ok(())
}

/// One connection from its first byte to its last.
async fn connection(
    stream: TcpStream,
    entry: Entry,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
    }
    let io = TokioIo::new(Stalled::new(stream, limits.stall));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(io, TowerToHyperService::new(entry));
    let mut served = pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        _ = stopped.changed() => {
            // What was begun is answered; a connection that is idle ends.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}

/// Says that there is no place, reads what was sent so that the answer is not lost, and closes.
async fn turn_away(mut stream: TcpStream, connections: usize) {
    let message = format!("The server has its {connections} connections. Repeat the request later.");
    let body = serde_json::json!({ "error_code": "TEMPORARILY_UNAVAILABLE", "message": message }).to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let farewell = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whoever does not listen is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
}
