//! `strongback up`: the server.

use std::{process::ExitCode, sync::Arc};

use clap::Args;

use super::{printer, settings::ServerArgs};
use crate::{
    app,
    config::{Auth, Config, LogFormat},
    error::Error,
    router::serve,
};

const EXAMPLES: &str = "\
Examples:
  strongback up
  strongback up --port 8080 --data-dir /var/lib/strongback
  strongback up --database-url postgres://me@db.example.com/strongback

With the web pages of your installed mlflow at /mlflow/:
  strongback up --mlflow-ui auto

For others than yourself, a first token and then a server that asks for one:
  strongback token create --principal ana@example.com --admin
  strongback up --host 0.0.0.0 --auth tokens --allowed-hosts ml.example.com";

/// Start the server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UpArgs {
    #[command(flatten)]
    settings: ServerArgs,
}

pub(super) fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.config()?;
    config.check()?;
    start_log(&config)?;
    crate::ops::recorder();
    // Two workers are enough for a server that waits for a disk; DataFusion's deep plans want a larger stack later.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 16)))
        .max_blocking_threads(64)
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let (host, port) = (config.host.value.clone(), config.port.value);
    // The port first: without it there is nothing to open a store for. Who connects early waits for an answer.
    let (listener, address) = serve::bind(&host, port).await?;
    let app = app::open(config).await?;
    let background = app::start_background(&app);
    greet(&app.config, address);
    let outcome = serve::run(Arc::clone(&app), listener, stop_signal()).await;
    background.stop().await;
    tokio::task::spawn_blocking(move || app.db.close()).await?;
    outcome?;
    tracing::info!("stopped; everything acknowledged is on disk");
    Ok(ExitCode::SUCCESS)
}

/// Says where it is and what comes next: to a person in words, to a log collector as one of its lines.
fn greet(config: &Config, address: std::net::SocketAddr) {
    let data_dir = config.data_dir.value.display();
    if config.log_format.value == LogFormat::Json {
        tracing::info!(%address, %data_dir, version = env!("CARGO_PKG_VERSION"), "listening");
        return;
    }
    printer::talk(&format!("Strongback {} at http://{address}", env!("CARGO_PKG_VERSION")));
    printer::talk(&format!("  data      {data_dir}"));
    if let Some(url) = &config.database_url.value {
        printer::talk(&format!("  metadata  {url}"));
    }
    printer::talk(match config.auth.value {
        Auth::Off => "  auth      off: everybody on this machine is the principal `local`, an administrator",
        Auth::Tokens => "  auth      tokens: clients send one that `strongback token create` made",
    });
    printer::talk(&format!("  next      export MLFLOW_TRACKING_URI=http://{address}"));
    printer::talk("  stop      Ctrl-C; nothing acknowledged is lost");
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!(
            "signals cannot be received; stop the server with SIGKILL, which loses nothing acknowledged"
        );
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    // The database driver's debug lines show bound values, which may be secrets: never, whatever filter is asked for.
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.value)
        .map_err(|error| {
            Error::invalid(format!(
                "The setting log = {:?} ({}) is not allowed: {error}. Write e.g. info, or strongback=debug.",
                config.log.value, config.log.source
            ))
        })?
        .add_directive("tokio_postgres=warn".parse()?)
        .add_directive("postgres=warn".parse()?);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format.value {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            use std::io::IsTerminal;
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colour).with_target(false).init();
        }
    }
    Ok(())
}
