//! `strongback up`: the server.

use std::{io::IsTerminal, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use tracing_subscriber::{EnvFilter, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt};

use super::{
    mlflow_flags::{self, Meant, MlflowArgs},
    printer,
    settings::ServerArgs,
};
use crate::{
    app::{self, Background},
    config::{Auth, Config, LogFormat},
    context::App,
    error::Error,
    router::serve::{self, Limits},
};

const EXAMPLES: &str = "\
Examples:
  strongback up
  strongback up --port 8080 --data-dir /var/lib/strongback
  strongback up --database-url postgres://me@db.example.com/strongback
  strongback up --artifacts-url s3://bucket/prefix

With the web pages of your installed mlflow at /mlflow/:
  strongback up --mlflow-ui auto

For others than yourself, a first token and then a server that asks for one:
  strongback token create --principal ana@example.com --admin
  strongback up --host 0.0.0.0 --auth tokens --allowed-hosts ml.example.com

In place of `mlflow server`, with the flags of the script that started it:
  strongback up --backend-store-uri postgresql://me@db.example.com/mlflow \\
      --serve-artifacts --workers 4 --port 5000";

/// Crates that read and write tables, as they name themselves in the log.
const ENGINE: &[&str] =
    &["buoyant_kernel", "delta_kernel", "deltalake", "datafusion", "object_store", "parquet"];

/// How long writes that wait may take to be made once the server was told to stop: longer than one of them may take.
const WRITERS: Duration = Duration::from_mins(1);
/// How long threads may take to end after that. What was acknowledged is on disk by then.
const THREADS: Duration = Duration::from_secs(10);

/// Start the server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UpArgs {
    #[command(flatten)]
    settings: ServerArgs,
    #[command(flatten)]
    mlflow: MlflowArgs,
}

pub(super) fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let Meant { database_url, artifacts_url, default_artifact_root, no_serve_artifacts, mut warnings } =
        args.mlflow.meant()?;
    let settings = args.settings.on_database(database_url).with_artifacts(artifacts_url);
    let config = settings.with_default_root(default_artifact_root).config()?;
    config.check()?;
    warnings.extend(mlflow_flags::of_root(config.default_artifact_root.value.as_ref(), no_serve_artifacts)?);
    for warning in warnings.into_iter().chain(mlflow_flags::unread_variables()?) {
        printer::talk(&format!("warning: {warning}"));
    }
    // Before it is kept from reading about itself.
    crate::serving::worker::program()?;
    // Processes of models have its user, and could read its environment and its memory, where secrets are.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    start_log(&config)?;
    crate::ops::recorder();
    // Two workers are enough for a server that waits for a disk; DataFusion's deep plans want a larger stack later.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 16)))
        .max_blocking_threads(64)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(config));
    // What is still at work on a thread of its own has nobody who waits for it, and is told so when its task goes.
    runtime.shutdown_timeout(THREADS);
    outcome
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    // Before anybody can see an answer: whoever sees one may end the server.
    let stopped = stop_signal()?;
    // The port first: without it there is nothing to open a store for. Who connects early waits for an answer.
    let (listener, address) = serve::bind(&config).await?;
    let app = app::open(config).await?;
    let background = app::start_background(&app);
    let reached_at = reached_at(&app.config, address);
    let address_file = app.config.data_dir.value.join(app::ADDRESS_FILE);
    std::fs::write(&address_file, &reached_at)
        .with_context(|| format!("cannot write {}", address_file.display()))?;
    greet(&app, address, &reached_at);
    let outcome = serve::run(Arc::clone(&app), listener, Limits::of_this_process(), stopped).await;
    let _ = std::fs::remove_file(&address_file);
    background.stop(Background::PATIENCE).await;
    let closing = tokio::task::spawn_blocking(move || app.db.close());
    match tokio::time::timeout(WRITERS, closing).await {
        Ok(closed) => closed?,
        Err(_) => tracing::error!(seconds = WRITERS.as_secs(), "writes that were begun did not end in time"),
    }
    outcome?;
    tracing::info!("stopped; everything acknowledged is on disk");
    Ok(ExitCode::SUCCESS)
}

/// The URL for callers on this machine. A server that listens on every address is reached on loopback.
fn reached_at(config: &Config, address: SocketAddr) -> String {
    match address.ip() {
        ip if !ip.is_unspecified() => format!("http://{address}"),
        _ if config.host.value.contains(':') => format!("http://[::1]:{}", address.port()),
        _ => format!("http://127.0.0.1:{}", address.port()),
    }
}

/// Says where it is and what comes next: to a person in words, to a log collector as one of its lines.
fn greet(app: &App, address: SocketAddr, reached_at: &str) {
    let config = &app.config;
    let data_dir = config.data_dir.value.display();
    if config.log_format.value == LogFormat::Json {
        tracing::info!(%address, %data_dir, version = env!("CARGO_PKG_VERSION"), "listening");
        return;
    }
    printer::talk(&format!("Strongback {} at {reached_at}", env!("CARGO_PKG_VERSION")));
    if address.ip().is_unspecified() {
        let names = config.allowed_hosts.value.join(", ");
        let names = if names.is_empty() { "none; --allowed-hosts names some" } else { &names };
        printer::talk(&format!(
            "  listens   on every address, port {}; for host names: {names}",
            address.port()
        ));
    }
    printer::talk(&format!("  data      {data_dir}"));
    if let Some(url) = &config.database_url.value {
        printer::talk(&format!("  metadata  {url}"));
    }
    printer::talk(match config.auth.value {
        Auth::Off => "  auth      off: everybody on this machine is the principal `local`, an administrator",
        Auth::Tokens => "  auth      tokens: clients send one that `strongback token create` made",
    });
    // The log says why, where they were asked for and not found.
    let prefix = config.static_prefix.value.as_ref();
    if !app.pages.is_empty() {
        let prefix = prefix.map(ToString::to_string).unwrap_or_default();
        printer::talk(&format!("  pages     {reached_at}{prefix}/mlflow/"));
    }
    if let Some(prefix) = prefix {
        printer::talk(&format!("  prefix    the same below {reached_at}{prefix}/"));
    }
    printer::talk(&format!("  next      export MLFLOW_TRACKING_URI={reached_at}"));
    printer::talk("  stop      Ctrl-C; nothing acknowledged is lost");
}

/// Listens for signals from the call on; the future ends with the first.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.value).map_err(|error| {
        Error::invalid(format!(
            "The setting log = {:?} ({}) is not allowed: {error}. Write e.g. info, or strongback=debug.",
            config.log.value, config.log.source
        ))
    })?;
    // What the engine of tables says on its way is for those who ask for it by name.
    let quiet: Vec<&str> = ENGINE.iter().copied().filter(|name| !config.log.value.contains(name)).collect();
    // The database driver's debug lines show bound values, which may be secrets: never, whatever filter is asked for.
    let no_values = FilterFn::new(move |line| {
        let mut hushed = ["tokio_postgres", "postgres"].iter().chain(&quiet);
        *line.level() <= tracing::Level::WARN || !hushed.any(|name| line.target().starts_with(name))
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
