//! The flags of `mlflow server` at `strongback up`, so that a start script goes on.
//!
//! What must stay true: no flag is passed over in silence. Each is done, or said to have no effect, or refused with what to do
//! instead; and whatever would change where data lies, or who is let in, is never one of those without effect.

use std::{ffi::OsString, path::Path};

use clap::Args;

use crate::{
    config::read_variable,
    error::{Error, Result},
};

/// Variables by which MLflow's server is told the same. They are not read, which is said where one is set.
const VARIABLES: [(&str, &str); 7] = [
    ("MLFLOW_BACKEND_STORE_URI", "STRONGBACK_DATABASE_URL (postgres://…)"),
    ("MLFLOW_DEFAULT_ARTIFACT_ROOT", "STRONGBACK_DEFAULT_ARTIFACT_ROOT (s3://…)"),
    ("MLFLOW_ARTIFACTS_DESTINATION", "STRONGBACK_ARTIFACTS_URL (s3://…)"),
    ("MLFLOW_HOST", "STRONGBACK_HOST"),
    ("MLFLOW_PORT", "STRONGBACK_PORT"),
    ("MLFLOW_SERVER_ALLOWED_HOSTS", "STRONGBACK_ALLOWED_HOSTS"),
    ("MLFLOW_STATIC_PREFIX", "STRONGBACK_STATIC_PREFIX"),
];

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Flags of `mlflow server`, so that a start script goes on")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct MlflowArgs {
    /// postgresql://… is taken as --database-url; a file or directory that MLflow has filled is refused, one that is not there yet has
    /// no effect, and any other store is refused
    #[arg(long, value_name = "URI", conflicts_with = "database_url")]
    backend_store_uri: Option<String>,
    /// Taken where it is that of --backend-store-uri: the registry lies with the rest
    #[arg(long, value_name = "URI")]
    registry_store_uri: Option<String>,
    /// s3://…, gs://…, abfss://… and wasbs://… are where clients themselves keep the files of new experiments, and this server may read them for its
    /// pages; a local directory has no effect, since artifacts lie in the data directory
    #[arg(long, value_name = "URI")]
    default_artifact_root: Option<String>,
    /// s3://…, gs://… and az://… are taken as --artifacts-url; a local directory has no effect
    #[arg(long, value_name = "URI", conflicts_with = "artifacts_url")]
    artifacts_destination: Option<String>,
    /// What is done anyway: clients send artifacts through the server
    #[arg(long, overrides_with = "no_serve_artifacts")]
    serve_artifacts: bool,
    /// Taken where new experiments are in an object store (--default-artifact-root), and refused otherwise
    #[arg(long, overrides_with = "serve_artifacts")]
    no_serve_artifacts: bool,
    /// Refused
    #[arg(long)]
    artifacts_only: bool,
    /// Refused where it is basic-auth, which --auth tokens takes the place of, or any other
    #[arg(long, value_name = "NAME")]
    app_name: Option<String>,
    /// Refused: catalogs and schemas are what divides
    #[arg(long, overrides_with = "disable_workspaces")]
    enable_workspaces: bool,
    /// What is done anyway
    #[arg(long, overrides_with = "enable_workspaces")]
    disable_workspaces: bool,
    /// Refused
    #[arg(long)]
    disable_security_middleware: bool,
    #[command(flatten)]
    without_effect: WithoutEffect,
}

/// Flags about processes and parts that are not here.
#[derive(Debug, Default, Args)]
struct WithoutEffect {
    /// No effect: one process answers everything
    #[arg(long, short, value_name = "N")]
    workers: Option<String>,
    /// No effect
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    gunicorn_opts: Option<String>,
    /// No effect
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    uvicorn_opts: Option<String>,
    /// No effect
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    waitress_opts: Option<String>,
    /// No effect: --log strongback=debug says more
    #[arg(long)]
    dev: bool,
    /// No effect: /metrics is always there, and needs no directory
    #[arg(long, value_name = "DIR")]
    expose_prometheus: Option<String>,
    /// No effect: pages of the hosts in --allowed-hosts are let in, whatever their port
    #[arg(long, value_name = "ORIGINS")]
    cors_allowed_origins: Option<String>,
    /// No effect: other sites may not frame the pages
    #[arg(long, value_name = "VALUE")]
    x_frame_options: Option<String>,
    /// No effect: everything is read where it is written
    #[arg(long, value_name = "URI")]
    read_replica_backend_store_uri: Option<String>,
    /// No effect
    #[arg(long, value_name = "SECONDS")]
    secrets_cache_ttl: Option<String>,
    /// No effect
    #[arg(long, value_name = "N")]
    secrets_cache_max_size: Option<String>,
    /// No effect
    #[arg(long, value_name = "FILE")]
    trace_archival_config: Option<String>,
    /// No effect
    #[arg(long, value_name = "URI")]
    workspace_store_uri: Option<String>,
}

/// What the flags come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meant {
    /// Where the metadata lies, if they say so.
    pub database_url: Option<String>,
    /// Where the artifacts lie, if they say so.
    pub artifacts_url: Option<String>,
    /// Where clients keep the files of new experiments, if they say so.
    pub default_artifact_root: Option<String>,
    /// Whether no files are to come through the server.
    pub no_serve_artifacts: bool,
    /// A line each for what has no effect, or not the one that somebody may expect.
    pub warnings: Vec<String>,
}

impl MlflowArgs {
    /// What they mean here, or why they cannot be followed.
    pub(super) fn meant(self) -> Result<Meant> {
        let mut meant = Meant::default();
        self.refused()?;
        if let Some(uri) = &self.backend_store_uri {
            let (database_url, warning) = backend_store(uri)?;
            (meant.database_url, meant.warnings) = (database_url, vec![warning]);
        }
        match self.default_artifact_root {
            Some(uri) if uri.parse::<bucket::Root>().is_ok() => meant.default_artifact_root = Some(uri),
            Some(uri) => meant.warnings.extend(local_place("--default-artifact-root", &uri)?),
            None => {}
        }
        match self.artifacts_destination {
            Some(uri) if uri.parse::<bucket::Address>().is_ok() => {
                meant.artifacts_url = Some(uri);
                meant.warnings.push(
                    "--artifacts-destination is taken as --artifacts-url: Strongback keeps files there under names of its own, and \
                     does not read what MLflow's server has put there."
                        .to_owned(),
                );
            }
            Some(uri) => meant.warnings.extend(local_place("--artifacts-destination", &uri)?),
            None => {}
        }
        meant.no_serve_artifacts = self.no_serve_artifacts;
        meant.warnings.extend(self.without_effect.warnings());
        Ok(meant)
    }

    fn refused(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::invalid(why.to_owned()));
        if let Some(uri) = &self.registry_store_uri
            && Some(uri) != self.backend_store_uri.as_ref()
        {
            return refuse(
                "--registry-store-uri names another store than --backend-store-uri. Runs and models lie in one store here; leave \
                 the flag out.",
            );
        }
        if self.artifacts_only {
            return refuse(
                "--artifacts-only cannot be followed: a server here has runs, models and artifacts together. Leave the flag out.",
            );
        }
        match self.app_name.as_deref() {
            None => {}
            Some("basic-auth") => {
                return refuse(
                    "--app-name basic-auth cannot be followed, and without it everybody would be let in who reaches the port. Start \
                     with --auth tokens in its place; strongback token create --principal NAME --admin makes the first token.",
                );
            }
            Some(name) => {
                return refuse(&format!(
                    "--app-name {name} cannot be followed: no plugin of MLflow's server runs here. Leave it out."
                ));
            }
        }
        if self.enable_workspaces {
            return refuse(
                "--enable-workspaces cannot be followed: what divides here are catalogs and schemas (strongback catalog create). \
                 Leave the flag out.",
            );
        }
        if self.disable_security_middleware {
            return refuse(
                "--disable-security-middleware cannot be followed: the Host and the Origin of a request are always looked at. Leave \
                 the flag out, and name the hosts with --allowed-hosts.",
            );
        }
        Ok(())
    }
}

impl WithoutEffect {
    fn warnings(&self) -> Vec<String> {
        let given = [
            ("--workers", self.workers.is_some(), "one process answers everything"),
            ("--gunicorn-opts", self.gunicorn_opts.is_some(), "there is no gunicorn here"),
            ("--uvicorn-opts", self.uvicorn_opts.is_some(), "there is no uvicorn here"),
            ("--waitress-opts", self.waitress_opts.is_some(), "there is no waitress here"),
            ("--dev", self.dev, "--log strongback=debug says more about what is done"),
            (
                "--expose-prometheus",
                self.expose_prometheus.is_some(),
                "figures are always at /metrics, and no file is written",
            ),
            (
                "--cors-allowed-origins",
                self.cors_allowed_origins.is_some(),
                "pages of the hosts that --allowed-hosts names are let in, and no others",
            ),
            ("--x-frame-options", self.x_frame_options.is_some(), "other sites may never frame the pages"),
            (
                "--read-replica-backend-store-uri",
                self.read_replica_backend_store_uri.is_some(),
                "everything is read where it is written",
            ),
            ("--secrets-cache-ttl", self.secrets_cache_ttl.is_some(), "there is no gateway here"),
            ("--secrets-cache-max-size", self.secrets_cache_max_size.is_some(), "there is no gateway here"),
            ("--trace-archival-config", self.trace_archival_config.is_some(), "there are no traces here"),
            ("--workspace-store-uri", self.workspace_store_uri.is_some(), "there are no workspaces here"),
        ];
        let given = given.iter().filter(|(_, is_given, _)| *is_given);
        given.map(|(flag, _, why)| format!("{flag} has no effect: {why}.")).collect()
    }
}

/// A line for each variable of MLflow's server that is set and that nobody reads.
pub(super) fn unread_variables() -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (name, ours) in VARIABLES {
        if read_variable(name)?.is_some_and(|value| !value.is_empty()) {
            warnings.push(format!("{name} is set and not read; here it is {ours}."));
        }
    }
    Ok(warnings)
}

/// `-h ADDRESS`, by which MLflow's server is told its host, as ours is told; `-h` alone asks for help.
pub(super) fn with_host(line: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = line.into_iter().collect();
    let up = line.iter().position(|word| word == "up").unwrap_or(line.len());
    for at in up..line.len().saturating_sub(1) {
        let is_value = line[at + 1].to_str().is_some_and(|next| !next.starts_with('-'));
        if line[at] == "-h" && is_value {
            line[at] = "--host".into();
        }
    }
    line
}

/// A database in our words, if the metadata is to lie there, and what is to be said of it. The passwords of those that are
/// refused are not shown.
fn backend_store(uri: &str) -> Result<(Option<String>, String)> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    // As SQLAlchemy writes them: the database, and the driver behind a plus.
    let database = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
    match database.as_str() {
        "postgresql" | "postgres" => Ok((
            Some(format!("postgres://{rest}")),
            "--backend-store-uri is taken as --database-url: Strongback makes tables of its own there, and does not read \
             what MLflow's server has stored in that database. strongback import mlflow brings it over, from the same URL."
                .to_owned(),
        )),
        // One slash more than the path, and no path for a database in memory.
        "sqlite" => {
            let path = rest.strip_prefix('/').unwrap_or(rest).split('?').next().unwrap_or_default();
            let is_there = !path.is_empty() && path != ":memory:" && Path::new(path).exists();
            unread_store(uri, "a database file", is_there)
        }
        // An empty one is a variable of the script that is not set; what has a scheme without its slashes is none of ours either.
        "" if rest.is_empty() || rest.strip_prefix("file:").unwrap_or(rest).contains(':') => {
            Err(Error::invalid(
                "--backend-store-uri is empty or no address of a store. Leave it out for SQLite in the data directory, or name a \
                 PostgreSQL database: postgresql://user@host/database.",
            ))
        }
        "" | "file" => {
            let path = rest.strip_prefix("file:").unwrap_or(rest);
            let is_there = Path::new(path).read_dir().is_ok_and(|mut entries| entries.next().is_some());
            unread_store(uri, "a directory of runs", is_there || Path::new(path).is_file())
        }
        other => Err(Error::invalid(format!(
            "--backend-store-uri {other}://… cannot be followed: metadata lies in SQLite in the data directory, or in PostgreSQL \
             (--database-url postgres://…). Leave the flag out, or name a PostgreSQL database."
        ))),
    }
}

/// Starting beside a store of MLflow's would look as if everything in it were gone. Where there is none yet, nothing is.
fn unread_store(uri: &str, what: &str, is_there: bool) -> Result<(Option<String>, String)> {
    if !is_there {
        return Ok((
            None,
            format!(
                "--backend-store-uri {uri} has no effect: nothing is there, and metadata lies in the data directory (--data-dir)."
            ),
        ));
    }
    Err(Error::invalid(format!(
        "--backend-store-uri {uri} names {what} that MLflow's server keeps, which Strongback does not work in: it would start empty \
         beside it. Nothing there was touched. Start with a store of its own, without the flag: strongback up --data-dir DIR \
         (metadata in SQLite, artifacts, keys). Then bring everything over: strongback import mlflow {uri}."
    )))
}

/// What is to be said at the start of where clients keep files themselves, wherever it is set; or why that cannot be followed.
pub(super) fn of_root(root: Option<&bucket::Root>, no_serve_artifacts: bool) -> Result<Option<String>> {
    match root {
        Some(root) => Ok(Some(format!(
            "clients keep the files of experiments that are made from now on below {root} themselves, with credentials of their own, and \
             this server may read them for its pages. A version of a model that is registered of them has no files here, so that it \
             cannot be served or gated. What clients send here, as for the experiment Default, is kept here."
        ))),
        None if no_serve_artifacts => Err(Error::invalid(
            "--no-serve-artifacts cannot be followed: artifacts go through the server, which keeps them in its data directory. \
             Leave the flag out, or name the object store in which clients keep them themselves: --default-artifact-root \
             s3://bucket/path.",
        )),
        None => Ok(None),
    }
}

/// What is said of a place on this machine, or of the server itself; any other is refused.
fn local_place(flag: &str, uri: &str) -> Result<Option<String>> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        // The server itself, which is what is done anyway.
        Some("mlflow-artifacts") if uri.ends_with(":/") || uri.ends_with("://") || uri.ends_with(':') => {
            Ok(None)
        }
        None | Some("file" | "mlflow-artifacts") => Ok(Some(format!(
            "{flag} {uri} has no effect: artifacts lie in the data directory (--data-dir), and clients send them through \
             the server. Files that are in {uri} already stay there and are not read."
        ))),
        Some(scheme) => Err(Error::invalid(format!(
            "{flag} {scheme}:… cannot be followed: clients send artifacts through the server, which keeps them in its data \
             directory, or in an object store (--artifacts-url s3://bucket/prefix, gs://… or az://…); or they keep them themselves \
             in one of s3://, gs://, abfss:// and wasbs:// (--default-artifact-root). Name such a place of plain letters, or leave the \
             flag out."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[arg(long)]
        database_url: Option<String>,
        #[arg(long)]
        artifacts_url: Option<String>,
        #[command(flatten)]
        mlflow: MlflowArgs,
    }

    fn meant(line: &str) -> Result<Meant> {
        let line = Line::try_parse_from(std::iter::once("up").chain(line.split_whitespace())).unwrap();
        assert_eq!((line.database_url, line.artifacts_url), (None, None));
        line.mlflow.meant()
    }

    #[test]
    fn a_postgresql_store_is_our_database() {
        for uri in [
            "postgresql://me:pw@db:5432/mlflow",
            "postgres://me:pw@db:5432/mlflow",
            "postgresql+psycopg2://me:pw@db:5432/mlflow",
            "PostgreSQL+psycopg://me:pw@db:5432/mlflow",
        ] {
            let found =
                meant(&format!("--backend-store-uri {uri} --registry-store-uri {uri} --serve-artifacts"))
                    .unwrap();
            assert_eq!(found.database_url.as_deref(), Some("postgres://me:pw@db:5432/mlflow"), "{uri}");
            assert!(found.warnings.len() == 1 && found.warnings[0].contains("does not read"), "{found:?}");
        }
        let both = Line::try_parse_from([
            "up",
            "--database-url",
            "postgres://a/b",
            "--backend-store-uri",
            "postgres://a/b",
        ]);
        assert!(both.is_err_and(|error| error.to_string().contains("cannot be used with")));
    }

    #[test]
    fn an_object_store_is_where_artifacts_lie() {
        for uri in ["s3://bucket/x", "gs://bucket", "abfss://c@me.dfs.core.windows.net/x"] {
            let found = meant(&format!("--artifacts-destination {uri} --serve-artifacts")).unwrap();
            assert_eq!(found.artifacts_url.as_deref(), Some(uri));
            assert!(found.warnings.len() == 1 && found.warnings[0].contains("does not read"), "{found:?}");
        }
        let both = ["up", "--artifacts-url", "s3://a", "--artifacts-destination", "s3://a"];
        assert!(
            Line::try_parse_from(both).is_err_and(|error| error.to_string().contains("cannot be used with"))
        );
    }

    #[test]
    fn clients_keep_files_of_new_experiments_in_a_root_of_their_own() {
        for uri in [
            "s3://bucket/x",
            "gs://bucket",
            "abfss://c@me.dfs.core.windows.net/x",
            "wasbs://c@me.blob.core.windows.net/x",
        ] {
            for line in ["", " --no-serve-artifacts"] {
                let found = meant(&format!("--default-artifact-root {uri}{line}")).unwrap();
                assert_eq!(found.default_artifact_root.as_deref(), Some(uri));
                assert_eq!(found.artifacts_url, None);
                assert_eq!(found.no_serve_artifacts, !line.is_empty());
                let said = of_root(uri.parse().ok().as_ref(), found.no_serve_artifacts).unwrap();
                assert!(said.unwrap().contains(uri));
            }
        }
        let found = meant("--no-serve-artifacts").unwrap();
        let error = of_root(None, found.no_serve_artifacts).unwrap_err();
        assert!(error.message().contains("--default-artifact-root s3://bucket/path"), "{error}");
        let found = meant("--no-serve-artifacts --serve-artifacts").unwrap();
        assert_eq!(of_root(None, found.no_serve_artifacts).unwrap(), None);
    }

    #[test]
    fn what_has_no_effect_is_said_in_a_line_each() {
        assert_eq!(meant("").unwrap(), Meant::default());
        assert_eq!(
            meant("--serve-artifacts --artifacts-destination mlflow-artifacts:/ --disable-workspaces")
                .unwrap(),
            Meant::default()
        );
        assert_eq!(meant("--no-serve-artifacts --serve-artifacts").unwrap(), Meant::default());
        let line = "-w 4 --gunicorn-opts --timeout=9 --uvicorn-opts --reload --waitress-opts x --dev \
                    --expose-prometheus dir --cors-allowed-origins https://x --x-frame-options DENY \
                    --read-replica-backend-store-uri postgresql://r --secrets-cache-ttl 60 --secrets-cache-max-size 9 \
                    --trace-archival-config f --workspace-store-uri u --default-artifact-root ./mlruns --artifacts-destination file:///a";
        let said = meant(line).unwrap().warnings;
        let flags: Vec<&str> =
            line.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 3).collect();
        for flag in
            flags.iter().filter(|flag| !["--timeout=9", "--reload"].contains(flag)).chain(&["--workers"])
        {
            let lines = said
                .iter()
                .filter(|line| line.starts_with(&format!("{flag} ")) && line.contains("has no effect"));
            assert_eq!(lines.count(), 1, "{flag}: {said:?}");
        }
        assert_eq!(said.len(), 15, "{said:?}");
    }

    #[test]
    fn a_store_that_mlflow_has_filled_is_refused_and_one_that_is_not_there_has_no_effect() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let uris = ["sqlite:///{}/db", "{}/db", "{}/runs", "file://{}/runs", "file:{}/runs"];
        let uris = uris.map(|uri| uri.replace("{}", place));
        for uri in uris.iter().map(String::as_str).chain(["sqlite://", "sqlite:///:memory:"]) {
            let found = meant(&format!("--backend-store-uri {uri}")).unwrap();
            assert_eq!(found.database_url, None);
            assert!(found.warnings.len() == 1 && found.warnings[0].contains("has no effect"), "{found:?}");
        }
        std::fs::write(folder.path().join("db"), "x").unwrap();
        std::fs::create_dir_all(folder.path().join("runs/0")).unwrap();
        for uri in &uris {
            let error = meant(&format!("--backend-store-uri {uri}")).unwrap_err();
            assert!(error.message().contains("would start empty beside it"), "{error}");
            assert!(error.message().contains(&format!("strongback import mlflow {uri}")), "{error}");
        }
    }

    #[test]
    fn the_host_may_be_given_as_mlflow_takes_it() {
        let told = |line: &str| with_host(line.split(' ').map(OsString::from)).join(" ".as_ref());
        assert_eq!(told("strongback up -h 0.0.0.0 -p 5000"), "strongback up --host 0.0.0.0 -p 5000");
        for help in ["strongback up -h", "strongback up -h --json", "strongback -h up", "strongback run -h x"]
        {
            assert_eq!(told(help), help);
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_to_do() {
        for (line, part) in [
            ("--backend-store-uri=", "is empty or no address"),
            ("--backend-store-uri postgresql:/u:hush@h/d", "is empty or no address"),
            ("--backend-store-uri mysql:hush", "is empty or no address"),
            ("--backend-store-uri mysql+pymysql://u:hush@h/d", "name a PostgreSQL database"),
            ("--backend-store-uri mssql+pyodbc://u:hush@h/d", "name a PostgreSQL database"),
            ("--registry-store-uri postgresql://h/other", "leave the flag out"),
            ("--artifacts-destination s3://", "--artifacts-url s3://bucket/prefix"),
            ("--artifacts-destination wasbs://hush@c/x", "--artifacts-url s3://bucket/prefix"),
            ("--default-artifact-root s3://u:hush@bucket", "--artifacts-url s3://bucket/prefix"),
            ("--default-artifact-root hdfs:/x", "--artifacts-url s3://bucket/prefix"),
            ("--default-artifact-root az://box/a", "abfss://"),
            ("--artifacts-only", "Leave the flag out"),
            ("--app-name basic-auth", "--auth tokens"),
            ("--app-name mine", "Leave it out"),
            ("--enable-workspaces", "strongback catalog create"),
            ("--disable-security-middleware", "--allowed-hosts"),
        ] {
            let error = meant(line).unwrap_err();
            assert!(error.message().contains(part), "{line}: {error}");
            assert!(!error.message().contains("hush"), "{error}");
        }
    }
}
