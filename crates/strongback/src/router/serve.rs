//! Listening, and stopping without losing what was acknowledged.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::build;
use crate::{
    context::App,
    error::{Error, Result},
};

/// How long open requests may go on once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Binds the configured address. Port 0 takes a free one.
pub async fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((host, port)).await.map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
            " Another process listens there; take another port with --port, or --port 0 for a free one."
        } else {
            ""
        };
        Error::unavailable(format!("Cannot listen on {host}:{port}: {error}.{hint}"))
    })?;
    let address = listener.local_addr().map_err(Error::internal)?;
    Ok((listener, address))
}

/// Serves until `stop` is ready, then lets open requests end.
pub async fn run(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    let graceful = async move {
        stop.await;
        let _ = stopping.send(true);
    };
    let server = axum::serve(listener, build(&app)).with_graceful_shutdown(graceful);
    tokio::select! {
        outcome = server => outcome.map_err(Error::internal),
        () = async {
            let _ = stopped.changed().await;
            tokio::time::sleep(DRAIN).await;
        } => {
            tracing::warn!(seconds = DRAIN.as_secs(), "requests that did not end in time were given up");
            Ok(())
        }
    }
}
