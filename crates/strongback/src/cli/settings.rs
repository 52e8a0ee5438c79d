//! Settings as flags: which commands take which, and how flags become a configuration.
//!
//! A command takes the settings that it uses and no others, so that none is ignored in silence. Each may also stand in
//! STRONGBACK_<NAME> or in strongback.toml; the layers are resolved by `config`, not by the parser of arguments.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{Config, Layer},
    error::Result,
};

/// Where the store is, for commands that open it themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings (also STRONGBACK_<NAME>, or a line in strongback.toml)")]
pub(super) struct StoreArgs {
    /// Directory that holds everything: metadata, artifacts, keys [default: strongback-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// postgres://… when the metadata lies there [default: SQLite in the data directory]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file [default: strongback.toml in the working directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl StoreArgs {
    /// Whether the command itself says where everything is.
    pub(super) fn names_a_directory(&self) -> bool {
        self.data_dir.is_some()
    }

    /// The resolved configuration.
    pub(super) fn config(self) -> Result<Config> {
        self.resolve(Layer::default())
    }

    /// The same with the artifacts at this address, if one is named.
    pub(super) fn config_with_artifacts(self, url: Option<String>) -> Result<Config> {
        self.resolve(Layer { artifacts_url: url, ..Layer::default() })
    }

    fn resolve(self, flags: Layer) -> Result<Config> {
        Config::load(Layer { data_dir: self.data_dir, database_url: self.database_url, ..flags }, self.config)
    }
}

/// Everything that a server can be told.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    serving: ServingArgs,
    /// It has a flag of `mlflow server` for it.
    #[arg(skip)]
    default_artifact_root: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings (also STRONGBACK_<NAME>, or a line in strongback.toml)")]
struct ServingArgs {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 5000]
    #[arg(long, short, value_name = "PORT")]
    port: Option<String>,
    /// Where tables lie: a directory, or a URL such as s3://bucket/prefix [default: tables in the data directory]
    #[arg(long, value_name = "PLACE")]
    tables_url: Option<String>,
    /// Where artifacts lie, if not in the data directory: a URL such as s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    artifacts_url: Option<String>,
    /// Whether clients that ask for an address get one of the object store: on or off [default: on]
    #[arg(long, value_name = "on|off")]
    artifacts_presign: Option<String>,
    /// Places in object stores in which clients keep files of runs themselves, and whose files this server may show to who may read
    /// the run: URLs, separated by commas
    #[arg(long, value_name = "URLS")]
    readable_roots: Option<String>,
    /// Memory of all queries together in MiB, before they use the disk [default: 1024]
    #[arg(long, value_name = "MIB")]
    query_memory_mb: Option<String>,
    /// Disk space of all queries together in MiB [default: 20480]
    #[arg(long, value_name = "MIB")]
    query_spill_mb: Option<String>,
    /// off (loopback only) or tokens [default: off]
    #[arg(long, value_name = "MODE")]
    auth: Option<String>,
    /// Host names to answer to besides loopback, separated by commas; with --auth tokens also patterns, such as *.example.com
    #[arg(long, value_name = "NAMES")]
    allowed_hosts: Option<String>,
    /// Serve your installed mlflow's web pages at /mlflow/: auto, off, or the directory of the pages [default: off]
    #[arg(long, value_name = "auto|off|PATH")]
    mlflow_ui: Option<String>,
    /// A path below which everything is answered once more, for a proxy that passes it on, such as /mlflow
    #[arg(long, value_name = "PATH")]
    static_prefix: Option<String>,
    /// Jobs of the server's own that run at once [default: 2]
    #[arg(long, value_name = "N")]
    job_workers: Option<String>,
    /// Days after which a job that has ended is forgotten [default: 30]
    #[arg(long, value_name = "DAYS")]
    job_retention_days: Option<String>,
    /// The Python that loads models which do not run in this process [default: python3]
    #[arg(long, value_name = "PROGRAM")]
    worker_python: Option<String>,
    /// Memory of a model's Python process in MiB [default: 4096]
    #[arg(long, value_name = "MIB")]
    worker_memory_mb: Option<String>,
    /// ONNX Runtime's library [default: that of the onnxruntime package of the worker's Python]
    #[arg(long, value_name = "FILE")]
    onnxruntime_library: Option<String>,
    /// How long a model may take to answer one request, in seconds [default: 30]
    #[arg(long, value_name = "SECONDS")]
    scoring_seconds: Option<String>,
    /// What a logged request survives: power (a power cut) or process (kill -9 of the server) [default: power]
    #[arg(long, value_name = "MODE")]
    payload_log: Option<String>,
    /// How long a logged request waits at most for its payload table, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS")]
    payload_seconds: Option<String>,
    /// Who may override the gates of a governed alias, and loosen them: administrators, or owners of the model [default:
    /// administrators]
    #[arg(long, value_name = "WHO")]
    gate_overrides: Option<String>,
    /// Hosts, addresses and ranges such as 10.1.0.0/16 that webhooks may reach although they are not public, or speak plain
    /// HTTP, separated by commas
    #[arg(long, value_name = "PLACES")]
    webhooks_allow: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged, e.g. warn or strongback=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl ServerArgs {
    /// The same with the metadata in this database, if one is named.
    pub(super) fn on_database(mut self, url: Option<String>) -> Self {
        self.store.database_url = url.or(self.store.database_url);
        self
    }

    /// The same with the artifacts at this address, if one is named.
    pub(super) fn with_artifacts(mut self, url: Option<String>) -> Self {
        self.serving.artifacts_url = url.or(self.serving.artifacts_url);
        self
    }

    /// The same with new experiments at this address, if one is named.
    pub(super) fn with_default_root(mut self, url: Option<String>) -> Self {
        self.default_artifact_root = url;
        self
    }

    /// The resolved configuration.
    pub(super) fn config(self) -> Result<Config> {
        let Self { store, serving, default_artifact_root } = self;
        store.resolve(Layer {
            default_artifact_root,
            readable_roots: serving.readable_roots,
            host: serving.host,
            port: serving.port,
            tables_url: serving.tables_url,
            artifacts_url: serving.artifacts_url,
            artifacts_presign: serving.artifacts_presign,
            query_memory_mb: serving.query_memory_mb,
            query_spill_mb: serving.query_spill_mb,
            auth: serving.auth,
            allowed_hosts: serving.allowed_hosts,
            mlflow_ui: serving.mlflow_ui,
            static_prefix: serving.static_prefix,
            job_workers: serving.job_workers,
            job_retention_days: serving.job_retention_days,
            worker_python: serving.worker_python,
            worker_memory_mb: serving.worker_memory_mb,
            onnxruntime_library: serving.onnxruntime_library,
            scoring_seconds: serving.scoring_seconds,
            payload_log: serving.payload_log,
            payload_seconds: serving.payload_seconds,
            gate_overrides: serving.gate_overrides,
            webhooks_allow: serving.webhooks_allow,
            log_format: serving.log_format,
            log: serving.log,
            ..Layer::default()
        })
    }
}
