//! `strongback up`: the server.

use std::{io::IsTerminal, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use tracing_subscriber::{EnvFilter, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt};

use super::{Settings, printer};
use crate::{
    app,
    config::{Auth, Config, LogFormat},
    router::serve::{self, Limits},
};

/// Start the server
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, short, value_name = "PORT")]
    port: Option<String>,
    /// off (loopback only) or tokens
    #[arg(long, value_name = "MODE")]
    auth: Option<String>,
    /// Host names to answer to besides loopback, separated by commas
    #[arg(long, value_name = "NAMES")]
    allowed_hosts: Option<String>,
    /// Serve your installed mlflow's web pages at /mlflow/: auto, off, or the directory of the pages
    #[arg(long, value_name = "auto|off|PATH")]
    mlflow_ui: Option<String>,
}

pub(super) fn run(mut settings: Settings, args: UpArgs) -> anyhow::Result<ExitCode> {
    settings.flags.host = args.host;
    settings.flags.port = args.port;
    settings.flags.auth = args.auth;
    settings.flags.allowed_hosts = args.allowed_hosts;
    settings.flags.mlflow_ui = args.mlflow_ui;
    let config = settings.config()?;
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
    let app = app::open(config).await?;
    let background = app::start_background(&app);
    let (listener, address) = serve::bind(&host, port).await?;
    greet(&app.config, address);
    let outcome = serve::run(Arc::clone(&app), listener, Limits::of_this_process(), stop_signal()).await;
    background.stop().await;
    tokio::task::spawn_blocking(move || app.db.close()).await?;
    outcome?;
    tracing::info!("stopped; everything acknowledged is on disk");
    Ok(ExitCode::SUCCESS)
}

fn greet(config: &Config, address: std::net::SocketAddr) {
    printer::talk(&format!("Strongback {} at http://{address}", env!("CARGO_PKG_VERSION")));
    printer::talk(&format!("  data      {}", config.data_dir.value.display()));
    if let Some(url) = &config.database_url.value {
        printer::talk(&format!("  metadata  {url}"));
    }
    match config.auth.value {
        Auth::Off => printer::talk(
            "  auth      off: everybody on this machine is the principal `local`, an administrator",
        ),
        Auth::Tokens => printer::talk("  auth      tokens"),
    }
    printer::talk(&format!("  next      export MLFLOW_TRACKING_URI=http://{address}"));
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
    let filter = EnvFilter::try_new(&config.log.value)
        .with_context(|| format!("The setting log = {:?} is not a filter", config.log.value))?;
    // The database driver's debug lines show bound values, which may be secrets: never, whatever filter is asked for.
    let no_values = FilterFn::new(|line| {
        let is_driver = ["tokio_postgres", "postgres"].iter().any(|name| line.target().starts_with(name));
        !is_driver || *line.level() <= tracing::Level::WARN
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = tracing_subscriber::registry().with(filter).with(no_values);
    match config.log_format.value {
        LogFormat::Json => log.with(lines.json()).init(),
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            log.with(lines.with_ansi(colour).with_target(false)).init();
        }
    }
    Ok(())
}
